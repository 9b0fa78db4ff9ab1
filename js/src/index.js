/**
 * Saves a session, a map of string keys to JSON values, into the browser's
 * storage. A batch is saved whole or not at all, tabs never lose each other's
 * entries, and a save is one storage write.
 *
 * @module session-writer
 */
import { describe, within } from "./describe.js";
import { Engine } from "./engine.js";
import { faultOf } from "./entries.js";
import { SessionError } from "./error.js";
import { maxMillis } from "./limits.js";
import { isWasmSource, loadModule } from "./load.js";
import { read } from "./options.js";
import { Session as OpenSession } from "./session.js";
import { places } from "./storage.js";

export { SessionError };

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./session.js").Change} Change */
/** @typedef {import("./engine.js").Stats} Stats */
/** @typedef {import("./sync.js").Sync} Sync */
/** @typedef {import("./sync.js").SyncOptions} SyncOptions */
/** @typedef {import("./sync.js").SyncState} SyncState */
/** @typedef {import("./entries.js").Entries} Entries */
/** @typedef {import("./load.js").WasmSource} WasmSource */
/** @typedef {import("./error.js").SessionErrorCode} SessionErrorCode */

/**
 * @typedef {object} Options
 * @property {"local" | "session" | "memory"} [storage] Where the session is
 *   kept: in localStorage, in sessionStorage, or in memory until the page goes.
 *   The default is localStorage.
 * @property {number} [maxAge] In seconds. A session is over when no tab or
 *   device has saved or removed anything for so long. `load` then returns no
 *   entries, and the next `save` begins a new session. By default a session
 *   never ends.
 * @property {"memory"} [fallback] Where to keep the session when the storage is
 *   disabled. By default `open` rejects then.
 * @property {WasmSource} [wasm] The WebAssembly module, by default the
 *   session.wasm beside this file. A page loads it once, so the option of its
 *   first `open` counts.
 */

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
    checkName(name);
    const given = read(options, known);
    if (typeof given === "string") throw new SessionError("config", given);
    const { storage = "local", maxAge = 0, fallback, wasm } = given;
    const module = await loadModule(wasm);
    const milliseconds = Math.min(Math.ceil(maxAge * 1000), maxMillis);
    /** @param {import("./storage.js").Place} place */
    const openIn = (place) =>
      OpenSession.of(new Engine(module, place, name, milliseconds));
    try {
      return openIn(places[storage]);
    } catch (error) {
      if (
        fallback === "memory" &&
        error instanceof SessionError &&
        error.code === "disabled"
      ) {
        return openIn(places.memory);
      }
      throw error;
    }
  } catch (error) {
    throw within(name, "open", error);
  }
}

/** @param {unknown} name */
function checkName(name) {
  const fault =
    faultOf(name) || (String(name).includes("/") && "must not contain a slash");
  if (fault) {
    throw new SessionError(
      "config",
      `the session name ${describe(name)} ${fault}`,
    );
  }
}

/** @type {import("./options.js").Known} */
const known = {
  storage: {
    expected: '"local", "session" or "memory"',
    accepts: (value) =>
      typeof value === "string" && Object.hasOwn(places, value),
  },
  maxAge: {
    expected: "a positive, finite number of seconds",
    accepts: (value) => Number.isFinite(value) && value > 0,
  },
  fallback: {
    expected: '"memory"',
    accepts: (value) => value === "memory",
  },
  wasm: {
    expected: "a URL, a Response, bytes or a WebAssembly.Module",
    accepts: isWasmSource,
  },
};
