/**
 * The codes that calls between this code and the module return, in either
 * direction, in the place of a result. wasm/internal/areas/codes.go has the same.
 */

/** The storage is switched off, forbidden, or not there. */
export const disabled = -1;

/** The storage is full. */
export const quota = -2;

/** The storage threw what no storage throws. */
export const thrown = -3;

/** There is no such item. */
export const absent = -4;

/** A fault in the module, which has a sentence on it. */
export const internal = -5;

/** What a server sent is no item. */
export const server = -6;
