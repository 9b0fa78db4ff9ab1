// What only live.js knows. That devices are told at all, of exchanges and of removals, and who
// may listen, is in the suite that worker.test.js runs.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { json } from "node:stream/consumers";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import { unstable_readConfig, unstable_splitSqlQuery } from "wrangler";

/** @param {string} name */
const path = (name) => fileURLToPath(new URL(name, import.meta.url));

const topic = "0123456789abcdef".repeat(4);
const device = "0123456789abcdef";
const other = "fedcba9876543210";

const go = ["live.go", "hub.go"]
  .map((name) => readFileSync(path(`../live/${name}`), "utf8"))
  .join("");

/**
 * Returns a number of package web/live, or a time in ms: a client finds the same here as there.
 *
 * @param {string} name
 * @param {Record<string, number>} [others] those that it is made of
 * @returns {number}
 */
function inGo(name, others = {}) {
  const [, value] = new RegExp(`^\\s*${name} = (.+)$`, "m").exec(go) ?? [];
  assert.ok(value, `web/live has no ${name}`);
  const time = { Second: 1000, Minute: 60_000, Hour: 3_600_000 };
  // What Go computes it from means the same in JavaScript.
  return Function(
    "time",
    ...Object.keys(others),
    `return ${value}`,
  )(time, ...Object.values(others));
}

const endedCode = inGo("CodeEnded");
const expiredCode = inGo("CodeExpired");
const lifetime = inGo("Lifetime");
const share = inGo("config.Share");
const silence = inGo("silence", { PingInterval: inGo("PingInterval") });

/**
 * Starts the Worker of live.worker.js.
 *
 * @param {import("node:test").TestContext} t
 * @param {{ bindings?: { LIVE: {} } }} [live] what it has as LIVE, if that is not as it should be
 */
async function start(t, live) {
  const config = unstable_readConfig({ config: path("wrangler.jsonc") });
  const miniflare = new Miniflare({
    compatibilityDate: config.compatibility_date,
    modulesRoot: path("."),
    modules: ["live.worker.js", "live.js"].map((name) => ({
      type: "ESModule",
      path: path(name),
    })),
    ...(live ?? {
      durableObjects: { LIVE: { className: "Live", useSQLite: true } },
    }),
    d1Databases: ["DB"],
    host: "127.0.0.1",
    port: 0,
    cf: false,
  });
  t.after(() => miniflare.dispose());
  const url = await miniflare.ready;
  const db = await miniflare.getD1Database("DB");
  await db.batch(
    unstable_splitSqlQuery(readFileSync(path("live.sql"), "utf8")).map((sql) =>
      db.prepare(sql),
    ),
  );
  const key = await db.prepare("SELECT key FROM live_keys").first("key");
  assert.match(String(key), /^[0-9A-F]{64}$/);

  /**
   * @param {string} [of] the device's ID
   * @param {number} [seconds] until it expires
   */
  const ticket = (of = device, seconds = 60) => {
    const said = `${topic}.${of}.${Math.floor(Date.now() / 1000) + seconds}`;
    const mac = createHmac("sha256", String(key)).update(said).digest("hex");
    return `${said}.${mac}`;
  };

  /**
   * @param {string} path
   * @param {unknown} body
   */
  const post = async (path, body) => {
    const response = await fetch(new URL(path, url), {
      method: "POST",
      body: JSON.stringify(body),
    });
    assert.equal(response.status, 200);
  };

  /**
   * @param {string} ticket
   * @returns {Promise<{ refusal?: import("node:http").IncomingMessage, socket?: import("node:stream").Duplex, head?: Buffer }>}
   */
  const upgrade = (ticket) =>
    new Promise((resolve, reject) => {
      const query = new URLSearchParams({ ticket });
      const headers = {
        connection: "upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "MDEyMzQ1Njc4OWFiY2RlZg==",
      };
      request(new URL(`/sessions/live?${query}`, url), { headers })
        .on("response", (refusal) => resolve({ refusal }))
        .on("upgrade", (_, socket, head) => resolve({ socket, head }))
        .on("error", reject)
        .end();
    });

  return {
    ticket,

    /** Returns the status and the code with which a socket is refused. */
    refused: async (/** @type {string} */ ticket) => {
      const { refusal } = await upgrade(ticket);
      assert.ok(refusal, `a socket is opened with ${ticket}`);
      const { code } = /** @type {{ code: string }} */ (await json(refusal));
      return `${refusal.statusCode} ${code}`;
    },

    /**
     * Opens a socket. It is not a WebSocket, for which the end is that of the connection: that
     * ends in workerd long after it has sent the code.
     */
    listen: async (/** @type {string} */ ticket) => {
      const { socket, head, refusal } = await upgrade(ticket);
      assert.ok(socket && head, `refused with ${refusal?.statusCode}`);
      t.after(() => socket.destroy());
      const text = 1;
      const end = 8;
      const send = (/** @type {number} */ opcode, /** @type {Buffer} */ body) =>
        socket.write(
          // All are short, and masked with zeros.
          Buffer.from([0x80 | opcode, 0x80 | body.length, 0, 0, 0, 0, ...body]),
        );
      const chunks = socket[Symbol.asyncIterator]();
      let buffer = head;
      const next = async () => {
        while (buffer.length < 2 || buffer.length < 2 + buffer[1]) {
          const { value: more, done } = await chunks.next();
          assert.ok(!done, "the connection has ended");
          buffer = Buffer.concat([buffer, more]);
        }
        const [opcode, length] = [buffer[0] & 15, buffer[1]];
        const body = buffer.subarray(2, 2 + length);
        buffer = buffer.subarray(2 + length);
        if (opcode === text) return String(body);
        assert.equal(opcode, end);
        send(end, body); // as each side does
        return length === 0 ? "end" : body.readUInt16BE();
      };
      return {
        send: (/** @type {string} */ said) => send(text, Buffer.from(said)),
        close: () => send(end, Buffer.alloc(0)),
        /** Returns the next message, or the code with which it is closed. */
        next,
      };
    },

    /** Returns the status that Go gives. */
    exchange: async () => (await fetch(url)).status,

    /** Calls a method of the watcher. */
    tell: (/** @type {string[]} */ ...call) => post("/", call),

    /** Has the next message that is sent to a socket fail. */
    fail: () => post("/fail", null),

    /**
     * Sets the Worker's clock ahead, in ms, or with a negative number back. What it is told of
     * pings, though, is by the right time.
     */
    ahead: (/** @type {number} */ ms) => post("/clock", ms),

    counts: async () => {
      const response = await fetch(new URL("/counts", url));
      return /** @type {{ started: number, made: number }} */ (
        await response.json()
      );
    },
  };
}

test("a ticket that is not good is refused, and Go is not started", async (t) => {
  const { ticket, listen, refused, counts } = await start(t);
  const good = ticket();
  const [of, id, expires, mac] = good.split(".");
  const flipped = (mac[0] === "0" ? "1" : "0") + mac.slice(1);
  for (const bad of [
    "",
    ticket(device, -1),
    [of.replace("0", "1"), id, expires, mac].join("."),
    [of, other, expires, mac].join("."),
    [of, id, Number(expires) + 1, mac].join("."),
    [of, id, expires, flipped].join("."),
    [of, id, expires, ""].join("."),
    `${good}0`,
    `${good}\n`,
    good.toUpperCase(),
  ]) {
    assert.equal(await refused(bad), "401 identity", bad);
  }
  await listen(good);
  await listen(good); // again, as it may come twice
  assert.equal((await counts()).started, 0);
});

test("all of an owner's devices are told, and what is not known is left out", async (t) => {
  const { ticket, listen, tell } = await start(t);
  const all = [await listen(ticket()), await listen(ticket(other))];
  for (const [session, cursor, text] of [
    ["cart", "e-12", '{"session":"cart","cursor":"e-12"}'],
    ["é\u0000", "", '{"session":"é\\u0000"}'],
    ["", "", "{}"],
  ]) {
    await tell("changed", topic, session, cursor);
    for (const { next } of all) assert.equal(await next(), text);
  }
  await tell("changed", topic.replace("0", "1"), "other", "");
  await tell("changed", topic, "cart", "");
  for (const { next } of all) assert.equal(await next(), '{"session":"cart"}');
});

test("a device without access is told so, and its ticket is good no more", async (t) => {
  const { ticket, listen, refused, tell } = await start(t);
  const [one, two] = [await listen(ticket()), await listen(ticket(other))];
  await tell("ended", topic, device);
  assert.equal(await one.next(), endedCode);
  assert.equal(await refused(ticket()), "401 identity");
  await tell("changed", topic, "cart", "");
  assert.equal(await two.next(), '{"session":"cart"}');
  await tell("ended", topic, "");
  assert.equal(await two.next(), endedCode);
  assert.equal(await refused(ticket(other)), "401 identity");
});

test("a client ends a socket, and the object those that are too old", async (t) => {
  const { ticket, listen, tell, ahead } = await start(t);
  const gone = await listen(ticket());
  gone.close();
  assert.equal(await gone.next(), "end");

  await ahead(-lifetime - 1000);
  const old = await listen(ticket());
  await ahead(-lifetime + 10_000);
  const young = await listen(ticket());
  await ahead(0);
  for (const { send, next } of [old, young]) {
    send("ping");
    assert.equal(await next(), "pong");
  }
  await tell("changed", topic, "cart", "");
  assert.equal(await old.next(), expiredCode);
  assert.equal(await young.next(), '{"session":"cart"}');
});

test("who has sent no ping for too long is told of nothing", async (t) => {
  const { ticket, listen, tell, ahead } = await start(t);
  await ahead(-silence - 1000);
  const [silent, pinging] = [await listen(ticket()), await listen(ticket())];
  await ahead(-silence + 10_000);
  const young = await listen(ticket());
  await ahead(0);
  pinging.send("ping");
  assert.equal(await pinging.next(), "pong");
  await tell("changed", topic, "cart", "");
  assert.equal(await silent.next(), 1008);
  for (const { next } of [pinging, young]) {
    assert.equal(await next(), '{"session":"cart"}');
  }
  await ahead(silence + 1000);
  await tell("changed", topic, "cart", "");
  assert.equal(await pinging.next(), 1008); // it did so once
});

test("all others are told if one socket cannot be", async (t) => {
  const { ticket, listen, tell, fail } = await start(t);
  const all = [];
  for (let i = 0; i < 3; i++) all.push(await listen(ticket()));
  await fail();
  await tell("changed", topic, "cart", "");
  await tell("changed", topic, "wish", "");
  const heard = await Promise.all(all.map(({ next }) => next()));
  // It comes back, and exchanges.
  assert.deepEqual(heard.sort(), [
    1011,
    '{"session":"cart"}',
    '{"session":"cart"}',
  ]);
});

test("no more sockets of an owner are open than natively", async (t) => {
  const { ticket, listen, refused, tell, ahead } = await start(t);
  await ahead(-silence - 1000);
  for (let i = 0; i < share; i++) await listen(ticket());
  assert.equal(await refused(ticket()), "503 busy");
  await ahead(0); // those who are silent do not count
  const all = [];
  for (let i = 0; i < share; i++) all.push(await listen(ticket()));
  assert.equal(await refused(ticket()), "503 busy");
  all[0].send("what?");
  assert.equal(await all[0].next(), 1008);
  all.push(await listen(ticket()));
  await tell("changed", topic, "cart", "");
  for (const { next } of all.slice(1)) {
    assert.equal(await next(), '{"session":"cart"}');
  }
});

test("without the objects, pages ask", async (t) => {
  const { ticket, refused, exchange } = await start(t, {});
  assert.equal(await exchange(), 404);
  assert.equal(await refused(ticket()), "401 identity");
});

test("an exchange succeeds also if nobody can be told of it", async (t) => {
  const { tell } = await start(t, { bindings: { LIVE: {} } });
  await tell("changed", topic, "cart", "");
  await tell("ended", topic, device);
});

test(
  "sockets stay open while the object hibernates",
  { timeout: 120_000 },
  async (t) => {
    const { ticket, listen, tell, ahead, counts } = await start(t);
    await ahead(-lifetime + 60_000);
    const { next, send } = await listen(ticket());
    await ahead(0);
    // workerd takes an object out of memory that had nothing to do for ten seconds. A question
    // whether it has would be something to do.
    for (let made = 1; made < 2;) {
      await setTimeout(11_000);
      send("ping");
      assert.equal(await next(), "pong");
      assert.equal((await counts()).made, made);
      await tell("changed", topic, "cart", "");
      assert.equal(await next(), '{"session":"cart"}');
      ({ made } = await counts());
    }
    // Since when it is open, and when it sent a ping, is known then, too.
    await ahead(60_000);
    await tell("changed", topic, "cart", "");
    assert.equal(await next(), expiredCode);
  },
);

test("a device without access is known for as long as its ticket may be good", async (t) => {
  const { ticket, refused, tell, counts } = await start(t);
  await tell("ended", topic, device);
  await setTimeout(11_000); // see above: it does not hibernate
  assert.equal(await refused(ticket()), "401 identity");
  assert.equal((await counts()).made, 1);
});

test("an end is remembered anew when it comes again", async (t) => {
  const { ticket, listen, refused, tell, ahead } = await start(t);
  const long = ticket(device, 600);
  await tell("ended", topic, device);
  await ahead(60_000);
  await tell("ended", topic, device);
  await ahead(60_000 + 80_000);
  assert.equal(await refused(long), "401 identity");
  await ahead(60_000 + 91_000);
  await listen(long);
});
