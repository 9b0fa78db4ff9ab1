import { attempt, describe, say, within } from "./describe.js";
import { SessionError } from "./error.js";
import { draft, Exchange, joined, sizeOf } from "./exchange.js";
import { Server } from "./http.js";
import { ledgerKey, prefixOf } from "./item.js";
import { read } from "./options.js";

/**
 * How a session stands to its copy on a server.
 *
 * @typedef {object} SyncState
 * @property {"idle" | "syncing" | "offline" | "error"} status
 * @property {number} unsent How many entries and removals may not be on the
 *   server yet; a clearing counts as one. Those that were sent, and stored anew
 *   together with others since, count as well, as they will be sent again.
 * @property {SessionError} [error] What went wrong, in the status `error`. It is
 *   tried again by itself.
 */

/**
 * @typedef {object} SyncOptions
 * @property {number} [delay] How many seconds after a save it is sent, together
 *   with what was saved meanwhile. By default 1.
 * @property {number} [interval] How many seconds pass between exchanges while
 *   the page is visible, in which other devices' changes arrive. By default 30.
 * @property {typeof fetch} [fetch] What makes the requests: by default the
 *   page's own.
 */

/**
 * The copy of a session that is here, and what tells of it.
 *
 * @typedef {import("./exchange.js").Local & {
 *   onWrite: (listener: () => void) => void,
 * }} Local onWrite calls the listener after each save, removal and clearing, until
 *   it is given another
 */

/**
 * The most that browsers send for a page that is going (Fetch, "HTTP-network-
 * or-cache fetch": 64 KiB for all such requests of a page), with some to spare.
 */
const keepaliveLimit = 60_000;

/** In milliseconds: the first wait after a failure, and the longest. */
const backOff = { first: 1_000, longest: 300_000 };

/**
 * How long what the server has no room for is not sent again by itself, in
 * milliseconds.
 */
const refusalTime = 300_000;

/** A session's copy on a server, and what keeps the two the same. */
export class Sync {
  #engine;
  #local;
  #server;
  #delay;
  #interval;
  #closed = false;
  #busy = false;
  /**
   * The exchange that is yet to begin.
   * @type {Promise<void> | undefined}
   */
  #next;
  /**
   * The last of those that have begun.
   * @type {Promise<void>}
   */
  #last = Promise.resolve();
  /**
   * The items for which the server had no room, the largest entry in them, and
   * when that was.
   * @type {Set<string>}
   */
  #refused = new Set();
  #largest = { key: "", size: 0 };
  #refusedAt = 0;
  /** @type {SessionError | undefined} */
  #error;
  #failures = 0;
  #count = 0;
  #telling = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #due = Infinity;
  /** @type {Set<{ listener: (state: SyncState) => void }>} */
  #subscriptions = new Set();

  /**
   * @param {Local} local
   * @param {string | URL} url
   * @param {SyncOptions} options
   * @private
   */
  constructor(local, url, options) {
    const given = read(options, known);
    if (typeof given === "string") throw new SessionError("config", given);
    const { delay = 1, interval = 30, fetch } = given;
    this.#local = local;
    this.#engine = local.engine;
    this.#server = new Server(
      url, // The one that the page has then: it may come to wrap it.
      fetch ?? ((...request) => globalThis.fetch(...request)),
    );
    this.#delay = delay * 1000;
    this.#interval = interval * 1000;
    for (const [target, type, listener] of this.#listeners()) {
      target.addEventListener(type, listener);
    }
    local.onWrite(() => {
      this.#schedule(this.#delay);
      this.#tellSoon();
    });
    this.#schedule(0);
  }

  /**
   * @param {Local} local
   * @param {string | URL} url
   * @param {SyncOptions} options
   */
  static begin(local, url, options) {
    return new Sync(local, url, options);
  }

  /**
   * How things stand.
   *
   * @returns {SyncState}
   */
  get state() {
    try {
      this.#count = this.#engine.unsent().count;
    } catch {
      // The storage is disabled: the next exchange says so.
    }
    const unsent = this.#count;
    if (this.#busy) return { status: "syncing", unsent };
    if (this.#server.unreachable) return { status: "offline", unsent };
    if (this.#error) return { status: "error", unsent, error: this.#error };
    return { status: "idle", unsent };
  }

  /**
   * Calls the listener, soon, when the state may have changed.
   *
   * @param {(state: SyncState) => void} listener
   * @returns {() => void} ends it; so does `close`
   */
  subscribe(listener) {
    if (typeof listener !== "function") {
      throw new SessionError(
        "config",
        `the listener is ${describe(listener)}: give a function`,
      );
    }
    const subscription = { listener };
    this.#subscriptions.add(subscription);
    return () => {
      this.#subscriptions.delete(subscription);
    };
  }

  /**
   * Exchanges what is new. What was saved before the call is on the server when
   * it resolves, and what the server had then is here.
   *
   * @returns {Promise<void>} rejects with a SessionError: `sync`
   */
  now() {
    this.#refused.clear();
    return this.#soon();
  }

  #soon() {
    // One that has begun may have done so before the last save.
    this.#next ??= this.#last
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        this.#last = this.#exchange();
        return this.#last;
      });
    return this.#next;
  }

  /**
   * Has the server make a code with which one other device can join the
   * sessions of this browser, once and not for long.
   *
   * @returns {Promise<{ code: string, expiresIn: number }>} expiresIn is how many
   *   seconds are left to use the code; rejects with a SessionError: `sync`
   */
  async pair() {
    await this.now(); // so that it finds all that is here
    try {
      return await this.#server.pair();
    } catch (cause) {
      throw this.#own(cause);
    }
  }

  /**
   * Joins the sessions of the device that a code is from, with all that is
   * saved here. Ask the user first: a link with a code can be anybody's. It
   * resolves when what the other device has is here, or when it has joined and
   * could not exchange: the state tells of that, as it is tried again.
   *
   * @param {string} code
   * @returns {Promise<void>} rejects with a SessionError, and nothing is joined:
   *   `sync`, with the reason `pairing` for a code that is not good
   */
  async join(code) {
    try {
      const text = String(code);
      // What was saved here is on the server as this browser's, whatever becomes
      // of it.
      await this.now().catch(() => {});
      await this.#inTurn(async () =>
        joined(this.#engine, await this.#server.join(text)),
      );
    } catch (cause) {
      throw this.#own(cause);
    }
    await this.now().catch(() => {});
  }

  /** Ends it. What is not on the server yet stays here for another time. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
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
      [window, "pagehide", this.#onHidden],
      [document, "visibilitychange", this.#onVisibility],
    ];
  }

  #onOnline = () => this.#schedule(0);

  #onOffline = () => {
    this.#server.unreachable = true;
    this.#tellSoon();
  };

  #onStorage = (/** @type {StorageEvent} */ { key }) => {
    const { name } = this.#engine;
    if (key === ledgerKey(name) || key?.startsWith(prefixOf(name))) {
      this.#tellSoon();
    }
  };

  #onVisibility = () => {
    if (document.visibilityState === "visible") this.#schedule(0);
    else this.#onHidden();
  };

  /** Sends what there is, as the page may be about to go. */
  #onHidden = () => {
    try {
      const sent = draft(this.#engine, this.#refused, keepaliveLimit);
      if (sent && new Blob([sent.items]).size <= keepaliveLimit) {
        // Its answer may find nobody here. Then all of it is sent again, which
        // does no harm.
        this.#server.leave(this.#engine, sent);
      }
    } catch {
      // The storage is disabled.
    }
  };

  /**
   * Makes an exchange after some milliseconds, unless one is to be earlier.
   *
   * @param {number} wait
   */
  #schedule(wait) {
    const due = Date.now() + wait;
    if (this.#closed || due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(
      () => this.#soon().catch(() => {}), // the state tells of it
      Math.min(wait, 0x7fffffff),
    );
  }

  /** How long to wait after an exchange, in milliseconds. */
  #pause() {
    if (this.#failures === 0) {
      // Nobody looks at a hidden page; when it is shown, it asks.
      return globalThis.document?.visibilityState === "hidden"
        ? Infinity
        : this.#interval;
    }
    const wait = backOff.first * 2 ** (this.#failures - 1);
    // Not all at once, when a server that was away is there again.
    return Math.min(wait, backOff.longest) * (0.5 + Math.random() / 2);
  }

  async #exchange() {
    if (this.#closed) {
      throw this.#own(new SessionError("sync", "it is closed"));
    }
    clearTimeout(this.#timer);
    this.#due = Infinity; // what was due is done now
    this.#busy = true;
    this.#tellSoon();
    /** @type {import("./exchange.js").Refused | undefined} */
    let refused;
    try {
      if (this.#hasRoom()) this.#refused.clear();
      refused = await this.#inTurn(() =>
        new Exchange(
          this.#local,
          (sent) => this.#server.exchange(this.#engine, sent),
          this.#refused,
          () => this.#closed,
        ).run(),
      );
      this.#failures = 0;
      if (refused) {
        for (const stamp of refused.stamps) this.#refused.add(stamp);
        this.#largest = refused;
        this.#refusedAt = Date.now();
        throw new SessionError(
          "sync",
          `the server has no room for the key ${describe(refused.key)}, which takes ${refused.size} characters: ${refused.why}`,
          { key: refused.key, reason: refused.reason },
        );
      }
      if (this.#refused.size === 0) this.#error = undefined;
    } catch (cause) {
      if (!refused) this.#failures++;
      throw (this.#error = this.#own(cause));
    } finally {
      this.#busy = false;
      this.#tellSoon();
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
   * Calls f when no other tab or session of this browser is in its own call for
   * the same server: not to send the same twice, nor to be taken for several
   * browsers. Pages that may not use the Web Locks API do without.
   *
   * @template T
   * @param {() => Promise<T>} f
   * @returns {Promise<T>}
   */
  async #inTurn(f) {
    const locks = globalThis.navigator?.locks;
    const name = `session-writer ${this.#server.url}`;
    return locks ? await locks.request(name, f) : await f();
  }

  /**
   * Returns what was thrown, as an error of this package that says whose it is.
   *
   * @param {unknown} thrown
   * @returns {SessionError}
   */
  #own(thrown) {
    const own = attempt(() => thrown instanceof SessionError)
      ? thrown
      : new SessionError("sync", say(thrown), { cause: thrown });
    return /** @type {SessionError} */ (within(this.#engine.name, "sync", own));
  }

  /** Tells the subscriptions, once for all that happens in this task. */
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

/** @type {import("./options.js").Known} */
const known = {
  delay: {
    expected: "a number of seconds, 0 or more",
    accepts: (value) => Number.isFinite(value) && value >= 0,
  },
  interval: {
    expected: "a positive number of seconds, or Infinity for never",
    accepts: (value) => typeof value === "number" && value > 0,
  },
  fetch: {
    expected: "a function like fetch",
    accepts: (value) => typeof value === "function",
  },
};
