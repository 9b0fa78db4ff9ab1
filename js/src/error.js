/**
 * What went wrong:
 *
 * - `config`: the session name, an option, a listener, a code or the URL of a server
 *   is not acceptable.
 * - `load`: the WebAssembly module could not be loaded or compiled.
 * - `disabled`: the storage is switched off or forbidden, or there is none.
 * - `quota`: the storage is full.
 * - `key`: a key is not a non-empty string of well-formed Unicode.
 * - `value`: a value, or what was given for the entries, cannot be saved.
 * - `closed`: the session is closed, or the Sync is.
 * - `sync`: the server could not be reached, or refused.
 * - `internal`: session-writer itself has a fault.
 *
 * @typedef {"config" | "load" | "disabled" | "quota" | "key" | "value" | "closed" | "sync" | "internal"} SessionErrorCode
 */

/**
 * Every error of this package is one. A `save`, `remove` or `clear` that throws
 * one has left the session as it was.
 */
export class SessionError extends Error {
  /**
   * @param {SessionErrorCode} code
   * @param {string} message
   * @param {{ key?: string, reason?: string, cause?: unknown }} [more]
   */
  constructor(code, message, more = {}) {
    super(message, more); // Error takes the cause, if there is one
    this.name = "SessionError";
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
}
