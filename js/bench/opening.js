// The page that an open is timed in: of session-writer, of a program of the same
// compiler that does nothing, and of zustand.

/**
 * Opens a session and loads it, and returns how long that took, in milliseconds. On
 * later visits the session has 20 entries.
 */
export async function openSession() {
  const url = new URL("./index.js", import.meta.url).href;
  /** @type {typeof import("../src/index.js")} */
  const { openSync } = await import(url);
  const start = performance.now();
  const session = openSync("cart");
  const { length } = Object.keys(session.load());
  const took = performance.now() - start;
  if (length === 0) {
    for (let i = 0; i < 20; i++) session.save({ [`key ${i}`]: { id: i } });
  }
  return took;
}

export const openDurable20 = () => openDurable(20);

export const openDurable1000 = () => openDurable(1000);

/**
 * Opens a durable session and loads it, and returns how long that took, in milliseconds.
 * On later visits the session has that many entries, in the few items that they are
 * compacted to.
 *
 * @param {number} entries
 */
async function openDurable(entries) {
  const url = new URL("./index.js", import.meta.url).href;
  /** @type {typeof import("../src/index.js")} */
  const { open } = await import(url);
  const start = performance.now();
  const session = await open(`cart of ${entries}`, { durable: true });
  const { length } = Object.keys(session.load());
  const took = performance.now() - start;
  if (length === 0) {
    for (let i = 0; i < entries; i++) session.save({ [`key ${i}`]: { id: i } });
    await session.flush();
  }
  return took;
}

/** Starts the empty program, and returns how long that took. */
export async function startEmpty() {
  const url = new URL("./empty.js", import.meta.url).href;
  /** @type {typeof import("./empty.js")} */
  const { start } = await import(url);
  const before = performance.now();
  start();
  return performance.now() - before;
}

/**
 * Makes a store of zustand that persists, and returns how long that took. On later visits
 * it has 20 entries.
 */
export async function hydrateZustand() {
  const url = new URL("./zustand.js", import.meta.url).href;
  /** @type {typeof import("./zustand.js")} */
  const { hydrate } = await import(url);
  const start = performance.now();
  const store = hydrate();
  const { length } = Object.keys(store.getState());
  const took = performance.now() - start;
  if (length === 0) {
    for (let i = 0; i < 20; i++) store.setState({ [`key ${i}`]: { id: i } });
  }
  return took;
}

/** @type {WebAssembly.Memory} */
let memory;

/** @type {import("../src/index.js").Session} */
let session;

/**
 * Opens a session, of whose module the memory is measured.
 *
 * @param {boolean} durable
 */
export async function openMeasured(durable) {
  const { Instance } = WebAssembly;
  WebAssembly.Instance = class extends Instance {
    /** @param {ConstructorParameters<typeof Instance>} args */
    constructor(...args) {
      super(...args);
      memory = /** @type {WebAssembly.Memory} */ (
        this.exports.mem ?? this.exports.memory
      );
    }
  };
  session = await inPage.open("cart", { durable });
}

/**
 * Saves, many times, and returns the size of the module's memory.
 *
 * @param {number} saves
 */
export async function saveManyTimes(saves) {
  for (let i = 0; i < saves; i++) {
    session.save({ [`key ${i % 100}`]: { id: i }, last: i });
    // No page does all that in one task, after which alone some is collected.
    if (i % 100 === 99) await inPage.nextTask();
  }
  return memory.buffer.byteLength;
}
