// Somebody else clears the storage while it is synced.
import assert from "node:assert/strict";
import {
  load,
  now,
  otherDevice,
  pair,
  save,
  state,
  sync,
  withServer,
} from "./synced.js";

/** @typedef {import("../harness/browser.js").Page} Page */

/** @type {Record<string, unknown>} */
const all = { x: 1, y: 1, "from the other": 1 };

/**
 * Returns a second device. The server has all that the two have.
 *
 * @param {import("./synced.js").SyncVisit} visit
 */
async function filled({ page, newDevice }) {
  const other = await otherDevice(page, newDevice, { x: 1, y: 1 });
  await save(other, { "from the other": 1 });
  await now(other);
  await now(page);
  assert.deepEqual(await load(page), all);
  return other;
}

/**
 * Exchanges until everything is here again, which takes two at most.
 *
 * @param {Page} page
 * @param {Page} other
 */
async function isBack(page, other, want = all) {
  await now(page);
  await now(page);
  assert.deepEqual(await load(page), want);
  assert.deepEqual(
    [(await state(page)).status, (await state(page)).unsent],
    ["idle", 0],
  );
  await now(other);
  assert.deepEqual(await load(other), want);
}

/** @type {Record<string, (page: Page, tab: Page) => Promise<unknown>>} */
const clearings = {
  "the page": (page) => page.evaluate(() => localStorage.clear()),
  "another tab": async (page, tab) => {
    // Once the tab has what the page has stored, because the clearing might come
    // before that otherwise.
    const stored = await page.evaluate(() => Object.keys(localStorage).sort());
    await tab.evaluate(async (stored) => {
      await inPage.until(
        () => String(Object.keys(localStorage).sort()) === String(stored),
      );
      localStorage.clear();
    }, stored);
    await page.evaluate(() => inPage.until(() => localStorage.length === 0));
  },
};

for (const [who, clear] of Object.entries(clearings)) {
  withServer(
    `a storage that ${who} clears during an exchange is filled again`,
    async (visit) => {
      const { page, newPage, forward } = visit;
      const other = await filled(visit);
      const tab = await newPage();
      await save(page, { z: 1 });
      let cleared = 0;
      forward.meanwhile = async () => {
        if (cleared++ === 0) await clear(page, tab);
      };
      await page.evaluate(() => inPage.kept.sync.now().catch(() => {}));
      assert.ok(cleared > 0);
      forward.meanwhile = undefined;
      await isBack(page, other, { ...all, z: 1 });
    },
  );

  withServer(
    `a storage that ${who} clears during a first exchange is filled again`,
    async (visit) => {
      const { page, newPage, forward } = visit;
      const other = await filled(visit);
      const tab = await newPage();
      await clear(page, tab);
      let cleared = 0;
      forward.meanwhile = async () => {
        if (cleared++ === 1) await clear(page, tab);
      };
      await page.evaluate(() => inPage.kept.sync.now().catch(() => {}));
      assert.ok(cleared > 1);
      forward.meanwhile = undefined;
      await isBack(page, other);
    },
  );
}

for (const ledger of ["what it wrote last", "all but that"]) {
  withServer(
    `a storage that is cleared a moment after an exchange, but for ${ledger}, is filled again`,
    async (visit) => {
      const { page } = visit;
      const other = await filled(visit);
      await page.evaluate(async (late) => {
        const before = Object.keys(localStorage).filter(
          (key) => late || key !== "/cart",
        );
        inPage.kept.session.save({ z: 1 });
        await inPage.kept.sync.now();
        for (const key of before) localStorage.removeItem(key);
      }, ledger === "what it wrote last");
      await isBack(page, other, { ...all, z: 1 });
    },
  );
}

withServer(
  "a storage that is cleared again and again is filled again",
  async (visit) => {
    const { page, forward } = visit;
    const other = await filled(visit);
    forward.meanwhile = () => page.evaluate(() => localStorage.clear());
    for (let i = 0; i < 3; i++) {
      await page.evaluate(() => inPage.kept.sync.now().catch(() => {}));
    }
    forward.meanwhile = undefined;
    await isBack(page, other);
  },
);

/**
 * Fills a page's storage, but for some characters.
 *
 * @param {Page} page
 * @param {number} but
 */
const fill = (page, but) =>
  page.evaluate((but) => {
    let filler = "";
    for (let size = 1 << 22; size > 0; size >>= 1) {
      try {
        localStorage.setItem("filler", filler + "x".repeat(size));
        filler += "x".repeat(size);
      } catch {
        // That was too much.
      }
    }
    localStorage.setItem("filler", filler.slice(but));
  }, but);

withServer(
  "a storage that has no room for twice as much is synced all the same",
  async ({ page, newDevice }) => {
    const big = "a".repeat(200_000);
    await sync(page);
    await save(page, { first: 1 });
    await now(page);
    await save(page, { big, old: 1 });
    await save(page, { old: 2 });
    await fill(page, 20_000);
    // As if the storage had been cleared: all of it is to be exchanged anew.
    await page.evaluate(() => {
      for (const key of Object.keys(localStorage)) {
        if (/\/[\da-f]{12}$/.test(key)) localStorage.removeItem(key);
      }
    });
    await now(page);
    assert.deepEqual(await load(page), { first: 1, big, old: 2 });
    assert.deepEqual(
      [(await state(page)).status, (await state(page)).unsent],
      ["idle", 0],
    );

    // What others save, and is too much, is not received, and loses nothing.
    const other = await newDevice();
    await sync(other);
    await pair(page, other);
    assert.deepEqual(await load(other), { first: 1, big, old: 2 });
    await save(other, { more: "b".repeat(50_000) });
    await now(other);
    await page.evaluate(() => inPage.kept.sync.now().catch(() => {}));
    assert.match((await state(page)).message ?? "", /quota/i);
    assert.deepEqual(await load(page), { first: 1, big, old: 2 });
    await page.evaluate(() => localStorage.removeItem("filler"));
    await now(page);
    assert.deepEqual(await load(page), await load(other));
  },
);

withServer(
  "a storage that is full again before all of it is there is filled later",
  async (visit) => {
    const { page } = visit;
    const other = await filled(visit);
    await page.evaluate(async () => {
      for (const key of Object.keys(localStorage)) {
        if (/\/[\da-f]{12}$/.test(key)) localStorage.removeItem(key);
      }
      // What comes of the server has what neither of its items has alone.
      const { setItem } = Storage.prototype;
      let refused = 0;
      /** @type {(this: Storage, key: string, text: string) => void} */
      Storage.prototype.setItem = function (key, text) {
        if (text.includes('"x"') && text.includes("from the other")) {
          refused++;
          throw new DOMException("full", "QuotaExceededError");
        }
        setItem.call(this, key, text);
      };
      await inPage.kept.sync.now().catch(() => {});
      Storage.prototype.setItem = setItem;
      inPage.kept.refused = refused;
    });
    assert.ok((await page.evaluate(() => inPage.kept.refused)) >= 2);
    await isBack(page, other);
  },
);
