import assert from "node:assert/strict";

/**
 * @typedef {object} Expected
 * @property {string} code
 * @property {string} [key]
 * @property {string | string[]} [says] what must be in its message
 */

/**
 * Asserts that a call came to a SessionError.
 *
 * @param {import("../harness/in-page/page.js").Thrown | undefined} error
 * @param {Expected} expected
 */
export function assertError(error, { code, key, says = [] }) {
  assert.ok(error, "nothing was thrown");
  const whole = JSON.stringify(error);
  assert.ok(error.isSessionError, `not a SessionError: ${whole}`);
  assert.ok(error.isError, `not an Error: ${whole}`);
  assert.equal(error.name, "SessionError");
  assert.equal(error.code, code, whole);
  assert.equal(error.key, key, whole);
  for (const part of [says].flat()) {
    assert.ok(
      error.message.includes(part),
      `${JSON.stringify(part)} is not in ${JSON.stringify(error.message)}`,
    );
  }
}
