import { attempt, describe, own, say, tag } from "./describe.js";
import { SessionError } from "./error.js";

/** @typedef {import("./api.js").Entries} Entries */

/**
 * Entries as the text of a JSON object, with its keys.
 *
 * @typedef {{ text: string, keys: string[] }} Encoded
 */

/**
 * Encodes entries. If a key comes twice, the last value counts.
 *
 * @param {Entries} entries
 * @returns {Encoded}
 */
export function encodeEntries(entries) {
  const encoded = attempt(() => encodeAtOnce(entries));
  if (encoded) return encoded;
  try {
    return encodeEach(entries);
  } catch (cause) {
    throw own(cause, "value", "the entries");
  }
}

/**
 * Returns what encodeEach returns, in half of the time or less. Entries that are
 * unusual, or that encodeEach may refuse, make it return undefined or throw.
 *
 * @param {any} entries
 * @returns {Encoded | undefined}
 */
function encodeAtOnce(entries) {
  if (Symbol.iterator in entries || !isPlain(entries)) return;
  const copy = { ...entries }; // so that each getter runs once
  if (typeof copy.toJSON === "function") return;
  const keys = Reflect.ownKeys(copy);
  for (const key of keys) {
    if (typeof key !== "string" || key === "" || !isUsual(copy[key])) return;
  }
  const text = JSON.stringify(copy);
  // This may escape a lone surrogate, which no key may have.
  if (text.includes("\\ud")) return;
  return { text, keys: /** @type {string[]} */ (keys) };
}

/**
 * Whether JSON.stringify certainly keeps a value or throws.
 *
 * @param {any} value
 */
function isUsual(value) {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return Number.isFinite(value);
    case "object":
      return (
        value === null ||
        ((isPlain(value) || Array.isArray(value)) &&
          !value.toJSON &&
          value[Symbol.toStringTag] === undefined) // Math has one, for example
      );
    default:
      return false;
  }
}

/**
 * @param {Entries} entries
 * @returns {Encoded}
 */
function encodeEach(entries) {
  /** @type {Map<string, string>} */
  const texts = new Map();
  for (const [key, value] of pairs(entries)) {
    checkKey(key);
    texts.set(key, encodeValue(key, value));
  }
  let text = "";
  for (const [key, value] of texts) {
    text += `${text && ","}${JSON.stringify(key)}:${value}`;
  }
  return { text: `{${text}}`, keys: [...texts.keys()] };
}

/**
 * Returns keys as the text of a JSON array.
 *
 * @param {unknown[]} keys
 * @returns {string}
 */
export function encodeKeys(keys) {
  keys.forEach(checkKey);
  return JSON.stringify(keys);
}

/**
 * @param {unknown} key
 * @returns {asserts key is string}
 */
export function checkKey(key) {
  const fault = faultOf(key);
  if (fault) {
    throw new SessionError(
      "key",
      `the key ${describe(key)} ${fault}`,
      typeof key === "string" ? { key } : {},
    );
  }
}

/**
 * Says what is wrong with a key or the name of a session. Returns something
 * falsy when nothing is.
 *
 * @param {unknown} text
 */
export function faultOf(text) {
  return typeof text !== "string"
    ? "is not a string: convert it"
    : text === ""
      ? "is empty"
      : // Some browsers that can run the module lack isWellFormed.
        /\p{Surrogate}/u.test(text) && "has a lone surrogate";
}

/**
 * Yields the pairs of entries of any kind.
 *
 * @param {unknown} entries
 * @returns {Iterable<readonly [unknown, unknown]>}
 */
function* pairs(entries) {
  if (typeof entries === "object" && entries !== null) {
    if (Symbol.iterator in entries) {
      for (const pair of /** @type {Iterable<unknown>} */ (entries)) {
        if (!Array.isArray(pair) || pair.length !== 2) {
          throw new SessionError(
            "value",
            `the entries yield ${describe(pair)} where a [key, value] pair should be`,
          );
        }
        yield /** @type {[unknown, unknown]} */ (/** @type {unknown} */ (pair));
      }
      return;
    }
    if (isPlain(entries)) {
      yield* plainPairs(/** @type {Record<PropertyKey, unknown>} */ (entries));
      return;
    }
  }
  throw new SessionError(
    "value",
    `the entries are ${describe(entries)}: give a Map, an array of [key, value] pairs, another iterable of those, or a plain object, as in {...entries}`,
  );
}

/**
 * @param {Record<PropertyKey, unknown>} entries
 * @returns {Iterable<readonly [unknown, unknown]>}
 */
function* plainPairs(entries) {
  for (const key of Reflect.ownKeys(entries)) {
    if (!Object.prototype.propertyIsEnumerable.call(entries, key)) continue;
    let value;
    try {
      value = entries[key];
    } catch (cause) {
      throw new SessionError(
        "value",
        `key ${describe(key)}: its getter threw ${say(cause)}`,
        { key: String(key), cause },
      );
    }
    yield [key, value];
  }
}

/**
 * Whether an object is a plain one, of this realm or another, and not of a class.
 *
 * @param {object} object
 */
export function isPlain(object) {
  const prototype = Object.getPrototypeOf(object);
  return (
    prototype === Object.prototype ||
    prototype === null ||
    Object.getPrototypeOf(prototype) === null
  );
}

/**
 * Returns a value as JSON text. It refuses a value that JSON would drop or
 * silently turn into something else. Inside a value the rules of JSON.stringify
 * hold.
 *
 * @param {string} key
 * @param {unknown} value
 * @returns {string}
 */
function encodeValue(key, value) {
  /** @param {string} why @param {{ cause?: unknown }} [more] */
  const refuse = (why, more) =>
    new SessionError("value", `key ${JSON.stringify(key)}: ${why}`, {
      key,
      ...more,
    });
  let made = value; // what toJSON returns, if there is one
  /** @type {string | undefined} */
  let text;
  try {
    text = JSON.stringify(value, hasToJSON(value) ? remember() : undefined);
  } catch (cause) {
    throw refuse(`JSON.stringify threw ${say(cause)}`, { cause });
  }
  if (text === undefined) {
    throw refuse(`unsupported value: ${describe(made)}`);
  }
  if (text === "null" && tag(made) === "Number") {
    throw refuse(`unsupported value: ${made}, which JSON would make null`);
  }
  if (text === "{}" && tag(made) !== "Object") {
    throw refuse(
      `unsupported value: ${describe(made)}, which JSON would make {}`,
    );
  }
  return text;

  /**
   * Returns a replacer that changes nothing. It is called first with the whole
   * value, after toJSON.
   */
  function remember() {
    let first = true;
    return (/** @type {string} */ _, /** @type {unknown} */ part) => {
      if (first) made = part;
      first = false;
      return part;
    };
  }
}

/** @param {unknown} value */
function hasToJSON(value) {
  return typeof (/** @type {any} */ (value)?.toJSON) === "function";
}
