import { say } from "./error.js";

// The codes of wasm/main.go.
const failedDisabled = -1;
const failedQuota = -2;
const failedInternal = -3;
const noItem = -4;

/** The properties of the global object, by the number of the place. */
const properties = /** @type {const} */ (["localStorage", "sessionStorage"]);

/**
 * Returns the page's storage areas as the functions that wasm/areas.go imports.
 *
 * @param {(start: number, length: number) => Uint8Array} bytes Returns a part
 *   of the module's memory.
 */
export function areas(bytes) {
  const encoder = new TextEncoder();
  // A text may begin with U+FEFF, which is no byte order mark there.
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** @type {Storage[]} */
  const opened = [];
  /** @type {string[]} */
  let found = [];
  let ready = new Uint8Array();
  let said = "";

  /** @param {number} start @param {number} length */
  const read = (start, length) => decoder.decode(bytes(start, length));

  /** @param {string} text */
  const give = (text) => {
    ready = encoder.encode(text);
    return ready.length;
  };

  /**
   * Calls f, and returns the code for what it throws.
   *
   * @param {() => number} f
   */
  const attempt = (f) => {
    try {
      return f();
    } catch (thrown) {
      said = String(say(thrown));
      return code(thrown);
    }
  };

  return {
    /** @param {number} where */
    open(where) {
      const property = properties[where];
      try {
        const area = globalThis[property];
        if (area) {
          opened[where] = area;
          return 0;
        }
        said = `there is no ${property} here`;
      } catch (thrown) {
        said = say(thrown);
      }
      said = `the storage is not available: ${said}`;
      return failedDisabled;
    },

    /** @type {(where: number, key: number, keyLength: number) => number} */
    getItem: (where, key, keyLength) =>
      attempt(() => {
        const text = opened[where].getItem(read(key, keyLength));
        return text === null ? noItem : give(text);
      }),

    /** @type {(where: number, key: number, keyLength: number, text: number, textLength: number) => number} */
    setItem: (where, key, keyLength, text, textLength) =>
      attempt(() => {
        opened[where].setItem(read(key, keyLength), read(text, textLength));
        return 0;
      }),

    /** @type {(where: number, key: number, keyLength: number) => number} */
    removeItem: (where, key, keyLength) =>
      attempt(() => {
        opened[where].removeItem(read(key, keyLength));
        return 0;
      }),

    /** @type {(where: number, prefix: number, prefixLength: number) => number} */
    keys: (where, prefix, prefixLength) =>
      attempt(() => {
        const area = opened[where];
        const start = read(prefix, prefixLength);
        const keys = [];
        // Not Object.keys, which leaves out items called length or getItem.
        for (let i = 0; i < area.length; i++) {
          // A page that is about to go may give null for the rest.
          const key = area.key(i);
          if (key?.startsWith(start)) keys.push(key);
        }
        found = keys;
        return keys.length;
      }),

    /** @param {number} i */
    key: (i) => give(found[i]),

    said: () => give(said),

    /** @param {number} to */
    take(to) {
      bytes(to, ready.length).set(ready);
    },
  };
}

/**
 * Returns the code for what a storage area has thrown.
 *
 * @param {unknown} thrown
 */
function code(thrown) {
  if (typeof thrown !== "object" || thrown === null) return failedInternal;
  const { name } = /** @type {any} */ (thrown);
  switch (name) {
    case "QuotaExceededError": // also a class of its own, in newer browsers
    case "NS_ERROR_DOM_QUOTA_REACHED": // Firefox before 2024
    case "NS_ERROR_FILE_NO_DEVICE_SPACE": // Firefox, when the disk is full
      return failedQuota;
  }
  return thrown instanceof DOMException || String(name).startsWith("NS_ERROR_") // Firefox, such as for a damaged database
    ? failedDisabled
    : failedInternal;
}
