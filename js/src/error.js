/** @typedef {import("./api.js").SessionErrorCode} SessionErrorCode */

// A page may have this class several times, from several files of the package.
const brand = Symbol.for("session-writer.SessionError");

/**
 * Every error of this package is one. A `save`, `remove` or `clear` that throws
 * one has left the session as it was.
 */
export class SessionError extends Error {
  // Otherwise it would be that of the minified class.
  static name = "SessionError";

  /** @param {any} value */
  static [Symbol.hasInstance](value) {
    return this === SessionError
      ? Boolean(value?.[brand])
      : super[Symbol.hasInstance](value);
  }

  /**
   * @param {SessionErrorCode} code
   * @param {string} message
   * @param {{ key?: string, reason?: string, cause?: unknown }} [more]
   */
  constructor(code, message, more = {}) {
    super(message, more); // Error takes the cause, if there is one
    this.name = SessionError.name;
    /**
     * What went wrong, for programs.
     * @readonly
     */
    this.code = code;
    /**
     * The key of the entry that was refused, if it was one.
     * @readonly
     * @type {string | undefined}
     */
    this.key = more.key;
    /**
     * The code of the server's refusal, if it refused: the Go package web/server
     * lists the codes. It is "no-server" if what answers knows nothing of sessions.
     * @readonly
     * @type {string | undefined}
     */
    this.reason = more.reason;
  }

  get [brand]() {
    return true;
  }
}

/** The reason of an error for what is no server for sessions, which gives none. */
export const noServerReason = "no-server";

/**
 * Returns the error for an answer that no server for sessions gives.
 *
 * @param {string} [url]
 * @param {unknown} [cause]
 */
export function noServer(url, cause) {
  return new SessionError(
    "sync",
    `what answers${url ? ` at ${url}` : ""} is no server for sessions`,
    { reason: noServerReason, cause },
  );
}
