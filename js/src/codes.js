/**
 * The codes of failures. Calls between JavaScript and the module, in either
 * direction, return one instead of a result. wasm/internal/areas/codes.go has
 * the same codes.
 */

/** The storage is switched off or forbidden, or there is none. */
export const disabled = -1;

/** The storage is full. */
export const quota = -2;

/** A page's own wrapper of its storage threw something that no storage throws. */
export const thrown = -3;

/** There is no such item. */
export const absent = -4;

/** The module has a fault. Its export `message` says which. */
export const internal = -5;

/** A server sent something that is no item. */
export const server = -6;
