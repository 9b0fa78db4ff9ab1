import { describe, say } from "./describe.js";
import { SessionError } from "./error.js";

/** @typedef {import("./exchange.js").Answer} Answer */
/** @typedef {import("./exchange.js").Sent} Sent */

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

/** The longest answer in bytes. Our server sends no longer one. */
const maxAnswer = 16 * 2 ** 20;

/** The server that keeps copies of sessions. The Go package web/server is one. */
export class Server {
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

  /**
   * Makes a request for an exchange. The answer may be a refusal.
   *
   * @param {Named} session
   * @param {Sent} sent
   * @returns {Promise<Answer>}
   */
  async exchange(session, sent) {
    const response = await this.#send(session, sent);
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
      ...(ok ? { why: "" } : refusalOf(status, text)),
    };
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

  /** Has the server make a code for another device. */
  async pair() {
    const response = await this.#accepted(this.#request("pair"));
    const text = await this.#text(response);
    let pairing;
    try {
      pairing = JSON.parse(text);
    } catch (cause) {
      throw this.#stranger(cause);
    }
    const { code, expiresIn } = pairing ?? {};
    if (
      typeof code !== "string" ||
      !/^[\w-]+$/.test(code) ||
      !Number.isFinite(expiresIn)
    ) {
      throw this.#stranger();
    }
    return { code, expiresIn };
  }

  /**
   * Joins the device that a code is from. Returns the tag of the owner whom this
   * browser has from then on.
   *
   * @param {string} code
   */
  async join(code) {
    const body = JSON.stringify({ code });
    const { headers } = await this.#accepted(this.#request("join", body));
    const owner = headers.get("Session-Owner");
    if (owner === null) throw this.#stranger();
    return owner;
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
    // The page's own fetch may return anything.
    if (typeof response?.headers?.get !== "function") throw this.#stranger();
    return response;
  }

  /**
   * Returns the answer to a request. Throws if it is a refusal.
   *
   * @param {Response | Promise<Response>} answer
   */
  async #accepted(answer) {
    const response = await answer;
    if (response.ok) return response;
    const { why, reason } = refusalOf(
      response.status,
      await this.#text(response),
    );
    throw new SessionError("sync", why, { reason });
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

  /** @param {unknown} [cause] */
  #stranger(cause) {
    return new SessionError(
      "sync",
      `what answers at ${this.url} is no server for sessions`,
      { reason: noServer, cause },
    );
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

/** The reason that a server which knows nothing of sessions cannot give. */
const noServer = "no-server";

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
      ...(typeof code === "string" && { reason: code }),
    };
  } catch {
    return [404, 405, 501].includes(status)
      ? { why, reason: noServer }
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
