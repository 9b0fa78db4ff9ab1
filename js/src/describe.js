import { SessionError } from "./error.js";

/**
 * Returns what was thrown as a SessionError that says which session and call it
 * comes from.
 *
 * @param {unknown} name
 * @param {string} operation
 * @param {unknown} thrown
 */
export function within(name, operation, thrown) {
  const call = `session ${describe(name)}: ${operation}`;
  return own(thrown, "internal", call, `${call}: `);
}

/**
 * Returns what was thrown as a SessionError. A SessionError is copied, because
 * the page may have thrown and kept it. A Proxy may pass for one, and throw when
 * its members are read.
 *
 * @param {any} thrown
 * @param {import("./error.js").SessionErrorCode} code for what is no SessionError
 * @param {string} what what threw it
 * @param {string} [before] goes before the message of a SessionError
 */
export function own(thrown, code, what, before = "") {
  return (
    attempt(
      () =>
        thrown instanceof SessionError &&
        thrown.code &&
        new SessionError(thrown.code, before + thrown.message, thrown),
    ) ||
    new SessionError(code, `${what} threw ${say(thrown)}`, { cause: thrown })
  );
}

/**
 * Returns the name of a value's built-in class. For a class that is not built in
 * it is Object.
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
 * Calls f, and returns undefined if it throws. Even reading a member of a Proxy
 * may throw.
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
