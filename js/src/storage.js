import { absent, disabled, quota, thrown } from "./codes.js";
import { say } from "./describe.js";

/**
 * A place where sessions are stored. The module knows it by this number.
 *
 * @typedef {typeof places[keyof typeof places]} Place
 */
export const places = /** @type {const} */ ({
  local: 0,
  session: 1,
  memory: 2,
});

/** Stands for the given text, as engine.Given does in the module. */
const given = "\0";

/** @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Area */

/**
 * The storage areas of the page, which the module imports. wasm/internal/areas is
 * the other side. What an area throws is caught here, because nothing may be
 * thrown through the module's stack.
 */
export class StorageAreas {
  /**
   * The areas in which sessions were opened, by place.
   * @type {Area[]}
   */
  opened = [];
  #memory = new MemoryArea();
  #encoder = new TextEncoder();
  // A U+FEFF at the beginning belongs to the text, and is no byte order mark.
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** @type {string[]} */
  #keys = [];
  /**
   * The texts that the module has read, by place and key.
   *
   * @type {Map<string, string>[]}
   */
  #texts = [new Map(), new Map(), new Map()];
  #lent = new Uint8Array();
  // Allocated once for all but the longest texts, because an allocation costs
  // more than a copy.
  #room = new Uint8Array(64 * 2 ** 10);
  #bytes = new Uint8Array();

  /**
   * The module's memory, once there is one.
   * @type {WebAssembly.Memory | undefined}
   */
  memory;

  /**
   * The entries of a save, as JSON, while it lasts.
   * @type {string | undefined}
   */
  given;

  /**
   * What an area threw last.
   * @type {unknown}
   */
  thrown;

  /** What the module imports. */
  imports = {
    open: (/** @type {Place} */ place) => {
      try {
        this.opened[place] = this.#area(place);
        return 0;
      } catch (error) {
        this.thrown = error;
        return disabled;
      }
    },

    getItem: this.#named((place, key) => {
      const text = this.opened[place].getItem(key);
      if (text === null) {
        this.#texts[place].delete(key);
        return absent;
      }
      this.#texts[place].set(key, text);
      return this.#lend(text);
    }),

    setItem: this.#named((place, key, text, textLength) => {
      let whole = this.#read(text, textLength);
      const at = whole.indexOf(given);
      if (this.given !== undefined && at >= 0) {
        whole = whole.slice(0, at) + this.given + whole.slice(at + 1);
      }
      this.opened[place].setItem(key, whole);
      return 0;
    }),

    removeItem: this.#named((place, key) => {
      this.#texts[place].delete(key);
      this.opened[place].removeItem(key);
      return 0;
    }),

    keys: this.#named((place, prefix) => {
      this.#keys = keysOf(this.opened[place], prefix);
      const listed = new Set(this.#keys);
      for (const key of this.#texts[place].keys()) {
        if (key.startsWith(prefix) && !listed.has(key)) {
          this.#texts[place].delete(key);
        }
      }
      return this.#keys.length;
    }),

    same: (
      /** @type {Place} */ place,
      /** @type {number} */ key,
      /** @type {number} */ keyLength,
    ) => {
      try {
        const name = this.#read(key, keyLength);
        const text = this.#texts[place].get(name);
        // If they are the same, browsers mostly compare two pointers.
        return Number(
          text !== undefined && text === this.opened[place].getItem(name),
        );
      } catch {
        return 0; // the module then reads the item, and gets the error
      }
    },

    listed: (/** @type {number} */ i) => this.#lend(this.#keys[i]),

    take: (/** @type {number} */ at) => this.#memoryBytes().set(this.#lent, at),
  };

  /**
   * Returns f in the form that the module calls. The module passes the address and
   * length of a text, and gets a code when f throws.
   *
   * @param {(place: Place, name: string, at: number, length: number) => number} f
   */
  #named(f) {
    return (
      /** @type {Place} */ place,
      /** @type {number} */ name,
      /** @type {number} */ nameLength,
      /** @type {number} */ at,
      /** @type {number} */ length,
    ) => {
      try {
        return f(place, this.#read(name, nameLength), at, length);
      } catch (error) {
        this.thrown = error;
        return codeOf(error);
      }
    };
  }

  /**
   * @param {Place} place
   * @returns {Area}
   */
  #area(place) {
    if (place === places.memory) return this.#memory;
    const property = place === places.local ? "localStorage" : "sessionStorage";
    // Reading the property may throw a SecurityError.
    const area = globalThis[property];
    if (!area) throw new Error(`there is no ${property} here`);
    return area;
  }

  /** Says what an area threw last. */
  say() {
    return say(this.thrown);
  }

  /** @param {string} text */
  #lend(text) {
    // Three bytes are the most that a UTF-16 code unit takes.
    this.#lent =
      text.length * 3 > this.#room.length
        ? this.#encoder.encode(text)
        : this.#room.subarray(
            0,
            this.#encoder.encodeInto(text, this.#room).written,
          );
    return this.#lent.length;
  }

  /**
   * @param {number} at
   * @param {number} length
   */
  #read(at, length) {
    return this.#decoder.decode(this.#memoryBytes().subarray(at, at + length));
  }

  #memoryBytes() {
    const { buffer } = /** @type {WebAssembly.Memory} */ (this.memory);
    // The memory has a new buffer after it has grown.
    if (this.#bytes.buffer !== buffer) this.#bytes = new Uint8Array(buffer);
    return this.#bytes;
  }
}

/**
 * Returns the code for what a storage threw. testdata/exceptions.json has examples,
 * for package localstorage as well.
 *
 * @param {any} error
 */
export function codeOf(error) {
  try {
    const name = String(error?.name);
    switch (name) {
      case "QuotaExceededError": // in newer browsers a class of its own
      case "NS_ERROR_DOM_QUOTA_REACHED": // Firefox before 2024
      case "NS_ERROR_FILE_NO_DEVICE_SPACE": // Firefox, when the disk is full
        return quota;
    }
    // Firefox throws NS_ERROR_… for a damaged database, for example.
    if (error instanceof DOMException || name.startsWith("NS_ERROR_")) {
      return disabled;
    }
  } catch {
    // The page threw an object that throws when its name is read.
  }
  return thrown;
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
class MemoryArea {
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
