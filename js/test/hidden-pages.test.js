import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { engine, launchHiding } from "../harness/browser.js";
import { startSite } from "../harness/server.js";

/** @type {import("../harness/browser.js").Browser} */
let browser;
before(async () => {
  browser = await launchHiding();
});
after(() => browser?.close());

/**
 * @typedef {object} Visit
 * @property {() => Promise<import("../harness/browser.js").Page>} newPage opens a tab in
 *   front of all others, on a blank page
 * @property {(path: string) => Promise<unknown>} visit opens one that nothing
 *   drives
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
    /** @type {import("../harness/browser.js").Page[]} */
    const pages = [];
    const newPage = async () => {
      const page = await context.newPage();
      pages.push(page);
      await page.goto(site.url("/"));
      return page;
    };
    try {
      const visit = (/** @type {string} */ path) =>
        context.visit(site.url(path));
      await body({ newPage, visit });
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

if (engine.prerenders) {
  inHidingBrowser(
    "what is saved in a page that is prerendered is there for others, and it sees theirs",
    async ({ newPage, visit }) => {
      const other = await newPage();
      await visit("/prerendering");
      const { prerendering, visited } = await other.evaluate(async () => {
        const session = await inPage.open();
        await inPage.until(() => "prerendering" in session.load());
        session.save({ meanwhile: 1 });
        await inPage.until(() => session.get("visited"));
        return session.load();
      });
      assert.equal(prerendering, true, "the page was not prerendered");
      assert.deepEqual(visited, {
        activated: true,
        told: {
          set: { meanwhile: 1 },
          removed: [],
          cleared: false,
          remote: true,
        },
        loaded: { prerendering: true, meanwhile: 1 },
        errors: [],
      });
    },
  );
}

if (engine.freezes) {
  inHidingBrowser(
    "a frozen tab catches up, and nobody waits for it",
    async ({ newPage }) => {
      const frozen = await newPage();
      await frozen.evaluate(async () => {
        const session = await inPage.open("cart", { durable: true });
        inPage.kept.session = session;
        await session.flush();
        // When its tasks have stopped, this has begun and is not told to be done.
        document.addEventListener("freeze", () => session.save({ frozen: 1 }));
      });
      await frozen.hide();
      await frozen.freeze(true);
      const { before, after } = await (
        await newPage()
      ).evaluate(async () => {
        const session = await inPage.open("cart", { durable: true });
        const before = session.load();
        for (let i = 0; i < 200; i++) session.save({ other: i }); // compacts
        session.remove("frozen");
        await session.flush();
        return { before, after: session.load() };
      });
      assert.deepEqual(before, { frozen: 1 });
      assert.deepEqual(after, { other: 199 });
      await frozen.freeze(false);
      const thawed = await frozen.evaluate(async () => {
        const { session } = inPage.kept;
        await inPage.until(() => session.durable === "on");
        const loaded = session.load();
        session.save({ thawed: 1 });
        await session.flush();
        const items = inPage.items();
        return { loaded, items, mirrored: await inPage.mirrored() };
      });
      assert.deepEqual(thawed.loaded, { other: 199 });
      assert.deepEqual(thawed.mirrored, thawed.items);
      assert.match(String(thawed.items), /"thawed":1/);
    },
  );
}
