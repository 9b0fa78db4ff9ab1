import { attempt } from "./describe.js";
import { cursorForm, readItem, tagForm } from "./item.js";
import { unfit } from "./options.js";

/**
 * A session as a server has put it into the page: what it would answer to an exchange
 * without a cursor. web/server/embed.go makes it.
 *
 * @typedef {object} Initial
 * @property {string} owner the owner's tag, or empty if the server does not know him
 * @property {string} cursor empty if he has no such session
 * @property {string} item empty if there is nothing
 * @property {[string, unknown][]} [entries] those of the item, or undefined if there is none
 *   that can be read
 */

/**
 * Options in which `initial` was read.
 *
 * @typedef {Omit<import("./api.js").Options, "initial"> & { initial?: Initial | undefined }} Checked
 */

/**
 * Returns what the option `initial` says, or undefined if that is nothing.
 *
 * @param {any} given
 * @returns {Initial | undefined}
 */
export function readInitial(given) {
  if (given === undefined || given === null) return undefined;
  const initial = attempt(() => {
    const { owner, cursor, item } =
      typeof given === "string" ? JSON.parse(given) : given;
    return (
      [owner, cursor, item].every((text) => typeof text === "string") &&
      (!owner || tagForm.test(owner)) &&
      (!cursor || cursorForm.test(cursor)) && { owner, cursor, item }
    );
  });
  if (!initial) {
    throw unfit(
      "option initial is",
      given,
      "what the server's Embed has put into the page",
    );
  }
  if (!initial.owner) return undefined;
  const item = readItem(initial.item);
  // In an item of a server each key is once.
  return "fault" in item
    ? initial
    : {
        ...initial,
        entries: item.batches.flatMap(({ set }) => Object.entries(set)),
      };
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
