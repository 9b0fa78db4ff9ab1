/**
 * Returns the code of a SessionError, or "" for any other error. It does not
 * import the class, because its module may be what failed to load.
 *
 * @param {unknown} error
 */
export function codeOf(error) {
  // A DOMException has a number, which tells nobody anything.
  return error instanceof Error &&
    "code" in error &&
    typeof error.code === "string"
    ? error.code
    : "";
}

/**
 * Returns the code of the server's refusal, or "" if the error is none.
 *
 * @param {unknown} error
 */
export function reasonOf(error) {
  return error instanceof Error && "reason" in error && error.reason
    ? String(error.reason)
    : "";
}

/** @param {unknown} error */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * @param {string} code
 * @param {string} message
 */
export function withCode(code, message) {
  return code ? `${code}: ${message}` : message;
}
