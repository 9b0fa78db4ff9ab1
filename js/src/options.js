import { isPlain } from "./entries.js";
import { attempt, describe } from "./describe.js";
import { SessionError } from "./error.js";

/**
 * What each option accepts.
 *
 * @typedef {Record<string, { expected: string, accepts: (value: any) => boolean }>} Known
 */

/** What an option accepts that is on or off. */
export const aBoolean = {
  expected: "true or false",
  accepts: (/** @type {unknown} */ value) => typeof value === "boolean",
};

/**
 * Returns a copy of options. It throws what is wrong with them.
 *
 * @template {object} T
 * @param {T} options
 * @param {Known} known
 * @returns {T}
 */
export function read(options, known) {
  const copy = attempt(
    () => typeof options === "object" && isPlain(options) && { ...options },
  );
  if (!copy) {
    throw unfit("options are", options, "a plain object");
  }
  for (const [option, value] of Object.entries(copy)) {
    if (!Object.hasOwn(known, option)) {
      throw refused(
        `there is no option ${JSON.stringify(option)}: those are ${Object.keys(known).join(", ")}`,
      );
    }
    const { expected, accepts } = known[option];
    if (value !== undefined && !attempt(() => accepts(value))) {
      throw unfit(`option ${option} is`, value, expected);
    }
  }
  return copy;
}

/**
 * Throws unless a function was given.
 *
 * @param {string} what
 * @param {unknown} value
 */
export function needFunction(what, value) {
  if (typeof value !== "function")
    throw unfit(`${what} is`, value, "a function");
}

/**
 * Returns the error for what was given, and should have been something else.
 *
 * @param {string} what with its verb
 * @param {unknown} value
 * @param {string} wanted
 */
export function unfit(what, value, wanted) {
  return refused(`the ${what} ${describe(value)}: give ${wanted}`);
}

/** @param {string} why */
function refused(why) {
  return new SessionError("config", why);
}
