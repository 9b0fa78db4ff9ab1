// How a page hears of other devices' changes at once: see the Go package web/live for what is
// sent. One tab of the browser has the socket, and tells the others.

import { attempt } from "./describe.js";

/**
 * What hears of changes: the Sync of one session.
 *
 * @typedef {object} Listener
 * @property {string} name the session's
 * @property {(cursor?: string) => void} told is called when the session may have changed. Who
 *   has the cursor has it all. It is empty if it is not known, and undefined if something may
 *   have been missed.
 * @property {() => void} changed is called when `connected` has changed
 * @property {() => Promise<unknown>} exchange makes an exchange, which gives an address
 */

/** How often the server is asked whether it is still there, in milliseconds, and for how long. */
const pings = { every: 45_000, within: 10_000 };

/** How long a socket is there for a page that is hidden, in milliseconds. */
const lingering = 60_000;

/** How long an address with a ticket is good, in milliseconds, with some time to spare. */
const ticketTime = 45_000;

/** After how long a socket is replaced, at most, in milliseconds: what it has missed is seen then. */
const renewal = 3_600_000;

/**
 * Up to how long to wait until the server is tried again, in milliseconds: first, at most, and
 * at most where no socket was ever open, as something in between may let none through. Not all
 * pages should come at once when a server is back.
 */
const backOff = { first: 10_000, longest: 30_000, unknown: 300_000 };

/**
 * How long a tab without the socket waits until it looks whether the storage has a change, in
 * milliseconds: the tab with the socket has fetched it by then, if it has that session.
 */
const head = 100;

/** The code with which a server closes the socket of a device that has no access any more. */
const endedCode = 4001;

/** The code with which it closes one that was open for as long as it may be. */
const expiredCode = 4002;

/** @type {Map<string, Live>} */
const lives = new Map();

/**
 * Returns what tells of the changes of an owner's sessions on a server.
 *
 * @param {string} url
 * @param {string} owner
 */
export function liveOf(url, owner) {
  const name = `session-writer live ${url} ${owner}`;
  const live = lives.get(name) ?? new Live(name, url);
  lives.set(name, live);
  return live;
}

/** The time in milliseconds, which no change of the clock moves. */
export const now = () => performance.now();

/** Whether nobody sees the page. */
export const isHidden = () => globalThis.document?.visibilityState === "hidden";

/** The socket of a browser for one owner, or what its tab with the socket tells of it. */
export class Live {
  #name;
  #url;
  /** @type {Set<Listener>} */
  #listeners = new Set();
  /** Where to listen, relative to the URL. Empty for nowhere. */
  #address = "";
  #addressed = -Infinity;
  /** Whether somebody has the socket, and it is open. */
  connected = false;
  /** Whether any socket was open. */
  #wasOpen = false;
  /** Whether nothing can have been missed: it hears others since before any exchange. */
  #isNew = true;
  /**
   * Ends the wish to have the socket. Undefined if there is none.
   * @type {AbortController | undefined}
   */
  #wish;
  /** @type {BroadcastChannel | undefined} */
  #channel;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #hiding;
  /** Ends a wait, or has the socket be looked after. */
  #wake = () => {};

  /**
   * @param {string} name
   * @param {string} url
   */
  constructor(name, url) {
    this.#name = name;
    this.#url = url;
  }

  /**
   * @param {Listener} listener
   * @param {boolean} isLate whether it has exchanged, and so may have missed something
   */
  add(listener, isLate) {
    if (isLate) this.#isNew = false;
    if (this.#listeners.size === 0) this.#begin();
    this.#listeners.add(listener);
    if (isLate && this.connected) listener.told();
  }

  /** @param {Listener} listener */
  delete(listener) {
    if (this.#listeners.delete(listener) && this.#listeners.size === 0) {
      this.#end();
    }
  }

  /**
   * Says where the server has said that this browser may listen.
   *
   * @param {string} address
   */
  offer(address) {
    this.#address = address;
    this.#addressed = now();
    this.#update();
  }

  #begin() {
    for (const [target, type, listener] of this.#events()) {
      target.addEventListener(type, listener);
    }
    this.#enter();
  }

  #end() {
    this.#leave();
    lives.delete(this.#name);
    clearTimeout(this.#hiding);
    for (const [target, type, listener] of this.#events()) {
      target.removeEventListener(type, listener);
    }
  }

  /** Hears what other tabs say, if one can have the socket for all. */
  #enter() {
    if (this.#channel || !globalThis.navigator?.locks) return;
    // Where storage is forbidden, it may be, too.
    this.#channel = attempt(() => new BroadcastChannel(this.#name));
    if (!this.#channel) return;
    this.#channel.onmessage = ({ data }) => this.#hear(Object(data));
    this.#tell({ asks: true });
  }

  /** A page in the back/forward cache, or one that is frozen, hears nothing. */
  #leave = () => {
    this.#yield();
    // What the others are not told by this tab any more, they are told by none.
    if (this.#holds) this.#say(false);
    this.#isNew = false;
    this.#channel?.close();
    this.#channel = undefined;
  };

  /** @returns {[target: EventTarget, type: string, listener: () => void][]} */
  #events() {
    if (!globalThis.document) return [];
    return [
      [document, "visibilitychange", this.#onVisibility],
      [window, "online", this.#onBack],
      [window, "pageshow", this.#onBack],
      [document, "resume", this.#onBack],
      [window, "pagehide", this.#leave],
      [document, "freeze", this.#leave],
    ];
  }

  #onVisibility = () => {
    clearTimeout(this.#hiding);
    if (isHidden()) this.#hiding = setTimeout(this.#yield, lingering);
    else this.#onBack();
  };

  #onBack = () => {
    this.#enter();
    this.#update();
    this.#wake();
  };

  #yield = () => {
    this.#wish?.abort();
    this.#wish = undefined;
  };

  /** Wishes to have the socket, or not. */
  #update() {
    if (this.#address === "" || this.#listeners.size === 0) {
      this.#yield();
    } else if (!this.#wish && !isHidden() && "WebSocket" in globalThis) {
      const wish = new AbortController();
      this.#wish = wish;
      const { signal } = wish;
      const run = () => this.#run(signal);
      Promise.resolve(
        this.#channel
          ? navigator.locks.request(this.#name, { signal }, run)
          : run(),
      )
        .catch(() => {}) // it is over, or there are no locks here
        .finally(() => {
          if (this.#wish === wish) this.#wish = undefined;
        });
    }
  }

  /** @param {any} data what another tab says, which has the socket or asks for it */
  #hear({ asks, connected, changed, replies }) {
    if (asks) {
      if (this.#holds) {
        this.#tell({ connected: this.connected, replies: true });
      }
    } else if (changed) {
      setTimeout(() => this.#told(changed), head);
    } else if (!this.#holds) {
      this.#set(connected);
      // What was missed is not told again.
      if (connected && !(replies && this.#isNew)) this.#missed();
      this.#isNew = false;
    }
  }

  /** Whether this tab is the one with the socket. */
  #holds = false;

  /** @param {object} data what the other tabs are told */
  #tell(data) {
    this.#channel?.postMessage(data);
  }

  /** @param {boolean} connected */
  #set(connected) {
    if (this.connected === connected) return;
    this.connected = connected;
    this.#wasOpen ||= connected;
    for (const listener of this.#listeners) listener.changed();
  }

  /** Has all exchange, as something may have been missed. */
  #missed() {
    for (const listener of this.#listeners) listener.told();
  }

  /** @param {{ session?: string, cursor?: string }} change of any session, if it has none */
  #told({ session, cursor = "" }) {
    for (const listener of this.#listeners) {
      if (session === undefined || session === listener.name) {
        listener.told(cursor);
      }
    }
  }

  /**
   * Has the socket until there is no wish for it any more.
   *
   * @param {AbortSignal} signal
   */
  async #run(signal) {
    this.#holds = true;
    signal.addEventListener("abort", () => this.#wake());
    try {
      for (let failures = 0; !signal.aborted;) {
        await this.#readdress();
        const began = now();
        const code = signal.aborted ? undefined : await this.#connect(signal);
        if (code === undefined) continue; // it is over, or is to be renewed
        if (code === expiredCode && now() - began > 1000) continue;
        this.#say(false);
        if (code === endedCode) this.#missed();
        if (now() - began > backOff.first) failures = 0;
        const most = Math.min(
          backOff.first * 2 ** failures++,
          this.#wasOpen ? backOff.longest : backOff.unknown,
        );
        await this.#pause(Math.random() * most);
      }
    } finally {
      this.#holds = false;
      this.#wake = () => {};
      this.#say(false);
    }
  }

  /** @param {boolean} connected */
  #say(connected) {
    this.#set(connected);
    this.#tell({ connected });
  }

  /** Gets another address if this one is not good any more. */
  async #readdress() {
    if (this.#address.includes("?") && now() - this.#addressed > ticketTime) {
      const [listener] = this.#listeners;
      await listener?.exchange().catch(() => {}); // the socket will not open
    }
  }

  /** @param {number} wait in milliseconds, unless something happens before */
  #pause(wait) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }

  /**
   * Opens the socket, and resolves when it is closed: to undefined if that was done here, and
   * otherwise to the code, which is 0 if nobody has given one.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<number | undefined>}
   */
  #connect(signal) {
    return new Promise((resolve) => {
      let isOpen = false;
      /** @type {WebSocket | undefined} */
      let socket;
      /** @type {ReturnType<typeof setTimeout> | undefined} */
      let next;
      /** @param {number} [code] */
      const end = (code) => {
        for (const timer of [life, silence, next]) clearTimeout(timer);
        if (socket) {
          socket.onopen = socket.onclose = socket.onmessage = null;
          // The server may be gone without saying so, so nobody waits for its answer.
          socket.close();
        }
        resolve(code);
      };
      let life = setTimeout(end, pings.within, 0);
      let silence = life;
      // Also while much is heard, as the server wants to hear something, too.
      const ping = () => {
        clearTimeout(silence);
        clearTimeout(next);
        socket?.send("ping");
        silence = setTimeout(end, pings.within, 0);
        next = setTimeout(ping, pings.every);
      };
      this.#wake = () => {
        if (signal.aborted) end();
        else if (isOpen) ping(); // it may be gone since
      };
      try {
        const at = new URL(this.#address, this.#url);
        at.protocol = at.protocol.replace("http", "ws");
        socket = new WebSocket(at);
      } catch {
        end(0); // the page's policy forbids it
        return;
      }
      socket.onopen = () => {
        isOpen = true;
        clearTimeout(life);
        life = setTimeout(end, renewal * (1 - Math.random() / 4));
        // At once, as workerd ends the connection of a socket that it closes only if it has had
        // a message, and a browser says that it is closed only then.
        ping();
        this.#say(true);
        this.#missed();
      };
      socket.onclose = ({ code }) => end(code);
      socket.onmessage = ({ data }) => {
        clearTimeout(silence);
        const changed = changeOf(data);
        if (!changed) return;
        this.#told(changed);
        this.#tell({ changed });
      };
    });
  }
}

/**
 * Returns what a message says has changed, or nothing if it is a pong, or of no form that is known.
 *
 * @param {unknown} data
 */
function changeOf(data) {
  try {
    const { session, cursor } = JSON.parse(String(data));
    if (session === undefined || typeof session === "string") {
      return {
        session,
        cursor: typeof cursor === "string" ? cursor : undefined,
      };
    }
  } catch {
    // It is a pong.
  }
  return undefined;
}
