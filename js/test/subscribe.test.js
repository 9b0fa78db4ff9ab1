import assert from "node:assert/strict";
import { inBrowser } from "./in-browser.js";

inBrowser("a listener is told before the save returns", async ({ page }) => {
  const order = await page.evaluate(async () => {
    const session = await inPage.open();
    /** @type {string[]} */
    const order = [];
    session.subscribe(({ set }) => order.push(`told of ${Object.keys(set)}`));
    session.save({ a: 1 });
    order.push("a is saved");
    session.save({ b: 1 });
    order.push("b is saved");
    return order;
  });
  assert.deepEqual(order, [
    "told of a",
    "a is saved",
    "told of b",
    "b is saved",
  ]);
});

inBrowser("what is saved is told without being read back", async ({ page }) => {
  const { reads, changes } = await page.evaluate(async () => {
    const session = await inPage.open();
    const other = await inPage.open();
    const changes = inPage.recordChanges(session);
    const reads = inPage.recordReads();
    session.save({ a: { b: 1 }, c: "d" });
    session.save(new Map([["a", 1]]));
    session.remove("c");
    session.clear();
    session.save({ e: 1 });
    reads.length = 0;
    session.save({ e: 2 });
    const after = [...reads];
    await inPage.nextTask();
    // What was told is known, and what others remove of it is told as well.
    other.remove("e");
    await inPage.until(() => changes.some(({ remote }) => remote));
    return { reads: after, changes };
  });
  assert.deepEqual(reads, []);
  const none = { set: {}, removed: [], cleared: false, remote: false };
  assert.deepEqual(changes, [
    { ...none, set: { a: { b: 1 }, c: "d" } },
    { ...none, set: { a: 1 } },
    { ...none, removed: ["c"] },
    { ...none, removed: ["a"], cleared: true },
    { ...none, set: { e: 1 } },
    { ...none, set: { e: 2 } },
    { ...none, removed: ["e"], remote: true },
  ]);
});

inBrowser("a change is what the call changed", async ({ page }) => {
  const changes = await page.evaluate(async () => {
    const session = await inPage.open();
    session.save({ a: 1, b: { c: [2] } });
    const changes = inPage.recordChanges(session);
    session.save({ a: 1, b: { c: [2] } });
    session.save({ a: 2, b: { c: [2] } });
    session.save([
      ["d", 1],
      ["d", null],
    ]);
    session.remove("absent");
    session.remove("b", "absent");
    session.clear();
    session.clear();
    session.save({ constructor: { e: 1 } });
    await inPage.nextTask();
    return changes;
  });
  const none = { set: {}, removed: [], cleared: false, remote: false };
  assert.deepEqual(changes, [
    { ...none, set: { a: 2 } },
    { ...none, set: { d: null } },
    { ...none, removed: ["b"] },
    { ...none, removed: ["a", "d"], cleared: true },
    { ...none, set: { constructor: { e: 1 } } },
  ]);
});

inBrowser("what was refused is not told", async ({ page }) => {
  const changes = await page.evaluate(async () => {
    const session = await inPage.open();
    const changes = inPage.recordChanges(session);
    await inPage.attempt(() => session.save({ a: 1, b: undefined }));
    await inPage.attempt(() => session.save({ a: "x".repeat(6e6) }));
    session.save({ c: 1 });
    await inPage.nextTask();
    return changes;
  });
  assert.deepEqual(changes, [
    { set: { c: 1 }, removed: [], cleared: false, remote: false },
  ]);
});

inBrowser("a subscription ends when it is said to", async ({ page }) => {
  const told = await page.evaluate(async () => {
    const session = await inPage.open();
    /** @type {string[]} */
    const told = [];
    const first = session.subscribe(({ set }) =>
      told.push(`first: ${Object.keys(set)}`),
    );
    const second = session.subscribe(({ set }) => {
      told.push(`second: ${Object.keys(set)}`);
      second();
    });
    session.save({ a: 1 });
    await inPage.nextTask();
    session.save({ b: 1 });
    await inPage.nextTask();
    first();
    first();
    session.save({ c: 1 });
    await inPage.nextTask();
    session.save({ d: 1 });
    await inPage.nextTask();
    // What was done while nobody listened is not told later.
    session.subscribe(({ set }) => told.push(`third: ${Object.keys(set)}`));
    session.save({ e: 1 });
    await inPage.nextTask();
    return told;
  });
  assert.deepEqual(told, ["first: a", "second: a", "first: b", "third: e"]);
});

inBrowser("one function can be subscribed twice", async ({ page }) => {
  const counts = await page.evaluate(async () => {
    const session = await inPage.open();
    let calls = 0;
    const listener = () => calls++;
    const end = session.subscribe(listener);
    session.subscribe(listener);
    session.save({ a: 1 });
    await inPage.nextTask();
    const twice = calls;
    end();
    session.save({ a: 2 });
    await inPage.nextTask();
    return [twice, calls];
  });
  assert.deepEqual(counts, [2, 3]);
});

inBrowser(
  "a listener that throws breaks neither the save nor another listener",
  async ({ page }) => {
    const { changes, loaded } = await page.evaluate(async () => {
      const session = await inPage.open();
      const other = await inPage.open();
      session.subscribe(() => {
        throw new Error("the first listener's");
      });
      const changes = inPage.recordChanges(session);
      other.subscribe(() => {
        throw new Error("the other session's");
      });
      const remote = inPage.recordChanges(other);
      session.save({ a: 1 });
      await inPage.until(() => remote.length === 1);
      session.save({ b: 2 });
      await inPage.until(() => remote.length === 2);
      return { changes: [...changes, ...remote], loaded: session.load() };
    });
    assert.deepEqual(
      changes.map(({ set }) => set),
      [{ a: 1 }, { b: 2 }, { a: 1 }, { b: 2 }],
    );
    assert.deepEqual(loaded, { a: 1, b: 2 });
    assert.deepEqual(await page.takeErrors(), [
      "Error: the first listener's",
      "Error: the other session's",
      "Error: the first listener's",
      "Error: the other session's",
    ]);
  },
);

inBrowser("a listener can use the session", async ({ page }) => {
  const { told, loaded, active } = await page.evaluate(async () => {
    const session = await inPage.open();
    /** @type {unknown[]} */
    const told = [];
    session.subscribe(({ set, removed }) => {
      told.push({ set, removed });
      const count = Number(session.get("count"));
      if (count < 3) session.save({ count: count + 1 });
      else if (count === 3) session.remove("count");
      else session.close();
    });
    session.save({ a: 1, count: 0 });
    await inPage.until(() => !session.active);
    return { told, loaded: session.load(), active: session.active };
  });
  assert.deepEqual(told, [
    { set: { a: 1, count: 0 }, removed: [] },
    { set: { count: 1 }, removed: [] },
    { set: { count: 2 }, removed: [] },
    { set: { count: 3 }, removed: [] },
    { set: {}, removed: ["count"] },
  ]);
  assert.deepEqual(loaded, { a: 1 });
  assert.equal(active, false);
});

inBrowser("a change cannot be changed", async ({ page }) => {
  const { refused, changes, loaded } = await page.evaluate(async () => {
    "use strict";
    const session = await inPage.open();
    const value = { list: [{ a: 1 }] };
    let refused = 0;
    session.subscribe((/** @type {any} */ change) => {
      const { set, removed } = change;
      const attempts = [
        () => (change.remote = true),
        () => (set.b = 1),
        () => removed.push("a"),
        () => (set.a.list.length = 0),
        () => set.a.list[0].b++,
        () => (set.__proto__.c = 1),
      ];
      for (const attempt of attempts) {
        try {
          attempt();
        } catch {
          refused++;
        }
      }
    });
    const changes = inPage.recordChanges(session);
    session.save([
      ["a", value],
      ["__proto__", { c: 2 }],
    ]);
    value.list.pop(); // what was told is no part of the page's own
    const [{ set }] = changes;
    return {
      refused,
      changes: [set.a, set["__proto__"]],
      loaded: [session.get("a"), session.get("__proto__")],
    };
  });
  assert.equal(refused, 6);
  const saved = [{ list: [{ a: 1 }] }, { c: 2 }];
  assert.deepEqual([changes, loaded], [saved, saved]);
});

inBrowser(
  "what a listener saves is told after what it is told of",
  async ({ page }) => {
    const told = await page.evaluate(async () => {
      const session = await inPage.open();
      /** @type {string[]} */
      const told = [];
      session.subscribe(({ set }) => {
        if (set.a === 1) session.save({ a: 2 });
        told.push(`first: ${set.a}`);
        if (set.a === 2) session.subscribe(() => told.push("too early"));
      });
      session.subscribe(({ set }) => told.push(`second: ${set.a}`));
      session.save({ a: 1 });
      told.push("saved");
      return told;
    });
    assert.deepEqual(told, [
      "first: 1",
      "second: 1",
      "first: 2",
      "second: 2",
      "saved",
    ]);
  },
);

inBrowser("what is saved again in another tab is no change", async (visit) => {
  const { page, newPage } = visit;
  const other = await newPage();
  await page.evaluate(async () => {
    const session = await inPage.open();
    session.save({ a: { b: [1, null] }, c: 1 });
    Object.assign(globalThis, {
      changes: inPage.recordChanges(session),
      session,
    });
  });
  await other.evaluate(async () => {
    const session = await inPage.open();
    session.save({ a: { b: [1, null] }, c: 1 });
    session.save({ c: 2, a: { b: [1, null] } });
  });
  const { changes, same } = await page.evaluate(async () => {
    const { changes, session } = /** @type {any} */ (globalThis);
    const before = session.snapshot();
    await inPage.until(() => changes.length > 0);
    return { changes, same: before.a === session.snapshot().a };
  });
  assert.deepEqual(changes, [
    { set: { c: 2 }, removed: [], cleared: false, remote: true },
  ]);
  assert.equal(same, true);
});
