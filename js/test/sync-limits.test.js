// What is too much, for a server or for one request.
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

/** @param {Page} page */
const nextTask = (page) => page.evaluate(() => inPage.nextTask());

/**
 * Exchanges, and returns the error that it came to and that the state has.
 *
 * @param {Page} page
 */
const refusal = (page) =>
  page.evaluate(async () => {
    const { sync } = inPage.kept;
    const { error } = await inPage.attempt(() => sync.now());
    const { status } = sync.state;
    return { ...error, status, same: sync.state.error?.key === error?.key };
  });

withServer(
  "a value that is too large stops nothing else, and is said",
  async ({ page, newDevice, forward }) => {
    const other = await otherDevice(page, newDevice, { x: 1 });
    await page.evaluate(() => {
      const { session } = inPage.kept;
      session.save({ photo: "x".repeat(1_100_000), caption: "mine" });
      session.save({ small: 1 });
    });
    await save(other, { "from the other": 1 });
    await now(other);
    const { status, code, key, message, isSessionError, same } =
      await refusal(page);
    assert.deepEqual(
      { status, code, key, isSessionError, same },
      {
        ...{ status: "error", code: "sync", key: "photo" },
        ...{ isSessionError: true, same: true },
      },
    );
    assert.match(
      String(message),
      /^session "cart": sync: the server has no room for the key "photo", which takes 1100007 characters: the server answers 413: /,
    );
    assert.equal((await load(page))["from the other"], 1);
    assert.equal((await state(page)).unsent, 2);
    await now(other);
    const rest = { x: 1, small: 1, "from the other": 1 };
    assert.deepEqual(await load(other), rest);

    // It is not sent again by itself, and the rest goes on.
    await page.evaluate(async () => {
      // Of two pages, not every browser shows both.
      Object.defineProperty(document, "visibilityState", {
        ...{ value: "visible", configurable: true },
      });
      const { session, sync } = inPage.kept;
      const before = sync;
      inPage.kept.sync = await session.sync("/sessions/", {
        ...{ delay: 0.05, interval: 0.05 },
      });
      before.close();
      await inPage.until(() => inPage.kept.sync.state.error);
    });
    forward.passed.length = 0;
    await save(page, { small: 2 });
    const end = Date.now() + 20_000;
    while (forward.passed.length < 6) {
      assert.ok(Date.now() < end, "it is not synced any more");
      await nextTask(page);
    }
    // A hidden page makes no more exchanges, which would take the error away for
    // as long as they last.
    await page.evaluate(() =>
      Object.defineProperty(document, "visibilityState", { value: "hidden" }),
    );
    const said = await page.evaluate(async () => {
      let message = "";
      await inPage.until(() => {
        const { status, unsent, error } = inPage.kept.sync.state;
        message = String(error?.message);
        return status === "error" && unsent === 2;
      });
      return message;
    });
    assert.ok(
      forward.passed.every(({ body }) => body.length < 1000),
      `sent are ${forward.passed.map(({ body }) => body.length)}`,
    );
    assert.match(said, /"photo"/);

    await page.evaluate(async () => {
      inPage.kept.session.remove("photo");
      await inPage.until(() => inPage.kept.sync.state.status === "idle");
    });
    const { unsent, message: after } = await state(page);
    assert.deepEqual([unsent, after], [0, undefined]);
    await now(other);
    assert.deepEqual(await load(other), { ...rest, small: 2, caption: "mine" });
  },
);

withServer(
  "a page that goes sends what is new, but for what has no room there",
  async ({ page, newDevice, forward }) => {
    const other = await otherDevice(page, newDevice, { x: 1 });
    await save(page, { ["k".repeat(17_000)]: 1 }); // keys may have 16 KiB
    await page.evaluate(() => inPage.kept.sync.now().catch(() => {}));
    assert.equal((await state(page)).unsent, 1);
    forward.passed.length = 0;
    await save(page, { last: 1 });
    await page.evaluate(() => dispatchEvent(new Event("pagehide")));
    // Whichever exchange the server hears of first.
    await other.evaluate(() =>
      inPage.eventually(async () => {
        await inPage.kept.sync.now();
        return inPage.kept.session.get("last") === 1;
      }),
    );
    assert.ok(forward.passed.every(({ body }) => body.length < 1000));
  },
);

withServer(
  "of what was saved over and over, the last is sent",
  async ({ page, newDevice, forward }) => {
    const other = await otherDevice(page, newDevice, { x: 1 });
    forward.passes = "nothing";
    for (let i = 0; i < 15; i++) {
      await page.evaluate(async (i) => {
        const doc = `${i}${"x".repeat(150_000)}`;
        inPage.kept.session.save({ doc, n: i });
        await inPage.kept.sync.now().catch(() => {});
      }, i);
    }
    forward.passes = "both";
    forward.passed.length = 0;
    await now(page);
    const size = forward.passed.reduce((sum, { body }) => sum + body.length, 0);
    assert.ok(size < 310_000, `${size} bytes are sent`);
    assert.equal((await state(page)).unsent, 0);
    await now(other);
    const { doc, n } = await load(other);
    assert.deepEqual([n, doc.slice(0, 3), doc.length], [14, "14x", 150_002]);
  },
);

withServer(
  "of what is more than a server takes, as much arrives as fits",
  async ({ page, newDevice }) => {
    const other = await otherDevice(page, newDevice, { x: 1 });
    await page.evaluate(() => {
      for (let i = 0; i < 30; i++) {
        /** @type {Record<string, string>} */
        const batch = {};
        for (let n = 0; n < 10; n++) batch[`${i} ${n}`] = "x".repeat(10_000);
        inPage.kept.session.save(batch);
      }
    });
    await save(other, { "from the other": 1 });
    await now(other);
    const { status, code, key, message } = await refusal(page);
    assert.deepEqual([status, code], ["error", "sync"]);
    assert.match(String(key), /^\d+ \d$/);
    assert.match(String(message), /the server has no room for the key "/);
    assert.equal((await load(page))["from the other"], 1);
    await now(other);
    const arrived = Object.keys(await load(other)).length - 2;
    assert.ok(arrived >= 80 && arrived <= 110, `${arrived} entries arrived`);
    assert.equal(arrived % 10, 0, "whole batches only");
    assert.ok((await state(page)).unsent >= 300 - arrived);

    // What is cleared makes room.
    await page.evaluate(() => inPage.kept.session.clear());
    await save(page, { y: 1 });
    await now(page);
    await now(other);
    assert.deepEqual(await load(other), { y: 1 });
    assert.equal((await state(page)).status, "idle");
  },
);

withServer(
  "what is much is sent in parts, and goes on where it was broken off",
  async ({ page, newDevice, forward }) => {
    const other = await otherDevice(page, newDevice, { x: 1 });
    await page.evaluate(() => {
      for (let i = 0; i < 10; i++) {
        inPage.kept.session.save({ [i]: "x".repeat(90_000) });
      }
    });
    forward.passed.length = 0;
    forward.meanwhile = () => {
      if (forward.passed.length === 2) forward.passes = "nothing";
    };
    await page.evaluate(() => inPage.kept.sync.now().catch(() => {}));
    const left = (await state(page)).unsent;
    assert.ok(left > 0 && left < 10, `${left} are left`);
    Object.assign(forward, { passes: "both", meanwhile: undefined });
    forward.passed.length = 0;
    await now(page);
    assert.equal((await state(page)).unsent, 0);
    const sizes = forward.passed.map(({ body }) => body.length);
    assert.ok(
      sizes.every((size) => size < 300_000),
      `sent are ${sizes}`,
    );
    const sent = sizes.reduce((a, b) => a + b);
    assert.ok(sent < left * 91_000, `${sent} bytes for ${left} entries`);
    await now(other);
    assert.equal(Object.keys(await load(other)).length, 11);
  },
);

withServer(
  "a session that is full of what is on the server goes on",
  async ({ page, newDevice }) => {
    await sync(page);
    await page.evaluate(() =>
      inPage.kept.session.save({ a: "x".repeat(900_000) }),
    );
    await now(page);
    const other = await newDevice();
    await sync(other);
    await pair(page, other);
    await other.evaluate(() =>
      inPage.kept.session.save({ a: "y".repeat(900_000) }),
    );
    await now(other);
    await now(page);
    assert.match((await load(page)).a, /^y/);
  },
);
