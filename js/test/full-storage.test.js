import assert from "node:assert/strict";
import { assertError } from "./assert-error.js";
import { inBrowser } from "./in-browser.js";

for (const storage of /** @type {const} */ (["local", "session"])) {
  inBrowser(
    `when the ${storage} storage is full, a save changes nothing until there is room`,
    async ({ page }) => {
      const { refused, after, before, loaded } = await page.evaluate(
        async (storage) => {
          const area = storage === "local" ? localStorage : sessionStorage;
          const session = await inPage.open("cart", { storage });
          session.save({ a: 1, b: { c: [2] } });
          session.save({ a: 2 });
          const makeRoom = inPage.fill(area);
          const state = () => ({
            loaded: session.load(),
            others: inPage
              .items(area)
              .filter(([key]) => !key.startsWith("cart/")),
          });
          const before = state();
          const { error } = await inPage.attempt(() =>
            session.save({ a: "x".repeat(500), d: 4 }),
          );
          const after = state();
          makeRoom();
          session.save({ a: 3, d: 4 });
          return {
            refused: error,
            // Five million characters that need not travel.
            before: JSON.stringify(before) === JSON.stringify(after),
            after: after.loaded,
            loaded: session.load(),
          };
        },
        storage,
      );
      assertError(refused, { code: "quota", says: 'session "cart": save: ' });
      assert.equal(before, true);
      assert.deepEqual(after, { a: 2, b: { c: [2] } });
      assert.deepEqual(loaded, { a: 3, b: { c: [2] }, d: 4 });
    },
  );
}

inBrowser("a batch that no storage takes changes nothing", async ({ page }) => {
  const outcomes = await page.evaluate(async () => {
    const session = await inPage.open();
    session.save({ a: 1 });
    const outcomes = [];
    // More than the storage takes, and more than the module does.
    for (const length of [6e6, 30e6]) {
      const big = "x".repeat(length);
      outcomes.push(
        await inPage.attemptOn(session, () => session.save({ a: 2, big })),
      );
    }
    session.save({ b: 2 });
    return { outcomes, loaded: session.load() };
  });
  for (const { error, before, after } of outcomes.outcomes) {
    assertError(error, { code: "quota", says: 'session "cart": save: ' });
    assert.deepEqual(after, before);
  }
  assert.deepEqual(outcomes.loaded, { a: 1, b: 2 });
});

inBrowser(
  "what is superseded is compacted to make room for a save",
  async ({ page }) => {
    const { refused, before, after, loaded } = await page.evaluate(async () => {
      const session = await inPage.open();
      for (let i = 0; i < 12; i++) session.save({ a: "x".repeat(1000), i });
      inPage.fill();
      const before = session.stats();
      // A small part of what is saved then.
      const refused = await inPage.attempt(() =>
        localStorage.setItem("raw", "x".repeat(10)),
      );
      session.save({ b: "y".repeat(10_000) });
      return {
        refused,
        before,
        after: session.stats(),
        loaded: session.load(),
      };
    });
    assert.equal(refused.error?.name, "QuotaExceededError");
    assert.ok(after.items < before.items);
    assert.deepEqual(loaded, {
      a: "x".repeat(1000),
      i: 11,
      b: "y".repeat(10_000),
    });
  },
);

inBrowser(
  "small items are compacted to make room, when there is room to do so",
  async ({ page }) => {
    const { before, after, loaded } = await page.evaluate(async () => {
      const session = await inPage.open();
      for (let i = 0; i < 15; i++) session.save({ [`key ${i}`]: i });
      inPage.fill(localStorage, 1200);
      const before = session.stats();
      session.save({ b: "y".repeat(1200) });
      return { before, after: session.stats(), loaded: session.load() };
    });
    assert.ok(after.items < before.items);
    assert.equal(Object.keys(loaded).length, 16);
    assert.equal(loaded["key 14"], 14);
  },
);

inBrowser(
  "in a full storage, entries can be removed to make room",
  async ({ page }) => {
    const loaded = await page.evaluate(async () => {
      const session = await inPage.open();
      session.save({ a: 1, big: "x".repeat(100_000) });
      // For the removal, and for what is left in one item.
      inPage.fill(localStorage, 400);
      session.remove("big");
      session.save({ b: "y".repeat(50_000) });
      return session.load();
    });
    assert.deepEqual(loaded, { a: 1, b: "y".repeat(50_000) });
  },
);

inBrowser("a full storage is told of, not of a fault", async ({ page }) => {
  const errors = await page.evaluate(async () => {
    const session = await inPage.open();
    session.save({ a: 1 });
    inPage.fill();
    return Promise.all([
      inPage.attempt(() => session.remove("a")),
      inPage.attempt(() => session.clear()),
    ]);
  });
  assertError(errors[0].error, {
    code: "quota",
    says: 'session "cart": remove: ',
  });
  assertError(errors[1].error, {
    code: "quota",
    says: 'session "cart": clear: ',
  });
});
