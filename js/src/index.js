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
import { checked, openIn, whenRestored } from "./open.js";

export { SessionError };

/** @typedef {import("./api.js").Change} Change */
/** @typedef {import("./api.js").Device} Device */
/** @typedef {import("./api.js").Entries} Entries */
/** @typedef {import("./api.js").Options} Options */
/** @typedef {import("./api.js").Session} Session */
/** @typedef {import("./api.js").Sync} Sync */
/** @typedef {import("./api.js").SyncState} SyncState */

/** @type {typeof import("./api.js").openSync} */
export function openSync(name, options = {}) {
  try {
    const given = checked(name, options);
    return /** @type {any} */ (openIn(moduleInside(), name, given));
  } catch (error) {
    throw within(name, "open", error);
  }
}

/** @type {typeof import("./api.js").open} */
export async function open(name, options = {}) {
  const session = openSync(name, options);
  await whenRestored(session);
  return session;
}
