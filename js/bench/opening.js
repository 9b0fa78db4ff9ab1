// The page that an open is timed in: of session-writer, and of a program of
// the same compiler that does nothing.

/** Opens a session, and returns how long that took, in milliseconds. */
export async function openSession() {
  const url = new URL("./index.js", import.meta.url).href;
  /** @type {typeof import("../src/index.js")} */
  const { open } = await import(url);
  const start = performance.now();
  await open("cart");
  return performance.now() - start;
}

/** Starts the empty program, and returns how long that took. */
export async function startEmpty() {
  const start = performance.now();
  const [module, { Go }] = await Promise.all([
    WebAssembly.compileStreaming(
      fetch(new URL("./empty.wasm", import.meta.url)),
    ),
    import(new URL("./wasm_exec.js", import.meta.url).href),
  ]);
  const go = new Go();
  void go.run(await WebAssembly.instantiate(module, go.importObject));
  return performance.now() - start;
}

/** @type {WebAssembly.Memory} */
let memory;

/** @type {import("../src/index.js").Session} */
let session;

/** Opens a session, of whose module the memory is measured. */
export async function openMeasured() {
  const { instantiate } = WebAssembly;
  /** @type {any} */ (WebAssembly).instantiate = async (
    /** @type {[WebAssembly.Module, WebAssembly.Imports]} */ ...args
  ) => {
    const instance = await instantiate(...args);
    memory = /** @type {WebAssembly.Memory} */ (
      instance.exports.mem ?? instance.exports.memory
    );
    return instance;
  };
  session = await inPage.open("cart");
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
