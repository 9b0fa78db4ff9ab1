// What is told of a session's own changes, which the module has not read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { dist } from "../../harness/server.js";

/** @type {typeof import("../../src/index.js")} */
const { open } = await import(pathToFileURL(`${dist}/index.js`).href);

const any = /** @type {any} */ (globalThis);

/** A localStorage in which something else happens before an item is set, or read. */
class Area {
  /** @type {Map<string, string>} */
  items = new Map();
  /** @type {(() => void) | undefined} */
  beforeSet;
  /** @type {(() => void) | undefined} */
  beforeGet;
  get length() {
    return this.items.size;
  }
  key(/** @type {number} */ i) {
    return [...this.items.keys()][i] ?? null;
  }
  getItem(/** @type {string} */ key) {
    const before = this.beforeGet;
    this.beforeGet = undefined;
    before?.();
    return this.items.get(key) ?? null;
  }
  setItem(/** @type {string} */ key, /** @type {string} */ text) {
    const before = this.beforeSet;
    this.beforeSet = undefined;
    before?.();
    this.items.set(key, text);
  }
  removeItem(/** @type {string} */ key) {
    this.items.delete(key);
  }
}

/** @param {(area: Area) => Promise<void>} run */
async function withArea(run) {
  const area = (any.localStorage = new Area());
  try {
    await run(area);
  } finally {
    delete any.localStorage;
  }
}

const soon = () => new Promise((resolve) => setTimeout(resolve));

test("a clearing is told with what was saved meanwhile", () =>
  withArea(async (area) => {
    const session = await open("cleared");
    /** @type {unknown[]} */
    const told = [];
    session.subscribe((change) => told.push(change));
    session.save({ a: 1 });
    await soon();
    area.beforeSet = () => session.save({ log: "cleared at noon" });
    session.clear();
    await soon();
    assert.deepEqual(session.load(), { log: "cleared at noon" });
    assert.deepEqual(told.at(-1), {
      set: { log: "cleared at noon" },
      removed: ["a"],
      cleared: true,
      remote: false,
    });
    session.close();
  }));

test("a clearing is told after a clock that was ahead is set right", async () => {
  const now = Date.now;
  let ahead = 3 * 24 * 60 * 60 * 1000;
  Date.now = () => now() + ahead;
  try {
    const session = await open("ahead", { storage: "memory", maxAge: 1e7 });
    /** @type {unknown[]} */
    const told = [];
    session.subscribe((change) => told.push(change));
    session.save({ a: 1, b: 2 });
    await soon();
    ahead = 0;
    session.load();
    session.clear();
    await soon();
    assert.deepEqual(session.load(), {});
    assert.deepEqual(told.at(-1), {
      set: {},
      removed: ["a", "b"],
      cleared: true,
      remote: false,
    });
    session.close();
  } finally {
    Date.now = now;
  }
});

test("a session that is closed during a load loads", () =>
  withArea(async (area) => {
    const session = await open("closed");
    session.save({ a: 1 });
    session.load();
    area.beforeGet = () => session.close();
    assert.deepEqual(session.load(), { a: 1 });
    assert.deepEqual(session.load(), { a: 1 });
  }));
