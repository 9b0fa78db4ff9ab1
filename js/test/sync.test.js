import assert from "node:assert/strict";
import { inBrowser } from "./in-browser.js";
import { serverName, startSessions } from "../harness/sessions-server.js";
import {
  day,
  load,
  minute,
  now,
  otherDevice,
  pair,
  save,
  setClock,
  state,
  sync,
  withServer,
} from "./synced.js";

/** @typedef {import("../harness/browser.js").Page} Page */

/**
 * Saves, and tries to exchange that while nothing passes.
 *
 * @param {Page} page
 * @param {import("../harness/server.js").Forward} forward
 */
async function saveOffline(page, forward) {
  forward.passes = "nothing";
  await page.evaluate(async () => {
    inPage.kept.session.save({ a: 1 });
    await inPage.kept.sync.now().catch(() => {});
  });
  forward.passes = "both";
}

withServer(
  "what one device saves, removes and clears arrives on the other",
  async ({ page, newDevice }) => {
    const other = await newDevice();
    await sync(page);
    await save(page, { a: 1, b: { c: ["é", null] } });
    await sync(other);
    await save(other, { d: 1 });
    await pair(page, other);
    await now(page);
    const all = { a: 1, b: { c: ["é", null] }, d: 1 };
    assert.deepEqual([await load(page), await load(other)], [all, all]);

    const changes = other.evaluate(
      () =>
        new Promise((resolve) => {
          inPage.kept.session.subscribe(resolve);
          inPage.kept.sync.now();
        }),
    );
    await page.evaluate(() => inPage.kept.session.remove("a"));
    await save(page, { b: 2 });
    await now(page);
    await now(other);
    assert.deepEqual(await load(other), { b: 2, d: 1 });
    await changes;

    await other.evaluate(() => inPage.kept.session.clear());
    await save(other, { e: 1 });
    await now(other);
    await now(page);
    assert.deepEqual(
      [await load(page), await load(other)],
      [{ e: 1 }, { e: 1 }],
    );
  },
);

withServer(
  "a subscriber is told of what another device did",
  async ({ page, newDevice }) => {
    const other = await otherDevice(page, newDevice, { a: 1, b: 1 });
    await other.evaluate(() => {
      inPage.kept.changes = inPage.recordChanges(inPage.kept.session);
    });
    await save(page, { a: 2 });
    await page.evaluate(() => inPage.kept.session.remove("b"));
    await now(page);
    const changes = await other.evaluate(async () => {
      await inPage.kept.sync.now();
      await inPage.until(() => inPage.kept.changes.length > 0);
      return inPage.kept.changes;
    });
    assert.deepEqual(changes, [
      { set: { a: 2 }, removed: ["b"], cleared: false, remote: true },
    ]);
  },
);

withServer(
  "who is told of a clearing is told of all that is left",
  async ({ page, newDevice }) => {
    const other = await otherDevice(page, newDevice, { old: 1, also: 1 });
    await now(page);
    await page.evaluate(() => inPage.kept.session.clear());
    await setClock(other, minute);
    await save(other, { cart: 1, also: 2 });
    await other.evaluate(() => {
      inPage.kept.changes = inPage.recordChanges(inPage.kept.session);
    });
    await now(page);
    const changes = await other.evaluate(async () => {
      await inPage.kept.sync.now();
      await inPage.until(() => inPage.kept.changes.length > 0);
      return inPage.kept.changes;
    });
    assert.deepEqual(changes, [
      {
        ...{ set: { cart: 1, also: 2 }, removed: ["old"] },
        ...{ cleared: true, remote: true },
      },
    ]);
    assert.deepEqual(await load(other), { cart: 1, also: 2 });
  },
);

withServer(
  "devices that were offline end up equal, and nothing is lost",
  async ({ page, newDevice, forward }) => {
    const other = await otherDevice(page, newDevice, { shared: 0 });

    forward.passes = "nothing";
    await save(page, { shared: "page", page: 1 });
    await save(other, { shared: "other", other: 1 });
    await page.evaluate(() => inPage.kept.sync.now().catch(() => {}));
    const { status, unsent } = await state(page);
    assert.deepEqual({ status, unsent }, { status: "offline", unsent: 2 });

    forward.passes = "both";
    await now(page);
    await now(other);
    await now(page);
    // The later one, whichever clock says so.
    const all = { shared: "other", page: 1, other: 1 };
    assert.deepEqual([await load(page), await load(other)], [all, all]);
    assert.deepEqual(
      [(await state(page)).status, (await state(page)).unsent],
      ["idle", 0],
    );
  },
);

withServer(
  "of devices whose clocks disagree, the one that saw the other's save wins",
  async ({ page, newDevice }) => {
    const other = await newDevice();
    await other.evaluate(() => {
      const { now } = Date;
      Date.now = () => now() + 60 * 60 * 1000;
    });
    await sync(page);
    await sync(other);
    await save(other, { a: "ahead" });
    await now(other);
    await pair(other, page);
    assert.deepEqual(await load(page), { a: "ahead" });
    await save(page, { a: "after" });
    await now(page);
    await now(other);
    assert.deepEqual(
      [await load(page), await load(other)],
      [{ a: "after" }, { a: "after" }],
    );
  },
);

withServer(
  "what has arrived is not sent again, what may not have is",
  async ({ page, forward }) => {
    await sync(page);
    await save(page, { begin: 1 });
    await now(page); // it has an owner
    forward.passed.length = 0;
    await save(page, { a: 1 });
    await now(page);
    await now(page);
    await save(page, { b: 1 });
    forward.passes = "requests";
    await page.evaluate(() => inPage.kept.sync.now().catch(() => {}));
    forward.passes = "both";
    await now(page);
    await now(page);
    const sent = forward.passed.map(({ body }) =>
      body === ""
        ? []
        : JSON.parse(body).flatMap((/** @type {any} */ item) =>
            Object.keys(item.batches[0].set),
          ),
    );
    // Browsers themselves may repeat a request whose answer is lost.
    assert.deepEqual(
      sent.filter((keys, i) => i < 2 || String(keys) !== String(sent[i - 1])),
      [["a"], [], ["b"], []],
    );
    assert.ok(sent.length > 4);
    assert.equal((await state(page)).unsent, 0);
  },
);

withServer(
  "a new tab goes on where the last one was",
  async ({ page, newPage, forward }) => {
    await sync(page);
    await save(page, { a: 1 });
    await now(page);
    await save(page, { b: 1 });
    await page.evaluate(() => inPage.kept.sync.close());
    forward.passed.length = 0;
    const other = await newPage();
    await sync(other);
    const [first, ...more] = forward.passed;
    assert.match(first.path, /&cursor=[0-9a-f]+-\d+&/);
    assert.deepEqual(JSON.parse(first.body)[0].batches[0].set, { b: 1 });
    assert.deepEqual(
      more.map(({ body }) => body),
      more.map(() => ""),
    );
  },
);

withServer(
  "tabs that sync at once lose nothing",
  async ({ page, newPage, newDevice }) => {
    await sync(page);
    await save(page, { begin: 1 });
    await now(page);
    const tabs = [page, await newPage(), await newPage()];
    for (const tab of tabs.slice(1)) await sync(tab);
    await Promise.all(
      tabs.map((tab, i) =>
        tab.evaluate(async (i) => {
          for (let n = 0; n < 30; n++) {
            inPage.kept.session.save({ [`${i} ${n}`]: n, [`last of ${i}`]: n });
            await inPage.kept.sync.now();
          }
        }, i),
      ),
    );
    const other = await newDevice();
    await sync(other);
    await pair(page, other);
    const loaded = await load(other);
    assert.deepEqual(loaded, await load(page));
    assert.equal(Object.keys(loaded).length, 1 + 3 * 31);
  },
);

withServer(
  "saves are sent soon, those made together in one request",
  async ({ page, forward }) => {
    await sync(page, { delay: 0.05 });
    await save(page, { begin: 1 });
    await now(page); // it has an owner
    forward.passed.length = 0;
    await page.evaluate(async () => {
      for (let i = 0; i < 20; i++) inPage.kept.session.save({ [i]: i });
      await inPage.until(() => {
        const { status, unsent } = inPage.kept.sync.state;
        return status === "idle" && unsent === 0;
      });
    });
    // A compaction meanwhile may have them sent again.
    const [{ body }] = forward.passed;
    for (let i = 0; i < 20; i++) assert.ok(body.includes(`"${i}":${i}`), body);
  },
);

withServer(
  "changes of another device arrive by themselves",
  async ({ page, newDevice }) => {
    const other = await newDevice();
    await sync(page);
    await sync(other, { interval: 0.1 });
    await save(page, { a: 1 });
    await pair(page, other);
    await save(page, { a: 2 });
    await now(page);
    await other.evaluate(() =>
      inPage.until(() => inPage.kept.session.get("a") === 2),
    );
  },
);

withServer(
  "what is saved as a page goes is on the server",
  async ({ page, newDevice, site }) => {
    const other = await otherDevice(page, newDevice, { a: 1 });
    await save(page, { a: 2 });
    await page.goto(site.url("/?next"));
    await other.evaluate(() =>
      inPage.eventually(async () => {
        await inPage.kept.sync.now();
        return inPage.kept.session.get("a") === 2;
      }),
    );
  },
);

withServer(
  "a page that is online again tries at once",
  async ({ page, forward }) => {
    await sync(page);
    await saveOffline(page, forward);
    await page.evaluate(async () => {
      dispatchEvent(new Event("online"));
      await inPage.until(() => inPage.kept.sync.state.unsent === 0);
    });
  },
);

withServer("it tries again by itself", async ({ page, forward }) => {
  await sync(page);
  await saveOffline(page, forward);
  await page.evaluate(() =>
    inPage.until(() => inPage.kept.sync.state.status === "idle"),
  );
  assert.equal((await state(page)).unsent, 0);
});

withServer("subscribers are told of the state", async ({ page, forward }) => {
  await sync(page, { delay: 0.05 });
  // The answer waits, or it could be told of before the exchange is.
  let answer = () => {};
  const held = new Promise((resolve) => (answer = () => resolve(undefined)));
  forward.meanwhile = () => held;
  await page.evaluate(async () => {
    const { session, sync } = inPage.kept;
    /** @type {string[]} */
    const told = (inPage.kept.told = []);
    inPage.kept.unsubscribe = sync.subscribe(
      (/** @type {any} */ { status, unsent }) =>
        told.push(`${status} ${unsent}`),
    );
    session.save({ a: 1, b: 1 });
    await inPage.until(() => told.at(-1) === "syncing 2");
  });
  answer();
  const told = await page.evaluate(async () => {
    const { session, sync, told, unsubscribe } = inPage.kept;
    await inPage.until(() => told.at(-1) === "idle 0");
    unsubscribe();
    session.save({ a: 2 });
    await inPage.until(() => sync.state.unsent === 0);
    return told;
  });
  assert.deepEqual(told, ["syncing 2", "idle 0"]);
  assert.ok(forward.passed.length > 0);
});

withServer(
  "a session that is kept in memory is synced",
  async ({ page, newDevice }) => {
    await sync(page, {}, { storage: "memory" });
    await save(page, { a: 1 });
    const other = await newDevice();
    await sync(other, {}, { storage: "memory" });
    await pair(page, other);
    assert.deepEqual(await load(other), { a: 1 });
    assert.deepEqual(await page.evaluate(() => inPage.items()), []);
  },
);

withServer(
  "damaged items are left alone, and stop nothing",
  async ({ page, newDevice }) => {
    await page.evaluate(() => {
      localStorage.setItem(`cart/${inPage.stamp(1)}`, "{");
      localStorage.setItem(`cart/${inPage.stamp(2)}`, '{"format":2}');
      localStorage.setItem("cart/somebody's", "secret");
      localStorage.setItem(
        `cart/${inPage.stamp(3)}`,
        `{"format":1,"batches":[{"stamp":"${inPage.stamp(3)}","set":{"":1}}]}`,
      );
    });
    await sync(page);
    await save(page, { a: 1 });
    const other = await newDevice();
    await sync(other);
    await pair(page, other);
    assert.deepEqual(await load(other), { a: 1 });
    assert.equal(
      await page.evaluate(() => inPage.kept.session.stats().corrupt),
      4,
    );
  },
);

withServer(
  "a storage that somebody cleared is filled again",
  async ({ page }) => {
    await sync(page);
    await save(page, { a: 1 });
    await now(page);
    await page.evaluate(() => localStorage.clear());
    await now(page);
    assert.deepEqual(await load(page), { a: 1 });
  },
);

withServer(
  "a server that has lost everything gets it again",
  async ({ page, forward }) => {
    await sync(page);
    await save(page, { a: 1 });
    await now(page);
    const another = await startSessions();
    try {
      forward.origin = another.origin;
      await now(page);
      forward.passed.length = 0;
      await now(page);
      assert.deepEqual(
        forward.passed.map(({ body }) => body),
        [""],
      );
      assert.equal((await state(page)).unsent, 0);
    } finally {
      await another.close();
    }
  },
);

if (serverName === "native") {
  withServer(
    "what was on the server is there after it was killed",
    async ({ page, newDevice, server }) => {
      await sync(page);
      for (let i = 0; i < 5; i++) {
        await save(page, { [i]: i, last: i });
        const syncing = page.evaluate(() =>
          inPage.kept.sync.now().catch(() => {}),
        );
        if (i % 2 === 1) {
          await server.kill?.();
          await server.restart?.();
        }
        await syncing;
      }
      await now(page);
      const other = await newDevice();
      await sync(other);
      await pair(page, other);
      assert.deepEqual(await load(other), await load(page));
    },
  );
}

withServer("a browser that keeps no cookies is told so", async ({ page }) => {
  await sync(page, {});
  await page.evaluate(async () => {
    const { session, sync } = inPage.kept;
    sync.close();
    inPage.kept.sync = await session.sync("/sessions/", {
      ...inPage.onRequest,
      fetch: (/** @type {any} */ url, /** @type {any} */ init) =>
        fetch(url, { ...init, credentials: "omit" }),
    });
    session.save({ a: 1 });
    for (let i = 0; i < 3; i++) await inPage.kept.sync.now().catch(() => {});
  });
  const { status, code, message } = await state(page);
  assert.deepEqual([status, code], ["error", "sync"]);
  assert.match(String(message), /cookies/);
  assert.deepEqual(await load(page), { a: 1 });
});

withServer("a code is good for one device", async ({ page, newDevice }) => {
  await sync(page);
  await save(page, { a: 1 });
  const other = await newDevice();
  await sync(other);
  // By this clock, the code would be no good for days.
  await setClock(page, day);
  const { code, expiresIn } = await page.evaluate(() =>
    inPage.kept.sync.pair(),
  );
  await setClock(page, 0);
  assert.match(code, /^[0-9A-Z]{4}(-[0-9A-Z]{4}){3}$/);
  assert.ok(expiresIn > 300 && expiresIn <= 600, `${expiresIn} seconds`);
  await other.evaluate(
    (code) => inPage.kept.sync.join(` ${code.toLowerCase()} `),
    code,
  );
  for (const bad of [code, "", "0000-0000-0000-0000"]) {
    const { error } = await other.evaluate(
      (bad) => inPage.attempt(() => inPage.kept.sync.join(bad)),
      bad,
    );
    assert.equal(error?.code, "sync");
    assert.equal(error?.reason, "pairing");
    assert.match(String(error?.message), /^session "cart": sync: .* 410: /);
  }
});

withServer(
  "an error has the code of the server's answer as its reason",
  async ({ page }) => {
    await sync(page);
    await save(page, { ["k".repeat(16_385)]: 1 });
    const { error, state } = await page.evaluate(async () => {
      const { kept } = inPage;
      const { error } = await inPage.attempt(() => kept.sync.now());
      return { error, state: kept.sync.state.error.reason };
    });
    assert.deepEqual([error?.code, error?.reason], ["sync", "quota"]);
    assert.equal(state, "quota");
  },
);

inBrowser(
  "a server of files is told from one that refuses",
  async ({ page }) => {
    await sync(page);
    const { error } = await page.evaluate(() =>
      inPage.attempt(() => inPage.kept.sync.now()),
    );
    assert.match(String(error?.message), /the server answers 404/);
    assert.equal(error?.reason, "no-server");
  },
);

withServer(
  "a device has joined though the exchange after that fails",
  async ({ page, newDevice }) => {
    await sync(page);
    await save(page, { a: 1 });
    const other = await newDevice();
    await sync(other);
    const { code } = await page.evaluate(() => inPage.kept.sync.pair());
    const { error, status } = await other.evaluate(async (code) => {
      const { session } = inPage.kept;
      let joined = false;
      const sync = await session.sync("/sessions/", {
        ...inPage.onRequest,
        fetch: async (/** @type {any} */ url, /** @type {any} */ init) => {
          if (joined) throw new TypeError("no network");
          joined = url.pathname.endsWith("/join");
          return fetch(url, init);
        },
      });
      const { error } = await inPage.attempt(() => sync.join(code));
      sync.close();
      return { error, status: sync.state.status };
    }, code);
    assert.deepEqual([error, status], [undefined, "offline"]);
    await sync(other);
    assert.deepEqual(await load(other), { a: 1 });
  },
);

inBrowser("what is no server for sessions is an error", async ({ page }) => {
  await sync(page);
  await save(page, { a: 1 });
  const { status, unsent, code, message } = await state(page);
  assert.deepEqual([status, unsent, code], ["error", 1, "sync"]);
  assert.match(
    String(message),
    /^session "cart": sync: the server answers 404/,
  );
});

inBrowser("what sync is given is checked", async ({ page }) => {
  const errors = await page.evaluate(async () => {
    const session = await inPage.open();
    /** @type {any[][]} */
    const calls = [
      [],
      [1],
      ["http://"],
      ["/", null],
      ["/", { delay: -1 }],
      ["/", { interval: 0 }],
      ["/", { fetch: 1 }],
      ["/", { often: true }],
    ];
    const errors = [];
    for (const call of calls) {
      const { error } = await inPage.attempt(() =>
        session.sync(.../** @type {[any]} */ (call)),
      );
      errors.push(`${error?.code}: ${error?.message}`);
    }
    session.close();
    const { error } = await inPage.attempt(() => session.sync("/"));
    return [...errors, `${error?.code}: ${error?.message}`];
  });
  assert.deepEqual(errors, [
    'config: session "cart": sync: the server is undefined: give its URL',
    'config: session "cart": sync: the server is 1: give its URL',
    'config: session "cart": sync: the server is "http://": give its URL',
    'config: session "cart": sync: the options are null: give a plain object',
    'config: session "cart": sync: the option delay is -1: give a number of seconds, 0 or more, or Infinity for never',
    'config: session "cart": sync: the option interval is 0: give a positive number of seconds, or Infinity for never',
    'config: session "cart": sync: the option fetch is 1: give a function like fetch',
    'config: session "cart": sync: there is no option "often": those are delay, interval, live, fetch',
    'closed: session "cart": sync: the session is closed: open it again',
  ]);
});

withServer("a closed session is not synced", async ({ page, forward }) => {
  await sync(page, { delay: 0 });
  forward.passed.length = 0;
  const { error } = await page.evaluate(async () => {
    const { session, sync } = inPage.kept;
    session.close();
    session.save({ a: 1 });
    dispatchEvent(new Event("online"));
    const { error } = await inPage.attempt(() => sync.now());
    // One that is open does after that what the other would have done before.
    const open = await inPage.open("open");
    const after = await open.sync("/sessions/", { delay: 0 });
    open.save({ a: 1 });
    await inPage.until(() => after.state.unsent === 0);
    return { error };
  });
  assert.equal(
    error?.message,
    'session "cart": sync: the sync is closed: call session.sync again',
  );
  assert.ok(forward.passed.length > 0);
  assert.deepEqual(
    forward.passed.filter(({ path }) => !path.includes("session=open")),
    [],
  );
});
