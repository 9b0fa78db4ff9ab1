import assert from "node:assert/strict";
import { engine } from "../harness/browser.js";
import { inBrowser } from "./in-browser.js";

inBrowser(
  "what is saved while the page goes is there on the next one",
  async ({ page, site }) => {
    await page.evaluate(async () => {
      const session = await inPage.open();
      addEventListener("pagehide", () => session.save({ pagehide: true }));
      document.addEventListener("visibilitychange", () =>
        session.save({ visibilitychange: document.visibilityState }),
      );
      session.save({ before: true });
    });
    await page.goto(site.url("/?next"));
    assert.deepEqual(
      await page.evaluate(async () => (await inPage.open()).load()),
      { before: true, pagehide: true, visibilitychange: "hidden" },
    );
  },
);

inBrowser(
  engine.finishesClosingTabs
    ? "what is saved while the tab is closed is there in another"
    : "what is saved while the tab is closed is there in another, whole, or is not",
  async ({ page, newPage }) => {
    const other = await newPage();
    await page.evaluate(async () => {
      const session = await inPage.open();
      session.save({ a: 1, b: 1 });
      addEventListener("pagehide", () => session.save({ b: 2, c: 2 }));
    });
    await page.close();
    const loaded = await other.evaluate(async (finishes) => {
      const session = await inPage.open();
      await inPage.until(() => session.get(finishes ? "c" : "a"));
      return session.load();
    }, engine.finishesClosingTabs);
    assert.deepEqual(
      loaded,
      engine.finishesClosingTabs || "c" in loaded
        ? { a: 1, b: 2, c: 2 }
        : { a: 1, b: 1 },
    );
  },
);

inBrowser(
  "a page that comes back is told of what happened meanwhile",
  async ({ page, site }) => {
    await page.evaluate(async () => {
      const session = (inPage.kept.session = await inPage.open());
      session.save({ a: 1, b: 1, c: 1 });
      inPage.kept.changes = inPage.recordChanges(session);
    });
    await page.goto(site.url("/?next"));
    await page.evaluate(async () => {
      const session = await inPage.open();
      session.save({ a: 2 });
      session.remove("b");
      session.save({ d: 2 });
    });
    await page.back();
    const { changes, loaded } = await page.evaluate(async () => {
      const { session, changes } = inPage.kept;
      if (!session) throw new Error("the page was not in the cache");
      await inPage.until(() =>
        changes.some((/** @type {any} */ { set }) => "d" in set),
      );
      return { changes, loaded: session.load() };
    });
    assert.deepEqual(changes, [
      { set: { a: 2, d: 2 }, removed: ["b"], cleared: false, remote: true },
    ]);
    assert.deepEqual(loaded, { a: 2, c: 1, d: 2 });
  },
);

inBrowser(
  "a page that comes back saves after what happened meanwhile",
  async ({ page, site }) => {
    await page.evaluate(async () => {
      inPage.kept.session = await inPage.open();
    });
    await page.goto(site.url("/?next"));
    await page.evaluate(async () => {
      const now = Date.now;
      Date.now = () => now() + 60 * 60 * 1000;
      (await inPage.open()).save({ a: "meanwhile" });
    });
    await page.back();
    const a = await page.evaluate(async () => {
      const { session } = inPage.kept;
      if (!session) throw new Error("the page was not in the cache");
      await inPage.until(() => session.get("a") === "meanwhile");
      session.save({ a: "after it came back" });
      return session.get("a");
    });
    assert.equal(a, "after it came back");
  },
);

inBrowser(
  "a session that cannot be read when the page comes back stops no other",
  async ({ page }) => {
    const changes = await page.evaluate(async () => {
      const bad = await inPage.open("bad");
      inPage.recordChanges(bad);
      bad.save({ a: 1 });
      const good = await inPage.open("good");
      const changes = inPage.recordChanges(good);
      good.save({ a: 1 });
      await inPage.until(() => changes.length > 0);
      // As another page would, of which a page in the cache hears nothing.
      const key = String(
        Object.keys(localStorage).find((key) => key.startsWith("good/")),
      );
      const text = localStorage[key].replace('"a":1', '"b":2');
      localStorage[key.replace(/.$/, (last) => (last === "0" ? "1" : "0"))] =
        text;
      const { getItem } = Storage.prototype;
      Storage.prototype.getItem = function (/** @type {string} */ name) {
        if (name.startsWith("bad/")) throw new Error("it is broken");
        return getItem.call(this, name);
      };
      dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
      await inPage.until(() => changes.length > 1);
      return changes;
    });
    assert.deepEqual(
      changes.map(({ set }) => set),
      [{ a: 1 }, { b: 2 }],
    );
    assert.match(String(await page.takeErrors()), /"bad": refresh: .*broken/);
  },
);

inBrowser(
  "what a page saves when it comes back is after what came before",
  async ({ page }) => {
    const { value, told } = await page.evaluate(async () => {
      const session = await inPage.open("cart");
      const changes = inPage.recordChanges(session);
      addEventListener("pageshow", () => session.save({ a: "mine" }));
      // Another page would have stored it, whose clock is ahead.
      const at = Date.now() + 3_600_000;
      const stamp = `${at}-0000-0123456789ab`;
      localStorage[`cart/${stamp}`] =
        `{"format":1,"batches":[{"stamp":"${stamp}","set":{"a":"other"}}]}`;
      dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
      await inPage.until(() => changes.length > 1);
      return { value: session.get("a"), told: changes };
    });
    assert.equal(value, "mine");
    assert.deepEqual(
      told.map(({ set }) => set),
      [{ a: "other" }, { a: "mine" }],
    );
  },
);
