// What the tests of sync have in common: a server of their own, and pages with a
// session in inPage.kept.session, and its sync in inPage.kept.sync.
import { inBrowser } from "./in-browser.js";
import { serverName, startSessions } from "../harness/sessions-server.js";

/** @typedef {import("../harness/browser.js").Page} Page */

/**
 * @typedef {import("./in-browser.js").Visit & {
 *   server: import("../harness/sessions-server.js").SessionsServer,
 *   forward: import("../harness/server.js").Forward,
 * }} SyncVisit
 */

/**
 * Declares a test with a server of its own, below /sessions/.
 *
 * @param {string} name
 * @param {(visit: SyncVisit) => unknown} body
 * @param {number} [timeout] in milliseconds
 */
export function withServer(name, body, timeout) {
  const run = async (/** @type {import("./in-browser.js").Visit} */ visit) => {
    const server = await startSessions();
    visit.t.after(() => server.close());
    const forward = visit.site.forward("/sessions/", server.origin);
    await body({ ...visit, server, forward });
  };
  inBrowser(`${name} (${serverName} server)`, run, timeout);
}

/**
 * Opens a session in a page and syncs it, with exchanges on request only.
 *
 * @param {Page} page
 * @param {any} [options]
 * @param {any} [openOptions]
 */
export function sync(page, options = {}, openOptions = undefined) {
  return page.evaluate(
    async (options, openOptions) => {
      const session = await inPage.open("cart", openOptions);
      const sync = await session.sync("/sessions/", {
        ...inPage.onRequest,
        ...options,
      });
      Object.assign(inPage.kept, { session, sync });
      await sync.now().catch(() => {});
    },
    options,
    openOptions,
  );
}

/**
 * @param {Page} page
 * @param {Record<string, unknown>} entries
 */
export const save = (page, entries) =>
  page.evaluate((entries) => inPage.kept.session.save(entries), entries);

/** @param {Page} page */
export const now = (page) => page.evaluate(() => inPage.kept.sync.now());

/** @param {Page} page */
export const load = (page) => page.evaluate(() => inPage.kept.session.load());

/** @param {Page} page */
export const state = (page) =>
  page.evaluate(() => {
    const { status, unsent, error } = inPage.kept.sync.state;
    return { status, unsent, message: error?.message, code: error?.code };
  });

/**
 * Has the second device join the sessions of the first.
 *
 * @param {Page} first
 * @param {Page} second
 */
export async function pair(first, second) {
  const code = await first.evaluate(
    async () => (await inPage.kept.sync.pair()).code,
  );
  await second.evaluate((code) => inPage.kept.sync.join(code), code);
}

/**
 * Returns a second device that has joined the first, and what was saved there.
 *
 * @param {Page} page
 * @param {() => Promise<Page>} newDevice
 * @param {Record<string, unknown>} entries
 */
export async function otherDevice(page, newDevice, entries) {
  const other = await newDevice();
  await sync(page);
  await sync(other);
  await save(page, entries);
  await pair(page, other);
  return other;
}

/**
 * Sets the clock of a page.
 *
 * @param {Page} page
 * @param {number} ahead of the time, in milliseconds
 */
export const setClock = (page, ahead) =>
  page.evaluate((ahead) => {
    const time = (inPage.kept.time ??= Date.now.bind(Date));
    Date.now = () => time() + ahead;
  }, ahead);

/**
 * The texts of a page's storage, in one.
 *
 * @param {Page} page
 */
export const texts = (page) =>
  page.evaluate(() =>
    inPage
      .items()
      .map(([, text]) => text)
      .join("\n"),
  );

/** In milliseconds. */
export const minute = 60_000;
export const hour = 60 * minute;
export const day = 24 * hour;
