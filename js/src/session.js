import { describe, within } from "./describe.js";
import { checkKey, encodeEntries, encodeKeys } from "./entries.js";
import { SessionError } from "./error.js";
import { ledgerKey } from "./item.js";
import { places } from "./storage.js";
import { Sync } from "./sync.js";

/** @typedef {import("./engine.js").Engine} Engine */
/** @typedef {import("./engine.js").Stats} Stats */

/**
 * What happened to a session.
 *
 * @typedef {object} Change
 * @property {Record<string, unknown>} set The entries that are new or were
 *   saved again. After `cleared`, every entry that is left. See `load` for the
 *   key `__proto__`.
 * @property {string[]} removed The keys that are gone, for whatever reason.
 * @property {boolean} cleared Whether the session was emptied. The entries in
 *   `set` came after that.
 * @property {boolean} remote False for what was done through this object, true
 *   for everything else.
 */

/**
 * The open sessions of this page, which follow what others save.
 *
 * @type {Set<Session>}
 */
const active = new Set();

/**
 * Hides an entry `__proto__` from Object.assign, which would set the prototype
 * of its target.
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
 * Calls f when the page is idle.
 *
 * @param {() => void} f
 */
function whenIdle(f) {
  // WebKit has no requestIdleCallback.
  (globalThis.requestIdleCallback ?? setTimeout)(f);
}

// The listeners use private members, so they are set inside the class.

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
  /** @type {Sync | undefined} */
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
      // In the back/forward cache a page gets no storage events.
      if (!persisted) return;
      // At once, so that what the page's own listeners save comes after it.
      for (const session of active) {
        try {
          session.#refresh();
        } catch (error) {
          queueMicrotask(() => {
            throw error;
          });
        }
      }
    };
  }

  /**
   * @param {Engine} engine
   * @private
   */
  constructor(engine) {
    this.#engine = engine;
    // So that each can be handed on without the session.
    for (const name of Object.getOwnPropertyNames(Session.prototype)) {
      const { value } = /** @type {PropertyDescriptor} */ (
        Object.getOwnPropertyDescriptor(Session.prototype, name)
      );
      if (typeof value === "function" && name !== "constructor") {
        Object.defineProperty(this, name, { value: value.bind(this) });
      }
    }
    // Not every browser has it.
    const { dispose } = /** @type {{ dispose?: symbol }} */ (Symbol);
    if (dispose) Object.defineProperty(this, dispose, { value: this.close });
  }

  /** @param {Engine} engine an open one */
  static of(engine) {
    const session = new Session(engine);
    if (active.size === 0 && globalThis.window) {
      addEventListener("storage", onStorage);
      addEventListener("pageshow", onPageShow);
    }
    active.add(session);
    return session;
  }

  /** The name that the session was opened with. */
  get name() {
    return this.#engine.name;
  }

  /**
   * Whether the session is open. An open session follows what other tabs save.
   * A closed session still saves and loads.
   */
  get active() {
    return this.#engine.isOpen;
  }

  /** Whether the session outlives the page. It does not when kept in memory. */
  get persistent() {
    return this.#engine.place !== places.memory;
  }

  /**
   * Saves the entries, all of them or none, and leaves every other entry as it
   * is. When the call returns, the entries are in the storage.
   *
   * Values go through JSON.stringify. `save` refuses a value that JSON.stringify
   * would drop or turn into something else: undefined, a function, a symbol, a
   * BigInt, NaN, an infinity, a Map. It also refuses a value that has a cycle.
   * Inside a value the rules of JSON.stringify hold.
   *
   * @param {import("./entries.js").Entries} entries
   * @throws {SessionError} `key`, `value`, `quota`, `disabled`
   */
  save(entries) {
    this.#write("save", (engine) => {
      // A getter or toJSON of the page's may run here, and use the session.
      const { text, keys } = encodeEntries(entries);
      return engine.save(text, keys);
    });
  }

  /**
   * Returns all entries. An entry of the key `__proto__` is not enumerable, so
   * that Object.assign sets no prototype. Inside a value such a key is an
   * ordinary property, as JSON.parse makes it.
   *
   * @returns {Record<string, unknown>}
   * @throws {SessionError} `disabled`
   */
  load() {
    return assignable(this.#use("load", (engine) => engine.load()));
  }

  /**
   * Returns the value of a key, or undefined if it has none.
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
   * Returns whether a key has a value, which may be null.
   *
   * @param {string} key
   * @returns {boolean}
   * @throws {SessionError} `key`, `disabled`
   */
  has(key) {
    return this.get(key) !== undefined;
  }

  /**
   * Returns the keys that have a value.
   *
   * @returns {string[]}
   * @throws {SessionError} `disabled`
   */
  keys() {
    return Object.getOwnPropertyNames(this.load());
  }

  /**
   * Removes entries, all of them or none. A key without an entry is no error.
   *
   * @param {...string} keys
   * @throws {SessionError} `key`, `quota`, `disabled`
   */
  remove(...keys) {
    this.#write("remove", (engine) => engine.remove(encodeKeys(keys)));
  }

  /**
   * Removes all entries that were saved before, even those of other devices that
   * this one has not heard of yet. What others save at the same moment or later
   * stays.
   *
   * @throws {SessionError} `quota`, `disabled`
   */
  clear() {
    this.#write("clear", (engine) => engine.clear());
  }

  /**
   * Calls the listener soon after every change from now on, whether it was made
   * through this object, elsewhere in the page, in another tab or on another
   * device. Changes that others make in quick succession may come as one.
   *
   * @param {(change: Change) => void} listener
   * @returns {() => void} ends the subscription, as `close` does
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
   * Keeps a copy of the session on a server, for the user's other devices. A
   * save still goes into the storage at once, also offline. Another call of
   * `sync` ends the Sync before it, and so does `close`.
   *
   * @param {string | URL} url Where a server answers as the Go package
   *   web/server does.
   * @param {import("./sync.js").SyncOptions} [options]
   * @returns {Promise<import("./sync.js").Sync>} rejects with a SessionError:
   *   `closed`, `config`
   */
  async sync(url, options = {}) {
    const sync = this.#use("sync", (engine) => {
      this.#mustBeActive();
      return Sync.begin(
        { engine, changed: () => this.#turned() },
        (listener) => {
          this.#written = listener;
        },
        url,
        options,
      );
    });
    this.#sync?.close();
    return (this.#sync = sync);
  }

  /**
   * Removes what is stored here of the session, and ends its sync in this page.
   * The copy on the server stays, and so does what is kept here for other
   * owners.
   *
   * Call it last at a logout. Call `await sync.now()` first, because what was
   * not sent is lost. Then have the server sign the user out, because another
   * tab that still syncs as the user would fetch the copy again.
   *
   * @throws {SessionError} `disabled`
   */
  forget() {
    for (const session of this.#here()) session.#sync?.close();
    this.#use("forget", (engine) => engine.forget());
    this.#turned();
  }

  /** Has every session here find out whose items are shown, and read them. */
  #turned() {
    for (const session of this.#here()) {
      session.#see(ledgerKey(this.name));
      session.#refreshSoon();
    }
  }

  /**
   * Returns how much the session takes in its storage.
   *
   * @returns {Stats}
   * @throws {SessionError} `disabled`
   */
  stats() {
    return this.#use("stats", (engine) => engine.stats());
  }

  /**
   * Ends every subscription and the sync, and no longer follows other tabs. A
   * second call does nothing.
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

  /** The open objects of this page for the same session, this one included. */
  #here() {
    return [...active].filter((other) => other.#engine.isSame(this.#engine));
  }

  /** Compacts the session if that is due. */
  #tidy() {
    try {
      this.#engine.tidy();
    } catch {
      // Nobody waits for this. If the module had to stop, the next call says so.
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
   * Calls f, and makes its errors say which session and call they are from.
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
   * Tells the subscriptions in microtasks, because a listener that throws must
   * not break the save that it is told of.
   *
   * @param {string} text the change as JSON
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
   * Notes that another tab set or removed an item.
   *
   * @param {string} key
   */
  #see(key) {
    if (this.#engine.see(key) && this.#subscriptions.size > 0) {
      this.#refreshSoon();
    }
  }

  /**
   * Reads what others did in a task of its own, so that many changes at once
   * cost one reading.
   */
  #refreshSoon() {
    if (this.#refreshing) return;
    this.#refreshing = true;
    setTimeout(() => {
      this.#refreshing = false;
      if (this.active) this.#refresh();
    });
  }

  /** Reads what others did, and tells the subscriptions. */
  #refresh() {
    const change = this.#use("refresh", (engine) => engine.refresh());
    if (change) this.#tell(change, true);
  }
}
