import { describe, within } from "./describe.js";
import { checkKey, encodeEntries, encodeKeys } from "./entries.js";
import { SessionError } from "./error.js";
import { ledgerKey } from "./item.js";
import { notLoaded } from "./load.js";
import { places } from "./storage.js";

/** @typedef {import("./engine.js").Engine} Engine */
/** @typedef {import("./engine.js").Stats} Stats */

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
 * The sessions that follow what others save.
 *
 * @type {Set<Session>}
 */
const active = new Set();

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
  #engine;
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
        if (storageArea !== session.#engine.area) continue;
        if (key === null) session.#refreshSoon();
        else session.#see(key);
      }
    };
    onPageShow = ({ persisted }) => {
      // A page in the back/forward cache was told of nothing.
      if (!persisted) return;
      for (const session of active) session.#refresh();
    };
  }

  /**
   * @param {Engine} engine
   * @private
   */
  constructor(engine) {
    this.#engine = engine;
  }

  /** @param {Engine} engine which is open */
  static of(engine) {
    const session = new Session(engine);
    if (active.size === 0 && globalThis.window) {
      addEventListener("storage", onStorage);
      addEventListener("pageshow", onPageShow);
    }
    active.add(session);
    return session;
  }

  /** The name that it was opened with. */
  get name() {
    return this.#engine.name;
  }

  /**
   * Whether it is open, and follows what other tabs save. A closed session
   * still saves and loads.
   */
  get active() {
    return this.#engine.isOpen;
  }

  /** Whether it outlives the page: false when it is kept in memory. */
  get persistent() {
    return this.#engine.place !== places.memory;
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
    this.#write("save", (engine) => {
      // This may run code of the page's, which may use the session.
      const { text, keys } = encodeEntries(entries);
      return engine.save(text, keys);
    });
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
    return assignable(this.#use("load", (engine) => engine.load()));
  }

  /**
   * Returns the value of a key, and undefined when it has none.
   *
   * @param {string} key
   * @returns {unknown}
   * @throws {SessionError} `key`, `disabled`
   */
  get(key) {
    return this.#use("get", (engine) => {
      checkKey(key);
      return engine.get(key);
    });
  }

  /**
   * Removes entries, all of them or none. To remove what is not there is no
   * error.
   *
   * @param {...string} keys
   * @throws {SessionError} `key`, `quota`, `disabled`
   */
  remove(...keys) {
    this.#write("remove", (engine) => engine.remove(encodeKeys(keys)));
  }

  /**
   * Removes all entries that were saved before: also those that another device
   * saved, and of which this one has not heard yet. What others save at the same
   * moment, or later, stays.
   *
   * @throws {SessionError} `quota`, `disabled`
   */
  clear() {
    this.#write("clear", (engine) => engine.clear());
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
    this.#use("subscribe", (engine) => {
      this.#mustBeActive();
      if (typeof listener !== "function") {
        throw new SessionError(
          "config",
          `the listener is ${describe(listener)}: give a function`,
        );
      }
      if (this.#subscriptions.size === 0) engine.watch(true);
      this.#subscriptions.add(subscription);
    });
    return () => {
      if (
        this.#subscriptions.delete(subscription) &&
        this.#subscriptions.size === 0 &&
        this.active
      ) {
        this.#engine.watch(false);
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
      throw within(this.name, "sync", notLoaded("sync.js", cause));
    });
    const sync = this.#use("sync", (engine) => {
      this.#mustBeActive();
      return Sync.begin(
        {
          engine,
          changed: () => this.#turned(),
          onWrite: (listener) => {
            this.#written = listener;
          },
        },
        url,
        options,
      );
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
    this.#use("forget", (engine) => engine.forget());
    this.#turned();
  }

  /** Has every session here find out what is there, and whose that is. */
  #turned() {
    for (const session of this.#here()) {
      session.#see(ledgerKey(this.name));
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
    return this.#use("stats", (engine) => engine.stats());
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
    this.#tidy();
    this.#use("close", (engine) => engine.close());
  }

  /**
   * Saves, removes or clears.
   *
   * @param {string} operation
   * @param {(engine: Engine) => import("./engine.js").Written} call
   */
  #write(operation, call) {
    const { change, due } = this.#use(operation, call);
    if (due) this.#tidySoon();
    if (change) this.#tell(change, false);
    for (const session of this.#here()) {
      session.#written();
      // The storage event tells other documents only.
      if (session !== this) session.#refreshSoon();
    }
  }

  /** The sessions of this page that are the same as this, if they are active. */
  #here() {
    return [...active].filter((other) => other.#engine.isSame(this.#engine));
  }

  /** Compacts the session, if that is due. */
  #tidy() {
    try {
      this.#engine.tidy();
    } catch {
      // Nobody waits for it. If the module had to stop, the next call says so.
    }
  }

  #tidySoon() {
    if (this.#tidying) return;
    this.#tidying = true;
    whenIdle(() => {
      this.#tidying = false;
      if (this.active) this.#tidy();
    });
  }

  /**
   * Calls f, whose errors say then which session and call they are from.
   *
   * @template T
   * @param {string} operation
   * @param {(engine: Engine) => T} f
   * @returns {T}
   */
  #use(operation, f) {
    try {
      return f(this.#engine);
    } catch (error) {
      throw within(this.name, operation, error);
    }
  }

  #mustBeActive() {
    if (!this.active) {
      throw new SessionError("closed", "the session is closed: open it again");
    }
  }

  /**
   * Tells the subscriptions, in a microtask: a listener that throws must not
   * break the save that it is told of.
   *
   * @param {string} text of the change
   * @param {boolean} remote
   */
  #tell(text, remote) {
    for (const subscription of this.#subscriptions) {
      queueMicrotask(() => {
        if (!this.#subscriptions.has(subscription)) return;
        const change = { ...JSON.parse(text), remote };
        assignable(change.set);
        subscription.listener(change);
      });
    }
  }

  /**
   * Takes note of an item that another tab set or removed.
   *
   * @param {string} key
   */
  #see(key) {
    if (this.#engine.see(key) && this.#subscriptions.size > 0) {
      this.#refreshSoon();
    }
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
    const change = this.#use("refresh", (engine) => engine.refresh());
    if (change) this.#tell(change, true);
  }
}
