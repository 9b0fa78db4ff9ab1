// Servers that are silent.
import assert from "node:assert/strict";
import { load, now, save, state, sync, withServer } from "./synced.js";

/** @typedef {import("../harness/browser.js").Page} Page */

/** What a page waits for a server, in milliseconds. */
const patience = 30_000;

/**
 * Has the timers of a page that are for ten seconds and more run when the test
 * says so, and its sync ask kept.fetch.
 *
 * @param {Page} page
 */
async function driven(page) {
  await page.evaluate(() => {
    const { kept } = inPage;
    const { setTimeout, clearTimeout } = globalThis;
    /** @type {Map<number, { run: () => void, wait: number }>} */
    const timers = new Map();
    Object.assign(kept, { timers, waits: [], fetch: fetch.bind(globalThis) });
    const any = /** @type {any} */ (globalThis);
    let count = 1e9;
    any.setTimeout = (/** @type {() => void} */ run, wait = 0) => {
      if (wait < 10_000) return setTimeout(run, wait);
      kept.waits.push(wait);
      timers.set(++count, { run, wait });
      return count;
    };
    any.clearTimeout = (/** @type {number} */ id) => {
      if (!timers.delete(id)) clearTimeout(id);
    };
    kept.run = (/** @type {number} */ longest) => {
      for (const [id, { run, wait }] of timers) {
        if (wait > longest) continue;
        timers.delete(id);
        run();
      }
    };
    // What ignores the signal.
    kept.silent = () => new Promise(() => {});
  });
  await page.evaluate(async () => {
    const { kept } = inPage;
    kept.session = await inPage.open();
    kept.sync = await kept.session.sync("/sessions/", {
      ...inPage.onRequest,
      fetch: async (/** @type {any} */ url, /** @type {any} */ init) => {
        kept.asked = (kept.asked ?? 0) + 1;
        kept.body = init.body ?? "";
        return kept.fetch(url, init);
      },
    });
    await kept.sync.now();
  });
}

/**
 * Begins an exchange, and waits until it asks the server.
 *
 * @param {Page} page
 */
const begin = (page) =>
  page.evaluate(async () => {
    const { kept } = inPage;
    Object.assign(kept, { asked: 0, waits: [] });
    kept.exchange = inPage.attempt(() => kept.sync.now());
    await inPage.until(() => kept.asked > 0);
  });

/**
 * Lets the time pass that a page waits, and returns the error that its exchange
 * came to.
 *
 * @param {Page} page
 */
const giveUp = (page) =>
  page.evaluate(async () => {
    inPage.kept.run(500_000);
    return (await inPage.kept.exchange).error;
  });

withServer(
  "a server that never answers holds no other tab and no other session for ever",
  async ({ page, newPage }) => {
    await driven(page);
    const tab = await newPage();
    await sync(tab);
    await save(page, { a: 1 });
    await page.evaluate(async () => {
      const { kept } = inPage;
      const prefs = await inPage.open("prefs");
      kept.prefs = await prefs.sync("/sessions/", inPage.onRequest);
      await kept.prefs.now();
      kept.fetch = kept.silent;
    });
    await begin(page);
    for (const each of [page, tab]) {
      await each.evaluate(() => {
        const { kept } = inPage;
        (kept.prefs ?? kept.sync).now().then(() => (kept.done = true));
      });
    }
    // Neither gets a turn while the page waits.
    const pending = await page.evaluate(async () => {
      let held = 0;
      await inPage.until(() => {
        navigator.locks.query().then(({ pending }) => {
          held = pending?.length ?? 0;
        });
        return held === 2;
      });
      return inPage.kept.done;
    });
    assert.equal(pending, undefined);

    const error = await giveUp(page);
    assert.deepEqual([error?.code, error?.isSessionError], ["sync", true]);
    assert.match(String(error?.message), /cannot be reached: .*not answer/);
    assert.equal((await state(page)).status, "offline");
    for (const each of [page, tab]) {
      await each.evaluate(() => inPage.until(() => inPage.kept.done));
    }
    await page.evaluate(() => {
      inPage.kept.fetch = fetch.bind(globalThis);
    });
    await now(page);
    await now(tab);
    assert.deepEqual(await load(tab), { a: 1 });
  },
);

withServer(
  "the time that is allowed grows with what is sent",
  async ({ page }) => {
    await driven(page);
    await save(page, { begin: 1 });
    await now(page); // it has an owner
    for (const size of [0, 1000, 200_000]) {
      if (size > 0) await save(page, { a: "x".repeat(size) });
      await page.evaluate(() => {
        inPage.kept.fetch = inPage.kept.silent;
      });
      await begin(page);
      const { waits, sent } = await page.evaluate(() => ({
        waits: inPage.kept.waits,
        sent: inPage.kept.body.length,
      }));
      assert.ok(size > 0 ? sent > size : sent === 0);
      assert.deepEqual(waits, [patience + sent / 4]);
      await giveUp(page);
      await page.evaluate(() => {
        inPage.kept.fetch = fetch.bind(globalThis);
      });
      await now(page);
    }
  },
);

withServer(
  "a body that goes silent in the middle is given up, one that goes on is not",
  async ({ page }) => {
    await driven(page);
    await save(page, { a: 1 });
    await now(page);
    await page.evaluate(() => {
      const { kept } = inPage;
      kept.fetch = async (/** @type {any} */ url, /** @type {any} */ init) => {
        const response = await fetch(url, init);
        const text =
          '{"format":1,"batches":[{"stamp":"1795373052123-0000-3f9a2c7e1b40","set":{"slow":1}}]}';
        const body = new ReadableStream({
          start: (controller) => {
            kept.send = (
              /** @type {number} */ from,
              /** @type {number} */ to,
            ) =>
              controller.enqueue(
                new TextEncoder().encode(text.slice(from, to)),
              );
            kept.end = () => controller.close();
          },
        });
        return new Response(body, { headers: response.headers });
      };
    });
    await begin(page);
    await page.evaluate(async () => {
      const { kept } = inPage;
      await inPage.until(() => kept.send);
      for (let i = 0; i < 5; i++) {
        const count = kept.waits.length;
        kept.send(i, i + 1);
        await inPage.until(() => kept.waits.length > count);
      }
    });
    const waits = await page.evaluate(() => inPage.kept.waits);
    assert.ok(waits.length > 5);
    assert.deepEqual([...new Set(waits)], [patience], "anew for each piece");
    const error = await giveUp(page);
    assert.deepEqual([error?.code, error?.isSessionError], ["sync", true]);
    assert.deepEqual(await load(page), { a: 1 });

    await page.evaluate(() => {
      inPage.kept.send = undefined;
    });
    await begin(page);
    const { slow, failed } = await page.evaluate(async () => {
      const { kept } = inPage;
      await inPage.until(() => kept.send);
      kept.send(0, 20);
      kept.send(20);
      kept.end();
      const { error } = await kept.exchange;
      return { slow: kept.session.get("slow"), failed: error };
    });
    assert.deepEqual([slow, failed], [1, undefined]);
  },
);
