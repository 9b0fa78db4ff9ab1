// Limits that Go has, too, in internal/engine: under the same names, but for capitals.

/** Stamps are of earlier times, in milliseconds since 1970. It is in the year 2255. */
export const maxMillis = 9_000_000_000_000;

/**
 * How much one request sends, in UTF-16 code units, and in Go in bytes. More is
 * sent in parts.
 */
export const partSize = 256 << 10;

/** The longest answer in bytes. Our server sends no longer one. */
export const maxAnswer = 16 << 20;

/**
 * How often an exchange begins again because others changed the ledger, or the server
 * refused a stamp.
 */
export const maxBegun = 6;

/** How far a chain of heirs is followed. */
export const maxHeirs = 16;
