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
 * Tabs that tests before have left open, the next at the end: those of the
 * context, and those of devices. A new one is a new process, and a new device a
 * new profile, which cost more than all that most tests do.
 *
 * @type {{ tabs: Page[], devices: Page[] }}
 */
const spare = { tabs: [], devices: [] };

/**
 * Declares a test that runs in the browser, on a site of its own: an origin
 * that no other test has used has storage that no other test has used. It
 * fails on errors in its pages that it did not take.
 *
 * @param {string} name
 * @param {(visit: Visit) => unknown} body
 * @param {number} [timeout] in milliseconds
 */
export function inBrowser(name, body, timeout = 60_000) {
  test(name, { timeout }, async (t) => {
    const site = await startSite();
    /** @type {Page[]} */
    const tabs = [];
    /** @type {Page[]} */
    const devices = [];
    const newPage = async (url = site.url("/")) => {
      const used = spare.tabs.pop();
      const page = used ?? (await context.newPage());
      tabs.push(page);
      if (used) await page.show();
      await page.goto(url);
      return page;
    };
    const newDevice = async (url = site.url("/")) => {
      const used = spare.devices.pop();
      const page = used ?? (await newTabOfDevice());
      devices.push(page);
      // Cookies belong to a host, whatever its port. The sites that gave them are
      // closed, so that no more come.
      if (used) {
        await page.show();
        await page.goto(site.url("/forget-cookies"));
      }
      await page.goto(url);
      return page;
    };
    let passed = false;
    try {
      const page = await newPage();
      await page.takeErrors(); // what came after the end of the test before
      await body({ page, newPage, newDevice, site, t });
      for (const each of [...tabs, ...devices]) {
        assert.deepEqual(await each.takeErrors(), [], "errors in the page");
      }
      passed = true;
    } finally {
      const [first, ...others] = tabs;
      for (const [pages, pool] of /** @type {const} */ ([
        [others, spare.tabs],
        [devices, spare.devices],
      ])) {
        for (const page of pages) {
          if (passed && !page.closed) {
            // Nothing of the test goes on. It is no blank page, for which
            // Chromium would start a process.
            await page.goto(site.url("/empty"));
            await page.takeErrors();
            pool.push(page);
          } else {
            await page.close();
          }
        }
      }
      // The next test begins with it, and so ends what is in it.
      if (passed && !first.closed) spare.tabs.push(first);
      else await first?.close();
      await site.close();
    }
  });
}

/** Opens a tab in a context that has no other. */
async function newTabOfDevice() {
  if (!browser) throw new Error("the browser is not running");
  return (await browser.newContext()).newPage();
}
