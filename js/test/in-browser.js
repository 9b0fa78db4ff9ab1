import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "../harness/browser.js";
import { startSite } from "../harness/server.js";

/** @typedef {import("../harness/browser.js").Page} Page */
/** @typedef {import("../harness/server.js").Site} Site */

/**
 * @typedef {object} Visit
 * @property {Page} page a blank page
 * @property {(url?: string) => Promise<Page>} newPage opens another tab, on a
 *   blank page or on the one given
 * @property {(url?: string) => Promise<Page>} newDevice likewise, on what shares
 *   no storage and no cookies with the others, as if it were another device
 * @property {Site} site
 * @property {import("node:test").TestContext} t
 */

/** @type {import("../harness/browser.js").Browser | undefined} */
let browser;
/** @type {import("../harness/browser.js").Context} */
let context;
before(async () => {
  browser = await launch();
  context = await browser.newContext();
});
after(() => browser?.close());

/**
 * The tab of the test before, if that passed and left it open. A new one is a
 * new process, which costs more than all that most tests do.
 *
 * @type {Page | undefined}
 */
let spare;

/**
 * Declares a test that runs in the browser, on a site of its own: an origin
 * that no other test has used has storage that no other test has used. It
 * fails on errors in its pages that it did not take.
 *
 * @param {string} name
 * @param {(visit: Visit) => unknown} body
 */
export function inBrowser(name, body) {
  test(name, { timeout: 60_000 }, async (t) => {
    const site = await startSite();
    /** @type {Page[]} */
    const others = [];
    /** @type {import("../harness/browser.js").Context[]} */
    const devices = [];
    const newDevice = async (url = site.url("/")) => {
      if (!browser) throw new Error("the browser is not running");
      const device = await browser.newContext();
      devices.push(device);
      const page = await device.newPage();
      others.push(page);
      await page.goto(url);
      return page;
    };
    const newPage = async (url = site.url("/")) => {
      const page = await context.newPage();
      others.push(page);
      await page.goto(url);
      return page;
    };
    const page = spare ?? (await context.newPage());
    spare = undefined;
    try {
      await page.goto(site.url("/"));
      await page.takeErrors(); // what came after the end of the test before
      await body({ page, newPage, newDevice, site, t });
      for (const each of [page, ...others]) {
        assert.deepEqual(await each.takeErrors(), [], "errors in the page");
      }
      if (!page.closed) spare = page;
    } finally {
      for (const each of others) await each.close();
      for (const each of devices) await each.close();
      if (page !== spare) await page.close();
      await site.close();
    }
  });
}
