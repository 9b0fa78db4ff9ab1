import { attempt, within } from "./describe.js";
import { checkKey, encodeEntries, encodeKeys } from "./entries.js";
import { SessionError } from "./error.js";
import { Exchange } from "./exchange.js";
import { ledgerKey, watermarkKey } from "./item.js";
import { MemoryArea, memoryOfPage, realOf } from "./areas.js";
import { aBoolean, needFunction, read } from "./options.js";
import { hasMirror, MirroredArea } from "./mirror.js";
import { Sync } from "./sync.js";

/** @typedef {import("./engine.js").Engine} Engine */
/** @typedef {import("./view.js").View} View */
/** @typedef {Omit<import("./api.js").Session, typeof Symbol.dispose>} Interface */
/** @typedef {import("./api.js").Stats} Stats */

/** @typedef {import("./api.js").Change} Change */

/**
 * The open sessions of this page, which follow what others save.
 *
 * @type {Set<Session>}
 */
const active = new Set();

/**
 * Reports an error that nobody waits for, as the browser does for one in an event's
 * listener.
 *
 * @param {unknown} error
 */
function report(error) {
  // Node has no reportError.
  if ("reportError" in globalThis) return reportError(error);
  queueMicrotask(() => {
    throw error;
  });
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

const strictly = { strict: aBoolean };

const never = () => Promise.reject();

/**
 * The names of sessions that this page has forgotten. What a server has put into it must
 * not bring them back.
 *
 * @type {Set<string>}
 */
const forgotten = new Set();

/**
 * Whether something is localStorage, which may be forbidden.
 *
 * @param {any} area
 */
export function isLocal(area) {
  return (
    // Some servers warn of who reads the property.
    !(area instanceof MemoryArea) &&
    realOf(area) === attempt(() => globalThis.localStorage)
  );
}

export const onlyLocal = "only what is in localStorage can be durable";

/** Whether there are the events of a page. Some servers have a window without. */
const isPage = Boolean(globalThis.window?.addEventListener);

// The listeners use private members, so they are set inside the class.

/** @type {(event: StorageEvent) => void} */
let onStorage;

/** @type {(event: PageTransitionEvent) => void} */
let onPageShow;

/** @type {() => void} */
let onPageHide;

/** @typedef {{ listener: (change: Change) => void }} Subscription */

/** @implements {Interface} */
export class Session {
  #engine;
  /** What was told, or else what was shown last. */
  #view;
  /** The text of what was shown last, if that was not told. */
  #taken = "";
  /** @type {Set<Subscription>} */
  #subscriptions = new Set();
  /**
   * What subscriptions are to be told, in the order in which it was found.
   *
   * @type {{ change: Change, to: Subscription[] }[]}
   */
  #news = [];
  #telling = false;
  #refreshing = false;
  #tidying = false;
  /** @type {Sync | undefined} */
  #sync;
  #written = () => {};
  /** @type {boolean | undefined} */
  #persisted;
  /** @type {MirroredArea | undefined} */
  #mirror;
  /** @type {import("./exchange.js").Local} */
  #local;
  /** Whether it is in a memory of its own. */
  #alone;

  static {
    onStorage = ({ storageArea, key }) => {
      for (const session of active) {
        // An object of the page's own may stand for any area.
        const { area, isNamed } = session.#engine;
        if (isNamed && storageArea !== realOf(area)) continue;
        if (key === null) {
          session.#mirror?.begin(true);
          session.#refreshSoon();
        } else if (key === watermarkKey(session.name)) {
          if (isLocal(area)) session.#mirrored().hear();
        } else {
          session.#see(key);
        }
      }
    };
    onPageHide = () => {
      for (const session of active) session.#mirror?.leave();
    };
    onPageShow = ({ persisted }) => {
      // In the back/forward cache a page gets no storage events.
      if (!persisted) return;
      // At once, so that what the page's own listeners save comes after it.
      for (const session of active) {
        try {
          session.#lookForMirror();
          session.#refresh();
        } catch (error) {
          report(error);
        }
      }
    };
  }

  /**
   * @param {Engine} engine an open one
   * @param {View} view
   * @param {import("./initial.js").Checked} options
   */
  constructor(engine, view, { durable, persist, initial }) {
    this.#engine = engine;
    this.#view = view;
    this.#local = { engine, changed: () => this.#turned() };
    // So that each can be handed on without the session.
    for (const name of Object.getOwnPropertyNames(Session.prototype)) {
      const { value } = /** @type {PropertyDescriptor} */ (
        Object.getOwnPropertyDescriptor(Session.prototype, name)
      );
      if (typeof value === "function" && name !== "constructor") {
        Object.defineProperty(this, name, {
          value: value.bind(this),
          writable: true, // for who watches calls in a test
          configurable: true,
        });
      }
    }
    // Not every browser has it.
    if (Symbol.dispose) {
      Object.defineProperty(this, Symbol.dispose, { value: this.close });
    }
    if (active.size === 0 && isPage) {
      addEventListener("storage", onStorage);
      addEventListener("pageshow", onPageShow);
      addEventListener("pagehide", onPageHide);
    }
    // Nobody else is in a memory of its own. On a server it may be dropped.
    const { area } = engine;
    this.#alone = area instanceof MemoryArea && area !== memoryOfPage;
    if (!this.#alone) active.add(this);
    if (persist) {
      Promise.resolve(
        attempt(() => globalThis.navigator.storage.persist()),
      ).then(
        (persisted) => {
          this.#persisted = persisted;
        },
        () => {}, // it cannot be asked
      );
    }
    if (isLocal(engine.area)) this.#followMirror(durable);
    // After the mirror, which has to hear of what goes.
    if (initial && !forgotten.has(engine.name)) {
      try {
        this.#use("initial", () =>
          new Exchange(this.#local, never, new Set(), () => false).show(
            initial,
          ),
        );
      } catch (error) {
        report(error); // there is no room; what is here can be used
      }
    }
  }

  /**
   * Has the session mirrored if it is to be, or was before.
   *
   * @param {boolean} [durable]
   */
  #followMirror(durable) {
    if (durable) this.#mirrored();
    else if (!this.#lookForMirror()) {
      // A killed browser may have lost the watermark.
      whenIdle(() =>
        hasMirror(this.name).then(
          (has) => has && this.active && this.#mirrored(),
          () => {}, // it cannot be asked
        ),
      );
    }
  }

  /** Has the session mirrored if localStorage says that it is. */
  #lookForMirror() {
    const { area, name } = this.#engine;
    return (
      isLocal(area) &&
      attempt(() => area.getItem(watermarkKey(name))) &&
      this.#mirrored()
    );
  }

  get name() {
    return this.#engine.name;
  }

  get active() {
    return this.#engine.isOpen;
  }

  get persistent() {
    return !(this.#engine.area instanceof MemoryArea);
  }

  get persisted() {
    return this.#persisted;
  }

  get durable() {
    return this.#mirror?.state ?? "off";
  }

  async flush(options = {}) {
    try {
      const given = read(
        /** @type {{ strict?: boolean }} */ (options),
        strictly,
      );
      await this.#mirrored().flush(given.strict ? "strict" : "relaxed");
    } catch (error) {
      throw within(this.name, "flush", error);
    }
  }

  /** Has the session mirrored from now on. */
  #mirrored() {
    if (this.#mirror) return this.#mirror;
    const engine = this.#engine;
    if (!isLocal(engine.area)) {
      throw new SessionError("config", onlyLocal);
    }
    const here = this.#here();
    const mirror =
      here.map((session) => session.#mirror).find(Boolean) ??
      new MirroredArea(
        engine.area,
        engine.name,
        (keys) => {
          for (const session of this.#here()) {
            for (const key of keys) session.#see(key);
            session.#refreshSoon();
          }
        },
        () => engine.compact(),
      );
    for (const session of [this, ...here]) {
      session.#mirror = mirror;
      session.#engine.setArea(mirror);
    }
    if (forgotten.has(engine.name)) mirror.forget();
    return mirror;
  }

  /** @param {import("./entries.js").Entries} entries */
  save(entries) {
    this.#write("save", (engine) => {
      // A getter or toJSON of the page's may run here, and use the session.
      const { text, keys } = encodeEntries(entries);
      return engine.save(text, keys);
    });
  }

  load() {
    return this.#use("load", (engine) => this.#view.complete(engine.load()));
  }

  snapshot() {
    return this.#use("snapshot", (engine) => {
      if (this.#subscriptions.size === 0) {
        const text = engine.load();
        if (text !== this.#taken) this.#view.takeAll(JSON.parse(text));
        this.#taken = text;
      }
      return this.#view.snapshot;
    });
  }

  get defaults() {
    return this.#view.defaults;
  }

  get initial() {
    return this.#view.initial;
  }

  /** @param {string} key */
  get(key) {
    const value = this.#saved("get", key);
    return value === undefined ? this.#view.default(key) : value;
  }

  /** @param {string} key */
  has(key) {
    return this.#saved("has", key) !== undefined;
  }

  keys() {
    return this.#use("keys", (engine) =>
      Object.keys(JSON.parse(engine.load())),
    );
  }

  /** @param {...string} keys */
  remove(...keys) {
    this.#write("remove", (engine) => engine.remove(encodeKeys(keys)));
  }

  clear() {
    this.#write("clear", (engine) => engine.clear());
  }

  /** @param {(change: Change) => void} listener */
  subscribe(listener) {
    const subscription = { listener };
    this.#use("subscribe", (engine) => {
      this.#mustBeActive();
      needFunction("listener", listener);
      if (this.#subscriptions.size === 0) {
        this.#view.takeAll(engine.watch());
        this.#taken = "";
      }
      this.#subscriptions.add(subscription);
    });
    return () => {
      if (
        this.#subscriptions.delete(subscription) &&
        this.#subscriptions.size === 0 &&
        this.active
      ) {
        this.#engine.unwatch();
      }
    };
  }

  /**
   * @param {string | URL} url
   * @param {import("./sync.js").SyncOptions} [options]
   */
  async sync(url, options = {}) {
    const sync = this.#use("sync", () => {
      this.#mustBeActive();
      return new Sync(
        this.#local,
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

  forget() {
    for (const session of this.#here()) session.#sync?.close();
    this.#mirror?.forget();
    this.#use("forget", (engine) => engine.forget());
    forgotten.add(this.name);
    this.#turned();
  }

  /** Has every session here find out whose items are shown, and read them. */
  #turned() {
    for (const session of this.#here()) {
      session.#see(ledgerKey(this.name));
      session.#refreshSoon();
    }
  }

  stats() {
    return this.#use("stats", (engine) => engine.stats());
  }

  close() {
    if (!this.active) return;
    this.#sync?.close();
    this.#subscriptions.clear();
    active.delete(this);
    if (active.size === 0 && isPage) {
      removeEventListener("storage", onStorage);
      removeEventListener("pageshow", onPageShow);
      removeEventListener("pagehide", onPageHide);
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
    for (const session of this.#here()) {
      session.#written();
      // The storage event tells other documents only.
      if (session !== this) session.#refreshSoon();
    }
    this.#find(change, false);
    this.#tell();
  }

  /**
   * @param {string} operation
   * @param {string} key
   */
  #saved(operation, key) {
    return this.#use(operation, (engine) => {
      checkKey(key);
      return engine.get(key);
    });
  }

  /** The open objects of this page for the same session, this one included. */
  #here() {
    return this.#alone && this.active
      ? [this]
      : [...active].filter((other) => other.#engine.isSame(this.#engine));
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
   * Has the subscriptions told of a change, if there is one.
   *
   * @param {string} text as JSON, or empty
   * @param {boolean} remote
   */
  #find(text, remote) {
    const change = text && this.#view.take(JSON.parse(text));
    if (!change) return;
    this.#news.push({
      change: Object.freeze({ ...change, remote }),
      to: [...this.#subscriptions],
    });
  }

  /**
   * Tells the subscriptions. What a listener saves is told after that which it is told
   * of, so that all listeners hear of everything in the same order.
   */
  #tell() {
    if (this.#telling) return;
    this.#telling = true;
    for (let next; (next = this.#news.shift());) {
      for (const subscription of next.to) {
        if (!this.#subscriptions.has(subscription)) continue;
        try {
          subscription.listener(next.change);
        } catch (error) {
          report(error);
        }
      }
    }
    this.#telling = false;
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
    this.#find(
      this.#use("refresh", (engine) => engine.refresh()),
      true,
    );
    this.#tell();
  }
}
