import { cursorForm, readItem, tagForm } from "./item.js";

/**
 * A session as a server has put it into the page: what it would answer to an exchange
 * without a cursor. web/server/embed.go makes it.
 *
 * @typedef {object} Initial
 * @property {string} owner the owner's tag, or empty if the server does not know him
 * @property {string} cursor empty if he has no such session
 * @property {string} item empty if there is nothing
 */

/**
 * Returns what the option `initial` says, or undefined if that is nothing.
 *
 * @param {any} given
 * @returns {Initial | undefined}
 * @throws if it is not what a server gives
 */
export function readInitial(given) {
  if (given === undefined || given === null) return undefined;
  const { owner, cursor, item } =
    typeof given === "string" ? JSON.parse(given) : given;
  if (
    ![owner, cursor, item].every((text) => typeof text === "string") ||
    (owner && !tagForm.test(owner)) ||
    (cursor && !cursorForm.test(cursor))
  ) {
    throw new TypeError("it is of no server");
  }
  return owner ? { owner, cursor, item } : undefined;
}

/**
 * Returns the entries of an item, in which each key is once, as servers send it. One that
 * cannot be read has none.
 *
 * @param {string} text
 */
export function entriesOf(text) {
  const item = readItem(text);
  return "fault" in item
    ? []
    : item.batches.flatMap(({ set }) => Object.entries(set));
}

/**
 * Returns the copy that a cursor is of, and the version of it, which grows.
 * web/sqlstore/sqlstore.go says what a cursor has.
 *
 * @param {string} cursor
 */
export function readCursor(cursor) {
  const [copy, version] = cursor.split("-");
  return { copy, version: Number(version) };
}
