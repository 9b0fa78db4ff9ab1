/**
 * Returns the code of a SessionError, and of any other error "". The class
 * itself is not at hand, as its module may be what failed to load.
 *
 * @param {unknown} error
 */
export function codeOf(error) {
  return error instanceof Error && "code" in error ? String(error.code) : "";
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
