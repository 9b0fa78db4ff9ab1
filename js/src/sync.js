import { codeOf, errorOf } from "./codes.js";
import { attempt, describe, say, within } from "./describe.js";
import { SessionError } from "./error.js";
import { draft, Exchange, join, ledgerOf, sizeOf } from "./exchange.js";
import { Client } from "./http.js";
import { readCursor } from "./initial.js";
import { ledgerKey, prefixOf } from "./item.js";
import { isHidden, liveOf, now } from "./live.js";
import { aBoolean, needFunction, read, unfit } from "./options.js";

/** Why a Sync that was closed does nothing. */
const closed = "the sync is closed: call session.sync again";

/** @typedef {import("./api.js").SyncState} SyncState */

/** @typedef {import("./api.js").SyncOptions} SyncOptions */

/** @typedef {import("./api.js").Sync} Interface */
/** @typedef {import("./exchange.js").Local} Local */

/**
 * How many bytes are sent when the page goes. Browsers send 64 KiB in all such
 * requests of a page (Fetch, "HTTP-network-or-cache fetch").
 */
const keepaliveLimit = 60_000;

/**
 * The first wait after a failure, the longest, and the longest of a page that is told of
 * changes, in milliseconds.
 */
const backOff = { first: 1_000, longest: 300_000, live: 30_000 };

/**
 * How long an item that the server had no room for is held back, in
 * milliseconds.
 */
const refusalTime = 300_000;

/**
 * How much time passes at least between exchanges because of others' changes, in milliseconds.
 */
const fetchPause = 250;

/** After how long what an exchange has left is sent, at least, in milliseconds. */
const again = 1_000;

/**
 * Returns half of a wait to all of it, so that not all pages ask at once.
 *
 * @param {number} wait
 */
const spread = (wait) => wait * (0.5 + Math.random() / 2);

/** @implements {Interface} */
export class Sync {
  #engine;
  #local;
  #client;
  #delay;
  #interval;
  #closed = false;
  /** Whether to hear of others' changes at once. */
  #listens;
  #busy = false;
  /**
   * The exchange that has not begun yet.
   * @type {Promise<void> | undefined}
   */
  #next;
  /**
   * The cursors because of which there is one, empty for another cause.
   * @type {string[]}
   */
  #causes = [];
  /**
   * The last exchange that has begun.
   * @type {Promise<void>}
   */
  #last = Promise.resolve();
  /**
   * The stamps of the items that the server had no room for.
   * @type {Set<string>}
   */
  #refused = new Set();
  /** The largest entry in those items, when they were refused last. */
  #largest = { key: "", size: 0 };
  #refusedAt = 0;
  /** How much was unsent after the last exchange. */
  #left = 0;
  /** @type {SessionError | undefined} */
  #error;
  #failures = 0;
  #count = 0;
  #telling = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #due = Infinity;
  /**
   * The cursors of changes that are to be fetched.
   * @type {string[]}
   */
  #heard = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #fetching;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #looking;
  /**
   * Whose changes are told.
   * @type {string | undefined}
   */
  #toldOf;
  #fetchedAt = -Infinity;
  /** When something was last sent. */
  #sentAt = -Infinity;
  /**
   * What tells of others' changes. Undefined if nothing is to.
   * @type {import("./live.js").Live | undefined}
   */
  #live;
  /** @type {import("./live.js").Listener} */
  #listener;
  /** @type {Set<{ listener: (state: SyncState) => void }>} */
  #subscriptions = new Set();

  /**
   * @param {Local} local
   * @param {(listener: () => void) => void} onWrite sets the listener that is called
   *   after each save, removal and clearing
   * @param {string | URL} url
   * @param {SyncOptions} options
   */
  constructor(local, onWrite, url, options) {
    const given = read(options, known);
    const { delay = 1, interval = 30, live = true, fetch } = given;
    this.#local = local;
    this.#engine = local.engine;
    this.#client = new Client(
      url, // Not the fetch of now: the page may wrap it later.
      fetch ?? ((...request) => globalThis.fetch(...request)),
    );
    this.#delay = delay * 1000;
    this.#interval = interval * 1000;
    for (const [target, type, listener] of this.#listeners()) {
      target.addEventListener(type, listener);
    }
    this.#listener = {
      name: local.engine.name,
      told: (cursor) => this.#told(cursor),
      changed: () => {
        // The server of all pages may be gone.
        if (!this.#busy) this.#schedule(spread(this.#pause()));
        this.#tellSoon();
      },
      exchange: () => this.#soon(),
    };
    this.#listens = live;
    this.#listen(this.#owner, false);
    onWrite(() => {
      // At once, if it is the first for some time. Others wait for those that follow.
      this.#schedule(
        this.#delay === Infinity
          ? Infinity
          : Math.max(this.#sentAt + this.#delay - now(), 0),
      );
      this.#tellSoon();
    });
    this.#schedule(0);
  }

  /** Whose session is shown. */
  get #owner() {
    return attempt(() => ledgerOf(this.#engine)?.owner);
  }

  /**
   * Hears of the changes of an owner's sessions from now on.
   *
   * @param {string | undefined} owner
   * @param {boolean} isLate whether something may have been missed
   */
  #listen(owner, isLate) {
    const live =
      owner && this.#listens && !this.#closed
        ? liveOf(this.#client.url, owner)
        : undefined;
    this.#toldOf = owner;
    if (live === this.#live) return;
    this.#live?.delete(this.#listener);
    this.#live = live;
    live?.add(this.#listener, isLate);
  }

  /**
   * Hears that others may have changed something.
   *
   * @param {string} [cursor] Who has it has all. Empty if it is not known, and undefined if
   *   nothing was heard for some time.
   */
  #told(cursor) {
    // Nobody looks at a hidden page. It exchanges when it is shown.
    if (this.#closed || isHidden()) return;
    if (cursor === undefined) {
      this.#soon().catch(() => {}); // also after failures, as the server is there again
      return;
    }
    this.#heard.push(cursor);
    if (this.#heard.length > 1) return; // it is about to be fetched
    // At once, if it is the first for some time, so that many who save do not keep all busy.
    this.#fetching = setTimeout(
      () => {
        this.#fetchedAt = now();
        // After a failure, the next exchange comes by itself.
        if (this.#failures === 0) this.#soon(this.#heard).catch(() => {});
        this.#heard = [];
      },
      Math.max(this.#fetchedAt + fetchPause - now(), 0),
    );
  }

  /** @param {string} cursor */
  #has(cursor) {
    const told = readCursor(cursor);
    const had = readCursor(ledgerOf(this.#engine)?.cursor ?? "");
    return had.copy === told.copy && had.version >= told.version;
  }

  /** @returns {SyncState} */
  get state() {
    this.#recount();
    const error = this.#error;
    const status = this.#busy
      ? "syncing"
      : this.#client.unreachable
        ? "offline"
        : error
          ? "error"
          : "idle";
    return {
      status,
      unsent: this.#count,
      live: this.#live?.connected ?? false,
      ...(status === "error" && { error }),
      ...(this.#client.news && { newDevices: true }),
    };
  }

  /** Counts what is unsent. */
  #recount() {
    try {
      this.#count = this.#engine.unsent().count;
    } catch {
      // The storage is disabled. The next exchange says so.
    }
    return this.#count;
  }

  /** @param {(state: SyncState) => void} listener */
  subscribe(listener) {
    needFunction("listener", listener);
    const subscription = { listener };
    this.#subscriptions.add(subscription);
    return () => {
      this.#subscriptions.delete(subscription);
    };
  }

  now() {
    this.#refused.clear();
    return this.#soon();
  }

  /** @param {string[]} [cursors] Who has them all needs no exchange. */
  #soon(cursors = [""]) {
    this.#causes.push(...cursors);
    // An exchange that has begun may miss the last save.
    this.#next ??= this.#last
      .catch(() => {})
      .then(() => {
        const causes = this.#causes;
        this.#causes = [];
        this.#next = undefined;
        this.#last = this.#exchange(causes);
        return this.#last;
      });
    return this.#next;
  }

  async pair() {
    await this.now(); // so that the other device finds all that is here
    const pairing = await this.#ask(() => this.#client.pair());
    this.#schedule(0); // the server may know this browser only now, and tell it of changes
    return pairing;
  }

  async devices() {
    const devices = await this.#ask(() => this.#client.devices());
    this.#tellSoon();
    return devices;
  }

  /**
   * @param {string} id
   * @param {string} name
   */
  rename(id, name) {
    return this.#ask(() => {
      needText("id", id);
      needText("name", name);
      return this.#client.change("rename", { id, name });
    });
  }

  /** @param {string} id */
  revoke(id) {
    return this.#ask(() => {
      needText("id", id);
      return this.#client.change("revoke", { id });
    });
  }

  /**
   * @param {string} code
   * @param {(devices: import("./api.js").Device[]) => unknown} [agree]
   */
  async join(code, agree) {
    const devices = await this.#ask(() => {
      needText("code", code);
      if (agree === undefined) return;
      needFunction("parameter agree", agree);
      return this.#client.devices(code);
    });
    if (devices && !(await agree?.(devices))) return false;
    await this.#ask(async () => {
      // The server then keeps what was saved here as this browser's, whether the
      // join succeeds or not.
      await this.now().catch(() => {});
      await this.#inTurn(() =>
        join(this.#engine, () => this.#client.join(code)),
      );
    });
    await this.now().catch(() => {});
    return true;
  }

  /**
   * Makes a request that is no exchange.
   *
   * @template T
   * @param {() => T | Promise<T>} request
   */
  async #ask(request) {
    try {
      if (this.#closed) throw new SessionError("closed", closed);
      return await request();
    } catch (cause) {
      throw this.#own(cause);
    }
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#fetching);
    clearTimeout(this.#looking);
    this.#listen(undefined, false);
    this.#subscriptions.clear();
    for (const [target, type, listener] of this.#listeners()) {
      target.removeEventListener(type, listener);
    }
  }

  /** @returns {[target: EventTarget, type: string, listener: (event: any) => void][]} */
  #listeners() {
    if (!globalThis.document) return [];
    return [
      [window, "online", this.#onOnline],
      [window, "offline", this.#onOffline],
      [window, "storage", this.#onStorage],
      [window, "pageshow", this.#onPageShow],
      [window, "pagehide", this.#onHidden],
      [document, "visibilitychange", this.#onVisibility],
    ];
  }

  #onOnline = () => this.#schedule(0);

  #onOffline = () => {
    this.#client.unreachable = true;
    this.#tellSoon();
  };

  #onStorage = (/** @type {StorageEvent} */ { key }) => {
    const { name } = this.#engine;
    if (key !== ledgerKey(name) && !key?.startsWith(prefixOf(name))) return;
    this.#tellSoon();
    // Another tab may have joined, or found that somebody else has signed in.
    if (key === ledgerKey(name) && this.#live && this.#owner !== this.#toldOf) {
      this.#soon().catch(() => {});
    }
    // It may have no sync, and so what it saves is sent by this one.
    if (this.#looking === undefined && this.#interval < Infinity) {
      this.#looking = setTimeout(
        () => {
          this.#looking = undefined;
          if (!isHidden() && this.#recount() > 0) this.#soon().catch(() => {});
        },
        Math.min(this.#interval, 0x7fffffff),
      );
    }
  };

  #onPageShow = (/** @type {PageTransitionEvent} */ { persisted }) => {
    if (persisted) this.#schedule(0); // not every browser says that it is visible again
  };

  #onVisibility = () => {
    if (document.visibilityState === "visible") this.#schedule(0);
    else this.#onHidden();
  };

  /** Sends what is unsent, because the page may be about to go. */
  #onHidden = () => {
    try {
      const sent = draft(this.#engine, this.#refused, keepaliveLimit);
      if (sent && new Blob([sent.items]).size <= keepaliveLimit) {
        // The page may be gone before the answer comes. Then the same items are
        // sent again, which does no harm.
        this.#client.leave(this.#engine, sent);
      }
    } catch {
      // The storage is disabled.
    }
  };

  /**
   * Makes an exchange after a wait, unless an earlier one is due.
   *
   * @param {number} wait in milliseconds
   */
  #schedule(wait) {
    const due = now() + wait;
    if (this.#closed || due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(
      () => {
        this.#due = Infinity;
        this.#soon().catch(() => {}); // the state tells of it
      },
      Math.min(wait, 0x7fffffff),
    );
  }

  /** How long to wait after an exchange, in milliseconds. */
  #pause() {
    if (this.#failures === 0) {
      // Nobody looks at a hidden page. It exchanges when it is shown.
      if (isHidden()) return Infinity;
      // What is left may be sent when the server has room.
      return this.#live?.connected && this.#left === 0
        ? Infinity
        : this.#interval;
    }
    const wait = backOff.first * 2 ** (this.#failures - 1);
    const longest = this.#live?.connected ? backOff.live : backOff.longest;
    return spread(Math.min(wait, longest));
  }

  /**
   * @param {string[]} cursors Who has them all when it is his turn needs no exchange: another
   *   tab has made it.
   */
  async #exchange(cursors) {
    if (this.#closed) {
      throw this.#own(new SessionError("closed", closed));
    }
    // This is the exchange that was due, unless it turns out to be needless.
    const isDue = () => {
      clearTimeout(this.#timer);
      this.#due = Infinity;
    };
    if (cursors.includes("")) isDue();
    this.#busy = true;
    this.#tellSoon();
    /** @type {import("./exchange.js").Refused | undefined} */
    let refused;
    try {
      if (this.#hasRoom()) this.#refused.clear();
      refused = await this.#inTurn(async () => {
        if (cursors.every((cursor) => this.#has(cursor))) return;
        isDue();
        const made = await new Exchange(
          this.#local,
          (sent) => {
            if (sent.items) this.#sentAt = now();
            return this.#client.exchange(this.#engine, sent);
          },
          this.#refused,
          () => this.#closed,
        ).run();
        const { owner, address } = this.#client.live;
        this.#listen(owner, true);
        this.#live?.offer(address);
        return made;
      });
      this.#failures = 0;
      if (refused) {
        for (const stamp of refused.stamps) this.#refused.add(stamp);
        this.#largest = refused;
        this.#refusedAt = Date.now();
        const { key, size, why, reason } = refused;
        throw reason === "full" // of what others have saved
          ? new SessionError("sync", why, { reason })
          : new SessionError(
              "sync",
              `the server has no room for the key ${describe(key)}, which takes ${size} characters: ${why}`,
              { key, reason },
            );
      }
      if (this.#refused.size === 0) this.#error = undefined;
    } catch (cause) {
      if (!refused) this.#failures++;
      throw (this.#error = this.#own(cause));
    } finally {
      this.#busy = false;
      this.#tellSoon();
      const left = this.#recount();
      // A compaction during the exchange makes one item of what was sent and what was not.
      if (this.#failures === 0 && left > 0 && left !== this.#left) {
        this.#schedule(Math.max(this.#delay, again));
      }
      this.#left = left;
      this.#schedule(this.#pause());
    }
  }

  /** Whether the server may have room now for what it refused. */
  #hasRoom() {
    if (this.#refused.size === 0) return false;
    const { key, size } = this.#largest;
    return (
      Date.now() - this.#refusedAt > refusalTime ||
      sizeOf(key, this.#engine.get(key)) !== size
    );
  }

  /**
   * Calls f while no other tab or session of this browser exchanges with the same
   * server. Otherwise two might send the same items, or the server might take
   * them for two browsers. Pages without the Web Locks API take that risk.
   *
   * @template T
   * @param {() => Promise<T>} f
   * @returns {Promise<T>}
   */
  async #inTurn(f) {
    const locks = globalThis.navigator?.locks;
    if (!locks) return await f();
    let begun = false;
    try {
      return await locks.request(`session-writer ${this.#client.url}`, () => {
        begun = true;
        return f();
      });
    } catch (cause) {
      if (begun) throw cause;
      throw new SessionError("sync", `there is no lock: ${say(cause)}`, {
        cause,
      });
    }
  }

  /**
   * Returns what was thrown as a SessionError that says which session it is from.
   *
   * @param {unknown} thrown
   * @returns {SessionError}
   */
  #own(thrown) {
    const own = attempt(() => thrown instanceof SessionError)
      ? thrown
      : errorOf(codeOf(thrown), thrown); // as nothing else throws
    return /** @type {SessionError} */ (within(this.#engine.name, "sync", own));
  }

  /** Tells the subscriptions once for all that happens in this task. */
  #tellSoon() {
    if (this.#telling || this.#subscriptions.size === 0) return;
    this.#telling = true;
    setTimeout(() => {
      this.#telling = false;
      const { state } = this;
      for (const subscription of [...this.#subscriptions]) {
        queueMicrotask(() => {
          if (this.#subscriptions.has(subscription)) {
            subscription.listener(state);
          }
        });
      }
    });
  }
}

/**
 * @param {string} what
 * @param {unknown} value
 */
function needText(what, value) {
  if (typeof value !== "string") throw unfit(`${what} is`, value, "a string");
}

/** @type {import("./options.js").Known} */
const known = {
  delay: {
    expected: "a number of seconds, 0 or more, or Infinity for never",
    accepts: (value) => typeof value === "number" && value >= 0,
  },
  interval: {
    expected: "a positive number of seconds, or Infinity for never",
    accepts: (value) => typeof value === "number" && value > 0,
  },
  live: aBoolean,
  fetch: {
    expected: "a function like fetch",
    accepts: (value) => typeof value === "function",
  },
};
