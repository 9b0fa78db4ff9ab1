/**
 * Returns the code of a SessionError, and of any other error "". The class
 * itself is not at hand, as its module may be what failed to load.
 *
 * @param {unknown} error
 */
export function codeOf(error) {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/**
 * Returns the code with which the server has refused, if that is what the error
 * is of; or else "".
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
