import { SessionError } from "./error.js";

/**
 * Returns an error that says which session and call it comes from. One that is
 * not this package's, such as a listener's, is returned as it is.
 *
 * @param {unknown} name
 * @param {string} operation
 * @param {unknown} error
 */
export function within(name, operation, error) {
  if (!(error instanceof SessionError)) return error;
  return new SessionError(
    error.code,
    `session ${describe(name)}: ${operation}: ${error.message}`,
    error,
  );
}

/**
 * Returns the name of a value's built-in class, which is Object for classes
 * that are not built in.
 *
 * @param {unknown} value
 */
export function tag(value) {
  return Object.prototype.toString.call(value).slice("[object ".length, -1);
}

/**
 * Says in a few words what a value is.
 *
 * @param {unknown} value
 * @returns {string}
 */
export function describe(value) {
  return (
    attempt(() => {
      switch (typeof value) {
        case "string":
          return JSON.stringify(
            value.length > 40 ? value.slice(0, 40) + "…" : value,
          );
        case "bigint":
          return `${value}n`;
        case "object":
          return value === null
            ? "null"
            : Array.isArray(value)
              ? `an array of ${value.length}`
              : `an object (${tag(value)})`;
        case "function":
          return `a function (${value.name || "anonymous"})`;
        default:
          return String(value);
      }
    }) ?? "an object that throws"
  );
}

/**
 * Says what was thrown.
 *
 * @param {unknown} thrown
 */
export function say(thrown) {
  return (
    attempt(() => thrown instanceof Error && String(thrown)) || describe(thrown)
  );
}

/**
 * Calls f, and returns undefined if it throws: even to look at a Proxy may.
 *
 * @template T
 * @param {() => T} f
 */
export function attempt(f) {
  try {
    return f();
  } catch {
    return;
  }
}
