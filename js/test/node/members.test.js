// What a session has, beside what it does to the storage.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { dist } from "../../harness/server.js";
import { OwnStorage } from "./own-storage.js";

/** @type {typeof import("../../src/index.js")} */
const { openSync } = await import(pathToFileURL(`${dist}/index.js`).href);

/** @param {string} name */
const openIn = (name) => openSync(name, { storage: "memory" });

test("has and keys say what there is", () => {
  const session = openIn("keys");
  assert.deepEqual(session.keys(), []);
  session.save([
    ["a", null],
    ["b", 1],
    ["__proto__", 2],
    ["c", 3],
  ]);
  session.remove("c");
  assert.deepEqual(session.keys().sort(), ["__proto__", "a", "b"]);
  for (const key of session.keys()) assert.equal(session.has(key), true, key);
  for (const key of ["c", "toString", "A"]) {
    assert.equal(session.has(key), false, key);
  }
  assert.throws(() => session.has(""), { code: "key" });
  assert.throws(() => session.has(/** @type {any} */ (1)), { code: "key" });
  session.close();
  assert.equal(session.has("a"), true);
});

test("methods can be called without their session", () => {
  const session = openIn("bound");
  const { save, get, has, keys, load, remove, clear, subscribe, stats, close } =
    session;
  const end = subscribe(() => {});
  save({ a: 1, b: 2 });
  remove("b");
  assert.deepEqual(
    [get("a"), has("b"), keys(), load()],
    [...[1, false], ["a"], { a: 1 }],
  );
  assert.equal(stats().entries, 1);
  end();
  clear();
  assert.deepEqual(load(), {});
  close();
  assert.equal(session.active, false);
  // As what watches calls in tests does.
  session.save = () => assert.fail("it is replaced");
  assert.throws(() => session.save({}), { message: "it is replaced" });
  assert.deepEqual(Object.keys(openIn("bound")), []);
});

test("a session that goes out of use is closed", () => {
  const session = openIn("using");
  assert.equal(session.active, true);
  const { dispose } = /** @type {any} */ (Symbol);
  /** @type {any} */ (session)[dispose]();
  assert.equal(session.active, false);
});

test("a session can be kept in an object like a storage", async () => {
  const [storage, another] = [new OwnStorage(), new OwnStorage()];
  const session = openSync("own", { storage });
  const told = new Promise((resolve) => session.subscribe(resolve));
  const same = openSync("own", { storage });
  same.save({ a: 1 });
  assert.deepEqual((await /** @type {any} */ (told)).set, { a: 1 });
  assert.deepEqual(session.load(), { a: 1 });
  assert.equal(session.persistent, true);
  assert.equal(storage.length, 1);
  const other = openSync("own", { storage: another });
  assert.deepEqual(other.load(), {});
  other.save({ b: 2 });
  assert.deepEqual(session.load(), { a: 1 });
  // What another program of the same storage has saved is there.
  for (const [key, text] of another.items) storage.setItem(key, text);
  assert.deepEqual(session.load(), { a: 1, b: 2 });
  for (let i = 0; storage.length < 21; i++) storage.items.set(`${i}`, "");
  assert.throws(() => session.save({ c: 3 }), { code: "quota" });
  for (const each of [session, same, other]) each.close();
});

test("an object that is no storage after all is an error", () => {
  const storage = new OwnStorage();
  const session = openSync("promises", { storage });
  session.save({ a: 1 });
  storage.getItem = async () => "";
  assert.throws(() => session.load(), { name: "SessionError" });
});
