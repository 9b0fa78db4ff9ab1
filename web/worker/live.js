// Tells devices of changes, at once, by WebSockets, as package web/live does natively and
// documents. Go cannot hold a socket here: it is over with each answer.
//
// Where a device may listen is said by the answer to an exchange: with a ticket, so that Go need
// not be started to find out whose device it is. A ticket has four parts, with dots between them:
// the owner's topic, the device's ID, when it expires, in seconds since 1970, and the HMAC-SHA256
// of what comes before that, in hexadecimal. live_js.go makes it.
import { DurableObject } from "cloudflare:workers";

// These are the same in package web/live, as live.test.js makes sure.

/** How many sockets an owner may have. */
const share = 100;

/** How long a socket is open, in ms, or until the next change after that. */
const lifetime = 2 * 60 * 60 * 1000;

/** How long a client may send no ping, in ms. */
const silence = 112_500;

/** The code that tells a device that it has no access any more. */
const endedCode = 4001;

/** The code that tells a device that its socket was open for its lifetime. */
const expiredCode = 4002;

/** How long tickets of a device that has no access any more are refused, in ms: longer than
 * they are good. */
const remembered = 90_000;

/**
 * What Go is given to make tickets and to tell of changes: a sqlstore.Watcher.
 *
 * @typedef {object} Watcher
 * @property {string} key
 * @property {(topic: string, session: string, cursor: string) => void} changed
 * @property {(topic: string, device: string) => void} ended
 */

/**
 * @typedef {object} Env
 * @property {DurableObjectNamespace<Live>} [LIVE] is missing where wrangler.jsonc is not used:
 *   then pages ask at intervals
 * @property {D1Database} DB
 */

/** Has the sockets of one owner, whose topic is its name. It stores nothing. */
export class Live extends DurableObject {
  /**
   * The devices that have lost their access lately, with the timers that forget them. An empty
   * ID stands for all. While there is a timer, it keeps the object in memory.
   *
   * @type {Map<string, ReturnType<typeof setTimeout>>}
   */
  #ended = new Map();

  /**
   * @param {DurableObjectState} ctx
   * @param {unknown} env
   */
  constructor(ctx, env) {
    super(ctx, env);
    // It answers also while it hibernates.
    ctx.setWebSocketAutoResponse(
      new WebSocketRequestResponsePair("ping", "pong"),
    );
  }

  /**
   * Opens a socket for the device of a ticket that listen has verified.
   *
   * @param {Request} request
   */
  fetch(request) {
    const device = ticketOf(request).split(".")[1];
    if (this.#ended.has(device) || this.#ended.has("")) return unknown();
    if (this.#sockets().length >= share) {
      const error = `of one owner ${share} sockets may be open`;
      return refusal(503, "busy", error, { "retry-after": "5" });
    }
    const { 0: client, 1: socket } = new WebSocketPair();
    this.ctx.acceptWebSocket(socket, [device]);
    socket.serializeAttachment(Date.now());
    return new Response(null, { status: 101, webSocket: client });
  }

  /** Returns the sockets that are open, and closes those that are too old or silent. */
  #sockets() {
    const now = Date.now();
    return this.ctx.getWebSockets().filter((socket) => {
      if (socket.readyState !== WebSocket.OPEN) return false;
      const opened = socket.deserializeAttachment();
      const pinged = this.ctx.getWebSocketAutoResponseTimestamp(socket);
      if (now - opened > lifetime) {
        close(socket, expiredCode, "come again");
      } else if (now - Math.max(opened, Number(pinged)) > silence) {
        close(socket, 1008, "a ping should be sent");
      } else {
        return true;
      }
      return false;
    });
  }

  /**
   * Hears that something was merged into a session.
   *
   * @param {string} session
   * @param {string} cursor
   */
  changed(session, cursor) {
    const text = JSON.stringify({
      session: session || undefined,
      cursor: cursor || undefined,
    });
    for (const socket of this.#sockets()) {
      try {
        socket.send(text);
      } catch (error) {
        console.error(`live: ${error}`);
        close(socket, 1011, "a message was lost");
      }
    }
  }

  /**
   * Hears that a device has no access any more, or, with an empty ID, that none has.
   *
   * @param {string} device
   */
  ended(device) {
    clearTimeout(this.#ended.get(device));
    const forget = () => this.#ended.delete(device);
    this.#ended.set(device, setTimeout(forget, remembered));
    for (const socket of this.ctx.getWebSockets(device || undefined)) {
      close(socket, endedCode, "no access any more");
    }
  }

  /** @param {WebSocket} socket */
  webSocketMessage(socket) {
    socket.close(1008, "only ping may be sent");
  }

  /** @param {WebSocket} socket */
  webSocketClose(socket) {
    socket.close(); // answers the client's end
  }
}

/**
 * Closes a socket. One that cannot be closed must not keep others from what they are due.
 *
 * @param {WebSocket} socket
 * @param {number} code
 * @param {string} reason
 */
function close(socket, code, reason) {
  try {
    socket.close(code, reason);
  } catch (error) {
    console.error(`live: ${error}`);
  }
}

/**
 * Returns what handles requests: it opens WebSockets by itself, and gives all else to Go.
 *
 * @param {(request: Request, env: object, ctx: ExecutionContext) => Promise<Response>} go
 * @returns {(request: Request, env: Env, ctx: ExecutionContext) => Promise<Response>}
 */
export const before = (go) => async (request, env, ctx) => {
  const { LIVE: lives } = env;
  const key = lives && (await findKey(env.DB));
  const { pathname } = new URL(request.url);
  const upgrade = request.headers.get("upgrade")?.toLowerCase();
  return request.method === "GET" &&
    pathname === "/sessions/live" &&
    upgrade === "websocket"
    ? listen(request, lives, key)
    : go(
        request,
        { ...env, WATCHER: lives && key && watcher(lives, ctx, key) },
        ctx,
      );
};

/** @type {string | undefined} */
let found;

/**
 * Returns the key, or nothing if there is none yet, or the database does not answer: then
 * pages ask at intervals. It is found once in the life of this isolate. A promise is not kept,
 * since it is bound to its request, which may be cancelled.
 *
 * @param {D1Database} db
 */
async function findKey(db) {
  try {
    found ??=
      (await db.prepare("SELECT key FROM live_keys").first("key")) ?? undefined;
  } catch (error) {
    console.error(`live: the key: ${error}`);
  }
  return found;
}

/**
 * @param {DurableObjectNamespace<Live>} lives
 * @param {ExecutionContext} ctx
 * @param {string} key
 * @returns {Watcher}
 */
function watcher(lives, ctx, key) {
  /**
   * Does not wait, and throws nothing: the change is made, and the answer does not depend on
   * who is told.
   *
   * @param {string} topic
   * @param {(live: DurableObjectStub<Live>) => Promise<void>} call
   */
  const tell = (topic, call) => {
    const told = async () => call(lives.getByName(topic));
    ctx.waitUntil(told().catch((error) => console.error(`live: ${error}`)));
  };
  return {
    key,
    changed: (topic, session, cursor) =>
      tell(topic, (live) => live.changed(session, cursor)),
    ended: (topic, device) => tell(topic, (live) => live.ended(device)),
  };
}

/**
 * Answers the request for a WebSocket.
 *
 * @param {Request} request
 * @param {DurableObjectNamespace<Live>} [lives]
 * @param {string} [key]
 */
async function listen(request, lives, key) {
  // A page of another site has no ticket, but may have been given one.
  const origin = request.headers.get("origin");
  if (origin !== null && origin.split("://")[1] !== new URL(request.url).host) {
    const error =
      "the request comes from another site: only pages of this one may make it";
    return refusal(403, "cross-origin", error);
  }
  const topic = key && (await verify(ticketOf(request), key));
  return lives && topic ? lives.getByName(topic).fetch(request) : unknown();
}

/** @param {Request} request */
const ticketOf = (request) =>
  new URL(request.url).searchParams.get("ticket") ?? "";

const form = /^(([0-9a-f]{64})\.[0-9a-f]{16}\.([0-9]{1,12}))\.([0-9a-f]{64})$/;

/**
 * Returns the topic that a ticket is for, if it is good.
 *
 * @param {string} ticket
 * @param {string} key
 */
async function verify(ticket, key) {
  const [, said, topic, expires, mac] = form.exec(ticket) ?? [];
  if (said === undefined || Number(expires) * 1000 <= Date.now()) return;
  const encoder = new TextEncoder();
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const isOurs = await crypto.subtle.verify(
    hmac,
    await crypto.subtle.importKey("raw", encoder.encode(key), hmac, false, [
      "verify",
    ]),
    Uint8Array.from(mac.match(/../g) ?? [], (byte) => parseInt(byte, 16)),
    encoder.encode(said),
  );
  return isOurs ? topic : undefined;
}

const unknown = () =>
  refusal(
    401,
    "identity",
    "it is not known whose sessions these are: an exchange comes first",
  );

/**
 * Refuses a request as package server does.
 *
 * @param {number} status
 * @param {string} code
 * @param {string} error
 * @param {Record<string, string>} [headers]
 */
const refusal = (status, code, error, headers) =>
  Response.json(
    { code, error },
    { status, headers: { "cache-control": "no-store", ...headers } },
  );
