// The adapters for libraries that keep their state in a storage.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { hydrate, QueryClient } from "@tanstack/query-core";
import { persistQueryClientSave } from "@tanstack/query-persist-client-core";
import { persist } from "zustand/middleware";
import { createStore } from "zustand/vanilla";
import { dist } from "../../harness/server.js";
import { OwnStorage } from "./own-storage.js";

/** @param {string} name */
const load = (name) => import(pathToFileURL(`${dist}/${name}.js`).href);
/** @type {typeof import("../../src/index.js")} */
const { openSync } = await load("index");
/** @type {typeof import("../../src/storage.js")} */
const {
  queryPersister,
  reduxStorage,
  stateStorage,
  webStorage,
  zustandStorage,
} = await load("storage");

/** @param {object} [options] */
const opened = (options) => openSync("s", { storage: "memory", ...options });

/** Two sessions that stand for two tabs. */
function tabs(options = {}) {
  const storage = new OwnStorage();
  return [1, 2].map(() => openSync("s", { storage, ...options }));
}

const soon = () => new Promise((resolve) => setTimeout(resolve));

test("a web storage gives back each text", () => {
  const session = opened();
  const storage = webStorage(session);
  const texts = [
    ...["", "a", "null", "1", "true", '"a"', "{", "{}", "[]", '{"a":[1,{}]}'],
    ...["[1, 2]", ' {"a":1}', '{"a":1,"a":2}', "[1.0]", '{"b":1,"a":2}'],
    ...['["\\u0041"]', "undefined", "ä\u2028"],
  ];
  for (const text of texts) {
    storage.setItem("key", text);
    assert.equal(storage.getItem("key"), text);
  }
  storage.setItem("key", '{"a":[1]}');
  assert.deepEqual(session.get("key"), { a: [1] });
  storage.setItem("n", /** @type {any} */ (1));
  assert.equal(storage.getItem("n"), "1");
  session.save({ nothing: null, n: 2 });
  assert.deepEqual(["nothing", "n", "absent"].map(storage.getItem), [
    "null",
    "2",
    null,
  ]);
  assert.equal(storage.length, 3);
  assert.deepEqual(
    [0, 1, 2, 3].map(storage.key).sort(),
    ["key", "n", "nothing", null].sort(),
  );
  storage.removeItem("n");
  storage.removeItem("n");
  assert.equal(storage.getItem("n"), null);
  storage.clear();
  assert.equal(storage.length, 0);
  assert.equal(session.stats().items, 1); // of the clearing

  // Defaults are no items.
  const other = webStorage(opened({ defaults: { a: 1 } }));
  assert.deepEqual([other.getItem("a"), other.length], [null, 0]);
});

test("a web storage tells of each item what others changed", async () => {
  const [here, there] = tabs();
  /** @type {unknown[]} */
  const told = [];
  const storage = webStorage(here);
  const end = webStorage(here).subscribe("a", (text) => told.push(text));
  storage.setItem("a", "own"); // is not told
  webStorage(there).setItem("b", "other");
  webStorage(there).setItem("a", "1");
  await soon();
  storage.clear();
  storage.setItem("a", "1"); // are its own
  here.save({ a: 2 });
  there.clear();
  await soon();
  end();
  here.save({ a: 3 });
  assert.deepEqual(told, ["1", "2", null]);
});

test("a state is saved by its members", async () => {
  const [here, there] = tabs();
  const [one, other] = [stateStorage(here), stateStorage(there)];
  assert.equal(one.getItem("state"), null);
  assert.equal(other.getItem("state"), null);
  one.setItem("state", '{"a":1,"b":{"c":[1]}}');
  assert.deepEqual(here.load(), { a: 1, b: { c: [1] } });
  // The other does not know of these, so it has not removed them.
  other.setItem("state", '{"d":1}');
  assert.deepEqual(here.load(), { a: 1, b: { c: [1] }, d: 1 });
  // What it saves again has not changed here.
  one.setItem("state", '{"a":2,"b":{"c":[1]}}');
  there.save({ b: 0 });
  one.setItem("state", '{"a":3,"b":{"c":[1]}}');
  assert.deepEqual(here.load(), { a: 3, b: 0, d: 1 });

  const { items } = here.stats();
  // Jotai asks for the storage whenever it uses it.
  stateStorage(here).setItem("state", '{"b":{"c":[1]},"a":3}');
  assert.equal(here.stats().items, items, "an equal state writes nothing");

  assert.deepEqual(JSON.parse(String(one.getItem("state"))), here.load());
  one.setItem("state", '{"a":3}');
  assert.deepEqual(here.load(), { a: 3 });
  one.removeItem("state");
  assert.deepEqual(there.load(), {});
  assert.equal(one.getItem("state"), null);
});

test("defaults of a new device overwrite nothing", async () => {
  const defaults = { theme: "light", list: [], n: 0 };
  const there = opened();
  const device = opened({ defaults });
  const storage = stateStorage(device);
  assert.deepEqual(JSON.parse(String(storage.getItem("s"))), defaults);
  storage.setItem("s", JSON.stringify({ ...defaults, n: 1 }));
  assert.deepEqual(device.keys(), ["n"]);
  storage.setItem("s", JSON.stringify({ theme: "dark", n: 1 }));
  assert.deepEqual(device.keys().sort(), ["n", "theme"]);

  for (const session of [there, opened({ defaults })]) {
    const zustand = zustandStorage(session);
    zustand.getItem("s");
    zustand.setItem("s", { state: { ...defaults, n: 1 }, version: 0 });
    const keys = session.keys().filter((key) => key !== "s/version");
    assert.deepEqual(
      keys.sort(),
      session === there ? ["list", "n", "theme"] : ["n"],
    );
  }
});

test("what is no state is refused", () => {
  const storage = stateStorage(opened());
  for (const text of ["", "1", "null", "[]", '"a"', "{", "text"]) {
    assert.throws(() => storage.setItem("s", text), {
      name: "SessionError",
      code: "value",
      message: /webStorage/,
    });
  }
  assert.throws(() => storage.setItem("s", '{"state":{},"version":0}'), {
    code: "value",
    message: /zustandStorage/,
  });
  assert.equal(storage.getItem("s"), null);
  for (const call of [storage.getItem, storage.removeItem]) {
    assert.throws(() => call("other"), {
      code: "config",
      message:
        'session "s" has the state "s": give the state "other" a session of its own',
    });
  }
  storage.setItem("s", '{"state":"a","version":0}');
  assert.throws(() => storage.setItem("s", '{"":1}'), { code: "key" });
});

test("a state that could not be saved is saved later", () => {
  const storage = new OwnStorage();
  const session = openSync("s", { storage });
  const state = stateStorage(session);
  state.getItem("s");
  for (let i = 0; i < 21; i++) storage.items.set(`other ${i}`, "");
  assert.throws(() => state.setItem("s", '{"a":1}'), { code: "quota" });
  storage.items.clear();
  state.setItem("s", '{"a":1}');
  assert.deepEqual(session.load(), { a: 1 });
});

test("zustand's version is kept beside the state", () => {
  const session = opened();
  const storage = zustandStorage(session);
  assert.equal(storage.getItem("s"), null);
  const state = { n: 1, increase: () => {} };
  storage.setItem("s", { state, version: 0 });
  assert.deepEqual(session.load(), { n: 1, "s/version": 0 });
  assert.deepEqual(storage.getItem("s"), { state: { n: 1 }, version: 0 });
  storage.setItem("s", { state, version: 2 });
  assert.deepEqual(storage.getItem("s"), { state: { n: 1 }, version: 2 });
  const { items } = session.stats();
  storage.setItem("s", { state, version: 2 });
  assert.equal(session.stats().items, items);
  storage.setItem("s", { state: {}, version: 2 });
  const { state: left, version } = /** @type {any} */ (storage.getItem("s"));
  assert.deepEqual([left, version], [{ n: undefined }, 2]);
  storage.removeItem("s");
  assert.equal(storage.getItem("s"), null);
});

/**
 * A store of zustand, as each visit of a page makes it.
 *
 * @param {OwnStorage} storage
 * @param {any} initial
 * @param {object} [options]
 */
function visit(storage, initial, options) {
  const session = openSync("s", { storage });
  const adapter = zustandStorage(session);
  const store = createStore(
    persist(() => initial, { name: "s", storage: adapter, ...options }),
  );
  adapter.subscribe(() => store.persist.rehydrate());
  return { session, store };
}

test("zustand migrates what an earlier version has stored", () => {
  const storage = new OwnStorage();
  visit(storage, { n: 1 }).store.setState({ n: 2 });
  /** @type {unknown[]} */
  const migrated = [];
  const { store, session } = visit(
    storage,
    { size: 0 },
    {
      version: 1,
      migrate: (/** @type {any} */ state, /** @type {number} */ version) => {
        migrated.push([state, version]);
        return { size: state.n };
      },
    },
  );
  assert.deepEqual(migrated, [[{ n: 2 }, 0]]);
  assert.deepEqual(store.getState(), { size: 2 });
  assert.deepEqual(session.load(), { size: 2, "s/version": 1 });
  // What was never zustand's has no version, and is of the store's.
  const other = new OwnStorage();
  openSync("s", { storage: other }).save({ size: 3 });
  const fresh = visit(other, { size: 0 }, { version: 1 });
  assert.deepEqual(fresh.store.getState(), { size: 3 });
});

test("what zustand removes is gone, also what an earlier visit saved", () => {
  const storage = new OwnStorage();
  visit(storage, {}).store.setState({ user: "ada", size: 1 });
  const { store } = visit(storage, {});
  assert.deepEqual(store.getState(), { user: "ada", size: 1 });
  store.setState({ user: undefined });
  assert.deepEqual(visit(storage, {}).store.getState(), { size: 1 });
  const { store: other } = visit(storage, {});
  other.setState({ theme: "dark" });
  other.setState({ theme: "light" }, true);
  assert.deepEqual(visit(storage, {}).store.getState(), { theme: "light" });
});

test("what is gone elsewhere is not saved again by a store that had it", async () => {
  const storage = new OwnStorage();
  const [a, b] = [visit(storage, { size: 12 }), visit(storage, { size: 12 })];
  a.store.setState({ user: "ada", size: 14 });
  await soon();
  assert.deepEqual(b.store.getState(), { user: "ada", size: 14 });
  a.session.forget(); // as at a logout
  await soon();
  assert.deepEqual(b.store.getState(), { user: undefined, size: undefined });
  b.store.setState({ theme: "dark" });
  assert.deepEqual(a.session.load(), { theme: "dark", "s/version": 0 });
});

test("a state that is written before it is read replaces nothing", () => {
  const storage = new OwnStorage();
  const defaults = { theme: "light", size: 12 };
  openSync("s", { storage }).save({ theme: "dark" });
  const session = openSync("s", { storage, defaults });
  const state = stateStorage(session);
  state.setItem("s", JSON.stringify({ ...defaults, size: 14 }));
  assert.deepEqual(session.load(), { theme: "dark", size: 14 });
});

test("two versions of a store do not answer each other", async () => {
  const storage = new OwnStorage();
  /** @param {number} version */
  const options = (version) => ({
    version,
    migrate: (/** @type {any} */ state) => ({ ...state, made: version }),
  });
  const [old, fresh] = [1, 2].map((n) => visit(storage, {}, options(n)));
  old.store.setState({ a: 1 });
  fresh.store.setState({ b: 1 });
  let writes = 0;
  const { setItem } = storage;
  storage.setItem = (...item) => {
    writes++;
    setItem.apply(storage, item);
  };
  for (let i = 0; i < 20; i++) await soon();
  assert.equal(writes, 0);
  assert.deepEqual(old.store.getState(), { a: 1 });
  old.store.setState({ a: 2 });
  for (let i = 0; i < 20; i++) await soon();
  assert.deepEqual(fresh.session.load(), { a: 2, b: 1, "s/version": 2 });
});

test("a migration removes what it renames", () => {
  const storage = new OwnStorage();
  visit(storage, { font: 1 }).store.setState({ font: 2 });
  const migrate = (/** @type {any} */ { font }) => ({ size: font });
  const { session } = visit(storage, {}, { version: 1, migrate });
  assert.deepEqual(session.load(), { size: 2, "s/version": 1 });
});

test("a second store of one session follows the first", () => {
  const storage = new OwnStorage();
  const session = openSync("s", { storage });
  const [one, other] = [1, 2].map(() => {
    const adapter = zustandStorage(session);
    const store = createStore(
      persist(() => ({}), { name: "s", storage: adapter }),
    );
    adapter.subscribe(() => store.persist.rehydrate());
    return store;
  });
  one.setState({ n: 7 });
  assert.deepEqual(other.getState(), { n: 7 });
  other.setState({ m: 1 });
  assert.deepEqual(one.getState(), { n: 7, m: 1 });
});

test("what a listener saves because of a store's write is told to that store", () => {
  const { session, store } = visit(new OwnStorage(), { price: 0 });
  session.subscribe(({ set }) => {
    if (set.price) session.save({ total: Number(set.price) * 2 });
  });
  store.setState({ price: 5 });
  assert.deepEqual(store.getState(), { price: 5, total: 10 });
});

test("a member that was removed elsewhere can be set again as it was", async () => {
  const storage = new OwnStorage();
  const [a, b] = [visit(storage, {}), visit(storage, {})];
  a.store.setState({ coupon: "X" });
  await soon();
  b.store.setState({ coupon: undefined });
  await soon();
  assert.deepEqual(a.store.getState(), { coupon: undefined });
  a.store.setState({ coupon: "X" });
  await soon();
  assert.deepEqual(b.store.getState(), { coupon: "X" });
});

test("a member that is not set removes nothing that another tab has just saved", () => {
  const storage = new OwnStorage();
  const initial = { user: undefined, theme: "light" };
  const [a, b] = [visit(storage, initial), visit(storage, initial)];
  a.store.setState({ user: "Ada" });
  b.store.setState({ theme: "dark" }); // before it hears of that
  assert.equal(b.session.get("user"), "Ada");
});

test("what a store does not persist is not reset by what others save", async () => {
  const storage = new OwnStorage();
  const initial = { theme: "light", open: false };
  const partialize = (/** @type {any} */ { theme }) => ({ theme });
  const [a, b] = [1, 2].map(() => {
    const session = openSync("s", { storage, defaults: initial });
    const adapter = zustandStorage(session);
    const store = createStore(
      persist(() => initial, { name: "s", storage: adapter, partialize }),
    );
    adapter.subscribe(() => store.persist.rehydrate());
    return store;
  });
  a.setState({ open: true });
  b.setState({ theme: "dark" });
  await soon();
  assert.deepEqual(a.getState(), { theme: "dark", open: true });
});

test("a listener may change what a store has just written", () => {
  const { session, store } = visit(new OwnStorage(), { size: 12 });
  session.subscribe(({ set }) => {
    if (Number(set.size) > 20) session.save({ size: 20, clamped: true });
  });
  for (const size of [30, 15, 30]) {
    store.setState({ size });
    assert.equal(store.getState().size, Math.min(size, 20));
    assert.equal(session.get("size"), Math.min(size, 20));
  }
});

test("after a full storage, the next write removes what is left", () => {
  const storage = new OwnStorage();
  const { store, session } = visit(storage, {});
  store.setState({ a: 1, b: 1 });
  const { setItem } = storage;
  let room = 1;
  storage.setItem = (...item) => {
    if (room-- <= 0) throw new DOMException("full", "QuotaExceededError");
    setItem.apply(storage, item);
  };
  assert.throws(() => store.setState({ a: 2, b: undefined }), {
    code: "quota",
  });
  assert.deepEqual(session.load(), { a: 2, b: 1, "s/version": 0 });
  storage.setItem = setItem;
  store.setState({ a: 3 });
  assert.deepEqual(session.load(), { a: 3, "s/version": 0 });
});

test("what JSON refuses is an error that names the member", () => {
  const { store } = visit(new OwnStorage(), {});
  assert.throws(() => store.setState({ n: 1n }), {
    name: "SessionError",
    code: "value",
    key: "n",
  });
});

test("another store is refused by a session that has one", () => {
  const session = opened();
  zustandStorage(session).getItem("one");
  assert.throws(() => zustandStorage(session).getItem("other"), {
    code: "config",
  });
});

test("after a purge, redux-persist gets nothing, and overwrites nothing", async () => {
  const [here, there] = tabs();
  const { storage, subscribe } = reduxStorage(here);
  /** @type {unknown[]} */
  const told = [];
  subscribe((members) => told.push(members));
  await storage.setItem("root", { size: 12, theme: "light" });
  await storage.removeItem("root");
  there.save({ size: 99 });
  await soon();
  assert.deepEqual(told, []);
  await storage.setItem("root", { size: 12, theme: "dark" });
  assert.equal(
    await storage.getItem("root").then(({ theme }) => theme),
    "dark",
  );
});

test("a part of a state removes nothing that is not its own", () => {
  const session = opened();
  session.save({ newer: 1 });
  const storage = stateStorage(session, { partial: true });
  assert.equal(storage.getItem("s"), '{"newer":1}');
  storage.setItem("s", '{"a":1,"b":1}');
  storage.setItem("s", '{"a":2}');
  assert.deepEqual(session.load(), { newer: 1, a: 2 });
});

test("a clearing of zustand's own resets no store", async () => {
  const storage = new OwnStorage();
  const { store, session } = visit(storage, { n: 0 });
  const other = visit(storage, { n: 0 });
  store.setState({ n: 1 });
  await soon();
  assert.deepEqual(other.store.getState(), { n: 1 });
  store.persist.clearStorage();
  assert.deepEqual(store.getState(), { n: 1 });
  assert.deepEqual(session.load(), {});
});

test("redux-persist gets members that changed, and keeps those to be saved", async () => {
  const [here, there] = tabs({ defaults: { size: 12 } });
  const { storage, serialize, deserialize, subscribe } = reduxStorage(here);
  assert.deepEqual([serialize, deserialize], [false, false]);
  assert.equal(await storage.getItem("root"), undefined);
  await storage.setItem("root", { size: 12 });
  assert.deepEqual(here.keys(), []);
  await storage.setItem("root", { a: 1, b: 1, size: 14 });
  /** @type {any[]} */
  const told = [];
  subscribe((members) => told.push(members));
  there.save({ b: { c: 2 } });
  await soon();
  assert.deepEqual(told, [{ b: { c: 2 } }]);
  told[0].b.c = 3; // is the library's own
  await storage.setItem("root", { a: 2, b: { c: 2 }, size: 14 });
  assert.deepEqual(there.load(), { a: 2, b: { c: 2 }, size: 14 });
  there.remove("b", "size");
  await soon();
  assert.deepEqual(told[1], { b: undefined, size: 12 });
  await storage.setItem("root", { a: 2, size: 12 });
  assert.deepEqual(there.keys(), ["a"]);
  there.clear();
  await soon();
  assert.deepEqual(told[2], { a: undefined });
  await assert.rejects(storage.setItem("other", {}), { code: "config" });
  await storage.setItem("root", { a: 3, size: 12 });
  await storage.removeItem("root");
  assert.deepEqual(there.keys(), []);
  assert.equal(told.length, 3, "it is not told of its own");
});

test("a persister saves queries that have new data", async () => {
  const session = opened();
  const persister = queryPersister(session);
  assert.equal(persister.restoreClient(), undefined);
  /** @param {number} n @param {object} [more] */
  const query = (n, more) => ({
    dehydratedAt: Math.random(),
    queryHash: `["${n}"]`,
    queryKey: [String(n)],
    state: { data: n, dataUpdatedAt: n, fetchStatus: "fetching", ...more },
  });
  /** @param {object[]} queries */
  const persist = (...queries) =>
    persister.persistClient({
      ...{ timestamp: Math.random() + 1, buster: "b" },
      clientState: { mutations: [], queries },
    });
  persist(query(1), query(2));
  const { items } = session.stats();
  persist(query(1, { fetchStatus: "idle" }), query(2));
  assert.equal(session.stats().items, items);
  const client = persister.restoreClient();
  assert.equal(client?.buster, "b");
  assert.deepEqual(
    client?.clientState.queries.map(({ state }) => state.data).sort(),
    [1, 2],
  );
  persist(query(2, { data: 3, dataUpdatedAt: 5 }));
  assert.deepEqual(
    persister.restoreClient()?.clientState.queries.map((q) => q.state.data),
    [3],
  );
  // A tab drops what it has restored, too, and says again which version it is of.
  persist(query(4));
  const later = queryPersister(session);
  assert.equal(later.restoreClient()?.clientState.queries.length, 1);
  later.persistClient({
    ...{ timestamp: 1, buster: "b" },
    clientState: { mutations: [], queries: [] },
  });
  assert.equal(persister.restoreClient()?.clientState.queries.length, 0);
  session.clear();
  persist(query(5));
  assert.equal(persister.restoreClient()?.buster, "b");
  // Another version's is not touched.
  session.save({ buster: "c" });
  persist(query(6));
  assert.equal(session.has('query/["6"]'), false);

  // Other tabs make no mutations of this one.
  const [here, there] = tabs();
  /** @type {any[]} */
  const told = [];
  queryPersister(there).subscribe((state) => told.push(state));
  queryPersister(here).persistClient({
    ...{ timestamp: 1, buster: "" },
    clientState: { mutations: [{ state: {} }], queries: [query(1)] },
  });
  await soon();
  assert.deepEqual(told[0].mutations, []);
  assert.equal(told[0].queries.length, 1);

  persister.removeClient();
  assert.equal(persister.restoreClient(), undefined);
});

test("a cache that has taken a part of what it is given is not saved", async () => {
  const [here, there] = tabs();
  const persister = queryPersister(there);
  const query = (/** @type {string} */ queryHash, /** @type {number} */ n) => ({
    ...{ queryHash, queryKey: [queryHash] },
    state: { data: n, dataUpdatedAt: n, dataUpdateCount: n },
  });
  /** @param {any[]} queries */
  const client = (...queries) => ({
    ...{ timestamp: 1, buster: "" },
    clientState: { mutations: [], queries },
  });
  persister.persistClient(client(query("a", 1), query("b", 1)));
  // As hydrate has a cache persisted after each query.
  persister.subscribe(() =>
    persister.persistClient(client(query("a", 2), query("b", 1))),
  );
  here.save({ "query/a": query("a", 2), "query/b": query("b", 2) });
  await soon();
  assert.deepEqual(here.get("query/b"), query("b", 2));
});

test("a query that is set twice within a millisecond is followed twice", async () => {
  const now = Date.now();
  const { now: clock } = Date;
  const storage = new OwnStorage();
  const [here, there] = [1, 2].map(() => {
    const queryClient = new QueryClient();
    const persister = queryPersister(openSync("queries", { storage }));
    persister.subscribe((state) => hydrate(queryClient, state));
    const save = () => persistQueryClientSave({ queryClient, persister });
    return { queryClient, save };
  });
  Date.now = () => now;
  try {
    for (const n of [1, 2, 3]) {
      here.queryClient.setQueryData(["n"], n);
      await here.save();
      await soon();
      assert.equal(there.queryClient.getQueryData(["n"]), n);
      // What it was given is not its own to save.
      const { length } = storage;
      const texts = [...storage.items.values()].join();
      await there.save();
      assert.equal(storage.length, length);
      assert.equal([...storage.items.values()].join(), texts);
    }
    there.queryClient.setQueryData(["n"], 4);
    await there.save();
    await soon();
    assert.equal(here.queryClient.getQueryData(["n"]), 4);
  } finally {
    Date.now = clock;
  }
  for (const { queryClient } of [here, there]) queryClient.clear();
});
