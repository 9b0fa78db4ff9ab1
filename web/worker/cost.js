// Measures the CPU that requests take of workerd, and writes the table into web/README.md.
// D1 and what passes requests on are in the same process, and counted.
import { readFileSync } from "node:fs";
import { publish, table } from "../../js/harness/publish.js";
import { startWorker } from "./local.js";

/** How many there are of each kind, one after the other. */
const repeated = 200;

/** How many sockets there are in the last row. */
const listening = 10;

const { url, miniflare } = await startWorker();

const children = `/proc/self/task/${process.pid}/children`;
const stat = `/proc/${readFileSync(children, "utf8").trim()}/stat`;

/** Returns the CPU time that workerd has taken, in ms. The kernel counts it in 10 ms. */
function taken() {
  const after = readFileSync(stat, "utf8").split(") ")[1].split(" ");
  return 10 * (Number(after[11]) + Number(after[12]));
}

let stamps = 0;

/** Returns one item with one entry, made now. */
function item() {
  const counter = (stamps++).toString(16).padStart(4, "0");
  const stamp = `${Date.now()}-${counter}-3f9a2c7e1b40`;
  return JSON.stringify([
    { format: 1, batches: [{ stamp, set: { a: stamps } }] },
  ]);
}

/**
 * @param {string} query
 * @param {string} [cookie]
 * @param {string} [body]
 */
async function exchange(query, cookie, body) {
  const response = await fetch(
    new URL(`/sessions/exchange?session=cart${query}`, url),
    {
      method: "POST",
      body,
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(cookie === undefined ? {} : { cookie }),
      },
    },
  );
  if (!response.ok) throw new Error(await response.text());
  await response.arrayBuffer();
  return response.headers;
}

const hello = await exchange("", undefined, "[]");
const cookie = hello.getSetCookie()[0].split(";")[0];
const known = `&owner=${hello.get("session-owner")}`;
let said = await exchange(known, cookie, item());

/**
 * Exchanges as who has what there was before.
 *
 * @param {string} [body]
 */
async function again(body) {
  const query = `${known}&cursor=${said.get("session-cursor")}`;
  said = await exchange(query, cookie, body);
}

/** Opens a socket where the last exchange said. */
async function listen() {
  const { webSocket, status } = await miniflare.dispatchFetch(
    new URL(`/sessions/${said.get("session-live")}`, url),
    { headers: { upgrade: "websocket" } },
  );
  if (!webSocket) throw new Error(`a socket is refused with ${status}`);
  webSocket.accept();
  return webSocket;
}

/** @param {Awaited<ReturnType<typeof listen>>} socket */
const heard = (socket) =>
  new Promise((resolve) =>
    socket.addEventListener("message", resolve, { once: true }),
  );

/** @type {unknown[][]} */
const rows = [["request", "CPU in ms"]];

/**
 * @param {string} kind
 * @param {() => Promise<unknown>} run
 */
async function measure(kind, run) {
  await run();
  const before = taken();
  for (let i = 0; i < repeated; i++) await run();
  rows.push([kind, ((taken() - before) / repeated).toFixed(1)]);
}

try {
  await measure("a file of the page", async () =>
    (await fetch(new URL("/page.js", url))).arrayBuffer(),
  );
  await measure("an exchange of somebody unknown", () =>
    exchange("", undefined, "[]"),
  );
  await measure("an exchange without news", () => again());
  await measure("an exchange that sends an entry", () => again(item()));
  await again();
  await measure("a WebSocket, opened and closed", async () => {
    const socket = await listen();
    const closed = new Promise((resolve) =>
      socket.addEventListener("close", resolve),
    );
    socket.close();
    await closed;
  });
  /** @type {Awaited<ReturnType<typeof listen>>[]} */
  const sockets = [];
  for (let i = 0; i < listening; i++) sockets.push(await listen());
  await measure("a ping", async () => {
    const answered = heard(sockets[0]);
    sockets[0].send("ping");
    await answered;
  });
  await measure(
    `an exchange that sends an entry, told to ${listening} devices`,
    async () => {
      const told = Promise.all(sockets.map(heard));
      await again(item());
      await told;
    },
  );
  await publish(new URL("../README.md", import.meta.url), "edge", table(rows));
} finally {
  await miniflare.dispose();
}
