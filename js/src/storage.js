/**
 * A place where sessions are stored. The module knows it by this number: one of places,
 * or a greater one for a page's own object.
 *
 * @typedef {number} Place
 */
export const places = /** @type {const} */ ({
  local: 0,
  session: 1,
  memory: 2,
});

/** @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Area */

/** @typedef {import("./api.js").StorageLike} StorageLike */

/**
 * Whether a value has what is used of Storage.
 *
 * @param {any} value
 * @returns {value is StorageLike}
 */
export function isStorage(value) {
  return (
    typeof value === "object" &&
    ["getItem", "setItem", "removeItem", "key"].every(
      (name) => typeof value[name] === "function",
    ) &&
    typeof value.length === "number"
  );
}

/**
 * Returns the keys in an area that begin with a text.
 *
 * @param {Area} area
 * @param {string} begin
 */
export function keysOf(area, begin) {
  const keys = [];
  if (area instanceof MemoryArea) {
    for (const key of area.keys()) if (key.startsWith(begin)) keys.push(key);
    return keys;
  }
  const { length } = /** @type {Storage} */ (area);
  // Object.keys would leave out items called length or getItem.
  for (let i = 0; i < length; i++) {
    // In a page that is about to go, key may return null for the rest.
    const key = /** @type {Storage} */ (area).key(i);
    if (key?.startsWith(begin)) keys.push(key);
  }
  return keys;
}

/**
 * A storage area that lasts as long as the page.
 *
 * @implements {Area}
 */
export class MemoryArea {
  /** @type {Map<string, string>} */
  #items = new Map();

  keys() {
    return this.#items.keys();
  }

  /** @param {string} key */
  getItem(key) {
    return this.#items.get(key) ?? null;
  }

  /**
   * @param {string} key
   * @param {string} text
   */
  setItem(key, text) {
    this.#items.set(key, text);
  }

  /** @param {string} key */
  removeItem(key) {
    this.#items.delete(key);
  }
}
