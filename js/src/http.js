import { attempt, say } from "./describe.js";
import { noServer, noServerReason, SessionError } from "./error.js";
import { cursorForm, isStamp, tagForm } from "./item.js";
import { maxAnswer } from "./limits.js";
import { unfit } from "./options.js";
import { utf8 } from "./utf8.js";

/**
 * The request for an exchange.
 *
 * @typedef {object} Sent
 * @property {string} owner The tag of the session's owner. Empty to ask for it.
 * @property {string} cursor
 * @property {string} items A JSON array, or empty.
 * @property {boolean} timed Whether the items were stamped by this clock, so that
 *   the server can correct their times by it.
 */

/**
 * The answer to a request for an exchange.
 *
 * @typedef {object} Answer
 * @property {"merged" | "unknown" | "noRoom" | "tooLate" | "failed"} answered
 *   What the server did. After `merged` it has merged what was sent, and after any
 *   other nothing of it: it does not know the owner or the cursor, it has no room,
 *   a stamp is too late, or anything else.
 * @property {string} owner The tag of the session's owner. Empty if the server
 *   does not know this browser.
 * @property {string} heir The tag of the heir of the owner that was sent, or empty.
 * @property {string} cursor
 * @property {string} item
 * @property {boolean} complete Whether the item has all that the server has, with
 *   what was sent. It replaces what the server is known to have.
 * @property {number} age How long ago somebody saved, in milliseconds. Less than
 *   0 if the server does not say.
 * @property {number} latest The latest time of a stamp that the server takes, in
 *   milliseconds since 1970. 0 if it does not say.
 * @property {string} newest The greatest stamp that the server has up to that
 *   time, or empty.
 * @property {string} why What the server says, if it has not merged.
 * @property {string} [reason] The server's code for it.
 */

/**
 * The session that is exchanged.
 *
 * @typedef {object} Named
 * @property {string} name
 * @property {number} maxAge In milliseconds, 0 for none.
 */

/**
 * How long the server may send nothing, in milliseconds. A request gets more time
 * for its body, which a slow line sends at so many bytes a millisecond.
 */
const patience = 30_000;
const slowest = 4;

/** A client of a server for sessions. The Go package web/server is one. */
export class Client {
  #fetch;

  /**
   * @param {string | URL} url its paths are below this
   * @param {typeof fetch} fetch
   */
  constructor(url, fetch) {
    this.url = baseOf(url);
    this.#fetch = fetch;
  }

  /** Whether the latest request got no answer. */
  unreachable = false;
  /** Whether there are devices of which this one has not been told. */
  news = false;
  /**
   * Whose changes this browser may hear of, and where, relative to the URL: see live.js. It is
   * what the latest exchange has told.
   */
  live = { owner: "", address: "" };

  /**
   * Makes a request for an exchange. The answer may be a refusal.
   *
   * @param {Named} session
   * @param {Sent} sent
   * @returns {Promise<Answer>}
   */
  exchange(session, sent) {
    return this.#answered(async () => {
      const response = await this.#send(session, sent);
      const { status, headers } = response;
      const text = await this.#text(response);
      /** @type {(name: string, form: RegExp) => string} */
      const header = (name, form) => this.#header(headers, name, form);
      if (status === 200 || status === 204) {
        this.news = headers.has("Session-Devices");
        const owner = header("Session-Owner", tagForm);
        const cursor = header("Session-Cursor", cursorForm);
        if (
          !headers.has("Session-Cursor") ||
          (owner === "" && (cursor !== "" || text !== ""))
        ) {
          throw this.#none();
        }
        const at = headers.get("Session-Live") ?? "";
        this.live = { owner, address: liveForm.test(at) ? at : "" };
        return {
          ...nothing,
          answered: "merged",
          owner,
          cursor,
          item: text,
          complete: headers.has("Session-Complete"),
          age: Number(header("Session-Age", millisForm) || -1),
        };
      }
      const refusal = refusalOf(status, text);
      /** @type {Answer} */
      const answer = {
        ...nothing,
        ...refusal,
        answered: answeredBy(status, refusal.reason),
      };
      if (refusal.reason === "cursor") answer.owner = sent.owner;
      if (refusal.reason === "owner") {
        answer.heir = header("Session-Heir", tagForm);
        answer.owner = header("Session-Owner", tagForm);
      }
      if (answer.answered === "tooLate") {
        const latest = header("Session-Latest", millisForm);
        answer.latest = Number(latest);
        answer.newest = headers.get("Session-Newest") ?? "";
        if (
          latest === "" ||
          !(answer.newest === "" || isStamp(answer.newest))
        ) {
          throw this.#none();
        }
      }
      return answer;
    });
  }

  /**
   * Sends a request from a page that is about to go. The browser finishes it, and
   * nobody reads the answer.
   *
   * @param {Named} session
   * @param {Sent} sent
   */
  leave(session, sent) {
    this.#send(session, sent, true).catch(() => {});
  }

  /**
   * @param {Named} session
   * @param {Sent} sent
   * @param {boolean} [keepalive]
   */
  #send({ name, maxAge }, { owner, cursor, items, timed }, keepalive) {
    const query = new URLSearchParams({ session: name });
    if (owner) query.set("owner", owner);
    if (cursor) query.set("cursor", cursor);
    if (maxAge) query.set("max-age", String(maxAge));
    if (timed) query.set("now", String(Date.now()));
    return this.#request(`exchange?${query}`, items, keepalive);
  }

  /**
   * Has the server make a code for another device.
   *
   * @returns {Promise<{ code: string, expiresIn: number }>}
   */
  pair() {
    return this.#call("pair", undefined, async (response) => {
      const { code, expiresIn } = await this.#object(response);
      if (
        typeof code !== "string" ||
        !/^[\w-]+$/.test(code) ||
        !Number.isFinite(expiresIn)
      ) {
        throw this.#none();
      }
      return { code, expiresIn };
    });
  }

  /**
   * Lists the owner's devices, or those that a code is from.
   *
   * @param {string} [code]
   * @returns {Promise<import("./api.js").Device[]>}
   */
  devices(code) {
    const [path, given] =
      code === undefined ? ["devices"] : ["join", { code, ask: true }];
    return this.#call(path, given, async (response) => {
      const { devices } = await this.#object(response);
      for (const { id, name, first, last } of devices) {
        if (
          typeof id !== "string" ||
          typeof name !== "string" ||
          !Number.isFinite(first) ||
          !Number.isFinite(last)
        ) {
          throw this.#none();
        }
      }
      if (!given) this.news = false;
      return devices;
    });
  }

  /**
   * Changes one of the owner's devices.
   *
   * @param {"rename" | "revoke"} how
   * @param {{ id: string, name?: string }} device
   */
  change(how, device) {
    return this.#call(how, device, () => {});
  }

  /**
   * Joins the device that a code is from. Returns the tag of the owner whom this
   * browser has from then on.
   *
   * @param {string} code
   */
  join(code) {
    return this.#call("join", { code }, ({ headers }) => {
      const owner = this.#header(headers, "Session-Owner", tagForm);
      if (!owner) throw this.#none();
      return owner;
    });
  }

  /**
   * Makes a request that is no exchange. Throws if the answer is a refusal.
   *
   * @template T
   * @param {string} path
   * @param {object | undefined} given what is sent
   * @param {(response: Response) => T | Promise<T>} read
   */
  #call(path, given, read) {
    return this.#answered(async () => {
      const response = await this.#request(
        path,
        given && JSON.stringify(given),
      );
      if (response.ok) return read(response);
      const { status } = response;
      const { why, reason } = refusalOf(status, await this.#text(response));
      throw new SessionError("sync", why, { reason });
    });
  }

  /**
   * Calls f, which reads an answer. That comes from the page's own fetch, and may
   * be anything: what cannot be read is no answer.
   *
   * @template T
   * @param {() => Promise<T>} f
   */
  async #answered(f) {
    try {
      return await f();
    } catch (cause) {
      if (attempt(() => cause instanceof SessionError)) throw cause;
      throw this.#none(cause);
    }
  }

  /**
   * @param {string} path
   * @param {string} [body]
   * @param {boolean} [keepalive]
   */
  async #request(path, body = "", keepalive = false) {
    const silence = new Silence();
    let response;
    try {
      if (!keepalive) silence.allow(patience + body.length / slowest);
      response = await silence.unless(
        this.#fetch(new URL(path, this.url), {
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
    } catch (cause) {
      throw this.#unreachable(cause);
    } finally {
      silence.end();
    }
    this.unreachable = false;
    return response;
  }

  /** @param {Response} response */
  async #object(response) {
    return JSON.parse(await this.#text(response));
  }

  /** @param {Response} response */
  async #text(response) {
    const reader = response.body?.getReader?.();
    const silence = new Silence();
    silence.allow(patience);
    try {
      if (!reader) return String(await silence.unless(response.text()));
      const decoder = new (utf8().TextDecoder)();
      let text = "";
      for (let size = 0; ;) {
        const { done, value } = await silence.unless(reader.read());
        if (done) return text + decoder.decode();
        silence.allow(patience);
        size += value.length;
        if (size > maxAnswer) throw this.#none();
        text += decoder.decode(value, { stream: true });
      }
    } catch (cause) {
      attempt(() => reader?.cancel().catch(() => {}));
      if (attempt(() => cause instanceof SessionError)) throw cause;
      throw this.#unreachable(cause);
    } finally {
      silence.end();
    }
  }

  /**
   * Returns what a header has, which is nothing or of a form.
   *
   * @param {Headers} headers
   * @param {string} name
   * @param {RegExp} form
   */
  #header(headers, name, form) {
    const value = headers.get(name) ?? "";
    if (value !== "" && !form.test(value)) throw this.#none();
    return value;
  }

  /** @param {unknown} [cause] */
  #none(cause) {
    return noServer(this.url, cause);
  }

  /** @param {unknown} cause */
  #unreachable(cause) {
    this.unreachable = true;
    return new SessionError(
      "sync",
      `the server cannot be reached: ${say(cause)}`,
      { cause },
    );
  }
}

/** Breaks off a request when nothing comes in time. */
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

  /** @param {number} milliseconds from now on; replaces what was allowed before */
  allow(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const reason = new DOMException("it does not answer", "TimeoutError");
      this.#controller.abort(reason);
      this.#fail(reason);
    }, milliseconds);
  }

  /**
   * Follows a promise, but rejects when it is too late. The signal alone is not
   * enough: a page's own fetch may ignore it.
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

/** What an answer says that says nothing. */
const nothing = {
  owner: "",
  heir: "",
  cursor: "",
  item: "",
  complete: false,
  age: -1,
  latest: 0,
  newest: "",
  why: "",
};

/** Where to listen: below the server's URL, and nowhere else. */
const liveForm = /^live(\?ticket=[\w.-]+)?$/;

/** A time in a header, in milliseconds. */
const millisForm = /^\d{1,15}$/;

/**
 * Returns what a server did, by the status and the reason it gives. A proxy gives no
 * reason of ours, but may limit the size of requests.
 *
 * @param {number} status
 * @param {string | undefined} reason
 */
function answeredBy(status, reason) {
  if (status === 412 && (reason === "owner" || reason === "cursor")) {
    return "unknown";
  }
  if (status === 413 || (status === 507 && reason === "full")) return "noRoom";
  return status === 422 && reason === "stamp" ? "tooLate" : "failed";
}

/**
 * Returns the sentence of a refusal. If the server is one of ours, it also gives
 * a code. A server of files has no such path, or allows no POST.
 *
 * @param {number} status
 * @param {string} text
 * @returns {{ why: string, reason?: string }}
 */
function refusalOf(status, text) {
  const why = `the server answers ${status}`;
  try {
    const { code, error } = JSON.parse(text);
    return {
      why: typeof error === "string" ? `${why}: ${error}` : why,
      ...(typeof code === "string" && code !== "" && { reason: code }),
    };
  } catch {
    return [404, 405, 501].includes(status)
      ? { why, reason: noServerReason }
      : { why };
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
    // A worker has no document.
    const base = new URL(
      url,
      globalThis.document?.baseURI ?? globalThis.location?.href,
    );
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    base.search = base.hash = "";
    return base.href;
  } catch {
    throw unfit("server is", url, "its URL");
  }
}
