import { isPlain } from "./entries.js";
import { describe } from "./error.js";

/**
 * The options that there are.
 *
 * @typedef {Record<string, { expected: string, accepts: (value: any) => boolean }>} Known
 */

/**
 * Says what is wrong with options, if anything is.
 *
 * @param {unknown} options
 * @param {Known} known
 * @returns {string | undefined}
 */
export function faultIn(options, known) {
  if (typeof options !== "object" || options === null || !isPlain(options)) {
    return `the options are ${describe(options)}: give a plain object`;
  }
  for (const [option, value] of Object.entries(options)) {
    if (!Object.hasOwn(known, option)) {
      return `there is no option ${JSON.stringify(option)}: those are ${Object.keys(known).join(", ")}`;
    }
    const { expected, accepts } = known[option];
    if (value !== undefined && !accepts(value)) {
      return `the option ${option} is ${describe(value)}: give ${expected}`;
    }
  }
  return undefined;
}
