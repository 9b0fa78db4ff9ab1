import assert from "node:assert/strict";
import { inBrowser } from "./in-browser.js";

inBrowser(
  "sessions of one name in different storages are apart",
  async ({ page }) => {
    const result = await page.evaluate(async () => {
      const sessions = await Promise.all(
        /** @type {const} */ (["local", "session", "memory"]).map((storage) =>
          inPage.open("cart", { storage }),
        ),
      );
      sessions.forEach((session, i) => session.save({ i }));
      sessions[1].save({ more: true });
      return {
        loaded: sessions.map((session) => session.load()),
        persistent: sessions.map((session) => session.persistent),
        items: [localStorage.length, sessionStorage.length],
      };
    });
    assert.deepEqual(result, {
      loaded: [{ i: 0 }, { i: 1, more: true }, { i: 2 }],
      persistent: [true, true, false],
      items: [1, 2],
    });
  },
);

inBrowser(
  "sessionStorage outlives the page and is the tab's own",
  async ({ page, newPage }) => {
    await page.evaluate(async () => {
      const session = await inPage.open("cart", { storage: "session" });
      session.save({ a: 1, b: 2 });
      session.remove("b");
      for (let i = 0; i < 40; i++) session.save({ i });
    });
    await page.reload();
    const load = async () => {
      const session = await inPage.open("cart", { storage: "session" });
      return { loaded: session.load(), local: localStorage.length };
    };
    assert.deepEqual(await page.evaluate(load), {
      loaded: { a: 1, i: 39 },
      local: 0,
    });
    const other = await newPage();
    assert.deepEqual(await other.evaluate(load), { loaded: {}, local: 0 });
  },
);

inBrowser(
  "frames of one origin share sessionStorage, and are told",
  async ({ page }) => {
    const change = await page.evaluate(async () => {
      const session = await inPage.open("cart", { storage: "session" });
      const changes = inPage.recordChanges(session);
      const frame = document.createElement("iframe");
      frame.src = "/";
      const loaded = new Promise((resolve) => (frame.onload = resolve));
      document.body.append(frame);
      await loaded;
      const { inPage: inFrame } = /** @type {typeof globalThis} */ (
        /** @type {unknown} */ (frame.contentWindow)
      );
      (await inFrame.open("cart", { storage: "session" })).save({ a: 1 });
      await inPage.until(() => changes.length > 0);
      return changes[0];
    });
    assert.deepEqual(change, {
      set: { a: 1 },
      removed: [],
      cleared: false,
      remote: true,
    });
  },
);

inBrowser(
  "memory is a session's own, and goes with the page",
  async ({ page }) => {
    const { loaded, writes } = await page.evaluate(async () => {
      const writes = inPage.recordWrites();
      const one = await inPage.open("cart", { storage: "memory" });
      const two = await inPage.open("cart", { storage: "memory" });
      for (let i = 0; i < 40; i++) one.save({ i, a: "one" });
      two.save({ a: "two" });
      one.remove("i");
      one.close();
      one.save({ b: 1 });
      return { loaded: [one.load(), two.load()], writes: writes.length };
    });
    assert.deepEqual(loaded, [{ a: "one", b: 1 }, { a: "two" }]);
    assert.equal(writes, 0);
    await page.reload();
    const after = await page.evaluate(async () =>
      (await inPage.open("cart", { storage: "memory" })).load(),
    );
    assert.deepEqual(after, {});
  },
);

inBrowser(
  "a wrapper of localStorage is told of what other tabs save",
  async ({ page, newPage }) => {
    const other = await newPage();
    const told = page.evaluate(async () => {
      const storage = {
        getItem: (/** @type {string} */ key) => localStorage.getItem(key),
        setItem: (/** @type {string} */ key, /** @type {string} */ text) =>
          localStorage.setItem(key, text),
        removeItem: (/** @type {string} */ key) => localStorage.removeItem(key),
        key: (/** @type {number} */ i) => localStorage.key(i),
        get length() {
          return localStorage.length;
        },
      };
      const session = await inPage.open("cart", { storage });
      const changes = inPage.recordChanges(session);
      localStorage.setItem("ready", "");
      await inPage.until(() => changes.length > 0);
      return [changes[0].set, session.snapshot()];
    });
    await other.evaluate(async () => {
      await inPage.until(() => localStorage.getItem("ready") !== null);
      (await inPage.open()).save({ a: 1 });
    });
    assert.deepEqual(await told, [{ a: 1 }, { a: 1 }]);
  },
);
