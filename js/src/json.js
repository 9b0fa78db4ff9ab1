// Values may be nested so deeply that recursion would fail.

/**
 * Freezes a value made by JSON.parse, with all that is in it.
 *
 * @template T
 * @param {T} value
 */
export function freeze(value) {
  /** @type {unknown[]} */
  const left = [value];
  for (const each of left) {
    if (typeof each !== "object" || !each || Object.isFrozen(each)) continue;
    for (const [, part] of membersOf(each)) left.push(part);
    Object.freeze(each);
  }
  return value;
}

/**
 * Whether two values made by JSON.parse say the same.
 *
 * @param {unknown} one
 * @param {unknown} other
 */
export function equal(one, other) {
  const left = [[one, other]];
  for (const [a, b] of left) {
    if (a === b) continue;
    if (typeof a !== "object" || typeof b !== "object" || !a || !b)
      return false;
    if (Array.isArray(a) !== Array.isArray(b)) return false;
    const parts = membersOf(a);
    if (parts.length !== membersOf(b).length) return false;
    for (const [key, part] of parts) {
      if (!Object.hasOwn(b, key)) return false;
      left.push([part, /** @type {any} */ (b)[key]]);
    }
  }
  return true;
}

/**
 * The members of an object, with one that is hidden from Object.assign.
 *
 * @param {object} object
 * @returns {[key: string, value: unknown][]}
 */
export function membersOf(object) {
  return Object.getOwnPropertyNames(object).map((key) => [
    key,
    /** @type {any} */ (object)[key],
  ]);
}

/**
 * Returns a member of an object, and nothing of its prototype.
 *
 * @template {object} T
 * @template {keyof T} K
 * @param {T} object
 * @param {K} key
 * @returns {T[K] | undefined}
 */
export function memberOf(object, key) {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}
