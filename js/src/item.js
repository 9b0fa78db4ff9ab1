/** The form of the keys and texts in which sessions are stored: see the README. */

/** The stamp of a batch, and of an item, whose key ends with it. */
export const stampForm = /^\d{13}-[\da-f]{4}-[\da-f]{12}$/;

/** The tag of an owner. */
export const tagForm = /^[\da-f]{16}$/;

/** What marks the generation of an owner's items. */
export const markForm = /^[\da-f]{12}$/;

const ledgerForm = /^([\da-f]{16}) ([\da-f]{12}) (\d{13}) ([^ \n]+)(?: (.*))?$/;

/** What stands for no cursor in a ledger. */
export const noCursor = "-";

/** An item's key: the session's name, the owner's tag if it has one, the stamp. */
const keyForm =
  /^([^/]+)\/(?:([\da-f]{16})\/)?(\d{13})-([\da-f]{4})-([\da-f]{12})$/;

/** No stamp is of this time, which is in the year 2255, or later. */
export const latestTime = 9_000_000_000_000;

/**
 * The ledger of a session, in the item of its name after a slash: what has been
 * exchanged with a server. See internal/engine/ledger.go, which reads it in Go.
 *
 * @typedef {object} Ledger
 * @property {string} owner
 * @property {string} generation
 * @property {number} active
 * @property {string} cursor
 * @property {Set<string>} stamps
 */

/**
 * What an item says of a batch.
 *
 * @typedef {object} Batch
 * @property {string} stamp
 * @property {boolean} clear whether it drops all that is older
 * @property {Record<string, unknown>} set
 * @property {string[]} remove
 */

/**
 * Returns what the keys begin with of an owner's items, or of those that are
 * nobody's yet. That is also the beginning of all owners' together.
 *
 * @param {string} name of the session
 * @param {string} [owner] his tag
 */
export function prefixOf(name, owner) {
  return owner ? `${name}/${owner}/` : `${name}/`;
}

/**
 * Returns the key of a session's ledger.
 *
 * @param {string} name
 */
export function ledgerKey(name) {
  return `/${name}`;
}

/**
 * Returns the key of the item that has the tag of whoever an owner's sessions
 * are now.
 *
 * @param {string} owner
 */
export function heirKey(owner) {
  return `//${owner}`;
}

/**
 * Returns what the key of an item says, or undefined when it is none.
 *
 * @param {string} key
 */
export function readKey(key) {
  const parts = keyForm.exec(key);
  if (!parts) return undefined;
  const [, name, owner, milliseconds, counter, writer] = parts;
  return { name, owner, milliseconds: Number(milliseconds), counter, writer };
}

/**
 * Returns what an item says: its batches and, if it says so, from which time on
 * the session was alive, in milliseconds since 1970. Or why it cannot be read: it
 * is `damaged`, or perhaps of another version's `format`.
 *
 * @param {string} text
 * @returns {{ since?: string, batches: Batch[] } | { fault: "damaged" | "format" }}
 */
export function readItem(text) {
  let item;
  try {
    item = JSON.parse(text);
  } catch {
    return { fault: "damaged" };
  }
  if (!isObject(item) || Object.keys(item)[0] !== "format") {
    return { fault: "damaged" };
  }
  // 1.0 is the same number, and not how this format is written.
  if (!/^\s*\{\s*"format"\s*:\s*1\s*[,}]/.test(text)) {
    return { fault: "format" };
  }
  const { format, since, batches, ...others } = item;
  if (
    (since !== undefined && !isTime(since)) ||
    !Array.isArray(batches) ||
    batches.length === 0 ||
    !batches.every(isBatch) ||
    Object.keys(others).length > 0
  ) {
    return { fault: "damaged" };
  }
  return {
    since,
    batches: batches.map(({ stamp, clear, set, remove }) => ({
      stamp,
      clear: clear === true,
      set: set ?? {},
      remove: remove ?? [],
    })),
  };
}

/**
 * Returns what a ledger says, or undefined when it is none.
 *
 * @param {string} text
 * @returns {Ledger | undefined}
 */
export function readLedger(text) {
  const [, owner, generation, active, cursor, stamps] =
    ledgerForm.exec(text) ?? [];
  if (owner === undefined || !isTime(active)) return undefined;
  return {
    owner,
    generation,
    active: Number(active),
    cursor: cursor === noCursor ? "" : cursor,
    stamps: new Set(stamps?.split(" ")),
  };
}

/** @param {any} batch */
function isBatch(batch) {
  if (!isObject(batch) || Object.keys(batch)[0] !== "stamp") return false;
  const { stamp, clear, set, remove, ...others } = batch;
  return (
    isStamp(stamp) &&
    (clear === undefined || clear === true) &&
    (set === undefined || (isObject(set) && !Object.hasOwn(set, ""))) &&
    (remove === undefined || (Array.isArray(remove) && remove.every(isKey))) &&
    Object.keys(others).length === 0
  );
}

/** @param {unknown} value */
function isStamp(value) {
  return (
    typeof value === "string" &&
    stampForm.test(value) &&
    Number(value.slice(0, 13)) < latestTime
  );
}

/** @param {unknown} value */
function isTime(value) {
  return typeof value === "string" && isStamp(`${value}-0000-000000000000`);
}

/** @param {unknown} value */
function isKey(value) {
  return typeof value === "string" && value !== "";
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
