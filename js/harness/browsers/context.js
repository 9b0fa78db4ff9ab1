/**
 * Returns a context out of one of Playwright or Puppeteer, or what serves as
 * one.
 *
 * @template P
 * @param {{ newPage: () => Promise<P>, close: () => Promise<unknown> }} context
 * @param {(page: P) => import("../browser.js").Tab} tab
 */
export function contextOf(context, tab) {
  return {
    newTab: async () => tab(await context.newPage()),
    close: () => context.close(),
  };
}
