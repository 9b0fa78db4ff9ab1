/**
 * Saves a session, a map of string keys to JSON values, into the browser's
 * storage. A batch is saved whole or not at all, tabs never lose each other's
 * entries, and a save is one storage write.
 *
 * @module session-writer
 */
import { within } from "./describe.js";
import { SessionError } from "./error.js";
import { moduleInside } from "./inside.js";
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
/** @typedef {import("./open.js").Options} Options */

/**
 * Opens a session. The storage need not have it yet.
 *
 * @param {string} name Not empty, and without a slash.
 * @param {Options} [options]
 * @returns {Session}
 * @throws {SessionError} `config`, `load`, `disabled`
 */
export function openSync(name, options = {}) {
  try {
    const given = checked(name, options);
    return openIn(moduleInside(), name, given);
  } catch (error) {
    throw within(name, "open", error);
  }
}

/**
 * Does what openSync does, as a promise.
 *
 * @param {string} name Not empty, and without a slash.
 * @param {Options} [options]
 * @returns {Promise<Session>} rejects with a SessionError: `config`, `load`,
 *   `disabled`
 */
export async function open(name, options = {}) {
  return openSync(name, options);
}
