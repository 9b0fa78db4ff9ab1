// Sessions with a maximum age, on several devices.
import assert from "node:assert/strict";
import {
  hour,
  load,
  minute,
  now,
  pair,
  save,
  setClock,
  sync,
  texts,
  withServer,
} from "./synced.js";

/** @typedef {import("../harness/browser.js").Page} Page */

/**
 * Has a device be away for five hours, in which another keeps the session alive,
 * and returns it with its page open again.
 *
 * @param {import("./synced.js").SyncVisit} visit
 */
async function away({ page, newDevice }) {
  const options = { maxAge: hour / 1000 };
  await setClock(page, -6 * hour);
  await sync(page, {}, options);
  await save(page, { user: "ada", items: 3 });
  const other = await newDevice();
  await setClock(other, -6 * hour);
  await sync(other, {}, options);
  await pair(page, other);
  assert.deepEqual(await load(other), { user: "ada", items: 3 });
  await other.reload();

  for (let past = -6 * hour; past <= -hour; past += 30 * minute) {
    await setClock(page, past);
    await save(page, { seen: past });
    await now(page);
  }
  await setClock(page, -hour);
  await setClock(other, -hour);
  await other.evaluate(async (options) => {
    inPage.kept.session = await inPage.open("cart", options);
  }, options);
  assert.deepEqual(await load(other), {}, "it cannot know");
  return other;
}

const keptAlive = { user: "ada", items: 3, seen: -hour };

/**
 * Syncs the session that is open in a page.
 *
 * @param {Page} page
 */
const syncIt = (page) =>
  page.evaluate(async () => {
    inPage.kept.sync = await inPage.kept.session.sync("/sessions/", {
      ...inPage.onRequest,
    });
    await inPage.kept.sync.now();
  });

withServer(
  "a page that was away shows nothing old, and then all that others kept alive",
  async (visit) => {
    const other = await away(visit);
    await syncIt(other);
    assert.deepEqual(await load(other), keptAlive);
    await now(visit.page);
    assert.deepEqual(await load(visit.page), keptAlive);
  },
);

withServer(
  "a page that was away and saves before it syncs ends nothing of others",
  async (visit) => {
    const other = await away(visit);
    await save(other, { theme: "dark" });
    assert.deepEqual(await load(other), { theme: "dark" });
    await syncIt(other);
    await now(visit.page);
    for (const device of [other, visit.page]) {
      assert.deepEqual(await load(device), { ...keptAlive, theme: "dark" });
    }
  },
);

/**
 * Opens the session of a page anew, with a maximum age of an hour, and syncs it.
 *
 * @param {Page} page
 */
async function reopen(page) {
  await page.evaluate(async () => {
    inPage.kept.session.close();
    inPage.kept.session = await inPage.open("cart", { maxAge: 3600 });
  });
}

for (const saves of [true, false]) {
  const then = saves ? "when one saves again" : "when nobody saves again";
  withServer(
    `what is over on all devices is over for good, ${then}`,
    async ({ page, newDevice }) => {
      const other = await newDevice();
      await sync(page);
      await sync(other);
      // It was saved five hours ago, and heard of now.
      await setClock(page, -5 * hour);
      await save(page, { secret: "of yesterday" });
      await setClock(page, 0);
      await now(page);
      await pair(page, other);
      assert.match(await texts(other), /of yesterday/);
      for (const device of [page, other]) await reopen(device);
      for (const device of [page, other]) {
        assert.deepEqual(await load(device), {});
      }
      const want = saves ? { guest: 1 } : {};
      if (saves) await save(other, want);
      for (const device of [page, other]) await syncIt(device);
      const third = await newDevice();
      await sync(third, {}, { maxAge: hour / 1000 });
      await pair(other, third);
      for (const device of [page, other, third, page, other, third]) {
        await now(device);
      }
      for (const device of [page, other, third]) {
        assert.deepEqual(await load(device), want);
        assert.doesNotMatch(await texts(device), /of yesterday/);
      }
      const fourth = await newDevice();
      await sync(fourth); // without a maximum age
      await pair(page, fourth);
      assert.deepEqual(await load(fourth), want);
    },
  );
}

withServer(
  "a session that ends after longer than anybody lives is synced",
  async ({ page, newDevice }) => {
    const other = await newDevice();
    for (const device of [page, other]) {
      await sync(device, {}, { maxAge: Number.MAX_VALUE });
    }
    await save(page, { x: 1 });
    await pair(page, other);
    await save(other, { y: 1 });
    for (const device of [page, other, page]) await now(device);
    for (const device of [page, other]) {
      assert.deepEqual(await load(device), { x: 1, y: 1 });
    }
  },
);

withServer(
  "a clock that is five hours ahead ends nothing",
  async ({ page, newDevice }) => {
    const options = { maxAge: hour / 1000 };
    const ahead = await newDevice();
    await setClock(ahead, 5 * hour);
    await sync(page, {}, options);
    await sync(ahead, {}, options);
    await save(page, { user: "ada" });
    await pair(page, ahead);
    assert.deepEqual(await load(ahead), { user: "ada" });
    await save(page, { cart: [1] });
    await now(page);
    await save(ahead, { theme: "dark" });
    await now(ahead);
    await now(page);
    for (const device of [page, ahead]) {
      assert.deepEqual(await load(device), {
        user: "ada",
        cart: [1],
        theme: "dark",
      });
    }
  },
);
