import assert from "node:assert/strict";
import { assertError } from "./assert-error.js";
import { inBrowser } from "./in-browser.js";

inBrowser(
  "a save after close saves and leaves the session closed",
  async ({ page }) => {
    const { active, loaded } = await page.evaluate(async () => {
      const session = await inPage.open();
      const active = [session.active];
      session.save({ a: 1 });
      active.push(session.active);
      session.close();
      active.push(session.active);
      session.save({ b: 2 });
      active.push(session.active);
      return { active, loaded: (await inPage.open()).load() };
    });
    assert.deepEqual(active, [true, true, false, false]);
    assert.deepEqual(loaded, { a: 1, b: 2 });
  },
);

inBrowser("a closed session does all but tell", async ({ page, t }) => {
  for (const storage of /** @type {const} */ (["local", "session", "memory"])) {
    await t.test(storage, async () => {
      const result = await page.evaluate(async (storage) => {
        const session = await inPage.open("cart", { storage });
        session.close();
        session.close();
        session.save({ a: 1, b: 2, c: 3 });
        session.remove("a");
        const before = session.load();
        const { entries, corrupt } = session.stats();
        const got = session.get("b");
        session.clear();
        const { name, active, persistent } = session;
        return {
          before,
          entries,
          corrupt,
          got,
          after: session.load(),
          name,
          active,
          persistent,
        };
      }, storage);
      assert.deepEqual(result, {
        before: { b: 2, c: 3 },
        entries: 2,
        corrupt: 0,
        got: 2,
        after: {},
        name: "cart",
        active: false,
        persistent: storage !== "memory",
      });
    });
  }
});

inBrowser(
  "that a session is closed is known before anything is read",
  async ({ page }) => {
    const { reads, codes } = await page.evaluate(async () => {
      const session = await inPage.open();
      await session.sync("/nowhere/", inPage.onRequest); // which loads sync.js
      session.close();
      const reads = inPage.recordReads();
      inPage.breakStorage(
        "getItem",
        () => new DOMException("", "SecurityError"),
      );
      const outcomes = [
        await inPage.attempt(() => session.subscribe(() => {})),
        await inPage.attempt(() => session.sync("/nowhere/")),
      ];
      return { reads, codes: outcomes.map(({ error }) => error?.code) };
    });
    assert.deepEqual(codes, ["closed", "closed"]);
    assert.deepEqual(reads, []);
  },
);

inBrowser("to open a session lists the storage once", async ({ page }) => {
  const { reads, listed } = await page.evaluate(async () => {
    (await inPage.open()).save({ a: 1 });
    localStorage.setItem("other", "1");
    const reads = inPage.recordReads();
    await inPage.open();
    return { reads, listed: localStorage.length };
  });
  const keys = reads.filter(([method]) => method === "key");
  assert.equal(keys.length, listed);
});

inBrowser("a closed session cannot be subscribed to", async ({ page }) => {
  const { error } = await page.evaluate(async () => {
    const session = await inPage.open();
    session.close();
    return inPage.attempt(() => session.subscribe(() => {}));
  });
  assertError(error, {
    code: "closed",
    says: ['session "cart": subscribe: ', "closed"],
  });
});

inBrowser(
  "close ends the subscriptions, also of what others did before",
  async ({ page }) => {
    const { changes, witnessed } = await page.evaluate(async () => {
      const session = await inPage.open();
      const other = await inPage.open();
      const changes = inPage.recordChanges(session);
      const end = session.subscribe(() => {});
      const witness = inPage.recordChanges(other);
      other.save({ a: 1 });
      session.save({ b: 1 });
      session.close();
      session.save({ c: 1 });
      other.save({ d: 1 });
      end();
      await inPage.until(() => other.get("c") === 1);
      // The other session is told of all, its own and the closed one's.
      await inPage.until(
        () =>
          witness
            .flatMap(({ set }) => Object.keys(set))
            .sort()
            .join() === "a,b,c,d",
      );
      return { changes, witnessed: witness.length };
    });
    assert.deepEqual(
      changes.map(({ set }) => set),
      [{ b: 1 }],
    );
    assert.ok(witnessed > 0);
  },
);

inBrowser(
  "a closed session's saves win over what came before",
  async ({ page }) => {
    const loaded = await page.evaluate(async () => {
      const now = Date.now;
      const closed = await inPage.open();
      closed.close();
      const open = await inPage.open();
      open.save({ a: "before" });
      // Its clock has not seen anything since it was closed.
      Date.now = () => now() - 60 * 60 * 1000;
      closed.save({ a: "after" });
      return open.load();
    });
    assert.deepEqual(loaded, { a: "after" });
  },
);

inBrowser(
  "a closed session tells other tabs what it saves",
  async ({ page, newPage }) => {
    const other = await newPage();
    await other.evaluate(async () => {
      const session = await inPage.open();
      inPage.kept.changes = inPage.recordChanges(session);
    });
    await page.evaluate(async () => {
      const session = await inPage.open();
      session.close();
      session.save({ a: 1 });
    });
    const changes = await other.evaluate(async () => {
      await inPage.until(() => inPage.kept.changes.length > 0);
      return inPage.kept.changes;
    });
    assert.deepEqual(changes, [
      { set: { a: 1 }, removed: [], cleared: false, remote: true },
    ]);
  },
);

inBrowser("a session can be opened again after close", async ({ page }) => {
  const result = await page.evaluate(async () => {
    const first = await inPage.open();
    first.save({ a: 1 });
    first.close();
    const second = await inPage.open();
    const changes = inPage.recordChanges(second);
    first.save({ b: 2 });
    await inPage.until(() => changes.length === 1);
    return {
      active: [first.active, second.active],
      loaded: second.load(),
      changes,
    };
  });
  assert.deepEqual(result, {
    active: [false, true],
    loaded: { a: 1, b: 2 },
    changes: [{ set: { b: 2 }, removed: [], cleared: false, remote: true }],
  });
});

inBrowser(
  "an open session listens to the window, a closed one does not",
  async ({ page }) => {
    const listeners = await page.evaluate(async () => {
      let listeners = 0;
      const { addEventListener: add, removeEventListener: remove } = window;
      window.addEventListener = (/** @type {any[]} */ ...args) => {
        listeners++;
        return add.apply(window, /** @type {any} */ (args));
      };
      window.removeEventListener = (/** @type {any[]} */ ...args) => {
        listeners--;
        return remove.apply(window, /** @type {any} */ (args));
      };
      const sessions = [await inPage.open("a"), await inPage.open("b")];
      const open = listeners;
      for (const session of sessions) session.close();
      sessions[0].save({ a: 1 });
      return { open: open > 0, closed: listeners };
    });
    assert.deepEqual(listeners, { open: true, closed: 0 });
  },
);
