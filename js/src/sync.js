import { describe, say } from "./error.js";
// The one that pages know; all else of its file is not that large.
import { SessionError } from "./index.js";
import { faultIn } from "./options.js";

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
 * @typedef {object} Lent
 * @property {string} name
 * @property {() => Iterable<string>} keys those of the session's items
 * @property {Pick<Storage, "getItem" | "setItem">} area
 * @property {(listener: () => void) => void} onWrite calls the listener after
 *   each save, removal and clearing, until it is given another
 * @property {(key: string) => void} received is told of an item that was added
 */

/**
 * The most that browsers send for a page that is going (Fetch, "HTTP-network-
 * or-cache fetch": 64 KiB for all such requests of a page), with some to spare.
 */
const keepaliveLimit = 60_000;

/** In milliseconds: the first wait after a failure, and the longest. */
const backOff = { first: 1_000, longest: 300_000 };

/** The stamp that the key of an item ends with. */
const stamped = /^\d{13}-[\da-f]{4}-[\da-f]{12}$/;

/** How long the server may take for an answer, in milliseconds. */
const patience = 30_000;

/** A session's copy on a server, and what keeps the two the same. */
export class Sync {
  #lent;
  #url;
  #delay;
  #interval;
  #fetch;
  /**
   * The key of the item that says what the server has: its cursor, and the
   * stamps of items. wasm/engine/exchange.go says why.
   */
  #record;
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
  /** Whether the last exchange had to begin anew. */
  #anew = false;
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
    const fault = faultIn(options, known);
    if (fault) throw new SessionError("config", fault);
    const { delay = 1, interval = 30, fetch } = options;
    this.#lent = lent;
    this.#record = `/${lent.name}`;
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
      this.#count = this.#unsent().count;
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
    const response = await this.#accepted(this.#request("pair"));
    const { code, expires } = await this.#read(response);
    return { code: String(code), expires: new Date(expires) };
  }

  /**
   * Joins the sessions of the device that a code is from, with all that is
   * saved here. Ask the user first: a link with a code can be anybody's.
   *
   * @param {string} code
   * @returns {Promise<void>} rejects with a SessionError: `sync`
   */
  async join(code) {
    // An answer still to come could make the browser another's again.
    await this.now().catch(() => {});
    await this.#accepted(
      this.#request("join", JSON.stringify({ code: String(code) })),
    );
    this.#anew = false;
    await this.now(); // which finds that the server knows no cursor of ours
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
    if (key === this.#record || key?.startsWith(`${this.#lent.name}/`)) {
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
      const { cursor, count, body } = this.#unsent();
      if (count > 0 && new Blob([body]).size <= keepaliveLimit) {
        // Its answer may find nobody here. Then all of it is sent again, which
        // does no harm.
        this.#send(cursor, body, true).catch(() => {});
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
      () => this.now().catch(() => {}), // the state tells of it
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
    try {
      await inTurn(
        `session-writer ${this.#url} ${this.#lent.name}`,
        async () => {
          const known = await this.#exchangeOnce();
          if (!known) await this.#beginAnew();
          this.#anew = !known;
        },
      );
      this.#failures = 0;
      this.#error = undefined;
    } catch (cause) {
      this.#failures++;
      this.#error =
        cause instanceof SessionError
          ? cause
          : this.#failure(say(cause), { cause });
      throw this.#error;
    } finally {
      this.#busy = false;
      this.#tellSoon();
      this.#schedule(this.#pause());
    }
  }

  /**
   * Sends everything to a server that has other sessions for this browser, or
   * none any more.
   */
  async #beginAnew() {
    // Each time it would keep another copy, for nobody.
    if (!this.#anew) {
      this.#lent.area.setItem(this.#record, " ");
      if (await this.#exchangeOnce()) return;
    }
    throw this.#failure(
      "the server does not know this browser again: it must keep cookies",
    );
  }

  /** Reports whether the server knew the cursor. */
  async #exchangeOnce() {
    const { area } = this.#lent;
    if (area.getItem(this.#record) === null) {
      // Said at once, so that no removal is forgotten from now on.
      area.setItem(this.#record, " ");
    }
    const { cursor, stamps, body } = this.#unsent();
    const response = await this.#send(cursor, body);
    if (response.status === 412) return false;
    const text = await this.#text(await this.#accepted(response));
    const next = response.headers.get("Session-Cursor");
    if (next === null) throw this.#stranger();
    if (text !== "") stamps.push(this.#receive(text));
    // Somebody may have cleared the storage meanwhile, and what the server had
    // sent before is not there any more.
    if (area.getItem(this.#record) !== null) {
      area.setItem(this.#record, [next, ...stamps].join(" "));
    }
    return true;
  }

  /**
   * Adds an item that the server sent to the session's, as another tab would,
   * and returns its stamp.
   *
   * @param {string} text
   */
  #receive(text) {
    const { newest } = contentOf(text) ?? {};
    if (newest === undefined) {
      throw this.#failure("what the server sent is no item of the format 1");
    }
    const random = crypto.getRandomValues(new Uint8Array(6));
    const writer = [...random].map((n) => n.toString(16).padStart(2, "0"));
    // What is saved from now on must come after what is in it, whatever the
    // clock of the device was that it is from.
    const now = `${String(Date.now()).padStart(13, "0")}-0000`;
    const at = newest.slice(0, now.length);
    const stamp = `${at > now ? at : now}-${writer.join("")}`;
    const key = `${this.#lent.name}/${stamp}`;
    this.#lent.area.setItem(key, text);
    this.#lent.received(key);
    return stamp;
  }

  /** What is not on the server, as far as is known here. */
  #unsent() {
    const { area, name } = this.#lent;
    const [cursor, ...sent] = (area.getItem(this.#record) ?? "").split(" ");
    const had = new Set(sent);
    /** @type {string[]} */
    const stamps = [];
    /** @type {string[]} */
    const texts = [];
    const keys = new Set();
    for (const key of this.#lent.keys()) {
      const stamp = key.slice(name.length + 1);
      if (had.has(stamp)) {
        stamps.push(stamp);
        continue;
      }
      const text = stamped.test(stamp) && area.getItem(key);
      const content = text && contentOf(text);
      if (!content) continue; // damaged, somebody else's, or gone
      stamps.push(stamp);
      texts.push(text);
      for (const key of content.keys) keys.add(key);
    }
    return {
      cursor,
      stamps,
      count: keys.size,
      body: texts.length > 0 ? `[${texts}]` : "",
    };
  }

  /**
   * @param {string} cursor
   * @param {string} body
   * @param {boolean} [keepalive]
   */
  #send(cursor, body, keepalive) {
    const query = new URLSearchParams({ session: this.#lent.name, cursor });
    return this.#request(`exchange?${query}`, body, keepalive);
  }

  /**
   * @param {string} path
   * @param {string} [body]
   * @param {boolean} [keepalive]
   */
  async #request(path, body, keepalive = false) {
    try {
      const response = await this.#fetch(new URL(path, this.#url), {
        method: "POST",
        ...(body && { body, headers: { "Content-Type": "application/json" } }),
        cache: "no-store",
        keepalive,
        signal: keepalive ? null : AbortSignal.timeout(patience),
      });
      this.#offline = false;
      return response;
    } catch (cause) {
      throw this.#unreachable(cause);
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
    let why = "";
    try {
      why = `: ${JSON.parse(await response.text()).error}`;
    } catch {
      // It is not one of ours.
    }
    throw this.#failure(`the server answers ${response.status}${why}`);
  }

  /** @param {Response} response */
  async #text(response) {
    try {
      return await response.text();
    } catch (cause) {
      throw this.#unreachable(cause);
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
   * @param {string} why
   * @param {{ cause?: unknown }} [more]
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

/**
 * Calls f when no other tab is in its own call under that name: not to send
 * the same twice. Pages that may not use the Web Locks API do without.
 *
 * @param {string} name
 * @param {() => Promise<void>} f
 * @returns {Promise<void>}
 */
async function inTurn(name, f) {
  const locks = globalThis.navigator?.locks;
  await (locks ? locks.request(name, f) : f());
}

/**
 * Returns what an item speaks of, or undefined, when its text is none of the
 * format that is known here.
 *
 * @param {string} text
 */
function contentOf(text) {
  try {
    const { format, batches } = JSON.parse(text);
    if (format !== 1) return;
    const keys = new Set();
    let newest = "";
    for (const { stamp, clear, set = {}, remove = [] } of batches) {
      if (!stamped.test(stamp)) return;
      if (stamp > newest) newest = stamp;
      if (clear) keys.add(null);
      for (const key of [...Object.keys(set), ...remove]) keys.add(key);
    }
    return newest === "" ? undefined : { newest, keys };
  } catch {
    return;
  }
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
