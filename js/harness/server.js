import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, request as httpRequest } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { WebSocket, WebSocketServer } from "ws";

const here = dirname(fileURLToPath(import.meta.url));

/** The scripts that pages have, at the root of the site. */
const inPage = join(here, "in-page");

/** The package as a user's server has it. */
export const dist = join(here, "..", "dist");

/**
 * The strictest policy under which the package promises to work. The image is
 * the icon that browsers ask for.
 */
const strict =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; frame-src 'self'; img-src 'self'";

/**
 * Every use is a request, which is counted. Not no-store, which would keep a
 * page out of the back/forward cache.
 */
const uncached = "no-cache";

/** @type {Record<string, string>} */
const types = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/**
 * What is wrong with the module at /faulty/<name>.wasm.
 *
 * @type {Record<string, (wasm: Buffer) => { status?: number, type?: string, body: string | Uint8Array } | undefined>}
 */
const faulty = {
  "not-found": () => ({ status: 404, type: "text/plain", body: "Not found" }),
  "server-error": () => ({ status: 500, type: "text/plain", body: "Sorry" }),
  // What servers of single-page applications answer for every path.
  html: () => ({
    type: "text/html",
    body: "<!doctype html><title>App</title>",
  }),
  truncated: (wasm) => ({ body: wasm.subarray(0, wasm.length >> 1) }),
  empty: () => ({ body: "" }),
  "another-program": () => ({ body: emptyModule }),
  "another-go-program": (wasm) => ({ body: withoutProtocol(wasm) }),
  "other-imports": () => ({ body: otherImports }),
  destroyed: () => undefined,
  // These two are right but for the type.
  "octet-stream": (wasm) => ({ type: "application/octet-stream", body: wasm }),
  charset: (wasm) => ({ type: "application/wasm; charset=utf-8", body: wasm }),
};

/** The smallest WebAssembly module: its magic number and version. */
const emptyModule = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

/** A module that wants what no runtime of ours gives: the function a.b. */
const otherImports = Uint8Array.of(
  ...emptyModule,
  ...[1, 4, 1, 0x60, 0, 0], // the type of functions without parameters, results
  ...[2, 7, 1, 1, 0x61, 1, 0x62, 0, 0], // the import
);

/**
 * Returns our module with its protocol export under another name of the same
 * length, as if it were the program of somebody else.
 *
 * @param {Buffer} wasm
 */
function withoutProtocol(wasm) {
  const other = Buffer.from(wasm);
  const name = "\x08protocol"; // with its length: not a part of a longer name
  other.write("\x08protocel", other.indexOf(name, 0, "latin1"), "latin1");
  return other;
}

/**
 * A web site on a port of its own: an origin that no other test has used.
 *
 * @typedef {object} Site
 * @property {(path: string) => string} url
 * @property {(path: string) => string} otherOrigin the same, by another host name
 * @property {(path: string) => number} requests how often a path was requested
 * @property {(prefix: string, folder: string, policy?: string | null, caching?: string) => void} serve
 *   serves a folder under a path, which ends in a slash, under the strict
 *   policy or the one given, null being none, and to be cached as given
 * @property {(prefix: string, origin: string | URL) => Forward} forward has
 *   another server answer what is below a path
 * @property {() => Promise<unknown>} close
 */

/**
 * What comes between a page and another server.
 *
 * @typedef {object} Forward
 * @property {string | URL} origin
 * @property {"both" | "requests" | "nothing"} passes what reaches the other
 *   side: with "requests" the answers are lost
 * @property {{ path: string, body: string, status: number }[]} passed the
 *   requests that did, and how they were answered
 * @property {string | undefined} user whom the other server is asked as: what is
 *   asked as a user comes with the cookies that the server gave him, and the
 *   browser sees none of them. Without one it has its own.
 * @property {((path: string) => unknown) | undefined} meanwhile is awaited when
 *   there is an answer, before that passes
 * @property {Map<string, Map<string, string>>} jars the cookies of each user
 * @property {boolean} refuses whether no WebSocket passes
 * @property {number} sockets how many WebSockets are open
 * @property {number} pings how many messages pages have sent by them
 * @property {(text: string) => Promise<string[]> | string[]} messages what becomes of a
 *   message that the other server sends
 * @property {() => void} cut has all WebSockets end without a word
 * @property {Map<string, string>} heirs the tags of owners' heirs by those of the owners:
 *   what the other server refuses as such an owner's is said to be the heir's
 */

/** The ports of all servers that this process has started, and those for others. */
const ports = new Set();

/**
 * Has a server listen on a port that no other had. A browser keeps what was stored for
 * an origin when its server is closed.
 *
 * @param {import("node:http").Server} server
 */
async function listen(server) {
  for (;;) {
    await new Promise((resolve) =>
      server.listen(0, "127.0.0.1", () => resolve(undefined)),
    );
    const { port } = /** @type {import("node:net").AddressInfo} */ (
      server.address()
    );
    if (!ports.has(port)) {
      ports.add(port);
      return port;
    }
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Returns a port for a server that is another process. */
export async function freePort() {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * Starts a server with
 *
 *     /                    a blank page under the strict policy, with page.js
 *     /prerendering        one with prerendering.js, which may have speculation rules
 *     /prerendered         one with prerendered.js
 *     /without-wasm        a blank page, where the policy forbids WebAssembly
 *     /empty               an empty page
 *     /forget-cookies      likewise, after which the browser has no cookies
 *     /frame               a blank page with opaque.js, for a sandboxed frame
 *     /dist/               the package
 *     /faulty/<name>.wasm  the module, with a fault
 *     /cors/               all of it, for any origin
 *
 * @returns {Promise<Site>}
 */
export async function startSite({ isolated = false } = {}) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  /** @type {[prefix: string, folder: string, policy: string | null, caching: string][]} */
  const folders = [
    ["/dist/", dist, strict, uncached],
    ["/", inPage, strict, uncached],
  ];

  /** @type {[prefix: string, forward: Forward][]} */
  const forwards = [];

  /** @param {string} path */
  const content = async (path) => {
    if (path === "/") return html(strict, "page.js");
    if (path === "/prerendering") {
      const rules = "script-src 'inline-speculation-rules'";
      return html(strict.replace("script-src", rules), "prerendering.js");
    }
    if (path === "/empty" || path === "/forget-cookies") {
      return { type: types[".html"], body: "" };
    }
    if (path === "/prerendered") return html(strict, "prerendered.js");
    if (path === "/without-wasm") {
      return html(strict.replace(" 'wasm-unsafe-eval'", ""), "page.js");
    }
    if (path === "/frame") {
      // In WebKit, a document of an opaque origin has nothing that is 'self'.
      return html(strict.replaceAll("'self'", origin), "opaque.js");
    }
    const fault = /^\/faulty\/(.+)\.wasm$/.exec(path)?.[1];
    if (fault !== undefined) {
      return faulty[fault](await readFile(join(dist, "session.wasm")));
    }
    const [prefix, folder, policy, caching] =
      folders.find(([prefix]) => path.startsWith(prefix)) ?? folders[0];
    return {
      policy,
      caching,
      type: types[extname(path)] ?? "text/plain",
      body: await readFile(join(folder, normalize(path.slice(prefix.length)))),
    };
  };

  /**
   * Counts a request, and returns its path, and what answers it in our place, if anything.
   *
   * @param {import("node:http").IncomingMessage} request
   */
  const count = (request) => {
    const { pathname } = new URL(request.url ?? "/", "http://host");
    counts.set(pathname, (counts.get(pathname) ?? 0) + 1);
    const [, forward] =
      forwards.find(([prefix]) => pathname.startsWith(prefix)) ?? [];
    return { pathname, forward };
  };

  const server = createServer(async (request, response) => {
    let { pathname, forward } = count(request);
    if (forward) {
      await pass(forward, request, response);
      return;
    }
    if (pathname.startsWith("/cors/")) {
      response.setHeader("Access-Control-Allow-Origin", "*");
      pathname = pathname.slice("/cors".length);
    }
    if (pathname === "/forget-cookies") {
      const { cookie = "" } = request.headers;
      response.setHeader(
        "Set-Cookie",
        Array.from(
          cookie.matchAll(/([^=; ]+)=/g),
          ([, name]) => `${name}=; Path=/; Max-Age=0`,
        ),
      );
    }
    const reply = await content(pathname).catch((error) => ({
      status: 404,
      type: "text/plain",
      body: String(error),
    }));
    if (!reply) {
      request.socket.destroy();
      return;
    }
    const policy = "policy" in reply ? reply.policy : strict;
    response.writeHead("status" in reply ? (reply.status ?? 200) : 200, {
      "Content-Type": reply.type ?? "application/wasm",
      "Cache-Control": ("caching" in reply && reply.caching) || uncached,
      // So a page has a clock of 5 µs (High Resolution Time, "coarsen time").
      ...(isolated && {
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
      }),
      // For workers, whose policy is that of their script.
      ...(policy && { "Content-Security-Policy": policy }),
    });
    response.end(reply.body);
  });
  const sockets = new WebSocketServer({ noServer: true });
  /** @type {Set<import("node:stream").Duplex>} */
  const upgraded = new Set();
  server.on("upgrade", (request, socket, head) => {
    upgraded.add(socket);
    socket.on("close", () => upgraded.delete(socket));
    const { forward } = count(request);
    if (!forward || forward.refuses || forward.passes === "nothing") {
      socket.destroy();
      return;
    }
    passSocket(forward, request, (use) =>
      sockets.handleUpgrade(request, socket, head, use),
    ).catch(() => socket.destroy());
  });
  const port = await listen(server);
  const origin = `http://127.0.0.1:${port}`;

  return {
    url: (path) => origin + path,
    otherOrigin: (path) => `http://localhost:${port}${path}`,
    requests: (path) => counts.get(path) ?? 0,
    serve: (prefix, folder, policy = strict, caching = uncached) =>
      folders.unshift([prefix, folder, policy, caching]),
    forward: (prefix, origin) => {
      /** @type {Forward} */
      const forward = {
        ...{ origin, passes: "both", passed: [] },
        ...{ user: undefined, meanwhile: undefined },
        ...{ jars: new Map(), heirs: new Map() },
        ...{
          refuses: false,
          sockets: 0,
          pings: 0,
          messages: (text) => [text],
          cut: () => {},
        },
      };
      forwards.push([prefix, forward]);
      return forward;
    },
    close: () => {
      server.closeAllConnections();
      for (const socket of upgraded) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/**
 * Has another server answer a request, as far as that is to pass.
 *
 * @param {Forward} forward
 * @param {import("node:http").IncomingMessage} request
 * @param {import("node:http").ServerResponse} response
 */
async function pass(forward, request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (forward.passes === "nothing") {
    request.socket.destroy();
    return;
  }
  const path = request.url ?? "/";
  const passed = { path, body: body.toString(), status: 0 };
  forward.passed.push(passed);
  const jar = jarOf(forward);
  const { method, headers } = request;
  if (jar) headers.cookie = cookieOf(jar);
  const other = httpRequest(new URL(path, forward.origin), { method, headers });
  other.on("error", () => request.socket.destroy());
  other.on("response", async (answer) => {
    passed.status = answer.statusCode ?? 500;
    if (jar) {
      for (const cookie of answer.headers["set-cookie"] ?? []) {
        const [, name, value] = /^(.+?)=([^;]*)/.exec(cookie) ?? [];
        jar.set(name, value);
      }
      delete answer.headers["set-cookie"];
    }
    const { searchParams } = new URL(path, forward.origin);
    const heir = forward.heirs.get(searchParams.get("owner") ?? "");
    if (heir && answer.headers["session-owner"] && passed.status === 412) {
      answer.headers["session-heir"] = heir;
    }
    try {
      await forward.meanwhile?.(path);
    } catch (error) {
      // The test fails of it, and ends: the page would wait for an answer.
      request.socket.destroy();
      throw error;
    }
    if (forward.passes === "requests") {
      answer.resume();
      request.socket.destroy();
      return;
    }
    response.writeHead(passed.status, answer.headers);
    answer.pipe(response);
  });
  other.end(body);
}

/**
 * Has a WebSocket pass to another server, which is asked first.
 *
 * @param {Forward} forward
 * @param {import("node:http").IncomingMessage} request
 * @param {(use: (socket: WebSocket) => void) => void} accept
 */
async function passSocket(forward, request, accept) {
  const at = new URL(request.url ?? "/", forward.origin);
  at.protocol = "ws:";
  const jar = jarOf(forward);
  const cookie = jar ? cookieOf(jar) : (request.headers.cookie ?? "");
  const other = new WebSocket(at, { headers: { cookie } });
  await once(other, "open");
  accept((socket) => {
    forward.sockets++;
    const { cut } = forward;
    forward.cut = () => {
      cut();
      socket.terminate();
      other.terminate();
    };
    let passed = Promise.resolve();
    other.on("message", (data) => {
      const texts = Promise.resolve(forward.messages(String(data)));
      passed = passed.then(async () => {
        for (const text of await texts) socket.send(text);
      });
    });
    socket.on("message", (data) => {
      forward.pings++;
      other.send(String(data));
    });
    for (const [one, another] of [
      [socket, other],
      [other, socket],
    ]) {
      one.on("error", () => another.terminate());
      one.on("close", (code, reason) =>
        // Not a code that only says that there was none (RFC 6455, section 7.4.1).
        code === 1005 || code === 1006
          ? another.terminate()
          : another.close(code, reason),
      );
    }
    socket.on("close", () => forward.sockets--);
  });
}

/**
 * The cookies of the user whom a server is asked as, if there is one.
 *
 * @param {Forward} forward
 */
function jarOf({ user, jars }) {
  if (user === undefined) return undefined;
  const jar = jars.get(user) ?? new Map();
  jars.set(user, jar);
  return jar;
}

/** @param {Map<string, string>} jar */
const cookieOf = (jar) => [...jar].map((pair) => pair.join("=")).join("; ");

/**
 * @param {string} policy
 * @param {string} script
 */
function html(policy, script) {
  return {
    policy,
    type: types[".html"],
    // Relative: /cors/frame has a script that any origin may have.
    body: `<!doctype html><title>A page</title><script type="module" crossorigin src="${script}"></script>`,
  };
}
