import { byId, formatNumber } from "./dom.js";
import { codeOf, messageOf, withCode } from "./error.js";

/** @typedef {import("./session-writer/index.js").Session} Session */
/** @typedef {import("./session-writer/index.js").Sync} Sync */
/** @typedef {import("./session-writer/index.js").SyncState} SyncState */

/** Where the server has the copies. */
const SERVER = "/sessions/";

/**
 * How long an exchange takes before the page speaks of it, in milliseconds.
 * Most are over before anybody could read it.
 */
const PROGRESS_DELAY = 400;

/** What the server says beside what a Sync makes of it. */
export class Server {
  /** Whether it keeps copies, once it is known. @type {boolean | undefined} */
  keepsCopies;
  /** The status of its latest answer about a code. */
  status = 0;
  /** How far the clock here is ahead of the server's, in milliseconds. */
  ahead = 0;

  /** @type {typeof fetch} */
  fetch = async (input, init) => {
    const response = await fetch(input, init);
    const date = Date.parse(response.headers.get("Date") ?? "");
    if (!Number.isNaN(date)) {
      this.ahead = Date.now() - date;
    }
    if (!new URL(response.url).pathname.endsWith("/exchange")) {
      this.status = response.status;
    } else if (!this.keepsCopies) {
      this.keepsCopies = keepsCopies(response) ?? this.keepsCopies;
    }
    return response;
  };
}

/**
 * Reports whether an answer to an exchange is of a server that keeps copies;
 * undefined when it does not tell. Servers of mere files have no such path, or
 * allow no POST, or answer with a page to whatever is asked.
 *
 * @param {Response} response
 */
function keepsCopies({ ok, status, headers }) {
  if (ok) {
    return headers.has("Session-Cursor");
  }
  return [404, 405, 501].includes(status) ? false : undefined;
}

/**
 * Keeps a copy of the session on the server, and shows how that goes.
 *
 * @param {Session} session
 * @param {Server} server
 * @returns {Promise<Sync | undefined>} undefined when it could not begin
 */
export async function setUpSync(session, server) {
  const status = new SyncStatus();
  try {
    const sync = await session.sync(SERVER, { fetch: server.fetch });
    const show = () => {
      if (server.keepsCopies === false) {
        sync.close();
        status.showNoCopies();
      } else if (server.keepsCopies || sync.state.status !== "idle") {
        status.show(sync.state); // before that it is not known
      }
    };
    sync.subscribe(show);
    show();
    const now = byId("sync-now", HTMLButtonElement);
    now.addEventListener("click", async () => {
      await sync.now().catch(() => {}); // the state tells of it
      show();
      status.announce();
    });
    now.disabled = false;
    return sync;
  } catch (error) {
    status.showFailure(withCode(codeOf(error), messageOf(error)));
    return undefined;
  }
}

/** The line that says how the session stands to its copy. */
class SyncStatus {
  #text = byId("sync-text", HTMLElement);
  /** What screen readers read out: less than there is to see. */
  #announcement = byId("sync-announcement", HTMLElement);
  /** The status that was announced, or needed no announcement. */
  #known = "idle";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #progress;

  /** @param {SyncState} state */
  show(state) {
    clearTimeout(this.#progress);
    if (state.status === "syncing") {
      this.#progress = setTimeout(
        () => this.#say(state.status, sentence(state)),
        PROGRESS_DELAY,
      );
      return;
    }
    this.#say(state.status, sentence(state));
    if (state.status !== this.#known) {
      this.#known = state.status;
      this.announce();
    }
  }

  showNoCopies() {
    clearTimeout(this.#progress);
    this.#say(
      "none",
      "This server keeps no copies. The session is saved in this browser only.",
    );
    byId("sync-tools", HTMLElement).hidden = true;
  }

  /** @param {string} message */
  showFailure(message) {
    this.#say("error", `Saved here only. ${message}`);
    byId("sync-tools", HTMLElement).hidden = true;
  }

  announce() {
    this.#announcement.textContent = this.#text.textContent;
  }

  /**
   * @param {string} status
   * @param {string} text
   */
  #say(status, text) {
    this.#text.dataset.status = status;
    this.#text.textContent = text;
  }
}

/** @param {SyncState} state */
function sentence({ status, unsent, error }) {
  const entries = `${formatNumber(unsent)} ${unsent === 1 ? "entry" : "entries"}`;
  const [is, waits] = unsent === 1 ? ["is", "waits"] : ["are", "wait"];
  switch (status) {
    case "idle":
      return unsent > 0
        ? `Saved here; ${entries} ${is} not on the server yet.`
        : "Saved here and on the server.";
    case "syncing":
      return unsent > 0 ? `Syncing ${entries}…` : "Syncing…";
    case "offline":
      return unsent > 0
        ? `Saved here; ${entries} ${waits} for the network.`
        : "Saved here and on the server, which cannot be reached now.";
    case "error": {
      const waiting = unsent > 0 ? `; ${entries} ${waits}` : "";
      return `Saved here${waiting}. ${withCode(codeOf(error), messageOf(error))}`;
    }
  }
}
