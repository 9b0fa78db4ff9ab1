import assert from "node:assert/strict";
import { inBrowser } from "./in-browser.js";

// Items of a time that is past are written by hand, in the form that the
// internal/engine/README.md documents, so that nobody has to wait for one to get old.

const minute = 60_000;

inBrowser(
  "a session whose newest item is too old is over",
  async ({ page }) => {
    const result = await page.evaluate(async (minute) => {
      inPage.writeItem("cart", Date.now() - 3 * minute, { a: 1, b: 1 });
      inPage.writeItem("cart", Date.now() - 2 * minute, { a: 2 });
      inPage.writeItem("other", Date.now() - 3 * minute, { a: 1 });
      localStorage.setItem("cart/notes", "not ours");
      const session = await inPage.open("cart", { maxAge: 60 });
      const { entries } = session.stats();
      const untouched = inPage.items().length;
      return {
        entries,
        untouched,
        loaded: session.load(),
        got: session.get("a") ?? "nothing",
        left: inPage.items().map(([key]) => key.split("/")[0]),
        stats: session.stats(),
      };
    }, minute);
    assert.deepEqual(result, {
      entries: 0,
      untouched: 4,
      loaded: {},
      got: "nothing",
      left: ["cart", "other"],
      stats: { entries: 0, items: 0, bytes: 18, corrupt: 1 },
    });
  },
);

inBrowser("a get ends a session that is over, too", async ({ page }) => {
  const { got, items } = await page.evaluate(async (minute) => {
    inPage.writeItem("cart", Date.now() - 2 * minute, { a: 1 });
    const session = await inPage.open("cart", { maxAge: 60 });
    return { got: session.get("a") ?? "nothing", items: inPage.items() };
  }, minute);
  assert.equal(got, "nothing");
  assert.deepEqual(items, []);
});

inBrowser(
  "a save after the end begins a new session, in one item",
  async ({ page }) => {
    const result = await page.evaluate(async (minute) => {
      inPage.writeItem("cart", Date.now() - 3 * minute, { a: 1, b: 1 });
      inPage.writeItem("cart", Date.now() - 2 * minute, { a: 2 });
      const session = await inPage.open("cart", { maxAge: 60 });
      const writes = inPage.recordWrites();
      session.save({ c: 3 });
      const methods = writes.map(([method]) => method);
      // What turns up late, from a tab that had been frozen, is over as well.
      inPage.writeItem("cart", Date.now() - 2.5 * minute, { b: "late" });
      const forever = await inPage.open("cart");
      return { methods, loaded: session.load(), forever: forever.load() };
    }, minute);
    assert.deepEqual(result, {
      methods: ["setItem", "removeItem", "removeItem"],
      loaded: { c: 3 },
      forever: { c: 3 },
    });
  },
);

inBrowser("a session that is young enough is kept", async ({ page }) => {
  const result = await page.evaluate(async (minute) => {
    inPage.writeItem("cart", Date.now() - 3 * minute, { a: 1, b: 1 });
    inPage.writeItem("cart", Date.now() - minute / 2, { a: 2 });
    const session = await inPage.open("cart", { maxAge: 60 });
    const before = session.load();
    session.save({ c: 3 });
    return { before, after: session.load(), items: inPage.items().length };
  }, minute);
  assert.deepEqual(result, {
    before: { a: 2, b: 1 },
    after: { a: 2, b: 1, c: 3 },
    items: 3,
  });
});

inBrowser(
  "a save keeps the session alive, and so does a removal",
  async ({ page }) => {
    const result = await page.evaluate(async (minute) => {
      const session = await inPage.open("cart", { maxAge: 60 });
      let now = Date.now();
      Date.now = () => now;
      session.save({ a: 1, b: 2 });
      now += 0.9 * minute;
      session.save({ c: 3 });
      now += 0.9 * minute;
      session.remove("b");
      now += 0.9 * minute;
      const alive = session.load();
      now += 0.2 * minute;
      return { alive, over: session.load() };
    }, minute);
    assert.deepEqual(result, { alive: { a: 1, c: 3 }, over: {} });
  },
);

inBrowser("without maxAge a session is never over", async ({ page }) => {
  const loaded = await page.evaluate(async () => {
    inPage.writeItem("cart", 1, { a: 1 });
    return (await inPage.open()).load();
  });
  assert.deepEqual(loaded, { a: 1 });
});

inBrowser("a maxAge may be of any size", async ({ page }) => {
  const loaded = await page.evaluate(async (minute) => {
    const loaded = [];
    inPage.writeItem("cart", Date.now() - minute, { a: 1 });
    for (const maxAge of [
      1e6,
      1e300,
      Number.MAX_VALUE,
      59.999,
      0.001,
      5e-324,
    ]) {
      const session = await inPage.open("cart", { maxAge });
      loaded.push(session.load());
    }
    const session = await inPage.open("cart", { maxAge: Number.MAX_VALUE });
    session.save({ b: 2 });
    loaded.push(session.load());
    return loaded;
  }, minute);
  assert.deepEqual(loaded, [
    { a: 1 },
    { a: 1 },
    { a: 1 },
    {},
    {},
    {},
    { b: 2 },
  ]);
});

inBrowser(
  "subscribers learn nothing of a session that is over",
  async ({ page }) => {
    const changes = await page.evaluate(async (minute) => {
      inPage.writeItem("cart", Date.now() - 2 * minute, { a: 1 });
      const session = await inPage.open("cart", { maxAge: 60 });
      const changes = inPage.recordChanges(session);
      session.save({ b: 2 });
      await inPage.until(() => changes.length > 0);
      session.save({ c: 3 }); // is told after all that came before
      await inPage.until(() => changes.some(({ set }) => "c" in set));
      return changes.map(({ set, removed }) => ({ set, removed }));
    }, minute);
    assert.deepEqual(changes, [
      { set: { b: 2 }, removed: [] },
      { set: { c: 3 }, removed: [] },
    ]);
  },
);

inBrowser(
  "a session that is over makes room for the next",
  async ({ page }) => {
    const loaded = await page.evaluate(async (minute) => {
      inPage.writeItem("cart", Date.now() - 2 * minute, {
        a: "x".repeat(50_000),
      });
      inPage.fill();
      const session = await inPage.open("cart", { maxAge: 60 });
      session.save({ b: "y".repeat(40_000) });
      return session.load();
    }, minute);
    assert.deepEqual(loaded, { b: "y".repeat(40_000) });
  },
);

inBrowser("a closed session knows its maxAge", async ({ page }) => {
  const loaded = await page.evaluate(async (minute) => {
    const session = await inPage.open("cart", { maxAge: 60 });
    session.close();
    inPage.writeItem("cart", Date.now() - 2 * minute, { a: 1 });
    const over = session.load();
    inPage.writeItem("cart", Date.now() - 2 * minute, { a: 1 });
    session.save({ b: 2 });
    return [over, session.load()];
  }, minute);
  assert.deepEqual(loaded, [{}, { b: 2 }]);
});

inBrowser(
  "what a tab ends by its maxAge is ended in tabs of another, and nothing younger is lost",
  async ({ page, newPage }) => {
    const [longer, never] = [await newPage(), await newPage()];
    const open = async (/** @type {number | undefined} */ maxAge) => {
      inPage.kept.session = await inPage.open("cart", { maxAge });
      return inPage.kept.session.load();
    };
    await page.evaluate((minute) => {
      inPage.writeItem("cart", Date.now() - 2 * minute, { old: 1 });
    }, minute);
    assert.deepEqual(await longer.evaluate(open, 600), { old: 1 });
    assert.deepEqual(await never.evaluate(open, undefined), { old: 1 });

    await page.evaluate(async () => {
      const session = await inPage.open("cart", { maxAge: 60 });
      session.save({ first: 1 });
    });
    await longer.evaluate(() => inPage.kept.session.save({ second: 2 }));
    await never.evaluate(() => inPage.kept.session.save({ third: 3 }));
    for (const tab of [page, longer, never]) {
      const loaded = await tab.evaluate(async () => {
        const session = await inPage.open();
        await inPage.until(() => Object.keys(session.load()).length === 3);
        return session.load();
      });
      assert.deepEqual(loaded, { first: 1, second: 2, third: 3 });
    }
  },
);
