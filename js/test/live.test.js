import assert from "node:assert/strict";
import { test } from "node:test";
import { browserName, engine, launchHiding } from "../harness/browser.js";
import { generator } from "../harness/in-page/random.js";
import { startSite } from "../harness/server.js";
import { startSessions } from "../harness/sessions-server.js";
import { long } from "./long.js";
import { hour, load, pair, save, setClock, withServer } from "./synced.js";

/** @typedef {import("../harness/browser.js").Page} Page */

/**
 * Opens a session and syncs it with default options. Of two pages, not every browser shows
 * both, so each says that it is shown.
 *
 * @param {Page} page
 * @param {any} [options]
 * @param {any} [openOptions]
 */
function sync(page, options = {}, openOptions = undefined) {
  return page.evaluate(
    async (options, openOptions) => {
      Object.defineProperty(document, "visibilityState", {
        ...{ value: "visible", configurable: true },
      });
      const session = await inPage.open("cart", openOptions);
      const sync = await session.sync("/sessions/", options);
      Object.assign(inPage.kept, { session, sync });
      await sync.now().catch(() => {});
    },
    options,
    openOptions,
  );
}

/**
 * Waits until a page is told of changes, or not any more.
 *
 * @param {Page} page
 * @param {boolean} [live]
 */
const isLive = (page, live = true) =>
  page.evaluate(
    (live) => inPage.until(() => inPage.kept.sync.state.live === live),
    live,
  );

/**
 * Waits until a page has a value.
 *
 * @param {Page} page
 * @param {string} key
 * @param {unknown} value
 */
const has = (page, key, value) =>
  page.evaluate(
    (key, value) => inPage.until(() => inPage.kept.session.get(key) === value),
    key,
    value,
  );

/**
 * Has all that a page waits for for a second and longer come 20 times as soon.
 *
 * @param {Page} page
 */
const hurry = (page) =>
  page.evaluate(() => {
    const { setTimeout } = globalThis;
    /** @type {any} */ (globalThis).setTimeout = (
      /** @type {any} */ f,
      wait = 0,
      /** @type {any[]} */ ...args
    ) => setTimeout(f, wait < 1000 ? wait : wait / 20, ...args);
  });

/**
 * Has a page say that it is hidden, or shown.
 *
 * @param {Page} page
 * @param {boolean} [hidden]
 */
const hide = (page, hidden = true) =>
  page.evaluate(
    (value) => {
      Object.defineProperty(document, "visibilityState", {
        ...{ value, configurable: true },
      });
      document.dispatchEvent(new Event("visibilitychange"));
    },
    hidden ? "hidden" : "visible",
  );

/**
 * Returns two pages on two devices of one owner.
 *
 * @param {any} visit
 * @returns {Promise<[Page, Page]>}
 */
async function two({ page, newDevice, forward }) {
  const other = await newDevice();
  for (const each of [page, other]) await sync(each);
  await save(page, { a: 1 });
  await pair(page, other);
  for (const each of [page, other]) await isLive(each);
  await has(other, "a", 1);
  await quiet(forward);
  return [page, other];
}

/**
 * Waits until no requests pass any more, and returns how many have.
 *
 * @param {any} forward
 */
async function quiet(forward) {
  let before = -1;
  while (before !== forward.passed.length) {
    before = forward.passed.length;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  forward.passed.length = 0;
  return before;
}

withServer("another device's save is told at once", async (visit) => {
  const [page, other] = await two(visit);
  const { forward } = visit;
  await other.evaluate(() => {
    inPage.kept.told = inPage.recordChanges(inPage.kept.session);
  });
  await save(page, { a: 2 });
  const told = await other.evaluate(async () => {
    const { told } = inPage.kept;
    await inPage.until(() => told.length > 0);
    return told;
  });
  assert.deepEqual(told, [
    { set: { a: 2 }, removed: [], cleared: false, remote: true },
  ]);
  await quiet(forward);
  await save(other, { b: 1 });
  await has(page, "b", 1);
  await quiet(forward);
  await save(page, { c: 1 });
  await has(other, "c", 1);
  // One sends it, and one fetches it. Nobody else asks.
  assert.equal(forward.passed.length, 2, JSON.stringify(forward.passed));
});

withServer("one tab of a browser has the socket", async (visit) => {
  const { page, newPage, forward } = visit;
  const [, other] = await two(visit);
  const tabs = [await newPage(), await newPage()];
  await sync(tabs[0]);
  await sync(tabs[1], {}, { storage: "session" });
  for (const tab of tabs) await isLive(tab);
  assert.equal(forward.sockets, 2, "one for each browser");
  await save(other, { b: 1 });
  for (const each of [page, ...tabs]) await has(each, "b", 1);
  // Another takes over.
  await page.close();
  await save(other, { c: 1 });
  for (const tab of tabs) await has(tab, "c", 1);
  await tabs[0].evaluate(() =>
    inPage.eventually(async () => {
      const { held = [] } = await navigator.locks.query();
      return held.some(({ name }) => name?.includes(" live "));
    }),
  );
  for (const tab of tabs) await isLive(tab);
  await save(other, { d: 1 });
  for (const tab of tabs) await has(tab, "d", 1);
});

withServer("of several tabs one fetches a change", async (visit) => {
  const { page, newPage, forward } = visit;
  const [, other] = await two(visit);
  const tabs = [await newPage(), await newPage(), await newPage()];
  for (const tab of tabs) await sync(tab);
  await hide(tabs[2]);
  for (const tab of tabs) await isLive(tab);
  for (let i = 1; i <= 3; i++) {
    await quiet(forward);
    await save(other, { b: i });
    for (const each of [page, ...tabs]) await has(each, "b", i);
    const asked = await quiet(forward);
    // One sends it, and one fetches it. A busy browser shows a tab what another has stored
    // only after its turn, so one more may fetch it, but not all four.
    assert.ok(asked <= 3, `there were ${asked} requests`);
  }
});

withServer("a tab follows another that joins", async (visit) => {
  const { page, newPage, newDevice } = visit;
  const other = await newDevice();
  for (const each of [page, other]) await sync(each);
  for (const each of [page, other]) await save(each, { mine: 1 });
  await isLive(page); // and it has the socket
  const tab = await newPage();
  await sync(tab);
  await pair(other, tab);
  await tab.close();
  await save(other, { b: 1 });
  await has(page, "b", 1);
  await isLive(page);
  await save(other, { b: 2 });
  await has(page, "b", 2);
});

withServer("a tab misses nothing while it begins", async (visit) => {
  const { newPage, forward } = visit;
  const [, other] = await two(visit);
  const tab = await newPage();
  // The answer to its first exchange is old when it comes.
  let isHeld = false;
  forward.meanwhile = async (/** @type {string} */ path) => {
    if (!path.includes("owner=") || path.includes("cursor=")) return;
    forward.meanwhile = undefined;
    isHeld = true;
    await save(other, { a: 2 });
    await other.evaluate(() => inPage.kept.sync.now());
  };
  await sync(tab, {}, { storage: "session" });
  await has(tab, "a", 2);
  assert.ok(isHeld);
});

withServer(
  "what a tab saves that does not sync is sent by one that does",
  async (visit) => {
    const [page, other] = await two(visit);
    const tab = await visit.newPage();
    for (const each of [page, tab]) await hurry(each);
    await tab.evaluate(async () => {
      (await inPage.open("cart")).save({ alone: 1 });
    });
    await has(other, "alone", 1);
  },
);

withServer(
  "after an outage, a page asks as soon as it is live",
  async (visit) => {
    const [page, other] = await two(visit);
    const { forward } = visit;
    // After so many failures, the next try would come after minutes.
    forward.passes = "nothing";
    forward.cut();
    await other.evaluate(async () => {
      for (let i = 0; i < 9; i++) {
        await inPage.attempt(() => inPage.kept.sync.now());
      }
    });
    forward.passes = "both";
    await save(page, { a: 2 });
    await page.evaluate(() => inPage.kept.sync.now());
    await other.evaluate(() => dispatchEvent(new Event("pageshow")));
    await isLive(other);
    await has(other, "a", 2);
  },
);

withServer("tabs that close leave no socket", async ({ page, forward }) => {
  await sync(page);
  await save(page, { a: 1 });
  await isLive(page);
  await page.evaluate(() => inPage.kept.sync.close());
  await page.evaluate(() => inPage.until(() => !inPage.kept.sync.state.live));
  await until(() => forward.sockets === 0);
});

withServer(
  "a page that has saved nothing is told once it has paired",
  async (visit) => {
    const { page, newDevice } = visit;
    await sync(page);
    const other = await newDevice();
    await sync(other);
    await pair(page, other);
    for (const each of [page, other]) await isLive(each);
    await save(other, { a: 1 });
    await has(page, "a", 1);
  },
);

withServer("without the Web Locks API each tab has its own", async (visit) => {
  const { page, newPage, forward } = visit;
  const tab = await newPage();
  for (const each of [page, tab]) {
    await each.evaluate(() =>
      Object.defineProperty(navigator, "locks", { value: undefined }),
    );
    await sync(each);
    await save(each, { a: 1 });
    await each.evaluate(() => inPage.kept.sync.now());
    await isLive(each);
  }
  await until(() => forward.sockets === 2);
});

withServer("a page may ask at intervals instead", async (visit) => {
  const { page, newDevice, forward } = visit;
  const other = await newDevice();
  await sync(page);
  await sync(other, { live: false, interval: 0.1 });
  await save(page, { a: 1 });
  await pair(page, other);
  await isLive(page);
  await save(page, { a: 2 });
  await has(other, "a", 2);
  assert.equal(forward.sockets, 1);
  const live = await other.evaluate(() => inPage.kept.sync.state.live);
  assert.equal(live, false);
});

withServer("where no WebSocket passes, pages ask", async (visit) => {
  const { page, newDevice, forward } = visit;
  forward.refuses = true;
  const other = await newDevice();
  for (const each of [page, other]) await hurry(each);
  await sync(page);
  await sync(other);
  await save(page, { a: 1 });
  await pair(page, other);
  await save(page, { a: 2 });
  await has(other, "a", 2);
  await until(() => visit.site.requests("/sessions/live") > 4);
  assert.equal(forward.sockets, 0);
  for (const each of [page, other]) await isLive(each, false);
  forward.refuses = false;
  for (const each of [page, other]) await isLive(each);
});

withServer(
  "what is missed while the socket is gone is fetched",
  async (visit) => {
    const [page, other] = await two(visit);
    const { forward } = visit;
    await hurry(other);
    forward.messages = () => [];
    await page.evaluate(() => inPage.kept.sync.close());
    await page.evaluate(async () => {
      const { session } = inPage.kept;
      session.save({ a: 3 });
      inPage.kept.sync = await session.sync("/sessions/", inPage.onRequest);
      await inPage.kept.sync.now();
    });
    forward.messages = (/** @type {string} */ text) => [text];
    assert.equal((await load(other)).a, 1, "the message was lost");
    forward.cut();
    await has(other, "a", 3);
    await isLive(other);
  },
);

withServer(
  "a message that comes twice, late or broken does no harm",
  async (visit) => {
    const [page, other] = await two(visit);
    const { forward } = visit;
    /** @type {string[]} */
    const late = [];
    forward.messages = (/** @type {string} */ text) => {
      late.push(text);
      const broken = ["", "x", "null", "[]", '{"session":1}', '{"cursor":5}'];
      return late.length % 2 ? [...broken, text, text] : [late[0], text];
    };
    for (let i = 0; i < 6; i++) {
      await save(page, { [i]: i });
      await has(other, String(i), i);
    }
    assert.deepEqual(await load(other), await load(page));
  },
);

withServer("a socket whose server is silent is given up", async (visit) => {
  const [page, other] = await two(visit);
  const { forward } = visit;
  await hurry(other);
  const before = visit.site.requests("/sessions/live");
  forward.messages = () => new Promise(() => {});
  await save(page, { a: 2 });
  await other.evaluate(() => dispatchEvent(new Event("online")));
  await until(() => visit.site.requests("/sessions/live") > before);
  await has(other, "a", 2);
});

withServer("a page that hears much is heard of, too", async (visit) => {
  const { page, newDevice, forward } = visit;
  const other = await newDevice();
  await hurry(other); // from the first ping on
  await sync(page);
  await sync(other);
  await save(page, { a: 1 });
  await pair(page, other);
  for (const each of [page, other]) await isLive(each);
  await page.evaluate(() => {
    const { session } = inPage.kept;
    inPage.kept.saving = setInterval(() => session.save({ a: Math.random() }));
  });
  const before = forward.pings;
  await until(() => forward.pings >= before + 3);
  await page.evaluate(() => clearInterval(inPage.kept.saving));
});

withServer("a page that is hidden for a minute has none", async (visit) => {
  const [page, other] = await two(visit);
  const { forward } = visit;
  await hurry(other);
  await hide(other);
  await isLive(other, false);
  await until(() => forward.sockets === 1);
  await save(page, { a: 2 });
  await hide(other, false);
  await has(other, "a", 2);
  await isLive(other);
});

withServer("many changes at once are fetched together", async (visit) => {
  const [page, other] = await two(visit);
  const { forward } = visit;
  // Each is told twenty times, as by as many devices.
  forward.messages = (/** @type {string} */ text) => {
    const { session, cursor } = JSON.parse(text);
    const [copy, version] = cursor.split("-");
    return Array.from({ length: 20 }, (_, i) =>
      JSON.stringify({ session, cursor: `${copy}-${Number(version) + i}` }),
    );
  };
  await save(page, { a: 2 });
  await has(other, "a", 2);
  await quiet(forward);
  await save(page, { a: 3 });
  await has(other, "a", 3);
  const asked = await quiet(forward);
  assert.ok(asked < 10, `there were ${asked} requests`);
});

withServer("a change of the clock stops nothing", async (visit) => {
  const [page, other] = await two(visit);
  for (const ahead of [hour, -hour, 0]) {
    for (const each of [page, other]) await setClock(each, ahead);
    await save(page, { ahead });
    await has(other, "ahead", ahead);
  }
});

withServer("a page hears of its owner only", async (visit) => {
  const [page, other] = await two(visit);
  const { forward, newDevice } = visit;
  const [, { id }] = await page.evaluate(() => inPage.kept.sync.devices());
  await page.evaluate((id) => inPage.kept.sync.revoke(id), id);
  // It is told of that, too.
  await other.evaluate(() =>
    inPage.until(() => inPage.kept.session.get("a") === undefined),
  );
  await until(() => forward.sockets === 1);
  const third = await newDevice();
  await sync(third);
  await save(other, { mine: 1 });
  await pair(other, third);
  await isLive(third);
  await isLive(other);
  await save(third, { mine: 2 });
  await has(other, "mine", 2);
  assert.deepEqual(await load(page), { a: 1 });
});

withServer("what is left by an exchange is sent soon", async (visit) => {
  const { page, forward } = visit;
  await sync(page);
  await save(page, { a: 1 });
  await isLive(page);
  // A compaction makes one item of what is being sent and what is not.
  forward.meanwhile = async (/** @type {string} */ path) => {
    forward.meanwhile = undefined;
    if (!path.includes("cursor")) return;
    await page.evaluate(async () => {
      for (let i = 0; i < 40; i++) inPage.kept.session.save({ [i]: i });
      await inPage.until(() => inPage.kept.session.stats().items < 30);
    });
  };
  await save(page, { a: 2 });
  await page.evaluate(() =>
    inPage.until(() => inPage.kept.sync.state.unsent === 0),
  );
});

/** How often the server is killed. It is no matter for the browser. */
const kills = long && browserName === "chromium" ? 20 : 3;

withServer(
  "after a server was killed again and again, with messages lost, late and twice, all are equal",
  async (visit) => {
    const { page, newPage, newDevice, forward, server, t } = visit;
    if (!server.kill || !server.restart) {
      t.skip("this server cannot be killed");
      return;
    }
    const seed = Number(process.env.SEED || Date.now() % 1e6);
    t.diagnostic(`SEED=${seed}`);
    const random = generator(seed);
    const other = await newDevice();
    const third = await newDevice();
    const tabs = [page, other, await newPage(), third];
    for (const each of tabs) await hurry(each);
    await sync(page);
    await sync(other);
    await save(page, { begun: true });
    await pair(page, other);
    await sync(third);
    await pair(page, third);
    await sync(tabs[2]);
    for (const each of tabs) await isLive(each);
    forward.messages = async (/** @type {string} */ text) => {
      const fate = random();
      if (fate < 0.2) return [];
      if (fate < 0.5) await new Promise((done) => setTimeout(done, 300 * fate));
      return fate > 0.8 ? [text, text] : [text];
    };
    // Each page saves keys of its own, and one that all save.
    for (const [i, each] of tabs.entries()) {
      await each.evaluate((i) => {
        const { kept } = inPage;
        kept.count = 0;
        kept.saving = (async () => {
          while (!kept.enough) {
            const { session } = kept;
            session.save({
              [`page ${i}`]: ++kept.count,
              all: `${i} ${kept.count}`,
            });
            await new Promise((resolve) => setTimeout(resolve, 40));
          }
        })();
      }, i);
    }
    for (let kill = 0; kill < kills; kill++) {
      const before = forward.passed.length;
      await until(() => forward.passed.length > before + 2 + random() * 6);
      await server.kill();
      await new Promise((resolve) => setTimeout(resolve, random() * 200));
      await server.restart();
      // The tab with the socket goes, and comes back.
      if (kill % 3 === 1) {
        await tabs[kill % 2].evaluate(() => inPage.kept.sync.close());
        await tabs[kill % 2].evaluate(async () => {
          const { kept } = inPage;
          kept.sync = await kept.session.sync("/sessions/");
        });
      }
    }
    /** @type {Record<string, number>} */
    const counts = {};
    for (const [i, each] of tabs.entries()) {
      counts[`page ${i}`] = await each.evaluate(async () => {
        const { kept } = inPage;
        kept.enough = true;
        await kept.saving;
        return kept.count;
      });
    }
    forward.messages = (/** @type {string} */ text) => [text];
    forward.cut(); // as a later message would, of each session that was missed
    for (const each of tabs) {
      for (const [key, value] of Object.entries(counts)) {
        await has(each, key, value);
      }
      await each.evaluate(() =>
        inPage.until(() => inPage.kept.sync.state.unsent === 0),
      );
      await isLive(each);
    }
    const { all } = await load(page);
    for (const each of tabs) await has(each, "all", all);
  },
  300_000,
);

if (engine.freezes) {
  test("a frozen tab leaves the socket to others, and catches up", async (t) => {
    const site = await startSite();
    t.after(() => site.close());
    const server = await startSessions();
    t.after(() => server.close());
    const forward = site.forward("/sessions/", server.origin);
    const browser = await launchHiding();
    t.after(() => browser.close());
    const context = await browser.newContext();
    const newPage = async () => {
      const page = await context.newPage();
      await page.goto(site.url("/"));
      await page.evaluate(async () => {
        const session = await inPage.open("cart");
        const sync = await session.sync("/sessions/");
        Object.assign(inPage.kept, { session, sync });
      });
      return page;
    };
    const frozen = await newPage();
    await save(frozen, { a: 1 });
    await isLive(frozen);
    await quiet(forward); // one that is frozen as it exchanges lets no other do so
    await frozen.hide();
    await frozen.freeze(true);
    await until(() => forward.sockets === 0);
    const page = await newPage();
    await isLive(page);
    await save(page, { a: 2 });
    await page.evaluate(() =>
      inPage.until(() => inPage.kept.sync.state.unsent === 0),
    );
    await frozen.freeze(false);
    await has(frozen, "a", 2);
    await isLive(frozen); // by the other's socket
    assert.equal(forward.sockets, 1);
  });
}

/**
 * Waits for a condition of this process.
 *
 * @param {() => unknown} condition
 */
async function until(condition) {
  const end = Date.now() + 20_000;
  while (!condition()) {
    assert.ok(Date.now() < end, `waited in vain for ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
