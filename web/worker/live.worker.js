// The Worker of live.test.js: what live.js does, before something that is not Go:
//
//   GET  /counts  how often Go would have been started, and a Live was made
//   POST /clock   sets clocks ahead by as many ms as the body says, and ends waits that are over
//   POST /fail    has the next send of a socket fail
//   POST /...     has the watcher hear of what the body says: its method, and the arguments
//
// It responds 404 where Go would not be given a watcher.
import { Live as Tested, before } from "./live.js";

let started = 0;
let made = 0;

const now = Date.now;
let ahead = 0;
Date.now = () => now() + ahead;

/** What waits, and until when. @type {Map<unknown, { at: number, run: () => void }>} */
const waits = new Map();
const { setTimeout, clearTimeout } = globalThis;
Object.assign(globalThis, {
  setTimeout: (/** @type {() => void} */ run, /** @type {number} */ ms) => {
    const timer = setTimeout(run, ms);
    waits.set(timer, { at: Date.now() + ms, run });
    return timer;
  },
  clearTimeout: (/** @type {any} */ timer) => {
    waits.delete(timer);
    clearTimeout(timer);
  },
});

let fails = false;
const { send } = WebSocket.prototype;
WebSocket.prototype.send = function (/** @type {any} */ text) {
  if (!fails) return send.call(this, text);
  fails = false;
  throw new TypeError("it cannot be sent");
};

export class Live extends Tested {
  /**
   * @param {DurableObjectState} ctx
   * @param {unknown} env
   */
  constructor(ctx, env) {
    super(ctx, env);
    made++;
  }
}

/**
 * @param {Request} request
 * @param {{ WATCHER?: any }} env
 */
async function go(request, { WATCHER }) {
  const { pathname } = new URL(request.url);
  if (pathname === "/counts") return Response.json({ started, made });
  if (pathname === "/clock") {
    ahead = await request.json();
    for (const [timer, { at, run }] of waits) {
      if (at > Date.now()) continue;
      waits.delete(timer);
      run();
    }
    return new Response();
  }
  if (pathname === "/fail") {
    fails = true;
    return new Response();
  }
  started++;
  if (!WATCHER) return new Response(null, { status: 404 });
  if (request.method === "POST") {
    const [method, ...args] = await request.json();
    WATCHER[method](...args);
  }
  return new Response();
}

export default { fetch: before(go) };
