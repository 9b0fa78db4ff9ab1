/**
 * What went wrong:
 *
 * - `config`: a session name or an option is not acceptable.
 * - `load`: the WebAssembly module could not be loaded.
 * - `disabled`: the storage is switched off, forbidden, or not there.
 * - `quota`: the storage is full.
 * - `key`: a key is not a non-empty string of well-formed Unicode.
 * - `value`: a value, or what was given for the entries, cannot be saved.
 * - `closed`: the session was closed and so cannot be subscribed to.
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
    super(message, "cause" in more ? { cause: more.cause } : undefined);
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
 * Returns an error that says which session and call it comes from. One that is
 * not this package's, such as a listener's, is returned as it is.
 *
 * @param {unknown} name
 * @param {string} operation
 * @param {unknown} error
 */
export function within(name, operation, error) {
  if (!(error instanceof SessionError)) return error;
  const { code, key, message } = error;
  return new SessionError(
    code,
    `session ${describe(name)}: ${operation}: ${message}`,
    "cause" in error ? { key, cause: error.cause } : { key },
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
}

/**
 * Says what was thrown.
 *
 * @param {unknown} thrown
 */
export function say(thrown) {
  return thrown instanceof Error ? String(thrown) : describe(thrown);
}
