// What runs in the page: the test bodies find it as inPage.
//
// It imports nothing by itself, for there are tests of what importing the
// package does.

/** @typedef {import("../../src/index.js").Session} Session */
/** @typedef {import("../../src/index.js").Change} Change */
/** @typedef {import("../../src/index.js").Options} Options */

/**
 * What a call came to: its value, or what it threw.
 *
 * @template T
 * @typedef {object} Outcome
 * @property {T} [value]
 * @property {Thrown} [error]
 */

/**
 * An error in a form that JSON carries.
 *
 * @typedef {object} Thrown
 * @property {string} name
 * @property {string} message
 * @property {string} [code]
 * @property {string} [key]
 * @property {string} [reason]
 * @property {string} [cause]
 * @property {boolean} isError whether it is an Error
 * @property {boolean} isSessionError whether it is a SessionError
 */

/**
 * Imports the package.
 *
 * @returns {Promise<typeof import("../../src/index.js")>}
 */
export function sessionWriter() {
  return import(new URL("./dist/index.js", import.meta.url).href);
}

/**
 * Imports the package and opens a session.
 *
 * @param {any} [name]
 * @param {any} [options]
 */
export async function open(name = "cart", options = undefined) {
  return (await sessionWriter()).open(name, options);
}

/**
 * Imports the package's entry that has the module in a file of its own.
 *
 * @returns {Promise<typeof import("../../src/streaming.js")>}
 */
export function streaming() {
  return import(new URL("./dist/streaming.js", import.meta.url).href);
}

/**
 * Imports that and opens a session.
 *
 * @param {any} [name]
 * @param {any} [options]
 */
export async function openStreaming(name = "cart", options = undefined) {
  return (await streaming()).open(name, options);
}

/**
 * What a test keeps in the page from one evaluation to the next.
 *
 * @type {any}
 */
export const kept = {};

/** Options of a sync that makes exchanges on request only. */
export const onRequest = { delay: Infinity, interval: Infinity, live: false };

/**
 * Calls f and returns what it came to.
 *
 * @template T
 * @param {() => T | Promise<T>} f
 * @returns {Promise<Outcome<T>>}
 */
export async function attempt(f) {
  const { SessionError } = await sessionWriter();
  const { SessionError: Another } = await streaming();
  try {
    return { value: await f() };
  } catch (thrown) {
    const error = /** @type {any} */ (thrown);
    return {
      error: {
        name: String(error?.name),
        message: String(error?.message ?? error),
        code: error?.code,
        key: error?.key,
        reason: error?.reason,
        cause: error?.cause === undefined ? undefined : String(error.cause),
        isError: error instanceof Error,
        isSessionError:
          error instanceof SessionError || error instanceof Another,
      },
    };
  }
}

/**
 * Makes an attempt that must change nothing, and tells what there was before
 * and after it: to the session's readers, and in the storage.
 *
 * @param {Session} session
 * @param {() => unknown} f
 */
export async function attemptOn(session, f) {
  const state = () => ({ loaded: session.load(), items: items() });
  const before = state();
  const { error } = await attempt(f);
  return { error, before, after: state() };
}

/**
 * Returns all items of a storage area, in the order of their keys.
 *
 * @param {Storage} [area]
 * @returns {[key: string, text: string][]}
 */
export function items(area = localStorage) {
  // Not Object.entries, which leaves out an item called length.
  return Array.from({ length: area.length }, (_, i) => String(area.key(i)))
    .sort()
    .map((key) => [key, String(area.getItem(key))]);
}

/**
 * Calls f with the store of IndexedDB that has a durable session's mirror.
 *
 * @template T
 * @param {(items: IDBObjectStore) => IDBRequest<T> | void} f
 * @returns {Promise<T | undefined>} what the request results in
 */
export function inMirror(f) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("session-writer");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const db = opening.result;
      const transaction = db.transaction("items", "readwrite");
      const request = f(transaction.objectStore("items"));
      transaction.onabort = () => reject(transaction.error);
      transaction.oncomplete = () => {
        db.close();
        resolve(request?.result);
      };
    };
  });
}

/**
 * Returns all items of all mirrors, in the order of their keys.
 *
 * @returns {Promise<[key: string, text: string][]>}
 */
export async function mirrored() {
  const all = await inMirror((items) => items.getAll());
  return /** @type {[string, string][]} */ (all).sort(([a], [b]) =>
    a < b ? -1 : 1,
  );
}

/**
 * Returns a list that grows with every item that is read, and every key that is
 * listed, as the name of the method and what it is given.
 */
export function recordReads() {
  /** @type {[method: string, what: unknown][]} */
  const reads = [];
  const prototype = /** @type {any} */ (Storage.prototype);
  for (const method of ["getItem", "key"]) {
    const original = prototype[method];
    prototype[method] = function (/** @type {unknown} */ what) {
      reads.push([method, what]);
      return original.call(this, what);
    };
  }
  return reads;
}

/**
 * Returns a list that grows with every call that changes a storage area, as
 * the name of the method and the key.
 */
export function recordWrites() {
  /** @type {[method: string, key?: string][]} */
  const writes = [];
  const prototype = /** @type {any} */ (Storage.prototype);
  for (const method of ["setItem", "removeItem", "clear"]) {
    const original = prototype[method];
    prototype[method] = function (/** @type {string[]} */ ...args) {
      writes.push([method, args[0]]);
      return original.apply(this, args);
    };
  }
  return writes;
}

/**
 * Has every call of a method of storage areas throw what f returns, until the
 * returned function is called.
 *
 * @param {"getItem" | "setItem" | "removeItem" | "key"} method
 * @param {() => unknown} f
 */
export function breakStorage(method, f) {
  const prototype = /** @type {any} */ (Storage.prototype);
  const original = prototype[method];
  prototype[method] = () => {
    throw f();
  };
  return () => {
    prototype[method] = original;
  };
}

/**
 * Returns a list that grows with the changes that a session tells of.
 *
 * @param {Session} session
 */
export function recordChanges(session) {
  /** @type {Change[]} */
  const changes = [];
  session.subscribe((change) => changes.push(change));
  return changes;
}

/**
 * Waits for a condition. What it waits for comes from another process, so
 * there is nothing but asking.
 *
 * @param {() => unknown} condition
 */
export async function until(condition) {
  const end = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${condition}`);
    await nextTask();
  }
}

/**
 * Waits for a condition that takes time to find out.
 *
 * @param {() => Promise<unknown>} condition
 */
export async function eventually(condition) {
  const end = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${condition}`);
  }
}

/** Lets everything else run that is ready to. */
export function nextTask() {
  return new Promise((resolve) => setTimeout(resolve));
}

/**
 * Fills a storage area to the last character, but for some room, and returns
 * a function that makes room again.
 *
 * @param {Storage} [area]
 * @param {number} [room] in UTF-16 code units, more than ten
 */
export function fill(area = localStorage, room = 0) {
  /** @type {string[]} */
  const fillers = [];
  const set = (/** @type {string} */ key, /** @type {number} */ length) => {
    try {
      area.setItem(key, "x".repeat(length));
      return true;
    } catch {
      return false; // it keeps what it had
    }
  };
  if (room > 0) set("room", room - "room".length);
  for (let length = 1 << 22; length >= 1; length >>= 1) {
    if (set(`filler ${length}`, length)) fillers.push(`filler ${length}`);
  }
  // What is left now is less than the key of another item.
  const last = fillers[fillers.length - 1];
  while (set(last, Number(area.getItem(last)?.length) + 1));
  area.removeItem("room");
  return () => fillers.forEach((key) => area.removeItem(key));
}

/**
 * Returns the stamp of a time, as the stored form has it.
 *
 * @param {number} time in milliseconds since 1970
 */
export function stamp(time) {
  return `${String(time).padStart(13, "0")}-0000-0123456789ab`;
}

/**
 * Writes an item as a save of that time would have, and returns its key.
 *
 * @param {string} name
 * @param {number} time in milliseconds since 1970
 * @param {Record<string, unknown>} entries
 */
export function writeItem(name, time, entries) {
  const key = `${name}/${stamp(time)}`;
  localStorage.setItem(
    key,
    JSON.stringify({
      format: 1,
      batches: [{ stamp: stamp(time), set: entries }],
    }),
  );
  return key;
}

/** @type {string[]} */
const errors = [];

/** Returns the errors since the last call: see Page.takeErrors. */
export function takeErrors() {
  return errors.splice(0);
}

addEventListener("error", ({ message, error }) =>
  errors.push(String(error ?? message)),
);
addEventListener("unhandledrejection", ({ reason }) =>
  errors.push(`unhandled rejection: ${reason}`),
);
addEventListener("securitypolicyviolation", (event) =>
  errors.push(`forbidden by ${event.violatedDirective}: ${event.blockedURI}`),
);
const { error: consoleError } = console;
console.error = (...args) => {
  errors.push(`console: ${args.join(" ")}`);
  consoleError(...args);
};

globalThis.inPage = {
  attempt,
  attemptOn,
  breakStorage,
  fill,
  inMirror,
  items,
  kept,
  onRequest,
  mirrored,
  nextTask,
  open,
  openStreaming,
  recordChanges,
  recordReads,
  recordWrites,
  sessionWriter,
  stamp,
  streaming,
  takeErrors,
  until,
  eventually,
  writeItem,
};
