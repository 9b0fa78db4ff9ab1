/**
 * The names of storage areas, as options have them. "memory" is a new one for each session.
 */
export const names = /** @type {const} */ (["local", "session", "memory"]);

/** @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Area */

/** @typedef {import("./api.js").StorageLike} StorageLike */

/**
 * Where a session is: the storage area that has the name whenever it is opened, or an
 * area.
 *
 * @typedef {"local" | "session" | Area} Where
 */

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
  area = realOf(area);
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

/**
 * The memory of a page or a worker that has no other storage, for all of its sessions. A
 * server, which has no location, gets none: its memory would be all visitors'.
 */
export const memoryOfPage = globalThis.location && new MemoryArea();

/**
 * Returns the storage area of that name, as it is at the moment.
 *
 * @param {"local" | "session"} name
 * @returns {Storage}
 */
export function areaOf(name) {
  const property = name === "local" ? "localStorage" : "sessionStorage";
  // Reading the property may throw a SecurityError. Some versions of Node have an object
  // there that is no storage, unless they are started with a file for it.
  const area = globalThis[property];
  if (!isStorage(area)) throw new Error(`there is no ${property} here`);
  return area;
}

/**
 * The storages of areas that have a mirror.
 *
 * @type {WeakMap<Area, Area>}
 */
export const reals = new WeakMap();

/**
 * Returns the storage of an area, which may be an area that has a mirror.
 *
 * @param {Area} area
 */
export function realOf(area) {
  return reals.get(area) ?? area;
}
