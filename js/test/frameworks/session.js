/** @typedef {{ text: string, count: number }} Form */

/**
 * How each app here opens its session: on a server it is kept in memory.
 *
 * @type {import("session-writer").Options<Form>}
 */
export const sessionOptions = {
  defaults: { text: "", count: 0 },
  fallback: "memory",
};
