// The form of the keys and texts in which sessions are stored.
// internal/engine/README.md documents it.
import { maxMillis } from "./limits.js";

/** The stamp of a batch or an item. The key of an item ends with its stamp. */
export const stampForm = /^\d{13}-[\da-f]{4}-[\da-f]{12}$/;

/** The tag of an owner. */
export const tagForm = /^[\da-f]{16}$/;

/** The id of a generation of an owner's items. */
export const markForm = /^[\da-f]{12}$/;

/** Stands for no cursor in a ledger. */
export const noCursor = "-";

/** A server's cursor: visible characters of ASCII, but not just `noCursor`. */
export const cursorForm = /^(?!-$)[!-~]+$/;

const ledgerForm = /^([\da-f]{16}) ([\da-f]{12}) (\d{13}) ([!-~]+)(?: (.*))?$/;

/** An item's key: the session's name, the tag of its owner if any, the stamp. */
const keyForm =
  /^([^/]+)\/(?:([\da-f]{16})\/)?(\d{13})-([\da-f]{4})-([\da-f]{12})$/;

/**
 * What has been exchanged with a server. The ledger is in the item whose key is a
 * slash and the session's name. internal/engine/ledger.go says what it means.
 *
 * @typedef {object} Ledger
 * @property {string} owner
 * @property {string} generation
 * @property {number} active
 * @property {string} cursor
 * @property {Set<string>} stamps
 */

/**
 * A batch of an item.
 *
 * @typedef {object} Batch
 * @property {string} stamp
 * @property {boolean} clear whether it removes everything that is older
 * @property {Record<string, unknown>} set
 * @property {string[]} remove
 */

/**
 * Returns the prefix that the keys of an owner's items have. Without an owner, it
 * is the prefix of the items that nobody owns yet, and of all others, too.
 *
 * @param {string} name the session's
 * @param {string} [owner] the tag
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
 * Returns the key of the watermark of a session's mirror. internal/engine/mirror.go says
 * what it means.
 *
 * @param {string} name
 */
export function watermarkKey(name) {
  return `/${name}/mirror`;
}

/**
 * Returns the key of the item that names an owner's heir: the tag of the owner
 * who has the former one's sessions now.
 *
 * @param {string} owner the former one's tag
 */
export function heirKey(owner) {
  return `//${owner}`;
}

/**
 * Returns the parts of an item's key, or undefined if it is no such key.
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
 * Returns the batches of an item and, if the item has it, the time since when the
 * session was alive, in milliseconds since 1970. The fault of an item that cannot
 * be read is `damaged`, or `format` if another version may have written it.
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
  // 1.0 is the same number, but this format does not write it so.
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
 * Returns what a ledger says, or undefined if the text is no ledger.
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

/**
 * Returns the text of a ledger.
 *
 * @param {Ledger} ledger
 */
export function ledgerText({ owner, generation, active, cursor, stamps }) {
  return [
    owner,
    generation,
    millisText(active),
    cursor || noCursor,
    ...stamps,
  ].join(" ");
}

/**
 * Returns a time as it is in a stamp.
 *
 * @param {number} milliseconds since 1970
 */
export function millisText(milliseconds) {
  return String(Math.min(milliseconds, maxMillis - 1)).padStart(13, "0");
}

/**
 * Returns the text of an item that has no entries, and tells when the session was
 * alive.
 *
 * @param {string} since a time, in 13 digits
 * @param {string} newest the greatest stamp of a batch
 */
export function itemWithoutEntries(since, newest) {
  return `{"format":1,"since":"${since}","batches":[{"stamp":"${newest}"}]}`;
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

/**
 * Whether a value is the stamp of a batch or an item.
 *
 * @param {unknown} value
 */
export function isStamp(value) {
  return (
    typeof value === "string" &&
    stampForm.test(value) &&
    Number(value.slice(0, 13)) < maxMillis
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
