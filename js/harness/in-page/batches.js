// Batches in which it shows when a part of them is missing. It runs in the
// page.

/** The keys that every batch sets, all of them to one value. */
const shared = ["user", "theme", "cart", "page", "token"];

/**
 * Returns the batch of that number by that writer, which also has a key of
 * its own, equal to its value.
 *
 * @param {string} writer
 * @param {number} number
 */
export function batch(writer, number) {
  const value = `${writer} ${number}`;
  return Object.fromEntries([...shared, value].map((key) => [key, value]));
}

/**
 * Reports whether a state has only a part of the batch that came last.
 *
 * @param {Record<string, unknown>} entries
 */
export function isTorn(entries) {
  const [value, ...others] = new Set(shared.map((key) => entries[key]));
  return (
    others.length > 0 ||
    (value !== undefined && entries[String(value)] !== value)
  );
}
