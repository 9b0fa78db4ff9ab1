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
   * @param {{ key?: string, reason?: string, cause?: unknown }} [more]
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
    /**
     * The code with which the server refused, where it did: web/server lists
     * them.
     * @readonly
     * @type {string | undefined}
     */
    this.reason = more.reason;
  }
}
