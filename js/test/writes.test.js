import assert from "node:assert/strict";
import { inBrowser } from "./in-browser.js";

// A session object compacts with every 16th of its saves, which writes one
// item more: these tests make fewer saves, or say so.

inBrowser(
  "a save is one setItem, whatever the number of keys",
  async ({ page }) => {
    const writes = await page.evaluate(async () => {
      const session = await inPage.open();
      const writes = inPage.recordWrites();
      return [1, 20, 500].map((count) => {
        writes.length = 0;
        /** @type {[string, unknown][]} */
        const entries = [];
        for (let i = 0; i < count; i++) entries.push([`key ${i}`, { i }]);
        session.save(entries);
        return writes.map(([method]) => method);
      });
    });
    assert.deepEqual(writes, [["setItem"], ["setItem"], ["setItem"]]);
  },
);

inBrowser("fifteen saves are fifteen setItems", async ({ page }) => {
  const writes = await page.evaluate(async () => {
    const session = await inPage.open();
    const writes = inPage.recordWrites();
    for (let i = 0; i < 15; i++) session.save({ a: i, [i]: i });
    return writes.map(([method]) => method);
  });
  assert.deepEqual(writes, Array(15).fill("setItem"));
});

inBrowser("a removal is one setItem, whatever it names", async ({ page }) => {
  const writes = await page.evaluate(async () => {
    const session = await inPage.open();
    session.save({ a: 1, b: 2, c: 3 });
    const writes = inPage.recordWrites();
    session.remove("a", "b", "c", "absent");
    return writes.map(([method]) => method);
  });
  assert.deepEqual(writes, ["setItem"]);
});

/** @type {Record<string, () => unknown>} */
const empty = {
  "an empty Map": () => new Map(),
  "an empty array": () => [],
  "an empty object": () => ({}),
  "an object without a prototype": () => Object.create(null),
  "an empty generator": () => (function* () {})(),
  "an empty FormData": () => new FormData(),
  "an empty URLSearchParams": () => new URLSearchParams(),
};

inBrowser("an empty batch writes nothing", async ({ page, t }) => {
  for (const [what, make] of Object.entries(empty)) {
    await t.test(what, async () => {
      const { writes, changes } = await page.evaluate(async (make) => {
        const session = await inPage.open();
        session.save({ a: 1 });
        const changes = inPage.recordChanges(session);
        const writes = inPage.recordWrites();
        session.save(/** @type {any} */ (make()));
        session.save(/** @type {any} */ (make()));
        await inPage.nextTask();
        return { writes, changes };
      }, make);
      assert.deepEqual(writes, []);
      assert.deepEqual(changes, []);
    });
  }
});

inBrowser("a removal of no keys writes nothing", async ({ page }) => {
  const writes = await page.evaluate(async () => {
    const session = await inPage.open();
    session.save({ a: 1 });
    const writes = inPage.recordWrites();
    session.remove();
    return writes;
  });
  assert.deepEqual(writes, []);
});

inBrowser("to open, load, get and close writes nothing", async ({ page }) => {
  const writes = await page.evaluate(async () => {
    (await inPage.open()).save({ a: 1 });
    const writes = inPage.recordWrites();
    const session = await inPage.open();
    session.load();
    session.get("a");
    session.stats();
    session.subscribe(() => {});
    session.close();
    return writes;
  });
  assert.deepEqual(writes, []);
});

inBrowser(
  "after 100 saves few items are left, and the load is right",
  async ({ page }) => {
    /** @type {Record<string, unknown>} */
    const expected = {};
    for (let i = 0; i < 100; i++) {
      expected[`key ${i % 30}`] = { i };
      expected.last = i;
    }
    const { loaded, items } = await page.evaluate(async () => {
      const session = await inPage.open();
      for (let i = 0; i < 100; i++) {
        session.save({ [`key ${i % 30}`]: { i }, last: i });
      }
      return { loaded: session.load(), items: session.stats().items };
    });
    assert.deepEqual(loaded, expected);
    // At the most 16 since the last compaction, and one for each binary digit
    // of the size of what was compacted before.
    assert.ok(items <= 24, `${items} items`);
    await page.reload();
    assert.deepEqual(
      await page.evaluate(async () => (await inPage.open()).load()),
      expected,
    );
  },
);

inBrowser(
  "items that many short visits left are compacted, too",
  async ({ page }) => {
    const { items, loaded } = await page.evaluate(async () => {
      // Each object makes one save only, so none of them compacts.
      for (let i = 0; i < 100; i++) {
        const session = await inPage.open();
        session.save({ [`key ${i}`]: i });
        session.close();
      }
      const session = await inPage.open();
      session.load();
      return { items: session.stats().items, loaded: session.load() };
    });
    assert.ok(items < 33, `${items} items`);
    assert.deepEqual(
      loaded,
      Object.fromEntries(
        Array.from({ length: 100 }, (_, i) => [`key ${i}`, i]),
      ),
    );
  },
);

inBrowser(
  "nothing is touched but items under the session's name",
  async ({ page }) => {
    const { before, after, writes } = await page.evaluate(async () => {
      const neighbours = ["cart", "cartoon/a", "/cart", "Cart/a", "other"];
      for (const key of neighbours) localStorage.setItem(key, "mine");
      (await inPage.open("other")).save({ a: 1 });
      const others = () =>
        inPage.items().filter(([key]) => !key.startsWith("cart/"));
      const before = others();
      const writes = inPage.recordWrites();
      const session = await inPage.open("cart");
      for (let i = 0; i < 100; i++) session.save({ a: i, [`key ${i}`]: i });
      session.remove("a", "key 0");
      session.load();
      session.clear();
      session.save({ a: 1 });
      session.close();
      return { before, after: others(), writes };
    });
    assert.deepEqual(after, before);
    assert.ok(writes.length >= 103);
    assert.deepEqual(
      writes.filter(([, key]) => !key?.startsWith("cart/")),
      [],
    );
  },
);

inBrowser("no item is ever written twice", async ({ page }) => {
  const writes = await page.evaluate(async () => {
    const writes = inPage.recordWrites();
    const sessions = [await inPage.open(), await inPage.open()];
    for (let i = 0; i < 100; i++) sessions[i % 2].save({ a: i });
    return writes;
  });
  const set = writes.filter(([method]) => method === "setItem");
  assert.equal(new Set(set.map(([, key]) => key)).size, set.length);
});

inBrowser("what was cleared is gone from the storage", async ({ page }) => {
  const items = await page.evaluate(async () => {
    const session = await inPage.open();
    session.save({ secret: "classified" });
    session.save({ more: "classified" });
    session.clear();
    return inPage.items();
  });
  assert.ok(!JSON.stringify(items).includes("classified"));
});
