import { attempt, describe, say } from "./error.js";
import { draft, Exchange, joined, sizeOf } from "./exchange.js";
// The one that pages know; all else of its file is not that large.
import { SessionError } from "./index.js";
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
 * What a session lends to its Sync.
 *
 * @typedef {import("./exchange.js").Lent & {
 *   get: (key: string) => unknown,
 *   onWrite: (listener: () => void) => void,
 * }} Lent get returns the value that a key has here; onWrite calls the listener
 *   after each save, removal and clearing, until it is given another
 */

/**
 * The most that browsers send for a page that is going (Fetch, "HTTP-network-
 * or-cache fetch": 64 KiB for all such requests of a page), with some to spare.
 */
const keepaliveLimit = 60_000;

/** In milliseconds: the first wait after a failure, and the longest. */
const backOff = { first: 1_000, longest: 300_000 };

/**
 * How long nothing may come from the server, in milliseconds; and how much of
 * what is sent to it passes in one on a line that is slow, in bytes.
 */
const patience = 30_000;
const slowest = 4;

/** The size of an answer that is none of our server's, in bytes. */
const maxAnswer = 16 * 2 ** 20;

/**
 * How long what the server has no room for is not sent again by itself, in
 * milliseconds.
 */
const refusalTime = 300_000;

/** A pairing code: what a link can bear, and somebody can type. */
const codeForm = /^[\w-]+$/;

/** A session's copy on a server, and what keeps the two the same. */
export class Sync {
  #lent;
  #url;
  #delay;
  #interval;
  #fetch;
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
  #offline = false;
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
   * @param {Lent} lent
   * @param {string | URL} url
   * @param {SyncOptions} options
   * @private
   */
  constructor(lent, url, options) {
    const given = read(options, known);
    if (typeof given === "string") throw new SessionError("config", given);
    const { delay = 1, interval = 30, fetch } = given;
    this.#lent = lent;
    this.#url = baseOf(url);
    this.#delay = delay * 1000;
    this.#interval = interval * 1000;
    this.#fetch = fetch ?? globalThis.fetch.bind(globalThis);
    for (const [target, type, listener] of this.#listeners()) {
      target.addEventListener(type, listener);
    }
    lent.onWrite(() => {
      this.#schedule(this.#delay);
      this.#tellSoon();
    });
    this.#schedule(0);
  }

  /**
   * @param {Lent} lent
   * @param {string | URL} url
   * @param {SyncOptions} options
   */
  static begin(lent, url, options) {
    return new Sync(lent, url, options);
  }

  /**
   * How things stand.
   *
   * @returns {SyncState}
   */
  get state() {
    try {
      this.#count = this.#lent.unsent().count;
    } catch {
      // The storage is disabled: the next exchange says so.
    }
    const unsent = this.#count;
    if (this.#busy) return { status: "syncing", unsent };
    if (this.#offline) return { status: "offline", unsent };
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
   * @returns {Promise<{ code: string, expires: Date }>} rejects with a
   *   SessionError: `sync`
   */
  async pair() {
    await this.now(); // so that it finds all that is here
    try {
      const response = await this.#accepted(this.#request("pair"));
      const pairing = await this.#read(response);
      const { code, expires } = pairing ?? {};
      const end = new Date(expires);
      if (
        typeof code !== "string" ||
        !codeForm.test(code) ||
        typeof expires !== "string" ||
        isNaN(Number(end))
      ) {
        throw this.#stranger();
      }
      return { code, expires: end };
    } catch (cause) {
      throw this.#own(cause);
    }
  }

  /**
   * Joins the sessions of the device that a code is from, with all that is
   * saved here. Ask the user first: a link with a code can be anybody's.
   *
   * @param {string} code
   * @returns {Promise<void>} rejects with a SessionError: `sync`
   */
  async join(code) {
    try {
      const body = JSON.stringify({ code: String(code) });
      // What was saved here is on the server as this browser's, whatever becomes
      // of it.
      await this.now().catch(() => {});
      await this.#inTurn(async () => {
        const response = await this.#accepted(this.#request("join", body));
        joined(this.#lent, response.headers.get("Session-Owner") ?? "");
      });
    } catch (cause) {
      throw this.#own(cause);
    }
    await this.now();
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
    this.#offline = true;
    this.#tellSoon();
  };

  #onStorage = (/** @type {StorageEvent} */ { key }) => {
    const { name } = this.#lent;
    if (key === `/${name}` || key?.startsWith(`${name}/`)) {
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
      const sent = draft(this.#lent, this.#refused, keepaliveLimit);
      if (sent && new Blob([sent.items]).size <= keepaliveLimit) {
        // Its answer may find nobody here. Then all of it is sent again, which
        // does no harm.
        this.#send(sent, true).catch(() => {});
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
    if (this.#closed) throw this.#failure("it is closed");
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
          this.#lent,
          (sent) => this.#answer(this.#send(sent)),
          this.#refused,
          () => this.#closed,
        ).run(),
      );
      this.#failures = 0;
      if (refused) {
        for (const stamp of refused.stamps) this.#refused.add(stamp);
        this.#largest = refused;
        this.#refusedAt = Date.now();
        throw this.#failure(
          `the server has no room for the key ${describe(refused.key)}, which takes ${refused.size} characters: ${refused.why}`,
          { key: refused.key },
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
      sizeOf(key, this.#lent.get(key)) !== size
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
    const name = `session-writer ${this.#url}`;
    return locks ? await locks.request(name, f) : await f();
  }

  /**
   * @param {import("./exchange.js").Sent} sent
   * @param {boolean} [keepalive]
   */
  #send({ owner, cursor, items, timed }, keepalive) {
    const query = new URLSearchParams({ session: this.#lent.name });
    if (owner) query.set("owner", owner);
    if (cursor) query.set("cursor", cursor);
    if (this.#lent.maxAge) query.set("max-age", String(this.#lent.maxAge));
    if (timed) query.set("now", String(Date.now()));
    return this.#request(`exchange?${query}`, items, keepalive);
  }

  /**
   * Reads an answer to what was sent.
   *
   * @param {Promise<Response>} answer
   * @returns {Promise<import("./exchange.js").Answer>}
   */
  async #answer(answer) {
    const response = await answer;
    const { ok, status, headers } = response;
    const text = await this.#text(response);
    const cursor = headers.get("Session-Cursor");
    if (ok && cursor === null) throw this.#stranger();
    /** @type {(name: string) => number} */
    const number = (name) => {
      const digits = headers.get(name) ?? "";
      return /^\d{1,15}$/.test(digits) ? Number(digits) : NaN;
    };
    const age = number("Session-Age");
    return {
      status,
      owner: headers.get("Session-Owner") ?? "",
      cursor: cursor ?? "",
      item: ok ? text : "",
      complete: headers.has("Session-Complete"),
      age: Number.isNaN(age) ? -1 : age,
      latest: number("Session-Latest"),
      newest: headers.get("Session-Newest") ?? "",
      why: ok ? "" : why(status, text),
    };
  }

  /**
   * @param {string} path
   * @param {string} [body]
   * @param {boolean} [keepalive]
   */
  async #request(path, body = "", keepalive = false) {
    const silence = new Silence();
    try {
      if (!keepalive) silence.allow(patience + body.length / slowest);
      const response = await silence.unless(
        this.#fetch(new URL(path, this.#url), {
          method: "POST",
          ...(body && {
            body,
            headers: { "Content-Type": "application/json" },
          }),
          cache: "no-store",
          keepalive,
          signal: keepalive ? null : silence.signal,
        }),
      );
      this.#offline = false;
      return response;
    } catch (cause) {
      throw this.#unreachable(cause);
    } finally {
      silence.end();
    }
  }

  /**
   * Returns the answer that a request gets, unless that is a refusal.
   *
   * @param {Response | Promise<Response>} answer
   */
  async #accepted(answer) {
    const response = await answer;
    if (response.ok) return response;
    throw this.#failure(why(response.status, await this.#text(response)));
  }

  /** @param {Response} response */
  async #text(response) {
    const silence = new Silence();
    silence.allow(patience);
    const reader = response.body?.getReader?.();
    try {
      if (!reader) return await silence.unless(response.text());
      const decoder = new TextDecoder();
      let text = "";
      for (let size = 0; ;) {
        const { done, value } = await silence.unless(reader.read());
        if (done) return text + decoder.decode();
        silence.allow(patience);
        size += value.length;
        if (size > maxAnswer) throw this.#stranger();
        text += decoder.decode(value, { stream: true });
      }
    } catch (cause) {
      reader?.cancel().catch(() => {});
      if (cause instanceof SessionError) throw cause;
      throw this.#unreachable(cause);
    } finally {
      silence.end();
    }
  }

  /** @param {Response} response */
  async #read(response) {
    const text = await this.#text(response);
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw this.#stranger({ cause });
    }
  }

  /** @param {{ cause?: unknown }} [more] */
  #stranger(more) {
    return this.#failure(
      `what answers at ${this.#url} is no server for sessions`,
      more,
    );
  }

  /** @param {unknown} cause */
  #unreachable(cause) {
    this.#offline = true;
    return this.#failure(`the server cannot be reached: ${say(cause)}`, {
      cause,
    });
  }

  /**
   * Returns what was thrown, as an error of this package.
   *
   * @param {unknown} thrown
   */
  #own(thrown) {
    return attempt(() => thrown instanceof SessionError)
      ? /** @type {SessionError} */ (thrown)
      : this.#failure(say(thrown), { cause: thrown });
  }

  /**
   * @param {string} why
   * @param {{ cause?: unknown, key?: string }} [more]
   */
  #failure(why, more) {
    return new SessionError(
      "sync",
      `session ${describe(this.#lent.name)}: sync: ${why}`,
      more,
    );
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

/** A time in which something must come. */
class Silence {
  #controller = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {(reason: unknown) => void} */
  #fail = () => {};
  /** @type {Promise<never>} */
  #broken = new Promise((_, reject) => {
    this.#fail = reject;
  });

  constructor() {
    this.#broken.catch(() => {});
  }

  get signal() {
    return this.#controller.signal;
  }

  /** @param {number} milliseconds from now on, whatever was allowed before */
  allow(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const reason = new DOMException("it does not answer", "TimeoutError");
      this.#controller.abort(reason);
      this.#fail(reason);
    }, milliseconds);
  }

  /**
   * What becomes of a promise, unless nothing does in time. A page's own fetch
   * need not heed the signal.
   *
   * @template T
   * @param {Promise<T>} promise
   * @returns {Promise<T>}
   */
  unless(promise) {
    return Promise.race([promise, this.#broken]);
  }

  end() {
    clearTimeout(this.#timer);
  }
}

/**
 * What a server says of a refusal.
 *
 * @param {number} status
 * @param {string} text
 */
function why(status, text) {
  let words = "";
  try {
    const { error } = JSON.parse(text);
    if (typeof error === "string") words = `: ${error}`;
  } catch {
    // It is not one of ours.
  }
  return `the server answers ${status}${words}`;
}

/**
 * Returns the URL below which the server is.
 *
 * @param {unknown} url
 */
function baseOf(url) {
  try {
    if (typeof url !== "string" && !(url instanceof URL)) throw undefined;
    const base = new URL(url, globalThis.document?.baseURI);
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    base.search = base.hash = "";
    return base.href;
  } catch {
    throw new SessionError(
      "config",
      `the server is ${describe(url)}: give its URL`,
    );
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
