// Clocks that are wrong, on devices that share a session.
import assert from "node:assert/strict";
import {
  day,
  hour,
  load,
  now,
  otherDevice,
  save,
  setClock,
  state,
  withServer,
} from "./synced.js";

/** @typedef {import("../harness/browser.js").Page} Page */

/**
 * How far the latest stamp of a page's storage is ahead of the time, in
 * milliseconds.
 *
 * @param {Page} page
 */
const latest = (page) =>
  page.evaluate(() => {
    const times = inPage
      .items()
      .flatMap(([key]) => /\/(\d{13})-[\da-f]{4}-[\da-f]{12}$/.exec(key) ?? [])
      .map(Number)
      .filter(Number.isFinite);
    return Math.max(...times) - inPage.kept.time();
  });

for (const days of [2, 365]) {
  withServer(
    `a clock that was ${days} days ahead heals with one exchange`,
    async ({ page, newPage, newDevice }) => {
      const other = await otherDevice(page, newDevice, { x: 1 });
      const tab = await newPage();
      for (const each of [page, tab]) {
        await setClock(each, 0);
        await each.evaluate(async () => {
          inPage.kept.session ??= await inPage.open();
          inPage.kept.prefs = await inPage.open("prefs");
        });
      }
      await setClock(page, days * day);
      await save(page, { x: 2, y: 1 });
      await page.evaluate(() => {
        inPage.kept.session.remove("y");
        inPage.kept.session.save({ y: 2 });
      });
      await setClock(page, 0);
      await save(page, { z: 1 });
      await tab.evaluate(() =>
        inPage.until(() => inPage.kept.session.get("z") === 1),
      );

      await now(page);
      assert.deepEqual(
        [(await state(page)).status, (await state(page)).unsent],
        ["idle", 0],
      );
      const all = { x: 2, y: 2, z: 1 };
      assert.deepEqual(await load(page), all);
      await now(other);
      assert.deepEqual(await load(other), all);
      assert.ok((await latest(page)) < hour);

      // From now on it is as if nothing had been, also in other sessions.
      await tab.evaluate(() =>
        inPage.until(() =>
          inPage
            .items()
            .every(
              ([key]) =>
                !(
                  Number(key.match(/\/(\d{13})-/)?.[1]) >
                  Date.now() + 3_600_000
                ),
            ),
        ),
      );
      for (const each of [page, tab]) {
        await each.evaluate(() => {
          inPage.kept.session.save({ after: 1 });
          inPage.kept.prefs.save({ theme: "dark" });
        });
        assert.ok((await latest(page)) < hour);
      }
      await save(other, { x: 3 });
      await now(other);
      await now(page);
      assert.deepEqual(await load(page), { ...all, x: 3, after: 1 });
    },
  );
}

withServer(
  "while a clock is a year ahead, the session is exchanged all the same",
  async ({ page, newDevice }) => {
    const other = await otherDevice(page, newDevice, { x: 0 });
    await setClock(page, 365 * day);
    for (let i = 1; i <= 3; i++) {
      await save(page, { x: `page ${i}` });
      await now(page);
      await now(other);
      assert.deepEqual(await load(other), { x: `page ${i}` });
      await save(other, { x: `other ${i}` });
      await now(other);
      await now(page);
      assert.deepEqual(await load(page), { x: `other ${i}` });
      assert.equal((await state(page)).unsent, 0);
    }
  },
);

withServer(
  "what a clock that was ahead has cleared is cleared as of now",
  async ({ page, newDevice }) => {
    const other = await otherDevice(page, newDevice, { x: 1 });
    await setClock(page, 30 * day);
    await page.evaluate(() => inPage.kept.session.clear());
    await save(page, { y: 1 });
    await setClock(page, 0);
    await now(page);
    await now(other);
    assert.deepEqual(await load(other), { y: 1 });
    await save(other, { x: 2 });
    await now(other);
    await now(page);
    assert.deepEqual(await load(page), { x: 2, y: 1 });
  },
);

withServer(
  "what is stamped anew comes after what the server has, though that is not here any more",
  async ({ page, newDevice }) => {
    const other = await otherDevice(page, newDevice, { x: 0 });
    await setClock(page, 365 * day);
    await save(page, { x: "first" });
    await now(page);
    await page.evaluate(() => {
      // So many that they are compacted, and the first is superseded.
      const { session } = inPage.kept;
      for (let i = 0; i < 40; i++) session.save({ x: `again ${i}` });
    });
    await setClock(page, 0);
    await now(page);
    assert.deepEqual(await load(page), { x: "again 39" });
    await now(other);
    assert.deepEqual(await load(other), { x: "again 39" });
  },
);
