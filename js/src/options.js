import { isPlain } from "./entries.js";
import { attempt, describe } from "./describe.js";

/**
 * What each option accepts.
 *
 * @typedef {Record<string, { expected: string, accepts: (value: any) => boolean }>} Known
 */

/**
 * Returns a copy of options, or says what is wrong with them.
 *
 * @template {object} T
 * @param {T} options
 * @param {Known} known
 * @returns {T | string}
 */
export function read(options, known) {
  const copy = attempt(
    () => typeof options === "object" && isPlain(options) && { ...options },
  );
  if (!copy) return `the options are ${describe(options)}: give a plain object`;
  for (const [option, value] of Object.entries(copy)) {
    if (!Object.hasOwn(known, option)) {
      return `there is no option ${JSON.stringify(option)}: those are ${Object.keys(known).join(", ")}`;
    }
    const { expected, accepts } = known[option];
    if (value !== undefined && !attempt(() => accepts(value))) {
      return `the option ${option} is ${describe(value)}: give ${expected}`;
    }
  }
  return copy;
}
