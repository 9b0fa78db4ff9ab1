/**
 * What went wrong:
 *
 * - `config`: a session name or an option is not acceptable.
 * - `load`: the WebAssembly module, or another file of the package, could not
 *   be loaded.
 * - `disabled`: the storage is switched off, forbidden, or not there.
 * - `quota`: the storage is full.
 * - `key`: a key is not a non-empty string of well-formed Unicode.
 * - `value`: a value, or what was given for the entries, cannot be saved.
 * - `closed`: the session was closed, and so can be neither subscribed to nor
 *   synced.
 * - `sync`: the server that keeps a copy could not be reached, or refused.
 * - `internal`: a fault in session-writer itself.
 *
 * @typedef {"config" | "load" | "disabled" | "quota" | "key" | "value" | "closed" | "sync" | "internal"} SessionErrorCode
 */

/**
 * Every error of this package. After one, the session is what it was before
 * the call.
 */
export class SessionError extends Error {
  /**
   * @param {SessionErrorCode} code
   * @param {string} message
   * @param {{ key?: string, cause?: unknown }} [more]
   */
  constructor(code, message, more = {}) {
    super(message, more); // which takes the cause, where there is one
    this.name = "SessionError";
    /**
     * What went wrong, for programs.
     * @readonly
     */
    this.code = code;
    /**
     * The key of the entry that was refused, where there is one.
     * @readonly
     * @type {string | undefined}
     */
    this.key = more.key;
  }
}

/**
 * Returns what was thrown, as an error that says which session and call it comes
 * from.
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
 * Returns what was thrown, as an error of this package. Of one of its own that
 * is a copy: a page can throw one, too, that throws when it is looked at, and so
 * is not taken for one.
 *
 * @param {any} thrown
 * @param {SessionErrorCode} code that of anything else
 * @param {string} what what threw it
 * @param {string} [before] what is put before the message of its own
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
