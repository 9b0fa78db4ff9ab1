/**
 * Returns the element of the page that has this id.
 *
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function byId(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) {
    throw new Error(`the page has no ${type.name} with the id ${id}`);
  }
  return found;
}

/**
 * Makes an element. Strings among the children become text, never markup.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Partial<Pick<HTMLElement, "className" | "role" | "tabIndex">>} properties
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function create(tag, properties, ...children) {
  const made = document.createElement(tag);
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

/**
 * Makes the element for a text that may be long. It scrolls, also by keyboard.
 *
 * @param {...string} text
 */
export function createText(...text) {
  return create("pre", { tabIndex: 0 }, ...text);
}

/** @param {number} n */
export function formatNumber(n) {
  return n.toLocaleString("en");
}

/**
 * Returns the local time in the form of ISO 8601, with milliseconds.
 *
 * @param {number} milliseconds since 1970
 */
export function formatTime(milliseconds) {
  const offset = new Date(milliseconds).getTimezoneOffset() * 60_000;
  return new Date(milliseconds - offset)
    .toISOString()
    .slice(0, -1)
    .replace("T", " ");
}

/**
 * Returns a key, or the name of a device, for a person to read. One with characters
 * that would not show, or could be mistaken, becomes a JSON string.
 *
 * @param {string} key
 */
export function formatKey(key) {
  if (/^[^"\p{C}\p{Z}](?:[^\p{C}\p{Z}]| (?! |$))*$/u.test(key)) {
    return key;
  }
  return JSON.stringify(key).replace(
    /(?! )[\p{C}\p{Z}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}

/**
 * Cuts a text that is longer than limit.
 *
 * @param {string} text
 * @param {number} limit in UTF-16 code units
 */
export function shorten(text, limit) {
  if (text.length <= limit) {
    return text;
  }
  // Never cut a surrogate pair in half.
  return text.slice(0, limit - 1).replace(/[\ud800-\udbff]$/, "") + "…";
}

/**
 * Says beside a field what is wrong with it. With an empty message nothing is.
 *
 * @param {HTMLInputElement | HTMLTextAreaElement} field
 * @param {string} message
 */
export function showError(field, message) {
  byId(`${field.id}-error`, HTMLElement).textContent = message;
  field.ariaInvalid = message ? "true" : null;
}
