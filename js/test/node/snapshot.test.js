// What a session shows to those who follow it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { dist } from "../../harness/server.js";
import { OwnStorage } from "./own-storage.js";

/** @type {typeof import("../../src/index.js")} */
const { openSync } = await import(pathToFileURL(`${dist}/index.js`).href);

/** @param {object} [options] */
const opened = (options) =>
  openSync("snapshots", { storage: "memory", ...options });

for (const followed of [false, true]) {
  const how = followed ? "with subscriptions" : "without subscriptions";

  test(`a snapshot stays the same object until something changes, ${how}`, () => {
    const session = opened();
    if (followed) session.subscribe(() => {});
    assert.equal(session.snapshot(), session.snapshot());
    session.save({ a: { b: 1 }, list: [1, 2], n: null });
    const first = session.snapshot();
    assert.deepEqual(first, { a: { b: 1 }, list: [1, 2], n: null });
    session.save({ list: [1, 2], n: null });
    session.remove("absent");
    session.save([]);
    assert.equal(session.snapshot(), first);
    session.save({ list: [1], n: 0 });
    const second = session.snapshot();
    assert.deepEqual(second, { a: { b: 1 }, list: [1], n: 0 });
    assert.deepEqual(first, { a: { b: 1 }, list: [1, 2], n: null });
    assert.equal(second.a, first.a);
    session.remove("list");
    assert.equal(session.snapshot().a, first.a);
    assert.deepEqual(session.snapshot(), { a: { b: 1 }, n: 0 });
    session.clear();
    assert.deepEqual(session.snapshot(), {});
    assert.equal(session.snapshot(), session.snapshot());
    session.close();
    session.save({ a: 1 });
    assert.deepEqual(session.snapshot(), { a: 1 });
    assert.equal(session.snapshot(), session.snapshot());
  });

  test(`values are compared by what they say, ${how}`, () => {
    const session = opened();
    if (followed) session.subscribe(() => {});
    const values = [
      ...[null, 0, 1, "", "1", true, false, [], {}, [null], [[]], [{}], [0, 1]],
      ...[{ a: 1 }, { b: 1 }, { a: 1, b: undefined, c: 1 }, { 0: 0, 1: 1 }],
      ...[{ length: 0 }, JSON.parse('{"__proto__":1}'), { a: { a: 1 } }],
    ];
    for (const one of values) {
      session.save({ value: one });
      const before = session.snapshot();
      session.save({ value: structuredClone(one) });
      assert.equal(session.snapshot(), before, JSON.stringify(one));
      for (const other of values) {
        if (other === one) continue;
        session.save({ value: other });
        assert.notEqual(session.snapshot(), before);
        assert.deepEqual(session.get("value"), session.snapshot().value);
        session.save({ value: one });
      }
    }
    const [one, other] = [
      { a: [1, { b: 2, c: 3 }] },
      { a: [1, { c: 3, b: 2 }] },
    ];
    session.save({ value: one });
    const before = session.snapshot();
    session.save({ value: other });
    assert.equal(session.snapshot(), before);
  });

  test(`defaults are shown, and never stored, ${how}`, () => {
    const defaults = { theme: "light", list: [{ a: 1 }], ["__proto__"]: 1 };
    const session = opened({ defaults });
    if (followed) session.subscribe(() => {});
    defaults.list.pop();
    const shown = { theme: "light", list: [{ a: 1 }] };
    assert.deepEqual(session.defaults, session.snapshot());
    assert.deepEqual({ ...session.load() }, shown);
    assert.deepEqual({ ...session.snapshot() }, shown);
    assert.deepEqual(session.get("list"), [{ a: 1 }]);
    assert.deepEqual(session.keys(), []);
    assert.equal(session.has("theme"), false);
    assert.equal(session.stats().entries, 0);

    const first = session.snapshot();
    session.save({ list: [{ a: 1 }] }); // equal, and stored from now on
    assert.equal(session.snapshot(), first);
    assert.deepEqual(session.keys(), ["list"]);
    session.save({ theme: null });
    assert.deepEqual(session.snapshot().theme, null);
    assert.equal(session.get("theme"), null);
    assert.equal(session.load().theme, null);
    assert.equal(session.snapshot().list, first.list);
    session.remove("theme");
    assert.equal(session.get("theme"), "light");
    session.clear();
    assert.deepEqual({ ...session.snapshot() }, shown);

    // What is given is the caller's to keep, and to change.
    for (const list of [session.get("list"), session.load().list]) {
      /** @type {any} */ (list).push(1);
    }
    assert.deepEqual(session.get("list"), [{ a: 1 }]);
  });
}

test("a snapshot that is followed is what was told", async () => {
  const storage = new OwnStorage();
  const [here, there] = [1, 2].map(() => openSync("both", { storage }));
  const told = new Promise((resolve) => here.subscribe(resolve));
  const before = here.snapshot();
  there.save({ a: 1 });
  assert.equal(here.snapshot(), before);
  assert.deepEqual(here.load(), { a: 1 });
  const { set } = /** @type {any} */ (await told);
  assert.deepEqual(here.snapshot(), set);
});

test("a value may be nested more deeply than functions may call each other", async () => {
  const storage = new OwnStorage();
  openSync("deep", { storage }).save({ value: 1 });
  const [[key, text]] = storage.items;
  const nested = "[".repeat(20_000) + "]".repeat(20_000);
  storage.items.set(key, text.replace('"value":1', `"value":${nested}`));
  const session = openSync("deep", { storage });
  for (const end of [() => {}, session.subscribe(() => {})]) {
    const { value } = session.snapshot();
    assert.equal(session.snapshot().value, value);
    let inner = /** @type {any} */ (value);
    for (; inner.length > 0; inner = inner[0])
      assert.ok(Object.isFrozen(inner));
    session.save({ other: 1 });
    assert.equal(session.snapshot().value, value);
    end();
  }
});

test("defaults that cannot be saved are an error", () => {
  const bad = /** @type {any} */ ([
    [{ a: 1, b: NaN }, "b"],
    [{ "": 1 }, ""],
  ]);
  for (const [defaults, key] of bad) {
    assert.throws(() => opened({ defaults }), {
      name: "SessionError",
      code: "config",
      message: /^session "snapshots": open: the option defaults: /,
      key,
    });
  }
  opened({ defaults: undefined });
  // As a store's initial state may be.
  const { defaults } = opened({
    defaults: { a: 1, b: undefined, increase: () => {} },
  });
  assert.deepEqual(defaults, { a: 1 });
});
