import { describe, SessionError, within } from "./error.js";
import { checkKey, encodeEntries, encodeKeys } from "./entries.js";
import { notLoaded } from "./module.js";
import { keysOf, places } from "./storage.js";

/** @typedef {import("./storage.js").Place} Place */

/**
 * What happened to a session.
 *
 * @typedef {object} Change
 * @property {Record<string, unknown>} set The entries that are new or were
 *   saved again; and with `cleared`, every entry that is left. See `load` for
 *   the key `__proto__`.
 * @property {string[]} removed The keys that are gone, however that came about.
 * @property {boolean} cleared Whether the session was emptied, before what is
 *   in `set`.
 * @property {boolean} remote Whether it was not done through this object.
 */

/**
 * What a session takes in its storage.
 *
 * @typedef {object} Stats
 * @property {number} entries The number of keys that have a value.
 * @property {number} items The number of storage items that hold the session.
 * @property {number} bytes The size of all items under the session's name,
 *   keys and texts, as browsers count it against their quota: in UTF-16 code
 *   units, of which they allow 5,242,880 for an origin.
 * @property {number} corrupt The number of items under the session's name that
 *   cannot be read: damaged, foreign, or of a newer format.
 */

/**
 * The sessions that follow what others save.
 *
 * @type {Set<Session>}
 */
const active = new Set();

/** The argument of a call that has none. */
const nothing = () => "";

/**
 * Makes entries such that Object.assign copies them, and sets no prototype.
 *
 * @param {Record<string, unknown>} entries
 */
function assignable(entries) {
  if (Object.hasOwn(entries, "__proto__")) {
    Object.defineProperty(entries, "__proto__", { enumerable: false });
  }
  return entries;
}

/**
 * Calls f when the page has nothing better to do.
 *
 * @param {() => void} f
 */
function whenIdle(f) {
  // WebKit, for one, knows no idle time.
  (globalThis.requestIdleCallback ?? setTimeout)(f);
}

// The listeners, which are set where a session's private parts can be named.

/** @type {(event: StorageEvent) => void} */
let onStorage;

/** @type {(event: PageTransitionEvent) => void} */
let onPageShow;

/** A session: a map of keys to JSON values that outlives the page. */
export class Session {
  #module;
  #name;
  #place;
  #maxAge;
  /**
   * The session in the module, while this one is active.
   * @type {number | undefined}
   */
  #handle;
  /** @type {Set<{ listener: (change: Change) => void }>} */
  #subscriptions = new Set();
  #refreshing = false;
  #tidying = false;
  /** @type {import("./sync.js").Sync | undefined} */
  #sync;
  #written = () => {};

  static {
    onStorage = ({ storageArea, key }) => {
      for (const session of active) {
        if (storageArea !== session.#area) continue;
        if (key === null) session.#refreshSoon();
        else if (
          key.startsWith(`${session.#name}/`) ||
          key === `/${session.#name}`
        ) {
          session.#see(key);
        }
      }
    };
    onPageShow = ({ persisted }) => {
      // A page in the back/forward cache was told of nothing.
      if (!persisted) return;
      for (const session of active) session.#refresh();
    };
  }

  /**
   * @param {import("./module.js").Module} module
   * @param {string} name
   * @param {Place} place
   * @param {number} maxAge In milliseconds; 0 for none.
   * @private
   */
  constructor(module, name, place, maxAge) {
    this.#module = module;
    this.#name = name;
    this.#place = place;
    this.#maxAge = maxAge;
    this.#handle = this.#open();
  }

  /**
   * @param {import("./module.js").Module} module
   * @param {string} name
   * @param {Place} place
   * @param {number} maxAge In milliseconds; 0 for none.
   */
  static open(module, name, place, maxAge) {
    const session = new Session(module, name, place, maxAge);
    if (active.size === 0 && globalThis.window) {
      addEventListener("storage", onStorage);
      addEventListener("pageshow", onPageShow);
    }
    active.add(session);
    return session;
  }

  /** The name that it was opened with. */
  get name() {
    return this.#name;
  }

  /**
   * Whether it is open, and follows what other tabs save. A closed session
   * still saves and loads.
   */
  get active() {
    return this.#handle !== undefined;
  }

  /** Whether it outlives the page: false when it is kept in memory. */
  get persistent() {
    return this.#place !== places.memory;
  }

  /**
   * Saves the entries, all of them or none, and leaves every other entry as it
   * is. When it returns, they are saved.
   *
   * Values go through JSON.stringify. One that it would drop or make into
   * something else (undefined, a function, a symbol, a BigInt, NaN, an
   * infinity, a Map) or that has a cycle is refused; inside a value the rules
   * of JSON.stringify hold.
   *
   * @param {import("./entries.js").Entries} entries
   * @throws {SessionError} `key`, `value`, `quota`, `disabled`
   */
  save(entries) {
    this.#write(
      "save",
      () => encodeEntries(entries),
      (handle, text) =>
        this.#module.give(text, () =>
          this.#module.write((go) => go.save(handle, text.length, Date.now())),
        ),
    );
  }

  /**
   * Returns all entries. That of the key `__proto__`, if there is one, is not
   * enumerable: Object.assign would have it be the prototype. A value is as
   * JSON.parse returns it, such a key in it included.
   *
   * @returns {Record<string, unknown>}
   * @throws {SessionError} `disabled`
   */
  load() {
    return assignable(
      JSON.parse(
        this.#use("load", nothing, (handle) =>
          this.#module.text((go) => go.load(handle, Date.now())),
        ),
      ),
    );
  }

  /**
   * Returns the value of a key, and undefined when it has none.
   *
   * @param {string} key
   * @returns {unknown}
   * @throws {SessionError} `key`, `disabled`
   */
  get(key) {
    const text = this.#use(
      "get",
      () => {
        checkKey(key);
        return key;
      },
      (handle, key) => {
        const length = this.#module.pass(key);
        return this.#module.text((go) => go.get(handle, length, Date.now()));
      },
    );
    return text === "" ? undefined : JSON.parse(text);
  }

  /**
   * Removes entries, all of them or none. To remove what is not there is no
   * error.
   *
   * @param {...string} keys
   * @throws {SessionError} `key`, `quota`, `disabled`
   */
  remove(...keys) {
    this.#write(
      "remove",
      () => encodeKeys(keys),
      (handle, text) => {
        const length = this.#module.pass(text);
        return this.#module.write((go) =>
          go.remove(handle, length, Date.now()),
        );
      },
    );
  }

  /**
   * Removes all entries that were saved before: also those that another device
   * saved, and of which this one has not heard yet. What others save at the same
   * moment, or later, stays.
   *
   * @throws {SessionError} `quota`, `disabled`
   */
  clear() {
    this.#write("clear", nothing, (handle) =>
      this.#module.write((go) => go.clear(handle, Date.now())),
    );
  }

  /**
   * Calls the listener, soon, with every change from now on: of this object,
   * of others in the page, and of other tabs. Changes that others make in
   * quick succession may come as one.
   *
   * @param {(change: Change) => void} listener
   * @returns {() => void} ends it; so does `close`
   * @throws {SessionError} `closed`, `config`, `disabled`
   */
  subscribe(listener) {
    const subscription = { listener };
    this.#use("subscribe", nothing, (handle) => {
      this.#mustBeActive();
      if (typeof listener !== "function") {
        throw new SessionError(
          "config",
          `the listener is ${describe(listener)}: give a function`,
        );
      }
      if (this.#subscriptions.size === 0) this.#watch(handle, true);
      this.#subscriptions.add(subscription);
    });
    return () => {
      if (
        this.#subscriptions.delete(subscription) &&
        this.#subscriptions.size === 0 &&
        this.#handle !== undefined
      ) {
        this.#watch(this.#handle, false);
      }
    };
  }

  /**
   * Keeps a copy of the session on a server, from which the user's other
   * devices have it. Saves stay as they are, also offline. Another call ends
   * what the one before began, and so does `close`.
   *
   * @param {string | URL} url Below it is what web/server serves.
   * @param {import("./sync.js").SyncOptions} [options]
   * @returns {Promise<import("./sync.js").Sync>} rejects with a SessionError:
   *   `closed`, `config`, `load`
   */
  async sync(url, options = {}) {
    const { Sync } = await import("./sync.js").catch((cause) => {
      throw within(this.#name, "sync", notLoaded("sync.js", cause));
    });
    const sync = this.#use("sync", nothing, () => {
      this.#mustBeActive();
      return Sync.begin(this.#lend(), url, options);
    });
    this.#sync?.close();
    return (this.#sync = sync);
  }

  /**
   * Drops what is stored here of the session, and ends its sync in this page.
   * The copy on the server stays, and what is kept here for other owners. It is
   * what a logout calls: after `await sync.now()`, or what was not sent is lost,
   * and when the server does not take the browser for the user any more, or
   * other tabs get the copy again.
   *
   * @throws {SessionError} `disabled`
   */
  forget() {
    for (const session of this.#here()) session.#sync?.close();
    this.#use("forget", nothing, (handle) =>
      this.#module.number((go) => go.forget(handle)),
    );
    this.#turned();
  }

  /** @returns {import("./sync.js").Lent} */
  #lend() {
    const module = this.#module;
    /** @type {<T>(f: (handle: number) => T) => T} */
    const use = (f) => this.#use("sync", nothing, f);
    const area = this.#area;
    return {
      name: this.#name,
      maxAge: this.#maxAge,
      area,
      keys: (begin) => keysOf(area, begin),
      onWrite: (listener) => {
        this.#written = listener;
      },
      get: (key) => this.get(key),
      changed: () => this.#turned(),
      unsent: () => {
        const [count, ...stamps] = use((handle) =>
          module.text((go) => go.unsent(handle, Date.now())),
        ).split(" ");
        return { count: Number(count), stamps };
      },
      prepare: () =>
        use((handle) => module.number((go) => go.prepare(handle, Date.now()))),
      alive: () =>
        use((handle) => module.text((go) => go.alive(handle, Date.now()))),
      stamp: (text) =>
        use((handle) => {
          const length = module.pass(text);
          return module.text((go) => go.stamp(handle, length, Date.now()));
        }),
      divide: (stamp) =>
        use((handle) => {
          const length = module.pass(stamp);
          return (
            module.number((go) => go.divide(handle, length, Date.now())) === 1
          );
        }),
      compact: () =>
        use((handle) => module.number((go) => go.compact(handle, Date.now()))),
      restamp: (latest) =>
        use((handle) =>
          module.number((go) => go.restamp(handle, latest, Date.now())),
        ),
    };
  }

  /** Has every session here find out what is there, and whose that is. */
  #turned() {
    for (const session of this.#here()) {
      session.#see(`/${this.#name}`);
      session.#refreshSoon();
    }
  }

  /**
   * Returns what the session takes in its storage.
   *
   * @returns {Stats}
   * @throws {SessionError} `disabled`
   */
  stats() {
    const [entries, items, bytes, corrupt] = JSON.parse(
      this.#use("stats", nothing, (handle) =>
        this.#module.text((go) => go.stats(handle, Date.now())),
      ),
    );
    return { entries, items, bytes, corrupt };
  }

  /**
   * Ends the following of other tabs, and every subscription. To close a
   * closed session is no error.
   */
  close() {
    if (!this.active) return;
    this.#sync?.close();
    this.#subscriptions.clear();
    active.delete(this);
    if (active.size === 0 && globalThis.window) {
      removeEventListener("storage", onStorage);
      removeEventListener("pageshow", onPageShow);
    }
    try {
      this.#use("close", nothing, (handle) => {
        this.#tidy(handle);
        this.#module.number((go) => go.close(handle));
      });
    } finally {
      this.#handle = undefined;
    }
  }

  /**
   * Saves, removes or clears.
   *
   * @param {string} operation
   * @param {() => string} argument
   * @param {(handle: number, text: string) => [change: string, tidy: number]} call
   */
  #write(operation, argument, call) {
    const change = this.#use(operation, argument, (handle, text) => {
      const [change, tidy] = call(handle, text);
      if (tidy === 2) this.#tidy(handle);
      else if (tidy === 1) this.#tidySoon();
      return change;
    });
    if (change) this.#tell(change, false);
    for (const session of this.#here()) {
      session.#written();
      // The storage event tells other documents only.
      if (session !== this) session.#refreshSoon();
    }
  }

  /** The sessions of this page that are the same as this, if they are active. */
  #here() {
    return [...active].filter(
      (other) => other.#place === this.#place && other.#name === this.#name,
    );
  }

  /**
   * Compacts the session, if that is due.
   *
   * @param {number} handle
   */
  #tidy(handle) {
    try {
      this.#module.number((go) => go.tidy(handle, Date.now()));
    } catch {
      // What was to be saved is. If the module had to stop, the next call says
      // so.
    }
  }

  #tidySoon() {
    if (this.#tidying) return;
    this.#tidying = true;
    whenIdle(() => {
      this.#tidying = false;
      if (this.#handle !== undefined) this.#tidy(this.#handle);
    });
  }

  /**
   * Calls f with the session in the module, which for a closed one is opened
   * for this call only, and with the call's argument.
   *
   * @template T
   * @param {string} operation
   * @param {() => string} argument May run code of the page's, which may use
   *   the session, so it is asked before anything else.
   * @param {(handle: number, argument: string) => T} f
   * @returns {T}
   */
  #use(operation, argument, f) {
    try {
      const text = argument();
      const handle = this.#handle ?? this.#open();
      try {
        return f(handle, text);
      } finally {
        if (handle !== this.#handle) {
          this.#module.number((go) => go.close(handle));
        }
      }
    } catch (error) {
      throw within(this.#name, operation, error);
    }
  }

  #mustBeActive() {
    if (!this.active) {
      throw new SessionError("closed", "the session is closed: open it again");
    }
  }

  #open() {
    const length = this.#module.pass(this.#name);
    return this.#module.number((go) =>
      go.open(this.#place, length, this.#maxAge),
    );
  }

  /**
   * @param {number} handle
   * @param {boolean} on
   */
  #watch(handle, on) {
    this.#module.number((go) => go.watch(handle, on ? 1 : 0, Date.now()));
  }

  /**
   * Tells the subscriptions, in a microtask: a listener that throws must not
   * break the save that it is told of.
   *
   * @param {string} text
   * @param {boolean} remote
   */
  #tell(text, remote) {
    for (const subscription of this.#subscriptions) {
      const change = { ...JSON.parse(text), remote };
      assignable(change.set);
      queueMicrotask(() => {
        if (this.#subscriptions.has(subscription))
          subscription.listener(change);
      });
    }
  }

  get #area() {
    return this.#module.area(this.#place);
  }

  /**
   * Takes note of an item that another tab set or removed: what is saved from
   * now on comes after it.
   *
   * @param {string} key
   */
  #see(key) {
    const handle = /** @type {number} */ (this.#handle);
    const length = this.#module.pass(key);
    this.#module.number((go) => go.see(handle, length));
    if (this.#subscriptions.size > 0) this.#refreshSoon();
  }

  /**
   * Finds out what others did, in a task of its own, so that many changes that
   * come at once cost one reading.
   */
  #refreshSoon() {
    if (this.#refreshing) return;
    this.#refreshing = true;
    setTimeout(() => {
      this.#refreshing = false;
      if (this.active) this.#refresh();
    });
  }

  /** Sees what others did, and tells of it. */
  #refresh() {
    const change = this.#use("refresh", nothing, (handle) =>
      this.#module.text((go) => go.refresh(handle, Date.now())),
    );
    if (change) this.#tell(change, true);
  }
}
