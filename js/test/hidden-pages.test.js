import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchHiding } from "./browser.js";
import { startSite } from "./server.js";

/** @type {import("./browser.js").Browser} */
let browser;
before(async () => {
  browser = await launchHiding();
});
after(() => browser?.close());

/**
 * @typedef {object} Visit
 * @property {import("./server.js").Site} site
 * @property {() => Promise<import("./browser.js").Page>} newPage opens a tab in
 *   front of all others, on a blank page
 */

/**
 * Declares a test.
 *
 * @param {string} name
 * @param {(visit: Visit) => Promise<void>} body
 */
function inHidingBrowser(name, body) {
  test(name, { timeout: 60_000 }, async () => {
    const site = await startSite();
    const context = await browser.newContext();
    /** @type {import("./browser.js").Page[]} */
    const pages = [];
    const newPage = async () => {
      const page = await context.newPage();
      pages.push(page);
      await page.goto(site.url("/"));
      return page;
    };
    try {
      await body({ site, newPage });
      for (const page of pages) {
        assert.deepEqual(await page.takeErrors(), [], "errors in the page");
      }
    } finally {
      await context.close();
      await site.close();
    }
  });
}

inHidingBrowser(
  "a hidden tab saves, is told of what others save, and loads it",
  async ({ newPage }) => {
    const hidden = await newPage();
    await hidden.evaluate(async () => {
      const session = (inPage.kept.session = await inPage.open());
      inPage.kept.changes = inPage.recordChanges(session);
      addEventListener("visibilitychange", () =>
        session.save({ turned: document.visibilityState }),
      );
    });
    await hidden.hide();
    const other = await newPage();
    await other.evaluate(async () => {
      const session = (inPage.kept.session = await inPage.open());
      await inPage.until(() => session.get("turned") === "hidden");
      session.save({ a: 1, b: 1 });
    });
    const { told, loaded } = await hidden.evaluate(async () => {
      const { session, changes } = inPage.kept;
      await inPage.until(() => changes.length === 2);
      session.save({ b: 2, state: document.visibilityState });
      return { told: changes[1], loaded: session.load() };
    });
    assert.deepEqual(told, {
      set: { a: 1, b: 1 },
      removed: [],
      cleared: false,
      remote: true,
    });
    const all = { turned: "hidden", a: 1, b: 2, state: "hidden" };
    assert.deepEqual(loaded, all);
    const seen = await other.evaluate(async () => {
      const { session } = inPage.kept;
      await inPage.until(() => session.get("state"));
      return session.load();
    });
    assert.deepEqual(seen, all);
  },
);
