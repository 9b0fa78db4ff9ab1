// The page that one contender is timed in, or that reads what another saved.
import { batch, contenders, unsaved } from "./cases.js";
import { stores } from "./stores.js";

/** @typedef {import("./cases.js").Contender} Contender */
/** @typedef {import("./cases.js").Operation} Operation */

/**
 * @typedef {object} Timed
 * @property {number} micros the mean of many calls
 * @property {number} last which batch was the last that was saved
 */

/** How long a case is timed, in milliseconds, at the least. */
const enough = 15;

/** How long, when there are pauses, which take much longer than that. */
const enoughBetweenPauses = 2;

/**
 * How many calls there are between two looks at the clock, at the least.
 *
 * @type {Record<Operation, number>}
 */
const calls = { save: 8, load: 1, get: 256 };

/** How many batches there are to be saved in turn. */
const variants = 32;

/** @type {import("./stores.js").Store | undefined} */
let store;

/**
 * Runs the Go program of a contender, if it is one.
 *
 * @param {Contender} contender
 */
export async function join(contender) {
  const { go } = contenders[contender];
  if (!go) return;
  // go-app puts its components into what a page of its own has.
  document.body.append(document.createElement("div"));
  await import(new URL("./go_exec.js", import.meta.url).href);
  const runtime = new /** @type {any} */ (globalThis).Go();
  const { instance } = await WebAssembly.instantiateStreaming(
    fetch(new URL(`./${go}.wasm`, import.meta.url)),
    runtime.importObject,
  );
  void runtime.run(instance);
  await inPage.until(() => "goStore" in globalThis);
}

/**
 * Begins a session with some entries, and nothing else in the storage.
 *
 * @param {Contender} contender
 * @param {number} entries
 */
export async function prepare(contender, entries) {
  await store?.end?.();
  localStorage.clear();
  if (contenders[contender].go) {
    inGo("prepare", entries);
  } else {
    store = await stores[contender]();
    await store.save(batch(entries, unsaved));
  }
}

/**
 * Times an operation on the session.
 *
 * @param {Contender} contender
 * @param {Operation} operation
 * @param {number} entries
 * @returns {Promise<Timed>}
 */
export async function time(contender, operation, entries) {
  const { go, compactEvery } = contenders[contender];
  const pauses = operation === "save" && compactEvery === undefined;
  const block =
    (operation === "save" ? compactEvery : undefined) ?? calls[operation];
  if (go) return inGo("time", operation, entries, block, variants, enough);
  if (!store) throw new Error("nothing is prepared");
  const call = caller(store, operation, entries);
  let done = 0;
  let took = 0;
  do {
    const start = performance.now();
    for (let i = 0; i < block; i++) {
      const result = call(done++);
      if (result instanceof Promise) await result;
    }
    took += performance.now() - start;
    if (pauses) await idle();
  } while (took < (pauses ? enoughBetweenPauses : enough));
  return { micros: (took * 1000) / done, last: (done - 1) % variants };
}

/** Waits until all that has waited for an idle moment is done. */
function idle() {
  return new Promise((resolve) => requestIdleCallback(resolve));
}

/**
 * @param {import("./stores.js").Store} store
 * @param {Operation} operation
 * @param {number} entries
 * @returns {(i: number) => unknown}
 */
function caller(store, operation, entries) {
  const batches = Array.from({ length: variants }, (_, i) => batch(entries, i));
  const keys = Object.keys(batches[0]);
  switch (operation) {
    case "save":
      return (i) => store.save(batches[i % variants]);
    case "load":
      return () => store.load(keys);
    case "get":
      return () => store.get(keys[0]);
  }
}

/**
 * Calls what the Go program gives.
 *
 * @param {"prepare" | "time"} name
 * @param {unknown[]} args
 */
function inGo(name, ...args) {
  const result = /** @type {any} */ (globalThis).goStore[name](...args);
  if (typeof result === "string") throw new Error(result);
  return result;
}

/**
 * Waits until this tab loads what another has saved: a session of that size,
 * with that batch. What it waits for comes from another process.
 *
 * @param {Contender} contender that reads
 * @param {number} size
 * @param {number} entries
 * @param {number} last
 */
export async function expect(contender, size, entries, last) {
  const store = await stores[contender]();
  const keys = Object.keys(batch(size, last));
  const want = JSON.stringify(Object.entries(batch(entries, last)));
  const end = Date.now() + 20_000;
  for (;;) {
    const loaded = /** @type {Record<string, unknown>} */ (
      await store.load(keys)
    );
    const got = keys.slice(0, entries).map((key) => [key, loaded[key]]);
    if (
      Object.keys(loaded).length === size &&
      JSON.stringify(got) === want &&
      JSON.stringify(await store.get(keys[0])) ===
        JSON.stringify(loaded[keys[0]])
    ) {
      return;
    }
    if (Date.now() > end) {
      throw new Error(
        `another tab does not load what ${contender} saved: ${JSON.stringify(got)}`,
      );
    }
    await inPage.nextTask();
  }
}

/**
 * Returns the length of the item that one save writes.
 *
 * @param {Contender} contender
 * @param {number} entries
 */
export async function itemLength(contender, entries) {
  await prepare(contender, entries);
  const [[key, text]] = inPage.items();
  return key.length + text.length;
}
