import assert from "node:assert/strict";
import { inBrowser } from "./in-browser.js";

/** Opens the session in a page and keeps it there, with what it tells. */
const follow = async () => {
  const session = (inPage.kept.session = await inPage.open());
  inPage.kept.changes = inPage.recordChanges(session);
};

/**
 * Waits until the session in a page has told of changes, takes them, and
 * returns what they come to together.
 *
 * @param {string} key that is set or removed by the last of them
 */
const told = async (key) => {
  /** @type {import("../src/index.js").Change[]} */
  const changes = inPage.kept.changes;
  await inPage.until(() =>
    changes.some(({ set, removed }) => key in set || removed.includes(key)),
  );
  return changes.splice(0);
};

inBrowser("what one tab saves another loads", async ({ page, newPage }) => {
  const other = await newPage();
  await other.evaluate(follow);
  await page.evaluate(follow);
  for (let i = 0; i < 3; i++) {
    await page.evaluate((i) => inPage.kept.session.save({ i, a: 1 }), i);
    const loaded = await other.evaluate(async (i) => {
      // The browser may take its time to tell another process.
      await inPage.until(() => inPage.kept.session.get("i") === i);
      return inPage.kept.session.load();
    }, i);
    assert.deepEqual(loaded, { i, a: 1 });
  }
});

inBrowser(
  "a subscriber is told of what another tab does",
  async ({ page, newPage }) => {
    const other = await newPage();
    await other.evaluate(follow);
    await page.evaluate(follow);

    await page.evaluate(() =>
      inPage.kept.session.save({ user: { name: "Ada" }, theme: "dark" }),
    );
    assert.deepEqual(await other.evaluate(told, "user"), [
      {
        set: { user: { name: "Ada" }, theme: "dark" },
        removed: [],
        cleared: false,
        remote: true,
      },
    ]);

    await page.evaluate(() => inPage.kept.session.save({ user: null }));
    assert.deepEqual(await other.evaluate(told, "user"), [
      { set: { user: null }, removed: [], cleared: false, remote: true },
    ]);

    await page.evaluate(() => inPage.kept.session.remove("theme", "absent"));
    assert.deepEqual(await other.evaluate(told, "theme"), [
      { set: {}, removed: ["theme"], cleared: false, remote: true },
    ]);

    await page.evaluate(() => inPage.kept.session.clear());
    assert.deepEqual(await other.evaluate(told, "user"), [
      { set: {}, removed: ["user"], cleared: true, remote: true },
    ]);

    // It was told of its own as it did it, and not a second time.
    await other.evaluate(() => inPage.kept.session.save({ last: 1 }));
    assert.deepEqual(await page.evaluate(told, "last"), [
      {
        set: { user: { name: "Ada" }, theme: "dark" },
        removed: [],
        cleared: false,
        remote: false,
      },
      { set: { user: null }, removed: [], cleared: false, remote: false },
      { set: {}, removed: ["theme"], cleared: false, remote: false },
      { set: {}, removed: ["user"], cleared: true, remote: false },
      { set: { last: 1 }, removed: [], cleared: false, remote: true },
    ]);
  },
);

inBrowser(
  "neither a value that was saved again as it was nor compaction is told",
  async ({ page, newPage }) => {
    const other = await newPage();
    await other.evaluate(follow);
    await page.evaluate(async () => {
      const session = (inPage.kept.session = await inPage.open());
      session.save({ a: 1, b: 1 });
    });
    await other.evaluate(told, "a");
    await page.evaluate(() => inPage.kept.session.save({ a: 1 }));
    await page.evaluate(() => inPage.kept.session.save({ c: 1, a: 1 }));
    assert.deepEqual(await other.evaluate(told, "c"), [
      { set: { c: 1 }, removed: [], cleared: false, remote: true },
    ]);

    await page.evaluate(async () => {
      for (let i = 0; i < 20; i++) inPage.kept.session.save({ i });
      await inPage.until(() => inPage.items().length < 10); // compacted
    });
    await page.evaluate(() => inPage.kept.session.save({ last: 1 }));
    for (const change of await other.evaluate(told, "last")) {
      assert.equal(change.cleared, false);
      assert.deepEqual(change.removed, []);
      assert.ok(!("a" in change.set) && !("b" in change.set));
    }
  },
);

inBrowser(
  "two tabs that save without a pause lose nothing",
  async ({ page, newPage }) => {
    const other = await newPage();
    const saves = 200;
    /** @param {string} tab @param {number} saves */
    const save = async (tab, saves) => {
      const session = (inPage.kept.session = await inPage.open());
      // Neither begins before the other is ready.
      localStorage.setItem(`ready ${tab}`, "");
      await inPage.until(
        () =>
          localStorage.getItem("ready a") !== null &&
          localStorage.getItem("ready b") !== null,
      );
      for (let i = 0; i < saves; i++) {
        session.save({ [`${tab} ${i}`]: i, [tab]: i });
        if (i % 5 === 0) await inPage.nextTask();
      }
      localStorage.setItem(`done ${tab}`, "");
    };
    await Promise.all([
      page.evaluate(save, "a", saves),
      other.evaluate(save, "b", saves),
    ]);
    /** @type {Record<string, number>} */
    const expected = { a: saves - 1, b: saves - 1 };
    for (let i = 0; i < saves; i++) expected[`a ${i}`] = expected[`b ${i}`] = i;
    for (const tab of [page, other]) {
      const { loaded, corrupt } = await tab.evaluate(async (count) => {
        const { session } = inPage.kept;
        await inPage.until(() => Object.keys(session.load()).length === count);
        return { loaded: session.load(), corrupt: session.stats().corrupt };
      }, Object.keys(expected).length);
      assert.deepEqual(loaded, expected);
      assert.equal(corrupt, 0);
    }
  },
);

inBrowser(
  "no tab sees a part of another's batch",
  async ({ page, newPage }) => {
    const other = await newPage();
    const watching = other.evaluate(async () => {
      const session = await inPage.open();
      let reads = 0;
      let torn = 0;
      localStorage.setItem("watching", "");
      for (let last = -1; last < 299; reads++) {
        const values = Object.values(session.load());
        if (values.length > 0) {
          if (values.length !== 20 || new Set(values).size !== 1) torn++;
          last = Number(values[0]);
        }
        if (reads % 20 === 0) await inPage.nextTask();
      }
      return { reads, torn };
    });
    await page.evaluate(async () => {
      const session = await inPage.open();
      await inPage.until(() => localStorage.getItem("watching") !== null);
      for (let i = 0; i < 300; i++) {
        session.save(
          Object.fromEntries(
            Array.from({ length: 20 }, (_, k) => [`k${k}`, i]),
          ),
        );
        if (i % 5 === 0) await inPage.nextTask();
      }
    });
    const { reads, torn } = await watching;
    assert.ok(reads > 20, `${reads} reads`);
    assert.equal(torn, 0);
  },
);

inBrowser(
  "a save that was made after seeing another tab's wins, whatever the clocks say",
  async ({ page, newPage }) => {
    await page.evaluate(async () => {
      inPage.kept.session = await inPage.open();
    });
    const late = await newPage();
    await late.evaluate(async () => {
      const now = Date.now;
      Date.now = () => now() - 60 * 60 * 1000;
      const session = (inPage.kept.session = await inPage.open());
      // After the session's own listener, which takes note of it.
      addEventListener(
        "storage",
        () => session.save({ a: "by the late tab" }),
        { once: true },
      );
    });
    await page.evaluate(() =>
      inPage.kept.session.save({ a: "by the early tab", b: 1 }),
    );
    for (const tab of [page, late]) {
      const loaded = await tab.evaluate(async () => {
        const { session } = inPage.kept;
        await inPage.until(() => session.get("a") === "by the late tab");
        return session.load();
      });
      assert.deepEqual(loaded, { a: "by the late tab", b: 1 });
    }

    // Opening is seeing, too.
    const third = await newPage();
    await third.evaluate(async () => {
      Date.now = () => 1e12;
      (await inPage.open()).save({ a: "by the latest tab" });
    });
    assert.equal(
      await third.evaluate(async () => (await inPage.open()).get("a")),
      "by the latest tab",
    );
  },
);

inBrowser(
  "when another tab empties the storage, all is told as removed",
  async ({ page, newPage }) => {
    const other = await newPage();
    await other.evaluate(async () => {
      inPage.kept.session = await inPage.open();
      inPage.kept.session.save({ a: 1, b: 2 });
      inPage.kept.changes = inPage.recordChanges(inPage.kept.session);
    });
    await page.evaluate(() => localStorage.clear());
    assert.deepEqual(await other.evaluate(told, "a"), [
      { set: {}, removed: ["a", "b"], cleared: true, remote: true },
    ]);
    const loaded = await other.evaluate(() => {
      inPage.kept.session.save({ c: 3 });
      return inPage.kept.session.load();
    });
    assert.deepEqual(loaded, { c: 3 });
  },
);

inBrowser(
  "two sessions of one name in a page are told of each other",
  async ({ page, t }) => {
    for (const storage of /** @type {const} */ (["local", "session"])) {
      await t.test(storage, async () => {
        const changes = await page.evaluate(async (storage) => {
          const one = await inPage.open("cart", { storage });
          const two = await inPage.open("cart", { storage });
          const own = inPage.recordChanges(one);
          const remote = inPage.recordChanges(two);
          one.save({ a: 1, b: 2 });
          await inPage.until(() => remote.length === 1);
          one.remove("a");
          await inPage.until(() => remote.length === 2);
          one.clear();
          await inPage.until(() => remote.length === 3);
          one.close();
          two.close();
          return { own, remote };
        }, storage);
        const expected = [
          { set: { a: 1, b: 2 }, removed: [], cleared: false },
          { set: {}, removed: ["a"], cleared: false },
          { set: {}, removed: ["b"], cleared: true },
        ];
        assert.deepEqual(
          changes.own,
          expected.map((change) => ({ ...change, remote: false })),
        );
        assert.deepEqual(
          changes.remote,
          expected.map((change) => ({ ...change, remote: true })),
        );
      });
    }
  },
);

inBrowser(
  "sessions of other names and storages are told nothing",
  async ({ page, newPage }) => {
    const other = await newPage();
    /** All that share a part of the name, or the name in another storage. */
    const watch = async () => {
      const others = await Promise.all([
        inPage.open("car"),
        inPage.open("carts"),
        inPage.open("Cart"),
        inPage.open("cart", { storage: "session" }),
        inPage.open("cart", { storage: "memory" }),
      ]);
      inPage.kept.others = others.map(inPage.recordChanges);
    };
    await page.evaluate(watch);
    await other.evaluate(watch);
    await page.evaluate(follow);
    await other.evaluate(follow);
    await page.evaluate(() => {
      inPage.kept.session.save({ a: 1 });
      inPage.kept.session.remove("a");
      inPage.kept.session.clear();
      inPage.kept.session.save({ b: 1 });
    });
    for (const tab of [page, other]) {
      await tab.evaluate(told, "b");
      const changes = await tab.evaluate(async () => {
        await inPage.nextTask();
        return inPage.kept.others;
      });
      assert.deepEqual(changes, [[], [], [], [], []]);
    }
  },
);
