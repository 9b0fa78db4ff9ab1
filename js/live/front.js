// What pages take for the server: it has their scripts, passes all else on to a server
// that can be another one later, and counts it.
import { connect, createServer } from "node:net";

/**
 * What has passed, of HTTP and WebSockets as they are before TLS, TCP and IP.
 *
 * @typedef {object} Passed
 * @property {number} bytes in both directions
 * @property {number} messages how many pieces that was: while little is sent, requests,
 *   responses, and frames of WebSockets
 * @property {string[]} requests the method and path of each
 */

/**
 * @typedef {object} Front
 * @property {string} origin
 * @property {Passed} passed since the start
 * @property {string} server the origin of the server
 * @property {() => Promise<unknown>} close
 */

const html = `<!doctype html><title>Live</title><link rel="icon" href="data:,"><script type="module" src="/page/participant.js"></script>`;

/** The head of a request, at the start of what comes at once: browsers pipeline nothing. */
const head = /^([A-Z]+ \S+) HTTP\/1\.1\r\n/;

/**
 * @param {string} server
 * @param {Record<"participant.js" | "contender.js", string>} scripts
 * @returns {Promise<Front>}
 */
export async function startFront(server, scripts) {
  /** @type {Record<string, string>} */
  const own = {
    "GET /page/": response("text/html", html),
    "GET /page/participant.js": script("participant.js"),
    "GET /page/contender.js": script("contender.js"),
  };
  /** @type {Set<import("node:net").Socket>} */
  const open = new Set();
  const listening = createServer({ noDelay: true }, (page) => {
    /** @type {import("node:net").Socket | undefined} */
    let other;
    const end = () => {
      open.delete(page);
      page.destroy();
      other?.destroy();
    };
    open.add(page);
    page.on("error", end).on("close", end);
    page.on("data", (chunk) => {
      const request = head.exec(chunk.toString("latin1"))?.[1];
      if (request && own[request]) {
        page.write(own[request]);
        return;
      }
      count(chunk);
      if (request) front.passed.requests.push(request);
      if (!other) {
        const { hostname, port } = new URL(front.server);
        other = connect({ host: hostname, port: Number(port), noDelay: true });
        other.on("error", end).on("close", end);
        other.on("data", (chunk) => {
          count(chunk);
          page.write(chunk);
        });
      }
      other.write(chunk);
    });
  });
  await new Promise((resolve) =>
    listening.listen(0, "127.0.0.1", () => resolve(undefined)),
  );
  const { port } = /** @type {import("node:net").AddressInfo} */ (
    listening.address()
  );
  /** @type {Front} */
  const front = {
    origin: `http://127.0.0.1:${port}`,
    passed: { bytes: 0, messages: 0, requests: [] },
    server,
    close: () => {
      for (const page of open) page.destroy();
      return new Promise((resolve) => listening.close(resolve));
    },
  };
  return front;

  /** @param {Buffer} chunk */
  function count(chunk) {
    front.passed.bytes += chunk.length;
    front.passed.messages++;
  }

  /** @param {keyof typeof scripts} name */
  function script(name) {
    return response("text/javascript", scripts[name]);
  }
}

/**
 * @param {string} type
 * @param {string} body
 */
function response(type, body) {
  return `HTTP/1.1 200 OK\r\nContent-Type: ${type}; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nCache-Control: no-store\r\n\r\n${body}`;
}
