/**
 * Adapters for libraries that keep their state in a storage.
 *
 * @module session-writer/storage
 */
import { attempt, describe, say } from "./describe.js";
import { SessionError } from "./error.js";
import { equal, memberOf } from "./json.js";

/** @typedef {import("./api.js").Session} Session */
/** @typedef {import("./api.js").Change} Change */
/** @typedef {Record<string, unknown>} State */

/**
 * Returns a function that makes something once of each object. Some libraries ask for a
 * storage whenever they use it, and some tell storages apart.
 *
 * @template {object} K
 * @template V
 * @param {(key: K) => V} make
 * @returns {(key: K) => V}
 */
function once(make) {
  /** @type {WeakMap<K, V>} */
  const made = new WeakMap();
  return (key) => {
    const value = made.get(key) ?? make(key);
    made.set(key, value);
    return value;
  };
}

/** @type {typeof import("./api-storage.js").webStorage} */
export const webStorage = once((session) => {
  const writes = new Writes(session);
  // Without the defaults, which are no items.
  const valueOf = (/** @type {string} */ key) =>
    session.has(key) ? session.get(key) : undefined;
  const getItem = (/** @type {string} */ key) => textOf(valueOf(key));
  return {
    getItem,
    setItem(key, text) {
      if (String(text) !== getItem(key)) {
        writes.save({ [key]: valueIn(String(text)) });
      }
    },
    removeItem(key) {
      if (session.has(key)) writes.remove([key]);
    },
    clear: () => writes.clear(),
    key: (/** @type {number} */ index) => session.keys()[index] ?? null,
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
});

const wholeStorage = once((/** @type {Session} */ session) =>
  textStorage(new Members(session, true)),
);
const partialStorage = once((/** @type {Session} */ session) =>
  textStorage(new Members(session, false)),
);

/** @type {typeof import("./api-storage.js").stateStorage} */
export function stateStorage(session, { partial = false } = {}) {
  return partial ? partialStorage(session) : wholeStorage(session);
}

/**
 * @param {Members} members
 * @returns {import("./api-storage.js").FollowedStorage}
 */
function textStorage(members) {
  const getItem = (/** @type {string} */ name) => {
    const text = JSON.stringify(members.read(name));
    return text === "{}" ? null : text;
  };
  return {
    getItem,
    setItem(name, text) {
      const state = stateIn(text);
      members.write(name, state, members.gone(state));
    },
    removeItem: (name) => members.clear(name),
    subscribe: (name, listener) =>
      members.subscribe(() => listener(getItem(name))),
  };
}

/** @type {typeof import("./api-storage.js").zustandStorage} */
export function zustandStorage(session) {
  const members = new Members(session, false);
  /** The entry with the version of the state, which is no member of it. */
  const versionOf = (/** @type {string} */ name) => `${name}/version`;
  /** @type {string | undefined} */
  let versionKey;
  /** @type {number | undefined} */
  let own;
  return {
    getItem(name) {
      versionKey = versionOf(name);
      // Without a version, which zustand has not written yet, it takes its own.
      const all = members.read(name);
      if (Object.keys(all).length === 0) return null;
      const { [versionKey]: version, ...state } = all;
      return { state, version: /** @type {any} */ (version) };
    },
    setItem(name, { state, version = 0 }) {
      own = version;
      const stored = Number(session.get(versionOf(name)) ?? version);
      const along = { [versionOf(name)]: Math.max(version, stored) };
      const migrated = version > stored;
      const gone = members.gone(state, migrated);
      members.write(name, state, gone, along, migrated);
    },
    removeItem: (name) => members.clear(name),
    subscribe: (listener) =>
      members.subscribe(() => {
        if (!differ(own, versionKey && session.get(versionKey))) listener();
      }),
  };
}

/** @type {typeof import("./api-storage.js").reduxStorage} */
export function reduxStorage(session) {
  const members = new Members(session, false);
  const persist = "_persist"; // what redux-persist notes in the state, as its version
  /** @type {number | undefined} */
  let version;
  let purged = false;
  return {
    serialize: false,
    deserialize: false,
    storage: {
      async getItem(key) {
        await undefined; // or it would come after what is saved in this task, but be older
        purged = false;
        const state = members.read(key);
        // Defaults are not to be migrated.
        return session.keys().length > 0 ? state : undefined;
      },
      async setItem(key, { [persist]: own, ...state }) {
        version = own?.version;
        const stored = /** @type {any} */ (session.get(persist));
        const migrated = own?.version > stored?.version;
        const note = stored && !migrated ? stored : own;
        const along = note ? { [persist]: note } : {};
        const gone = members.gone(state, migrated);
        members.write(key, state, gone, along, migrated);
      },
      async removeItem(key) {
        purged = true; // after which redux-persist takes nothing
        members.clear(key);
      },
    },
    // What did not change is left out: redux may have others to save.
    subscribe: (listener) =>
      members.subscribe(({ set, removed }) => {
        const stored = /** @type {any} */ (session.get(persist));
        if (purged || differ(version, stored?.version)) return;
        const keys = [...Object.keys(set), ...removed];
        listener(members.give(keys.filter((key) => key !== persist)));
      }),
  };
}

/** @type {typeof import("./api-storage.js").queryPersister} */
export function queryPersister(session) {
  const members = new Members(session, false);
  const name = "queries";
  const prefix = "query/";
  /** @type {string | undefined} */
  let own; // the buster
  let giving = false;
  /** @type {(all: State) => any[]} */
  const queriesIn = (all) =>
    Object.keys(all)
      .filter((key) => key.startsWith(prefix) && all[key])
      .map((key) => all[key]);
  return {
    persistClient({ timestamp, buster, clientState }) {
      own = buster;
      // It is another version's now, or has taken a part of what it is given.
      if (giving || differ(own, session.get("buster"))) return;
      /** @type {State} */
      const all = {};
      // Each tab saves its own.
      const { mutations } = clientState;
      if (mutations.length > 0 || members.has.mutations) {
        all.mutations = mutations;
      }
      for (const { dehydratedAt, promise, ...query } of clientState.queries) {
        const key = prefix + query.queryHash;
        // As in a tab that fetches nothing, or each fetch would be saved twice.
        const state = { ...query.state, fetchStatus: "idle" };
        const had = /** @type {any} */ (memberOf(members.has, key));
        const same = [
          ...["dataUpdatedAt", "dataUpdateCount"],
          ...["errorUpdatedAt", "isInvalidated"],
        ].every((member) => had?.state[member] === state[member]);
        all[key] = same ? had : { ...query, state };
      }
      members.write(name, all, members.gone(all), { timestamp, buster });
    },
    restoreClient() {
      const all = members.read(name);
      const { timestamp, buster, mutations = [] } = /** @type {any} */ (all);
      if (!timestamp) return;
      own ??= buster;
      const queries = queriesIn(all);
      // It has them from now on, and may drop them.
      members.written = Object.keys(all);
      return { timestamp, buster, clientState: { mutations, queries } };
    },
    removeClient() {
      own = undefined;
      members.clear(name);
    },
    subscribe: (listener) =>
      members.subscribe(({ set, removed }) => {
        if (differ(own, session.get("buster"))) return;
        // Each tab makes its mutations itself.
        const keys = [...Object.keys(set), ...removed].filter((key) =>
          key.startsWith(prefix),
        );
        const before = members.has;
        const queries = queriesIn(members.give(keys)).map((query) => {
          const key = prefix + query.queryHash;
          const had = /** @type {any} */ (memberOf(before, key))?.state;
          // TanStack takes what is newer, by milliseconds, in which much may happen.
          if (!(query.state.dataUpdatedAt <= had?.dataUpdatedAt)) return query;
          const dataUpdatedAt = had.dataUpdatedAt + 1;
          const given = { ...query, state: { ...query.state, dataUpdatedAt } };
          members.has = { ...members.has, [key]: given };
          return given;
        });
        if (queries.length === 0) return;
        giving = true;
        try {
          listener({ mutations: [], queries });
        } finally {
          giving = false;
        }
      }),
  };
}

/**
 * Whether two versions are known and not the same. What another version of a page has made
 * of a state is for that: to migrate it here would be answered there, for ever.
 *
 * @param {unknown} own
 * @param {unknown} stored
 */
function differ(own, stored) {
  return own !== undefined && stored !== undefined && own !== stored;
}

/** @type {typeof import("./api-storage.js").vueUse} */
export const vueUse = once(({ getItem, setItem, removeItem, subscribe }) => {
  const told = new Set();
  /** @type {import("./api-storage.js").VueUseStorage} */
  const storageArea = {
    setItem,
    removeItem,
    getItem(key) {
      if (!told.has(key)) {
        told.add(key);
        // A closed session tells nothing.
        attempt(() =>
          subscribe(key, (newValue) => {
            const detail = { key, oldValue: null, newValue, storageArea };
            dispatchEvent(new CustomEvent("vueuse-storage", { detail }));
          }),
        );
      }
      return getItem(key);
    },
  };
  return storageArea;
});

/** What an adapter writes into a session, of which it is not told. */
class Writes {
  #session;
  /**
   * The keys of what is being written, until that was told.
   *
   * @type {Set<string> | undefined}
   */
  #keys;
  /** @type {Change | undefined} */
  #own;

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
  }

  /** @param {State} set */
  save(set) {
    this.#write(Object.keys(set), () => this.#session.save(set));
  }

  /** @param {string[]} keys */
  remove(keys) {
    if (keys.length > 0) this.#write(keys, () => this.#session.remove(...keys));
  }

  clear() {
    this.#write(this.#session.keys(), this.#session.clear);
  }

  /**
   * @param {string[]} keys
   * @param {() => void} write
   */
  #write(keys, write) {
    this.#keys = new Set(keys);
    try {
      write();
    } finally {
      this.#keys = undefined;
    }
  }

  /**
   * Calls the listener with each other change, also with what somebody saves who is told
   * of a write.
   *
   * @param {(change: Change) => void} listener
   */
  subscribe(listener) {
    return this.#session.subscribe((change) => {
      const keys = [...Object.keys(change.set), ...change.removed];
      if (!change.remote && keys.every((key) => this.#keys?.has(key))) {
        this.#own = change;
        this.#keys = undefined;
      }
      if (change !== this.#own) listener(change);
    });
  }
}

/**
 * By which key a library knows the state that is in a session.
 *
 * @type {WeakMap<Session, string>}
 */
const names = new WeakMap();

/**
 * The members of a library's state, which are the entries of a session. Only what differs
 * from what the library has is saved.
 */
class Members {
  #session;
  #writes;
  #whole;
  /**
   * What the library has, as far as is known: its defaults, what it was given, and what it
   * has written.
   *
   * @type {State}
   */
  has;
  /**
   * The members of the state that the library has written last.
   *
   * @type {string[]}
   */
  written = [];
  /**
   * The members that were there, for which the library gets a default when they are gone.
   *
   * @type {Set<string>}
   */
  #known = new Set();
  /**
   * What a write has failed to remove.
   *
   * @type {string[]}
   */
  #left = [];

  /**
   * @param {Session} session
   * @param {boolean} whole whether the library writes all of its state, and takes all that
   *   it is given
   */
  constructor(session, whole) {
    this.#session = session;
    this.#writes = new Writes(session);
    this.#whole = whole;
    this.has = session.defaults;
  }

  /**
   * Gives the library all members. Those that were there and are gone are undefined, or
   * have their defaults.
   *
   * @param {string} name the library's key for the state
   */
  read(name) {
    this.#check(name);
    const stored = this.#session.keys();
    for (const key of stored) this.#known.add(key);
    const all = this.#whole ? Object.keys(this.#session.snapshot()) : stored;
    return this.#give([...new Set([...this.#known, ...all])]);
  }

  /**
   * Gives the library some members.
   *
   * @param {string[]} keys
   */
  give(keys) {
    for (const key of keys) if (this.#session.has(key)) this.#known.add(key);
    return this.#give(keys);
  }

  /**
   * @param {string[]} keys
   * @returns {State}
   */
  #give(keys) {
    const shown = this.#session.snapshot();
    /** @type {[string, unknown][]} */
    const given = keys.map((key) => [key, memberOf(shown, key)]);
    const there = Object.fromEntries(given.filter(([, v]) => v !== undefined));
    this.has = { ...this.has, ...there };
    for (const [key, v] of given) if (v === undefined) delete this.has[key];
    return { ...Object.fromEntries(given), ...copy(there) };
  }

  /**
   * Returns the members that a state no longer has. If it may be a part of what the library
   * has, these are the ones that the library has written before, or that are undefined now.
   *
   * @param {object} state
   * @param {boolean} [whole]
   */
  gone(state, whole = this.#whole) {
    const had = whole ? Object.keys(this.has) : this.written;
    return [
      ...had.filter((key) => !Object.hasOwn(state, key)),
      ...Object.entries(state)
        .filter(([key, v]) => v === undefined && Object.hasOwn(this.has, key))
        .map(([key]) => key),
    ];
  }

  /**
   * Saves what is new in a state.
   *
   * @param {string} name
   * @param {object} state
   * @param {string[]} gone what is removed, if it is there
   * @param {State} [along] is saved with what is new
   * @param {boolean} [alone] even if nothing is
   */
  write(name, state, gone, along = {}, alone = false) {
    this.#check(name);
    const set = Object.fromEntries(
      Object.entries(state).flatMap(([key, value]) => {
        const had = memberOf(this.has, key);
        if (value === had || value === undefined) return [];
        const kept = asJSON(key, value);
        return kept === undefined || equal(kept, had) ? [] : [[key, kept]];
      }),
    );
    const removed = [...new Set([...this.#left, ...gone])].filter(
      (key) =>
        this.#session.has(key) &&
        !Object.hasOwn(along, key) &&
        memberOf(/** @type {State} */ (state), key) === undefined,
    );
    const some = Object.keys(set).length + removed.length > 0;
    const before = this.has;
    // Before it is told, which may have the library write again.
    this.has = { ...before, ...set };
    try {
      if (alone || some) this.#writes.save({ ...set, ...along });
    } catch (error) {
      this.has = before;
      throw error;
    }
    this.written = Object.keys(state);
    for (const key of Object.keys(set)) this.#known.add(key);
    this.#left = removed;
    for (const key of gone) delete this.has[key];
    this.#writes.remove(removed);
    this.#left = [];
  }

  /** @param {string} name */
  clear(name) {
    this.#check(name);
    this.#writes.clear();
    this.has = this.#session.defaults;
    this.written = [];
    this.#known.clear();
  }

  /** @param {(change: Change) => void} listener */
  subscribe(listener) {
    return this.#writes.subscribe(listener);
  }

  /** @param {string} name */
  #check(name) {
    const known = names.get(this.#session) ?? name;
    names.set(this.#session, known);
    if (name !== known) {
      throw new SessionError(
        "config",
        `session ${describe(this.#session.name)} has the state ${describe(known)}: give the state ${describe(name)} a session of its own`,
      );
    }
  }
}

/**
 * Returns what JSON keeps of a member, undefined for a function.
 *
 * @param {string} key
 * @param {unknown} value
 */
function asJSON(key, value) {
  try {
    const text = JSON.stringify(value);
    return text === undefined ? undefined : JSON.parse(text);
  } catch (cause) {
    throw new SessionError(
      "value",
      `key ${describe(key)}: JSON.stringify threw ${say(cause)}`,
      { key, cause },
    );
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
