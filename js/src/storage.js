/**
 * Adapters for libraries that keep their state in a storage.
 *
 * @module session-writer/storage
 */
import { describe } from "./describe.js";
import { SessionError } from "./error.js";
import { equal, own } from "./json.js";

/** @typedef {import("./api.js").Session} Session */
/** @typedef {import("./api.js").Change} Change */
/** @typedef {Record<string, unknown>} State */

/** @type {typeof import("./api-storage.js").webStorage} */
export function webStorage(session) {
  const members = Members.of(session);
  /** @param {string} key */
  const getItem = (key) => textOf(session.get(key));
  return {
    getItem,
    setItem(key, text) {
      const value = valueOf(String(text));
      if (!equal(value, session.get(key))) members.save({ [key]: value }, []);
    },
    removeItem(key) {
      if (session.has(key)) members.save({}, [key]);
    },
    clear: session.clear,
    key: (index) => session.keys()[index] ?? null,
    get length() {
      return session.keys().length;
    },
    subscribe: (key, listener) =>
      members.subscribe(({ set, removed, cleared }) => {
        if (cleared || Object.hasOwn(set, key) || removed.includes(key)) {
          listener(getItem(key));
        }
      }),
  };
}

/** @type {typeof import("./api-storage.js").stateStorage} */
export function stateStorage(session) {
  const members = Members.of(session);
  /** @param {string} name */
  const getItem = (name) => textOf(members.read(name) ?? undefined);
  return {
    getItem,
    setItem: (name, text) => members.write(name, stateOf(text)),
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
      const { [versionOf(name)]: version, ...state } = all;
      // Without one, zustand takes it for the store's own.
      return /** @type {any} */ ({ state, version });
    },
    setItem(name, { state, version }) {
      const all = { ...state, [versionOf(name)]: version || undefined };
      members.writePart(name, all);
    },
    removeItem: (name) => members.clear(name),
    subscribe: (listener) => members.subscribe(listener),
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
      setItem: async (key, state) => members.writePart(key, state),
      removeItem: async (key) => members.clear(key),
    },
    // Redux may have members to save that are not saved yet.
    subscribe: (listener) =>
      members.subscribe(({ set }) => listener(members.give(set))),
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
      members.writePart(name, all, { timestamp });
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

/**
 * The members of a library's state, which are the entries of a session. Only what differs
 * from what the library knows is saved: what it has read, and what it has written.
 */
class Members {
  /** @type {WeakMap<Session, Members>} */
  static #made = new WeakMap();
  #session;
  /** @type {string | undefined} */
  #name;
  /** @type {State} */
  #known = {};
  /** @type {State} */
  #written = {};
  #saving = false;

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
  }

  /**
   * Returns all members, or null if there are none.
   *
   * @param {string} name the library's key for the state
   * @returns {any}
   */
  read(name) {
    this.#check(name);
    this.#known = this.#session.snapshot();
    return Object.keys(this.#known).length > 0 ? copy(this.#known) : null;
  }

  /**
   * Notes that the library is given some members, and returns them.
   *
   * @param {State} members
   */
  give(members) {
    this.#known = { ...this.#known, ...members };
    return copy(members);
  }

  /**
   * Saves what is new in a whole state. What is known and not in it is removed.
   *
   * @param {string} name
   * @param {State} state
   */
  write(name, state) {
    this.#write(name, state, this.#known);
  }

  /**
   * Saves what is new in a state that may be a part of what was read. What was written
   * before and is not in it is removed.
   *
   * @param {string} name
   * @param {object} state
   * @param {State} [along] is saved with what is new, but not alone
   */
  writePart(name, state, along) {
    const next = copy(/** @type {State} */ (state));
    this.#write(name, next, this.#written, along);
    this.#written = next;
  }

  /**
   * @param {string} name
   * @param {State} state
   * @param {State} had
   * @param {State} [along]
   */
  #write(name, state, had, along) {
    this.#check(name);
    const set = Object.entries(state).filter(
      ([key, value]) => !equal(own(this.#known, key), value),
    );
    const removed = Object.keys(had).filter(
      (key) => !Object.hasOwn(state, key) && this.#session.has(key),
    );
    if (set.length + removed.length === 0) return;
    this.save({ ...Object.fromEntries(set), ...along }, removed);
    const known = { ...this.#known, ...Object.fromEntries(set) };
    for (const key of removed) delete known[key];
    this.#known = known;
  }

  /**
   * @param {State} set
   * @param {string[]} removed
   */
  save(set, removed) {
    this.#saving = true;
    try {
      this.#session.save(set);
      if (removed.length > 0) this.#session.remove(...removed);
    } finally {
      this.#saving = false;
    }
  }

  /** @param {string} name */
  clear(name) {
    this.#check(name);
    this.#session.clear();
    this.#known = this.#written = {};
  }

  /**
   * Calls the listener with each change that the library has not made.
   *
   * @param {(change: Change) => void} listener
   */
  subscribe(listener) {
    return this.#session.subscribe((change) => {
      if (change.remote || !this.#saving) listener(change);
    });
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
function valueOf(text) {
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
function stateOf(text) {
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
  if (Object.keys(state).sort().join() === "state,version") {
    throw new SessionError(
      "value",
      "the state is a member of another object, as zustand has it: use zustandStorage",
    );
  }
  return /** @type {State} */ (state);
}
