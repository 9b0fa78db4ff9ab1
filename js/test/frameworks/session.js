/** @typedef {{ text: string, count: number }} Form */

/**
 * How each app here opens its session: on a server it is kept in memory.
 *
 * @type {import("session-writer").Options<Form>}
 */
export const sessionOptions = {
  defaults: { text: "", count: 0 },
  // Where a server has put something into the page, it has rendered that.
  initial: /** @type {any} */ (globalThis).initial,
  fallback: "memory",
};
