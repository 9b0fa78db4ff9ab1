// What survives a kill of the browser, and what does not come back.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { launchKillable } from "../harness/killable.js";
import { startSite } from "../harness/server.js";
import { assertError } from "./assert-error.js";
import { inBrowser } from "./in-browser.js";
import { load, now, otherDevice, save, sync, withServer } from "./synced.js";

/** @typedef {import("../harness/browser.js").Page} Page */

/**
 * Declares a test in which a browser is killed, and started again on the same profile.
 *
 * @param {string} name
 * @param {(visit: () => Promise<Page>, kill: () => Promise<unknown>) => Promise<void>} body
 */
function withKills(name, body) {
  test(name, { timeout: 60_000 }, async () => {
    const profile = await mkdtemp(join(tmpdir(), "session-writer-"));
    const site = await startSite();
    let browser = await launchKillable(profile);
    const visit = async () => {
      const page = await browser.newPage();
      await page.goto(site.url("/"));
      return page;
    };
    try {
      await body(visit, async () => {
        await browser.kill();
        browser = await launchKillable(profile);
      });
    } finally {
      await browser.close();
      await site.close();
      await rm(profile, { recursive: true });
    }
  });
}

withKills("what was flushed survives a kill", async (visit, kill) => {
  const page = await visit();
  await page.evaluate(async () => {
    const session = await inPage.open("cart", { durable: true });
    session.save({ kept: 1, removed: 1, changed: 1 });
    session.remove("removed");
    for (let i = 0; i < 40; i++) session.save({ changed: i }); // compacts
    await session.flush();
  });
  await kill();
  const { loaded, stats, durable } = await (
    await visit()
  ).evaluate(async () => {
    const session = await inPage.open("cart", { durable: true });
    const { durable } = session;
    return { loaded: session.load(), stats: session.stats(), durable };
  });
  assert.deepEqual(loaded, { kept: 1, changed: 39 });
  assert.equal(stats.corrupt, 0);
  assert.equal(durable, "on");
});

withKills(
  "what was flushed without the option survives, and is told as a change of others",
  async (visit, kill) => {
    await (
      await visit()
    ).evaluate(async () => {
      const session = await inPage.open();
      session.save({ a: 1 });
      await session.flush({ strict: true });
      session.save({ b: 2 });
      await session.flush();
    });
    await kill();
    const changes = await (
      await visit()
    ).evaluate(async () => {
      const session = await inPage.open();
      const changes = inPage.recordChanges(session);
      await inPage.until(() => changes.length > 0);
      return changes;
    });
    assert.deepEqual(changes, [
      { set: { a: 1, b: 2 }, removed: [], cleared: false, remote: true },
    ]);
  },
);

inBrowser("somebody who clears localStorage means it", async (visit) => {
  const { page, newPage } = visit;
  const loaded = await page.evaluate(async () => {
    // As saved two hours ago, which the browser has written.
    const now = Date.now;
    Date.now = () => now() - 2 * 60 * 60_000;
    const session = await inPage.open("cart", { durable: true });
    session.save({ old: 1 });
    Date.now = now;
    // And of a page that has been there for a while, as its own clock says.
    const since = performance.now.bind(performance);
    performance.now = () => since() + 11 * 60_000;
    session.save({ young: 1 });
    await session.flush();
    localStorage.clear();
    return session.load();
  });
  assert.deepEqual(loaded, {});
  const other = await newPage();
  assert.deepEqual(
    await other.evaluate(async () =>
      (await inPage.open("cart", { durable: true })).load(),
    ),
    {},
  );
});

inBrowser(
  "open waits until what was lost is back, with either entry and with the option or not",
  async ({ page }) => {
    await page.evaluate(async () => {
      const session = await inPage.open("cart", { durable: true });
      session.save({ a: 1 });
      await session.flush();
    });
    for (const entry of /** @type {const} */ (["open", "openStreaming"])) {
      for (const options of [{}, { durable: true }]) {
        await page.evaluate(() => {
          for (const [key] of inPage.items()) {
            if (key.startsWith("cart/")) localStorage.removeItem(key);
          }
        });
        await page.reload();
        const loaded = await page.evaluate(
          async (entry, options) =>
            (await inPage[entry]("cart", options)).load(),
          entry,
          options,
        );
        assert.deepEqual(loaded, { a: 1 });
      }
    }
  },
);

inBrowser("what was lost is put back", async ({ page }) => {
  const { first, second } = await page.evaluate(async () => {
    const session = await inPage.open("cart", { durable: true });
    session.save({ a: 1 });
    session.save({ b: 1 });
    await session.flush();
    const [, [lost]] = inPage
      .items()
      .filter(([key]) => key.startsWith("cart/"));
    session.close();
    localStorage.removeItem(lost); // as a killed browser has lost it
    return { first: lost, second: inPage.items().length };
  });
  assert.ok(first.startsWith("cart/"));
  assert.equal(second, 2); // with the watermark
  await page.reload();
  const loaded = await page.evaluate(async () => {
    const session = await inPage.open("cart", { durable: true });
    return session.load();
  });
  assert.deepEqual(loaded, { a: 1, b: 1 });
});

inBrowser("without IndexedDB, saving goes on", async ({ page }) => {
  const { durable, loaded, flushed } = await page.evaluate(async () => {
    Object.defineProperty(window, "indexedDB", { value: undefined });
    const session = await inPage.open("cart", { durable: true });
    session.save({ a: 1 });
    const flushed = await inPage.attempt(() => session.flush());
    return { durable: session.durable, loaded: session.load(), flushed };
  });
  assert.equal(durable, "failed");
  assert.deepEqual(loaded, { a: 1 });
  assertError(flushed.error, { code: "disabled", says: "IndexedDB" });
});

inBrowser("a mirror that was deleted is made anew", async ({ page }) => {
  await page.evaluate(async () => {
    const session = await inPage.open("cart", { durable: true });
    session.save({ a: 1 });
    await session.flush();
    await new Promise((resolve) => {
      indexedDB.deleteDatabase("session-writer").onsuccess = resolve;
    });
    session.save({ b: 1 });
    await session.flush();
    const [[lost]] = inPage.items().filter(([key]) => key.startsWith("cart/"));
    localStorage.removeItem(lost);
  });
  await page.reload();
  const loaded = await page.evaluate(async () =>
    (await inPage.open("cart", { durable: true })).load(),
  );
  assert.deepEqual(loaded, { a: 1, b: 1 });
});

inBrowser("an option of flush that is none is refused", async ({ page }) => {
  const errors = await page.evaluate(async () => {
    const session = await inPage.open();
    const { flush } = /** @type {any} */ (session);
    return Promise.all(
      [{ strict: 1 }, { strictly: true }, true].map((options) =>
        inPage.attempt(() => flush(options)),
      ),
    );
  });
  assertError(errors[0].error, { code: "config", says: "strict" });
  assertError(errors[1].error, { code: "config", says: "strictly" });
  assertError(errors[2].error, { code: "config", says: "plain object" });
});

inBrowser("only what is in localStorage is made durable", async ({ page }) => {
  const { error, durable } = await page.evaluate(async () => {
    const session = await inPage.open("cart", { storage: "session" });
    const { error } = await inPage.attempt(() => session.flush());
    return { error, durable: session.durable };
  });
  assertError(error, { code: "config", says: "localStorage" });
  assert.equal(durable, "off");
});

inBrowser("a mirror has what localStorage has", async ({ page, newPage }) => {
  const other = await newPage();
  for (const tab of [page, other]) {
    await tab.evaluate(async () => {
      const session = await inPage.open("cart", { durable: true });
      for (let i = 0; i < 100; i++) {
        session.save({ [`key ${i % 7}`]: i });
        if (i % 10 === 0) session.remove(`key ${i % 3}`);
        await inPage.nextTask(); // for compactions
      }
      session.close();
      await session.flush();
    });
  }
  const { items, mirrored } = await page.evaluate(async () => {
    const session = await inPage.open("cart", { durable: true });
    await session.flush();
    return { items: inPage.items(), mirrored: await inPage.mirrored() };
  });
  assert.deepEqual(mirrored, items);
  assert.ok(items.length < 40, "it is compacted");
});

inBrowser(
  "what is removed is removed with what replaces it, in one transaction",
  async ({ page }) => {
    const transactions = await page.evaluate(async () => {
      /** @type {Map<IDBTransaction, { puts: number, deletes: number }>} */
      const counts = new Map();
      const prototype = /** @type {any} */ (IDBObjectStore.prototype);
      for (const method of /** @type {const} */ (["put", "delete"])) {
        const original = prototype[method];
        prototype[method] = function (/** @type {unknown[]} */ ...args) {
          const of = counts.get(this.transaction) ?? { puts: 0, deletes: 0 };
          of[`${method}s`]++;
          counts.set(this.transaction, of);
          return original.apply(this, args);
        };
      }
      const session = await inPage.open("cart", { durable: true });
      for (let i = 0; i < 70; i++) {
        session.save({ [`key ${i}`]: i }); // which all stay
        await inPage.nextTask();
      }
      session.close();
      await session.flush();
      return [...counts.values()];
    });
    const removing = transactions.filter(({ deletes }) => deletes > 0);
    assert.ok(removing.length > 0);
    for (const { puts, deletes } of removing) {
      assert.ok(puts > 0, `${deletes} items were removed, and ${puts} set`);
    }
  },
);

inBrowser("many saves make few transactions", async ({ page }) => {
  const { made, loaded } = await page.evaluate(async () => {
    const session = await inPage.open("cart", { durable: true });
    let made = 0;
    const original = IDBDatabase.prototype.transaction;
    IDBDatabase.prototype.transaction = function (
      /** @type {Parameters<typeof original>} */ ...args
    ) {
      made++;
      return original.apply(this, args);
    };
    for (let i = 0; i < 1000; i++) session.save({ a: i });
    await session.flush();
    return { made, loaded: session.load() };
  });
  assert.deepEqual(loaded, { a: 999 });
  assert.ok(made <= 3, `${made} transactions`);
});

inBrowser(
  "the sessions of a name have one mirror in a page, whenever they were opened",
  async ({ page, newPage }) => {
    const other = await newPage();
    await other.evaluate(async () => {
      inPage.kept.session = await inPage.open();
    });
    const { states, mirrored, items } = await page.evaluate(async () => {
      const before = await inPage.open();
      const session = await inPage.open();
      await session.flush();
      const after = await inPage.open();
      before.save({ before: 1 });
      after.save({ after: 1 });
      await session.flush();
      return {
        states: [before, session, after].map(({ durable }) => durable),
        mirrored: await inPage.mirrored(),
        items: inPage.items(),
      };
    });
    assert.deepEqual(states, ["on", "on", "on"]);
    assert.deepEqual(mirrored, items);
    // And the tab that was open before hears of it.
    await other.evaluate(async () => {
      const { session } = inPage.kept;
      await inPage.until(() => session.durable === "on");
      session.save({ other: 1 });
      await inPage.until(() => session.durable === "on");
    });
    const texts = await page.evaluate(async () =>
      String(await inPage.mirrored()),
    );
    assert.match(texts, /"other":1/);
  },
);

inBrowser(
  "after openSync, what was lost is told as a change of others",
  async ({ page }) => {
    await page.evaluate(async () => {
      const session = await inPage.open("cart", { durable: true });
      session.save({ a: 1 });
      await session.flush();
      for (const [key] of inPage.items()) {
        if (key.startsWith("cart/")) localStorage.removeItem(key);
      }
    });
    await page.reload();
    const { at, changes, loaded } = await page.evaluate(async () => {
      const { openSync } = await inPage.sessionWriter();
      const session = openSync("cart", { durable: true });
      const at = { loaded: session.load(), durable: session.durable };
      const changes = inPage.recordChanges(session);
      session.save({ b: 2 });
      await inPage.until(() => changes.length > 1);
      return { at, changes, loaded: session.load() };
    });
    assert.deepEqual(at, { loaded: {}, durable: "pending" });
    assert.deepEqual(changes.at(-1), {
      set: { a: 1 },
      removed: [],
      cleared: false,
      remote: true,
    });
    assert.deepEqual(loaded, { a: 1, b: 2 });
  },
);

/** @type {Record<string, { options?: object, end?: "remove" | "clear" | "forget" }>} */
const endings = {
  "was removed": { end: "remove" },
  "was cleared": { end: "clear" },
  "is over": { options: { maxAge: 60 } },
  "was forgotten": { end: "forget" },
};

for (const [what, { options = {}, end }] of Object.entries(endings)) {
  inBrowser(
    `what ${what} does not come back from a mirror that has missed it`,
    async ({ page }) => {
      const { remembered, loaded } = await page.evaluate(
        async (options, end) => {
          const durable = { ...options, durable: true };
          const session = await inPage.open("cart", durable);
          session.save({ a: 1 });
          await session.flush();
          const before = await inPage.mirrored();
          if (end === "remove") session.remove("a");
          else if (end) session[end]();
          // Days later nobody remembers why it is gone.
          const now = Date.now;
          for (const days of [3, 6]) {
            Date.now = () => now() + days * 24 * 60 * 60_000;
            session.load();
            // A tab that has slept compacts when it has heard of the others.
            Date.now = () => now() + days * 24 * 60 * 60_000 + 2 * 60_000;
            for (let i = 0; i < 40; i++) {
              session.save({ z: i });
              await inPage.nextTask(); // for compactions
            }
          }
          await session.flush();
          const remembered = String(inPage.items()).includes('"a"');
          await inPage.inMirror((items) => {
            for (const [key, text] of before) {
              if (key.startsWith("cart/"))
                items.put([key, text], ["cart", key]);
            }
          });
          session.close();
          const again = await inPage.open("cart", durable);
          return { remembered, loaded: again.load() };
        },
        options,
        end,
      );
      assert.ok(!remembered);
      assert.deepEqual(loaded, { z: 39 });
    },
  );
}

inBrowser(
  "somebody who clears localStorage while it is open means it",
  async ({ page, newPage }) => {
    const other = await newPage();
    for (const tab of [page, other]) {
      await tab.evaluate(async () => {
        const session = await inPage.open("cart", { durable: true });
        session.save({ a: 1 });
        await session.flush();
        inPage.kept.session = session;
      });
    }
    await page.evaluate(async () => {
      // In Chromium, what another tab has set is there after a clearing by a tab that had
      // not heard of it.
      await inPage.until(() => inPage.kept.session.stats().items === 2);
      localStorage.clear();
    });
    await other.evaluate(async () => {
      await inPage.until(() => !("a" in inPage.kept.session.load()));
    });
    const loaded = await page.evaluate(async () => {
      const { session } = inPage.kept;
      session.save({ b: 1 });
      await session.flush();
      return session.load();
    });
    assert.deepEqual(loaded, { b: 1 });
    await page.reload();
    assert.deepEqual(
      await page.evaluate(async () =>
        (await inPage.open("cart", { durable: true })).load(),
      ),
      { b: 1 },
    );
  },
);

inBrowser(
  "when one tab clears localStorage and saves, no other takes it for lost",
  async ({ page, newPage }) => {
    const other = await newPage();
    const begin = async () => {
      inPage.kept.session = await inPage.open("cart", { durable: true });
    };
    await page.evaluate(begin);
    await other.evaluate(begin);
    for (let i = 0; i < 10; i++) {
      await page.evaluate(async (i) => {
        const { session } = inPage.kept;
        session.save({ old: i });
        await session.flush();
        localStorage.clear();
        session.save({ new: i });
        await session.flush();
      }, i);
      const loaded = await other.evaluate(async (i) => {
        const { session } = inPage.kept;
        await inPage.until(() => session.get("new") === i);
        await session.flush();
        return session.load();
      }, i);
      assert.deepEqual(loaded, { new: i });
    }
  },
);

inBrowser("a page may clear localStorage and go", async ({ page }) => {
  await page.evaluate(async () => {
    const session = await inPage.open("cart", { durable: true });
    session.save({ secret: 1 });
    await session.flush();
    localStorage.clear();
  });
  await page.reload();
  assert.deepEqual(
    await page.evaluate(async () =>
      (await inPage.open("cart", { durable: true })).load(),
    ),
    {},
  );
});

inBrowser(
  "what is forgotten before what was lost is back does not come back",
  async ({ page }) => {
    await page.evaluate(async () => {
      inPage.kept.session = await inPage.open("cart", { durable: true });
      inPage.kept.session.save({ a: 1 });
      await inPage.kept.session.flush();
    });
    await lose(page, "localStorage");
    const loaded = await page.evaluate(async () => {
      const { openSync } = await inPage.sessionWriter();
      const session = openSync("cart", { durable: true });
      session.forget();
      session.save({ b: 1 });
      await session.flush();
      return session.load();
    });
    assert.deepEqual(loaded, { b: 1 });
  },
);

inBrowser(
  "what a page or another script calls real is none of our business",
  async ({ page }) => {
    const { loaded, wrapped } = await page.evaluate(async () => {
      localStorage.setItem("real", "x");
      const session = await inPage.open("cart", { durable: true });
      session.save({ a: 1 });
      await session.flush();
      const own = {
        real: localStorage,
        get length() {
          return this.real.length;
        },
        key: (/** @type {number} */ i) => {
          const key = localStorage.key(i);
          return key?.startsWith("own ") ? key.slice(4) : `not ours ${i}`;
        },
        getItem: (/** @type {string} */ key) =>
          localStorage.getItem(`own ${key}`),
        setItem: (/** @type {string} */ key, /** @type {string} */ text) =>
          localStorage.setItem(`own ${key}`, text),
        removeItem: (/** @type {string} */ key) =>
          localStorage.removeItem(`own ${key}`),
      };
      (await inPage.open("cart", { storage: own })).save({ b: 1 });
      const again = await inPage.open("cart", { storage: own });
      return { loaded: session.load(), wrapped: again.load() };
    });
    assert.deepEqual([loaded, wrapped], [{ a: 1 }, { b: 1 }]);
  },
);

inBrowser("a localStorage that fails once is tried again", async ({ page }) => {
  const { before, after } = await page.evaluate(async () => {
    const session = await inPage.open("cart", { durable: true });
    session.save({ a: 1 });
    const mend = inPage.breakStorage("getItem", () => new Error("broken"));
    await inPage.until(() => session.durable === "failed");
    mend();
    const before = session.durable;
    session.save({ b: 1 });
    await inPage.until(() => session.durable === "on");
    return { before, after: session.load() };
  });
  assert.equal(before, "failed");
  assert.deepEqual(after, { a: 1, b: 1 });
});

inBrowser(
  "an IndexedDB that never answers is waited for until it is clear",
  async ({ page }) => {
    const { loaded, durable, flushed } = await page.evaluate(async () => {
      Object.defineProperty(IDBFactory.prototype, "open", {
        value: () => ({}),
      });
      const later = setTimeout;
      const soon = (/** @type {any[]} */ [f, ms, ...args]) =>
        later(f, ms === 5_000 ? 0 : ms, ...args);
      Object.assign(window, {
        setTimeout: (/** @type {any[]} */ ...args) => soon(args),
      });
      const session = await inPage.open("cart", { durable: true });
      session.save({ a: 1 });
      const flushed = await inPage.attempt(() => session.flush());
      return { loaded: session.load(), durable: session.durable, flushed };
    });
    assert.deepEqual(loaded, { a: 1 });
    assert.equal(durable, "failed");
    assertError(flushed.error, { code: "disabled", says: "does not answer" });
  },
);

inBrowser(
  "flush waits for all that was put into IndexedDB before, in whatever order it is told",
  async ({ page }) => {
    const { early, durable } = await page.evaluate(async () => {
      const session = await inPage.open("cart", { durable: true });
      await session.flush();
      // WebKit was seen to tell of a second transaction before it told of the first.
      /** @type {(() => void) | undefined} */
      let held;
      let told = false;
      let others = 0;
      Object.defineProperty(IDBTransaction.prototype, "oncomplete", {
        set(tell) {
          if (!held) {
            held = tell;
          } else {
            this.addEventListener("complete", tell);
            this.addEventListener("complete", () => others++);
          }
        },
      });
      session.save({ a: 1 });
      await null; // its transaction has begun
      let early = false;
      const flushed = session.flush().then(() => {
        early = !told;
      });
      await inPage.until(() => others > 0);
      await inPage.mirrored(); // a time in which the flush could have resolved
      told = true;
      held?.();
      await flushed;
      return { early, durable: session.durable };
    });
    assert.equal(early, false);
    assert.equal(durable, "on");
  },
);

inBrowser(
  "when the browser closes IndexedDB by force, flushes settle and saves go on",
  async ({ page, site, t }) => {
    const server = createServer((_, response) => {
      response.setHeader("Clear-Site-Data", '"storage"');
      response.end();
    });
    await new Promise((listens) =>
      server.listen(0, "127.0.0.1", () => listens(0)),
    );
    t.after(() => server.close());
    const { port } = /** @type {import("node:net").AddressInfo} */ (
      server.address()
    );
    site.forward("/clear/", `http://127.0.0.1:${port}`);
    const { durable, mirrored } = await page.evaluate(async () => {
      const session = await inPage.open("cart", { durable: true });
      let clearing = true;
      (async () => {
        for (let i = 0; i < 4; i++) await fetch("/clear/");
        clearing = false;
      })();
      const flushes = [];
      for (let i = 0; clearing; i++) {
        session.save({ [`k${i % 20}`]: "x".repeat(20_000) + i });
        flushes.push(session.flush().catch(() => {}));
        await inPage.nextTask();
      }
      await Promise.all(flushes);
      session.save({ last: 1 });
      await inPage.until(() => session.durable === "on");
      return { durable: session.durable, mirrored: await inPage.mirrored() };
    });
    assert.equal(durable, "on");
    assert.match(String(mirrored), /"last":1/);
  },
);

withKills(
  "a clock that jumps ahead makes no clearing of a kill",
  async (visit, kill) => {
    await (
      await visit()
    ).evaluate(async () => {
      const session = await inPage.open("cart", { durable: true });
      session.save({ a: 1 });
      await session.flush();
      const now = Date.now;
      Date.now = () => now() + 2 * 60 * 60_000; // as after a sleep
      session.save({ b: 1 });
      await session.flush();
    });
    await kill();
    const loaded = await (
      await visit()
    ).evaluate(async () =>
      (await inPage.open("cart", { durable: true })).load(),
    );
    assert.deepEqual(loaded, { a: 1, b: 1 });
  },
);

inBrowser(
  "what is saved after a clock was set right comes back",
  async ({ page }) => {
    await page.evaluate(async () => {
      const session = await inPage.open("cart", { durable: true });
      const now = Date.now;
      Date.now = () => now() + 60 * 60_000;
      session.forget();
      Date.now = now;
      await session.flush();
      session.save({ b: 1 });
      await session.flush();
      // As a kill leaves it, which loses what was saved last.
      for (const [key] of inPage.items()) {
        if (key.startsWith("cart/")) localStorage.removeItem(key);
      }
    });
    await page.reload();
    const loaded = await page.evaluate(async () =>
      (await inPage.open("cart", { durable: true })).load(),
    );
    assert.deepEqual(loaded, { b: 1 });
  },
);

inBrowser(
  "what was lost comes back beside what it replaces, of half the room",
  async ({ page }) => {
    const keys = 14; // of 200,000 characters, in 5,242,880
    await page.evaluate(async (keys) => {
      const session = await inPage.open("cart", { durable: true });
      const fill = (/** @type {string} */ letter) => {
        for (let i = 0; i < keys; i++) {
          session.save({ [`k${i}`]: letter.repeat(200_000) });
        }
      };
      fill("a");
      await session.flush();
      const before = inPage.items();
      for (let i = 0; i < keys; i++) {
        session.save({ [`k${i}`]: "b".repeat(200_000) });
        await session.flush();
      }
      localStorage.clear();
      for (const [key, text] of before) localStorage.setItem(key, text);
      inPage.kept = {};
    }, keys);
    await page.reload();
    const { letters, durable } = await page.evaluate(async () => {
      const session = await inPage.open("cart", { durable: true });
      await session.flush();
      const letters = Object.values(session.load()).map(
        (text) => String(text)[0],
      );
      return { letters: letters.join(""), durable: session.durable };
    });
    assert.equal(letters, "b".repeat(keys));
    assert.equal(durable, "on");
  },
);

inBrowser(
  "what is forgotten at once, before the mirror was looked for, does not come back",
  async ({ page }) => {
    await page.evaluate(async () => {
      const session = await inPage.open();
      session.save({ secret: 1 });
      await session.flush();
      session.close(); // or it tells that it was cleared
      localStorage.clear(); // as a kill soon after the beginning leaves it
    });
    await page.reload();
    const { loaded, mirrored } = await page.evaluate(async () => {
      const session = await inPage.open();
      session.forget();
      await inPage.until(() => session.durable === "on");
      return { loaded: session.load(), mirrored: await inPage.mirrored() };
    });
    assert.deepEqual(loaded, {});
    assert.doesNotMatch(String(mirrored), /secret/);
  },
);

inBrowser(
  "a page in the back/forward cache hears that the session became durable",
  async ({ page, site }) => {
    await page.evaluate(async () => {
      inPage.kept.session = await inPage.open();
      inPage.kept.session.save({ a: 1 });
    });
    await page.goto(site.url("/?next"));
    await page.evaluate(async () => (await inPage.open()).flush());
    await page.back();
    const mirrored = await page.evaluate(async () => {
      const session = inPage.kept.session ?? (await inPage.open());
      session.save({ b: 1 });
      await inPage.until(() => session.durable === "on");
      return inPage.mirrored();
    });
    assert.match(String(mirrored), /"b":1/);
  },
);

inBrowser(
  "where there is no room for all that was lost, what is back is told",
  async ({ page }) => {
    await page.evaluate(async () => {
      inPage.kept.session = await inPage.open("cart", { durable: true });
      inPage.kept.session.save({ a: 1 });
      inPage.kept.session.save({ b: 1 });
      await inPage.kept.session.flush();
    });
    await lose(page, "localStorage");
    const { changes, failed, loaded } = await page.evaluate(async () => {
      const { openSync } = await inPage.sessionWriter();
      const session = openSync("cart", { durable: true });
      const changes = inPage.recordChanges(session);
      const { setItem } = Storage.prototype;
      let room = 1;
      Storage.prototype.setItem = function (
        /** @type {[string, string]} */ ...item
      ) {
        if (room-- <= 0) throw new DOMException("full", "QuotaExceededError");
        setItem.apply(this, item);
      };
      await inPage.until(() => session.durable === "failed" && changes.length);
      const failed = await inPage.attempt(() => session.flush());
      Storage.prototype.setItem = setItem;
      await session.flush();
      return { changes, failed, loaded: session.load() };
    });
    assert.equal(Object.keys(changes[0].set).length, 1);
    assertError(failed.error, { code: "quota", says: "full" });
    assert.deepEqual(loaded, { a: 1, b: 1 });
  },
);

inBrowser(
  "a newer version of the mirror, in another tab, is left alone",
  async ({ page, newPage }) => {
    await page.evaluate(async () => {
      inPage.kept.session = await inPage.open("cart", { durable: true });
    });
    const other = await newPage();
    await other.evaluate(
      () =>
        new Promise((resolve, reject) => {
          const opening = indexedDB.open("session-writer", 1_000_000);
          opening.onsuccess = resolve;
          opening.onblocked = reject;
          opening.onerror = reject;
        }),
    );
    const { before, after, loaded, flushed } = await page.evaluate(async () => {
      const { session } = inPage.kept;
      const before = session.durable;
      session.save({ a: 1 });
      const flushed = await inPage.attempt(() => session.flush());
      const after = session.durable;
      return { before, after, loaded: session.load(), flushed };
    });
    assert.deepEqual([before, after], ["failed", "failed"]);
    assert.deepEqual(loaded, { a: 1 });
    assertError(flushed.error, { code: "disabled", says: "IndexedDB" });
  },
);

inBrowser(
  "when IndexedDB is full, saving goes on, and it is tried again",
  async ({ page }) => {
    const { failed, durable, mirrored, items } = await page.evaluate(
      async () => {
        const session = await inPage.open("cart", { durable: true });
        const { put } = IDBObjectStore.prototype;
        IDBObjectStore.prototype.put = function () {
          // As browsers say it, which cannot be had without a full disk.
          throw new DOMException("no room", "QuotaExceededError");
        };
        session.save({ a: 1 });
        const failed = await inPage.attempt(() => session.flush());
        const { durable } = session;
        IDBObjectStore.prototype.put = put;
        session.save({ b: 1 });
        await session.flush();
        return {
          failed,
          durable: [durable, session.durable],
          mirrored: await inPage.mirrored(),
          items: inPage.items(),
        };
      },
    );
    assertError(failed.error, { code: "quota", says: "IndexedDB" });
    assert.deepEqual(durable, ["failed", "on"]);
    assert.deepEqual(mirrored, items);
  },
);

inBrowser("what the browser says to persist is told", async ({ page }) => {
  const answers = await page.evaluate(async () => {
    const answers = [];
    for (const answer of [true, false]) {
      // WebKitGTK has none here.
      Object.defineProperty(navigator, "storage", {
        value: { persist: async () => answer },
        configurable: true,
      });
      const session = await inPage.open(`cart ${answer}`, { persist: true });
      await inPage.until(() => session.persisted !== undefined);
      answers.push(session.persisted);
    }
    return [...answers, (await inPage.open()).persisted ?? null];
  });
  assert.deepEqual(answers, [true, false, null]);
});

/**
 * Removes what a page has stored, as a kill does, or a browser that wants room.
 *
 * @param {Page} page
 * @param {"localStorage" | "both"} which
 */
async function lose(page, which) {
  await page.evaluate(async (which) => {
    inPage.kept.session.close();
    localStorage.clear();
    if (which === "both") {
      await new Promise((resolve) => {
        indexedDB.deleteDatabase("session-writer").onsuccess = resolve;
      });
    }
  }, which);
  await page.reload();
}

withServer(
  "what came back from a mirror is exchanged like all else",
  async ({ page, newDevice, forward }) => {
    const other = await otherDevice(page, newDevice, { a: 1 });
    await page.reload();
    await sync(page, {}, { durable: true });
    await now(page);
    await page.evaluate(() => inPage.kept.session.flush());
    forward.passes = "nothing";
    await save(page, { offline: 1 });
    await page.evaluate(() => inPage.kept.session.flush());
    await lose(page, "localStorage");
    const loaded = await page.evaluate(async () =>
      (await inPage.open("cart", { durable: true })).load(),
    );
    assert.deepEqual(loaded, { a: 1, offline: 1 });
    forward.passes = "both";
    await sync(page, {}, { durable: true });
    await now(page);
    await now(other);
    assert.deepEqual(await load(other), { a: 1, offline: 1 });
  },
);

withServer(
  "the copy on a server restores what a browser has evicted",
  async ({ page, newDevice }) => {
    await otherDevice(page, newDevice, { a: 1 });
    await page.reload();
    await sync(page, {}, { durable: true });
    await save(page, { b: 2 });
    await now(page);
    await page.evaluate(() => inPage.kept.session.flush());
    await lose(page, "both"); // and not the cookie
    await sync(page, {}, { durable: true });
    assert.deepEqual(await load(page), { a: 1, b: 2 });
    const { mirrored, items } = await page.evaluate(async () => {
      await inPage.kept.session.flush();
      const isItem = (/** @type {[string, string]} */ [key]) =>
        key.startsWith("cart/");
      return {
        mirrored: (await inPage.mirrored()).filter(isItem),
        items: inPage.items().filter(isItem),
      };
    });
    assert.deepEqual(mirrored, items);
  },
);

withServer(
  "what a logout forgets does not come back from a mirror",
  async ({ page, newDevice }) => {
    const other = await otherDevice(page, newDevice, { a: 1 });
    await page.reload();
    await sync(page, {}, { durable: true });
    const loaded = await page.evaluate(async () => {
      const { session } = inPage.kept;
      await session.flush();
      const before = await inPage.mirrored();
      session.forget();
      session.save({ "of nobody": 1 });
      await session.flush();
      // As if the mirror had missed it.
      await inPage.inMirror((items) => {
        for (const [key, text] of before) {
          if (!key.endsWith("/mirror")) items.put([key, text], ["cart", key]);
        }
      });
      session.close();
      const again = await inPage.open("cart", { durable: true });
      return { ...again.load(), ledger: localStorage.getItem("/cart") };
    });
    assert.deepEqual(loaded, { "of nobody": 1, ledger: null });
    assert.deepEqual(await load(other), { a: 1 });
  },
);
