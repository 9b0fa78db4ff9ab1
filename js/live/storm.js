// What a server meets that comes back while pages wait for it. The pages are syncs in this
// process, which are the same there but for the browser: each has an address of this machine
// of its own, and so cookies and a socket of its own.
import WebSocket from "ws";
import { startNative } from "../harness/sessions-server.js";

/**
 * What is counted of one moment on.
 *
 * @typedef {object} Storm
 * @property {number} pages
 * @property {number} most how many requests and sockets there were in the worst second
 * @property {number} all how many there were until all pages were live again
 * @property {number} seconds how long that took
 */

/**
 * Kills the server of so many pages, each of another visitor's, starts it again, and counts
 * what comes until all are live.
 *
 * @param {number} pages
 * @param {number} down for how long there is no server, in milliseconds
 * @returns {Promise<Storm>}
 */
export async function measureStorm(pages, down) {
  // When it runs: the check of the types needs no build.
  const { href } = new URL("../dist/index.js", import.meta.url);
  /** @type {{ openSync: typeof import("../src/api.js").openSync }} */
  const { openSync } = await import(href);
  const server = await startNative("0.0.0.0:0");
  const { port } = new URL(server.origin);
  /** @type {Map<string, string>} */
  const cookies = new Map();
  /** @type {number[]} */
  const times = [];

  // A page's own, with cookies.
  const { fetch } = globalThis;
  /** @param {any} url @param {any} init */
  const counting = async (url, init) => {
    times.push(performance.now());
    const { hostname } = new URL(url);
    const cookie = cookies.get(hostname) ?? "";
    const answer = await fetch(url, {
      ...init,
      headers: { ...init.headers, cookie },
    });
    const [set] = answer.headers.getSetCookie();
    if (set) cookies.set(hostname, set.split(";")[0]);
    return answer;
  };
  /** @type {any} */ (globalThis).WebSocket = class extends WebSocket {
    /** @param {URL} url */
    constructor(url) {
      times.push(performance.now());
      super(url, { headers: { cookie: cookies.get(url.hostname) ?? "" } });
      this.on("error", () => {}); // the page hears that it is closed
    }
  };

  /** @type {import("../src/api.js").Sync[]} */
  const syncs = [];
  try {
    for (let page = 0; page < pages; page++) {
      const host = `127.1.${page >> 8}.${page & 255}`;
      const session = openSync("cart", { storage: "memory" });
      session.save({ page });
      const sync = await session.sync(`http://${host}:${port}/sessions/`, {
        fetch: counting,
      });
      await sync.now();
      syncs.push(sync);
    }
    await until(() => syncs.every(({ state }) => state.live));
    await server.kill();
    await new Promise((resolve) => setTimeout(resolve, down));
    times.length = 0;
    const began = performance.now();
    await server.restart();
    await until(() => syncs.every(({ state }) => state.live));
    const seconds = (performance.now() - began) / 1000;
    return { pages, most: mostInASecond(times), all: times.length, seconds };
  } finally {
    for (const sync of syncs) sync.close();
    await server.close();
  }
}

/** @param {number[]} times in order, in milliseconds */
function mostInASecond(times) {
  let most = 0;
  for (let first = 0, last = 0; last < times.length; last++) {
    while (times[last] - times[first] >= 1000) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

/** @param {() => boolean} condition */
async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
