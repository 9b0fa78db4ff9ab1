import { byId, formatNumber } from "./dom.js";
import { codeOf, messageOf, reasonOf, withCode } from "./error.js";

/** @typedef {import("./session-writer/index.js").Session} Session */
/** @typedef {import("./session-writer/index.js").Sync} Sync */
/** @typedef {import("./session-writer/index.js").SyncState} SyncState */

/** The path below which the server keeps copies. */
const SERVER = "/sessions/";

/**
 * How long an exchange lasts before the page shows it, in milliseconds. Most are
 * over before anybody could read it.
 */
const PROGRESS_DELAY = 400;

/**
 * Reports whether an error shows that the server keeps no copies: it is one of mere
 * files.
 *
 * @param {unknown} error
 */
export function keepsNoCopies(error) {
  return reasonOf(error) === "no-server";
}

/**
 * Keeps a copy of the session on the server, and shows the state of the sync.
 *
 * @param {Session} session
 * @returns {Promise<Sync | undefined>} undefined if the sync could not begin
 */
export async function setUpSync(session) {
  const status = new SyncStatus();
  try {
    const sync = await session.sync(SERVER);
    /** Whether the first exchange is over. */
    let known = false;
    /** Whether an exchange has succeeded: then a copy exists, whatever fails. */
    let kept = false;
    let none = false;
    const show = () => {
      const { state } = sync;
      kept ||= known && state.status === "idle";
      if (!kept && keepsNoCopies(state.error)) {
        none = true;
        status.showNoCopies();
      } else if (none && state.status === "syncing") {
        // The next exchange comes by itself, and most likely fails, too.
      } else if (known || state.status !== "idle") {
        none = false;
        status.show(state);
      }
    };
    sync.subscribe(show);
    void sync
      .now()
      .catch(() => {}) // the state tells of it
      .then(() => {
        known = true;
        show();
      });
    const now = byId("sync-now", HTMLButtonElement);
    now.addEventListener("click", async () => {
      await sync.now().catch(() => {});
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

/** The line that shows the state of the sync. */
class SyncStatus {
  #text = byId("sync-text", HTMLElement);
  /** Screen readers read this out. It changes less often than the line. */
  #announcement = byId("sync-announcement", HTMLElement);
  #live = byId("sync-live", HTMLElement);
  #tools = byId("sync-tools", HTMLElement);
  /** The status that was announced last. Idle at first, which needs no words. */
  #known = "idle";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #progress;

  /** @param {SyncState} state */
  show(state) {
    clearTimeout(this.#progress);
    this.#tools.hidden = false;
    this.#live.textContent = state.live
      ? "Live: what other devices save appears here at once."
      : "Not live: every 30 seconds, the server is asked what other devices have saved.";
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
    this.#live.textContent = "";
    this.#tools.hidden = true;
  }

  /** @param {string} message */
  showFailure(message) {
    this.#say("error", `Saved here only. ${message}`);
    this.#live.textContent = "";
    this.#tools.hidden = true;
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
