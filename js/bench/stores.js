// The contenders that are JavaScript, each used as its documentation says. It
// runs in the page.
import * as idbKeyval from "idb-keyval";
import localforage from "localforage";
import lscache from "lscache";
import { legacy_createStore as createReduxStore } from "redux";
import { getStoredState, persistReducer, persistStore } from "redux-persist";
import storage from "redux-persist/es/storage";
import { store2Cart, zustandCart } from "../harness/in-page/peers.js";

/** @typedef {Record<string, unknown>} Entries */

/**
 * A session, opened. All may return promises.
 *
 * @typedef {object} Store
 * @property {(entries: Entries) => unknown} save
 * @property {(keys: string[]) => unknown} load loads all entries as they are in
 *   the storage; only those that cannot list them use the keys
 * @property {(key: string) => unknown} get
 * @property {() => unknown} [end] forgets the session, but for localStorage
 */

/** @returns {Promise<Store>} */
async function sessionWriter() {
  const session = await inPage.open("cart");
  return {
    save: (entries) => session.save(entries),
    load: () => session.load(),
    get: (key) => session.get(key),
    end: () => session.close(),
  };
}

/** @returns {Promise<Store & { flush: () => Promise<void> }>} */
async function durable() {
  const session = await inPage.open("cart", { durable: true });
  return {
    save: (entries) => session.save(entries),
    load: () => session.load(),
    get: (key) => session.get(key),
    flush: () => session.flush(),
    end: async () => {
      session.clear();
      await session.flush();
      session.close();
    },
  };
}

/** @type {Record<string, () => Store | Promise<Store>>} */
export const stores = {
  "session-writer": sessionWriter,
  "session-writer, without a pause": sessionWriter,
  "session-writer, durable": durable,
  "session-writer, flushed": async () => {
    const store = await durable();
    return {
      ...store,
      save: (entries) => {
        store.save(entries);
        return store.flush();
      },
    };
  },

  // Under a key and in a text as long as session-writer's.
  "one setItem of the batch": () => {
    const stamp = inPage.stamp(Date.now());
    return {
      save: (entries) =>
        localStorage.setItem(
          `cart/${stamp}`,
          `{"format":1,"batches":[{"stamp":"${stamp}","set":${JSON.stringify(entries)}}]}`,
        ),
      load: lastBatch,
      get: (key) => lastBatch()[key],
    };
  },

  "a setItem for each entry": () => ({
    save: (entries) => {
      for (const [key, value] of Object.entries(entries)) {
        localStorage.setItem(key, JSON.stringify(value));
      }
    },
    load: (keys) => {
      /** @type {Entries} */
      const entries = {};
      for (const key of keys) entries[key] = parsed(key);
      return entries;
    },
    get: parsed,
  }),

  store2: () => {
    const cart = store2Cart();
    return {
      save: (entries) => cart.setAll(entries),
      load: () => cart.getAll(),
      get: (key) => cart.get(key),
    };
  },

  lscache: () => ({
    save: (entries) => {
      for (const [key, value] of Object.entries(entries)) {
        if (!lscache.set(key, value)) throw new Error(`lscache kept no ${key}`);
      }
    },
    load: (keys) => {
      /** @type {Entries} */
      const entries = {};
      for (const key of keys) entries[key] = lscache.get(key);
      return entries;
    },
    get: (key) => lscache.get(key),
  }),

  "localForage, localStorage": () => forage("LOCALSTORAGE"),

  "localForage, IndexedDB": () => forage("INDEXEDDB"),

  "idb-keyval setMany": () => ({
    save: (entries) => idbKeyval.setMany(Object.entries(entries)),
    load: async () => Object.fromEntries(await idbKeyval.entries()),
    get: (key) => idbKeyval.get(key),
    end: () => idbKeyval.clear(),
  }),

  "zustand persist": () => {
    const cart = zustandCart();
    return {
      save: (entries) => cart.setState(entries),
      load: async () => {
        await cart.persist.rehydrate();
        return cart.getState();
      },
      get: (key) => cart.getState()[key],
    };
  },

  "redux-persist, flushed": async () => {
    const config = { key: "cart", storage };
    const reducer = (
      /** @type {Entries} */ state = {},
      /** @type {{ type: string, entries?: Entries }} */ action,
    ) => (action.type === "save" ? { ...state, ...action.entries } : state);
    const store = createReduxStore(persistReducer(config, reducer));
    /** @type {import("redux-persist").Persistor} */
    const persistor = await new Promise((resolve) => {
      const persistor = persistStore(store, null, () => resolve(persistor));
    });
    return {
      save: (entries) => {
        store.dispatch({ type: "save", entries });
        return persistor.flush();
      },
      load: async () => {
        const { _persist, ...entries } = /** @type {Entries} */ (
          (await getStoredState(config)) ?? {}
        );
        return entries;
      },
      get: (key) => /** @type {Entries} */ (store.getState())[key],
      end: () => persistor.pause(),
    };
  },
};

/** @param {string} key */
function parsed(key) {
  const text = localStorage.getItem(key);
  return text === null ? undefined : JSON.parse(text);
}

/** @returns {Entries} */
function lastBatch() {
  const [[, text]] = inPage.items();
  return JSON.parse(text).batches[0].set;
}

/**
 * @param {"LOCALSTORAGE" | "INDEXEDDB"} driver
 * @returns {Promise<Store>}
 */
async function forage(driver) {
  const cart = localforage.createInstance({
    name: "cart",
    driver: localforage[driver],
  });
  await cart.ready();
  return {
    // It has no other way to save several.
    save: (entries) =>
      Promise.all(
        Object.entries(entries).map(([key, value]) => cart.setItem(key, value)),
      ),
    load: async () => {
      /** @type {Entries} */
      const entries = {};
      await cart.iterate((value, key) => {
        entries[key] = value;
      });
      return entries;
    },
    get: (key) => cart.getItem(key),
    end: () => cart.clear(),
  };
}
