/**
 * Adapters for libraries that keep their state in a storage.
 *
 * @module session-writer/storage
 */
import { describe } from "./describe.js";
import { SessionError } from "./error.js";
import { equal, memberOf } from "./json.js";

/** @typedef {import("./api.js").Session} Session */
/** @typedef {import("./api.js").Change} Change */
/** @typedef {Record<string, unknown>} State */

/** @type {typeof import("./api-storage.js").webStorage} */
export function webStorage(session) {
  const writes = Writes.of(session);
  // Without the defaults, which are no items.
  const valueOf = (/** @type {string} */ key) =>
    session.has(key) ? session.get(key) : undefined;
  const getItem = (/** @type {string} */ key) => textOf(valueOf(key));
  return {
    getItem,
    setItem(key, text) {
      const value = valueIn(String(text));
      if (!equal(value, valueOf(key))) writes.save({ [key]: value }, []);
    },
    removeItem(key) {
      if (session.has(key)) writes.save({}, [key]);
    },
    clear: () => writes.clear(),
    key: (index) => session.keys()[index] ?? null,
    get length() {
      return session.keys().length;
    },
    subscribe: (key, listener) =>
      writes.subscribe(({ set, removed }) => {
        if (Object.hasOwn(set, key) || removed.includes(key)) {
          listener(getItem(key));
        }
      }),
  };
}

/** @type {typeof import("./api-storage.js").stateStorage} */
export function stateStorage(session) {
  const members = Members.of(session);
  const getItem = (/** @type {string} */ name) =>
    textOf(members.read(name) ?? undefined);
  return {
    getItem,
    setItem: (name, text) => members.write(name, stateIn(text)),
    removeItem: (name) => members.clear(name),
    subscribe: (name, listener) =>
      members.subscribe(() => listener(getItem(name))),
  };
}

/** @type {typeof import("./api-storage.js").zustandStorage} */
export function zustandStorage(session) {
  const members = Members.of(session);
  /** The entry with the version of the state, which is no member of it. */
  const versionOf = (/** @type {string} */ name) => `${name}/version`;
  return {
    getItem(name) {
      const all = members.read(name);
      if (!all) return null;
      // Without a version, which zustand has not written yet, it takes its own.
      const { [versionOf(name)]: version, ...state } = all;
      return /** @type {any} */ ({ state, version });
    },
    setItem(name, { state, version }) {
      const along = { [versionOf(name)]: version ?? 0 };
      const before = memberOf(members.known, versionOf(name));
      members.write(
        name,
        before === undefined ? state : { ...state, ...along },
        along,
      );
    },
    removeItem: (name) => members.clear(name),
    subscribe: (listener) => members.subscribe(() => listener()),
  };
}

/** @type {typeof import("./api-storage.js").reduxStorage} */
export function reduxStorage(session) {
  const members = Members.of(session);
  return {
    serialize: false,
    deserialize: false,
    storage: {
      getItem: async (key) => members.read(key),
      setItem: async (key, state) => members.write(key, state),
      removeItem: async (key) => members.clear(key),
    },
    // What did not change is left out: redux may have others to save.
    subscribe: (listener) =>
      members.subscribe(({ set, removed }) =>
        listener(members.give([...Object.keys(set), ...removed])),
      ),
  };
}

/** @type {typeof import("./api-storage.js").queryPersister} */
export function queryPersister(session) {
  const members = Members.of(session);
  const name = "queries";
  const prefix = "query/";
  const restoreClient = () => {
    const all = members.read(name);
    if (!all?.timestamp) return;
    const { timestamp, buster, mutations } = all;
    const queries = Object.keys(all)
      .filter((key) => key.startsWith(prefix))
      .map((key) => all[key]);
    const clientState = { mutations, queries };
    return /** @type {any} */ ({ timestamp, buster, clientState });
  };
  return {
    persistClient({ timestamp, buster, clientState }) {
      /** @type {State} */
      const all = { buster, mutations: clientState.mutations };
      for (const { dehydratedAt, promise, ...query } of clientState.queries) {
        // As in a tab that fetches nothing, or each fetch would be saved twice.
        const state = { ...query.state, fetchStatus: "idle" };
        all[prefix + query.queryHash] = { ...query, state };
      }
      members.write(name, all, { timestamp });
    },
    restoreClient,
    removeClient: () => members.clear(name),
    subscribe: (listener) =>
      members.subscribe(() => {
        const client = restoreClient();
        if (client) listener(client.clientState);
      }),
  };
}

/** @type {typeof import("./api-storage.js").vueUse} */
export function vueUse({ getItem, setItem, removeItem, subscribe }) {
  const told = new Set();
  /** @type {import("./api-storage.js").VueUseStorage} */
  const storageArea = {
    setItem,
    removeItem,
    getItem(key) {
      if (!told.has(key)) {
        told.add(key);
        subscribe(key, (newValue) => {
          const detail = { key, oldValue: null, newValue, storageArea };
          dispatchEvent(new CustomEvent("vueuse-storage", { detail }));
        });
      }
      return getItem(key);
    },
  };
  return storageArea;
}

/** What adapters write into a session, so that they are not told of it. */
class Writes {
  /** @type {WeakMap<Session, Writes>} */
  static #made = new WeakMap();
  #session;
  #writing = false;

  /** @param {Session} session */
  static of(session) {
    const made = Writes.#made.get(session) ?? new Writes(session);
    Writes.#made.set(session, made);
    return made;
  }

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
  }

  /**
   * @param {State} set
   * @param {string[]} removed
   */
  save(set, removed) {
    this.#write(() => {
      this.#session.save(set);
      if (removed.length > 0) this.#session.remove(...removed);
    });
  }

  clear() {
    this.#write(this.#session.clear);
  }

  /** @param {() => void} write */
  #write(write) {
    this.#writing = true;
    try {
      write();
    } finally {
      this.#writing = false;
    }
  }

  /**
   * Calls the listener with each other change.
   *
   * @param {(change: Change) => void} listener
   */
  subscribe(listener) {
    return this.#session.subscribe((change) => {
      if (change.remote || !this.#writing) listener(change);
    });
  }
}

/**
 * The members of a library's state, which are the entries of a session. Only what differs
 * from what the library knows is saved: from what it has read, was given, or has written.
 */
class Members {
  /** @type {WeakMap<Session, Members>} */
  static #made = new WeakMap();
  #session;
  #writes;
  /** @type {string | undefined} */
  #name;
  /** @type {State} */
  known = {};

  /**
   * Returns those of a session, the same for each adapter: some libraries ask for a
   * storage whenever they use it.
   *
   * @param {Session} session
   */
  static of(session) {
    const made = Members.#made.get(session) ?? new Members(session);
    Members.#made.set(session, made);
    return made;
  }

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
    this.#writes = Writes.of(session);
  }

  /**
   * Returns all members, or null if there are none.
   *
   * @param {string} name the library's key for the state
   * @returns {any}
   */
  read(name) {
    this.#check(name);
    this.known = this.#session.snapshot();
    return Object.keys(this.known).length > 0 ? copy(this.known) : null;
  }

  /**
   * Gives the library some members. Those that are gone are undefined.
   *
   * @param {string[]} keys
   */
  give(keys) {
    const shown = this.#session.snapshot();
    const given = keys.map((key) => [key, memberOf(shown, key)]);
    this.known = copy({ ...this.known, ...Object.fromEntries(given) });
    return { ...Object.fromEntries(given), ...copy(Object.fromEntries(given)) };
  }

  /**
   * Saves what is new in a state, and removes what is known and not in it.
   *
   * @param {string} name
   * @param {object} members
   * @param {State} [along] is saved with what is new, but not alone
   */
  write(name, members, along = {}) {
    this.#check(name);
    const state = copy(/** @type {State} */ (members));
    const set = Object.entries(state).filter(
      ([key, value]) => !equal(memberOf(this.known, key), value),
    );
    const removed = Object.keys(this.known).filter(
      (key) =>
        !Object.hasOwn({ ...state, ...along }, key) && this.#session.has(key),
    );
    if (set.length + removed.length === 0) return;
    this.#writes.save({ ...Object.fromEntries(set), ...along }, removed);
    const known = { ...this.known, ...Object.fromEntries(set), ...along };
    for (const key of removed) delete known[key];
    this.known = known;
  }

  /** @param {string} name */
  clear(name) {
    this.#check(name);
    this.#writes.clear();
    this.known = {};
  }

  /** @param {(change: Change) => void} listener */
  subscribe(listener) {
    return this.#writes.subscribe(listener);
  }

  /** @param {string} name */
  #check(name) {
    this.#name ??= name;
    if (name !== this.#name) {
      throw new SessionError(
        "config",
        `session ${JSON.stringify(this.#session.name)} has the state ${JSON.stringify(this.#name)}: give the state ${JSON.stringify(name)} a session of its own`,
      );
    }
  }
}

/**
 * Returns what JSON keeps of a value, for the library to change.
 *
 * @template T
 * @param {T} value
 * @returns {T}
 */
function copy(value) {
  return JSON.parse(JSON.stringify(value));
}

/**
 * The text of an entry's value, or null if there is none. A value that is no text is given
 * as JSON.
 *
 * @param {unknown} value
 */
function textOf(value) {
  if (value === undefined) return null;
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * Returns the value of which textOf makes a text.
 *
 * @param {string} text
 */
function valueIn(text) {
  if (!/^[[{]/.test(text)) return text;
  try {
    const value = JSON.parse(text);
    return JSON.stringify(value) === text ? value : text;
  } catch {
    return text;
  }
}

/**
 * @param {string} text
 * @returns {State}
 */
function stateIn(text) {
  /** @type {unknown} */
  let state;
  try {
    state = JSON.parse(text);
  } catch {
    // It is none.
  }
  if (typeof state !== "object" || state === null || Array.isArray(state)) {
    throw new SessionError(
      "value",
      `the state is ${describe(text)}: give the JSON of an object, or use webStorage`,
    );
  }
  const { state: inner, version, ...others } = /** @type {State} */ (state);
  const wrapped = typeof inner === "object" && typeof version === "number";
  if (wrapped && Object.keys(others).length === 0) {
    throw new SessionError(
      "value",
      "the state is a member of another object, as zustand has it: use zustandStorage",
    );
  }
  return /** @type {State} */ (state);
}
