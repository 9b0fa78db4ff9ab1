/**
 * What session-writer is, with the WebAssembly module in a file of its own, which a
 * page fetches.
 *
 * @module session-writer/streaming
 */
import { within } from "./describe.js";
import { SessionError } from "./error.js";
import { isWasmSource, loadModule } from "./load.js";
import { checked, openIn, whenRestored } from "./open.js";

export { SessionError };

/** @type {typeof import("./api-streaming.js").open} */
export async function open(name, options = {}) {
  try {
    const given = checked(name, options, known);
    const session = openIn(await loadModule(given.wasm), name, given);
    await whenRestored(session);
    return /** @type {any} */ (session);
  } catch (error) {
    throw within(name, "open", error);
  }
}

/** @type {import("./options.js").Known} */
const known = {
  wasm: {
    expected: "a URL, a Response, bytes or a WebAssembly.Module",
    accepts: isWasmSource,
  },
};
