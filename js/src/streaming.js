/**
 * What session-writer is, with the WebAssembly module in a file of its own, which a
 * page fetches.
 *
 * @module session-writer/streaming
 */
import { within } from "./describe.js";
import { SessionError } from "./error.js";
import { isWasmSource, loadModule } from "./load.js";
import { checked, openIn } from "./open.js";

export { SessionError };

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./session.js").Change} Change */
/** @typedef {import("./engine.js").Stats} Stats */
/** @typedef {import("./sync.js").Sync} Sync */
/** @typedef {import("./sync.js").SyncOptions} SyncOptions */
/** @typedef {import("./sync.js").SyncState} SyncState */
/** @typedef {import("./entries.js").Entries} Entries */
/** @typedef {import("./error.js").SessionErrorCode} SessionErrorCode */
/** @typedef {import("./load.js").WasmSource} WasmSource */

/**
 * @typedef {object} Source
 * @property {WasmSource} [wasm] The WebAssembly module, by default the
 *   session.wasm beside this file. A page loads it once, so the option of its
 *   first `open` counts.
 */

/** @typedef {import("./open.js").Options & Source} Options */

/**
 * Opens a session. The storage need not have it yet.
 *
 * @param {string} name Not empty, and without a slash.
 * @param {Options} [options]
 * @returns {Promise<Session>} rejects with a SessionError: `config`, `load`,
 *   `disabled`
 */
export async function open(name, options = {}) {
  try {
    const given = checked(name, options, known);
    return openIn(await loadModule(given.wasm), name, given);
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
