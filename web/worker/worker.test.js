import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startWorker } from "./local.js";

/** @param {string} name */
const path = (name) => fileURLToPath(new URL(name, import.meta.url));

const site = path("dist/site");

/** @type {Awaited<ReturnType<typeof startWorker>>} */
let worker;

before(async () => {
  worker = await startWorker();
});

after(() => worker.miniflare.dispose());

/** @param {string} path */
const get = (path) => fetch(new URL(path, worker.url));

const securityHeaders = {
  "content-security-policy":
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; " +
    "style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; " +
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

const contentTypes = /** @type {Record<string, string>} */ ({
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  map: "application/json",
  svg: "image/svg+xml",
  wasm: "application/wasm",
});

/** @param {Response} response */
function assertSecurityHeaders(response) {
  for (const [name, value] of Object.entries(securityHeaders)) {
    assert.equal(response.headers.get(name), value, `${response.url}: ${name}`);
  }
}

test("the site's files are served, with the security headers", async () => {
  const files = readdirSync(site, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== "_headers")
    .map((entry) => join(entry.parentPath, entry.name).slice(site.length + 1));
  assert.ok(files.includes("session-writer/index.js"), String(files));
  for (const file of files) {
    const response = await get(file === "index.html" ? "/" : file);
    assert.equal(response.status, 200, file);
    assertSecurityHeaders(response);
    const extension = file.slice(file.lastIndexOf(".") + 1);
    assert.equal(
      response.headers.get("content-type"),
      contentTypes[extension],
      file,
    );
    assert.deepEqual(
      Buffer.from(await response.arrayBuffer()),
      readFileSync(join(site, file)),
      file,
    );
  }
});

test("neither compressed forms nor the rules for headers are served", async () => {
  for (const path of ["/page.js.br", "/page.js.gz", "/_headers"]) {
    const response = await get(path);
    assert.equal(response.status, 404, path);
    assertSecurityHeaders(response);
  }
});

test("the session API is the Go handler's", async () => {
  const response = await get("/sessions/health");
  assert.equal(response.status, 200);
  assertSecurityHeaders(response);
  assert.equal(response.headers.get("cache-control"), "no-store");
  assert.deepEqual(await response.json(), { status: "ok" });
});

let stamps = 0;

/**
 * One item with one batch, made now, as it is sent.
 *
 * @param {Record<string, unknown>} set
 */
function items(set) {
  const counter = (stamps++).toString(16).padStart(4, "0");
  const stamp = `${Date.now()}-${counter}-3f9a2c7e1b40`;
  return JSON.stringify([{ format: 1, batches: [{ stamp, set }] }]);
}

/**
 * @param {string} path below /sessions/
 * @param {{ method?: string, body?: string, headers?: Record<string, string> }} options
 */
function post(path, { method = "POST", body, headers } = {}) {
  return fetch(new URL(`/sessions/${path}`, worker.url), {
    method,
    body,
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
  });
}

/** @param {{ headers: { getSetCookie(): string[] } }} response */
function cookieOf(response) {
  const cookies = response.headers.getSetCookie();
  assert.equal(cookies.length, 1, cookies.join("\n"));
  return cookies[0];
}

/** Has the Worker make an owner, as who has something to keep does first. */
async function hello() {
  const response = await post("exchange?session=cart", { body: "[]" });
  assert.equal(response.status, 204);
  assert.equal(response.headers.get("session-cursor"), "");
  const cookie = cookieOf(response);
  assert.match(
    cookie,
    /^session-writer=[^;,]+; Path=\/; Max-Age=34560000; HttpOnly; SameSite=Lax$/,
  );
  return {
    owner: response.headers.get("session-owner"),
    headers: { cookie: cookie.split(";")[0] },
  };
}

test("what one device sends, another receives after pairing", async () => {
  const { owner, headers: first } = await hello();
  const exchange = `exchange?session=cart&owner=${owner}`;
  const sent = await post(exchange, { body: items({ a: 1 }), headers: first });
  assert.equal(sent.status, 200); // with all that there is
  assert.deepEqual((await sent.json()).batches[0].set, { a: 1 });
  assert.equal(sent.headers.get("session-complete"), "true");
  assert.notEqual(sent.headers.get("session-cursor"), "");

  const stranger = await post("exchange?session=cart");
  assert.equal(stranger.status, 204);
  assert.equal(stranger.headers.get("session-cursor"), "");
  assert.deepEqual(stranger.headers.getSetCookie(), []);

  const paired = await post("pair", { headers: first });
  assert.equal(paired.status, 200);
  const { code, expiresIn } = await paired.json();
  assert.ok(expiresIn > 300 && expiresIn <= 600, `${expiresIn} seconds`);
  const body = JSON.stringify({ code: code.toLowerCase() });
  const joined = await post("join", { body });
  assert.equal(joined.status, 204);
  const second = { cookie: cookieOf(joined).split(";")[0] };
  assert.equal((await post("join", { body })).status, 410);

  assert.equal(joined.headers.get("session-owner"), owner);
  const received = await post(exchange, { headers: second });
  assert.equal(received.status, 200);
  assert.deepEqual((await received.json()).batches[0].set, { a: 1 });
  assert.equal(received.headers.get("session-owner"), owner);
  const cursor = received.headers.get("session-cursor");
  const again = await post(`${exchange}&cursor=${cursor}`, { headers: second });
  assert.equal(again.status, 204);
  assert.equal(again.headers.get("session-cursor"), cursor);
});

test("the cookie is for the host alone, except on this machine", async () => {
  const { statusCode, headers } = await exchange({ host: "session.example" });
  assert.equal(statusCode, 204);
  assert.equal(headers["set-cookie"]?.length, 1);
  assert.match(
    headers["set-cookie"][0],
    /^__Host-session-writer=[^;,]+; Path=\/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax$/,
  );
});

test("requests that other sites make are refused, its own are not", async () => {
  const own = worker.url.origin;
  for (const [headers, status] of /** @type {const} */ ([
    [{ origin: "https://evil.example" }, 403],
    [{ origin: "null" }, 403],
    [{ origin: own, "sec-fetch-site": "cross-site" }, 403],
    [{ origin: own, "sec-fetch-site": "same-site" }, 403],
    [{ origin: own, "sec-fetch-site": "same-origin" }, 204],
    [{ "sec-fetch-site": "none" }, 204],
  ])) {
    const { statusCode } = await exchange(headers);
    assert.equal(statusCode, status, JSON.stringify(headers));
  }
});

/**
 * Says hello with headers that fetch keeps to itself.
 *
 * @param {Record<string, string>} headers
 * @returns {Promise<import("node:http").IncomingMessage>}
 */
async function exchange(headers) {
  const sent = request(new URL("/sessions/exchange?session=cart", worker.url), {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
  });
  sent.end("[]");
  const [response] = await once(sent, "response");
  return response.resume();
}

test("what cannot be taken is refused with the reason", async () => {
  const { owner, headers } = await hello();
  for (const [path, options, status, code] of /** @type {const} */ ([
    [
      `exchange?session=cart&owner=${owner}`,
      { body: "{", headers },
      400,
      "malformed",
    ],
    ["exchange", { body: "[]" }, 400, "malformed"],
    ["exchange?session=cart&cursor=x", {}, 412, "owner"],
    ["exchange?session=cart", { method: "PUT" }, 405, "method"],
    [
      "exchange?session=cart",
      { body: "[]", headers: { "content-type": "text/plain" } },
      415,
      "content-type",
    ],
    [
      "exchange?session=cart",
      { body: `[${" ".repeat(3 << 20)}]` },
      413,
      "quota",
    ],
    ["nothing", {}, 404, "not-found"],
  ])) {
    const response = await post(path, options);
    assert.equal(response.status, status, path);
    assertSecurityHeaders(response);
    const { code: given, error } = await response.json();
    assert.equal(given, code);
    assert.equal(typeof error, "string");
  }
});

test("a body of a megabyte is taken, and comes back whole", async () => {
  const set = Object.fromEntries(
    Array.from({ length: 1000 }, (_, i) => [`key ${i}`, "é".repeat(500)]),
  );
  const { owner, headers } = await hello();
  const exchange = `exchange?session=large&owner=${owner}`;
  const sent = await post(exchange, { body: items(set), headers });
  assert.equal(sent.status, 200);
  const received = await post(exchange, { headers });
  assert.deepEqual((await received.json()).batches[0].set, set);
});

test("what has expired is deleted when the Worker is run on schedule", async () => {
  const db = await worker.miniflare.getD1Database("DB");
  await db
    .prepare("INSERT INTO codes VALUES ('old', '', '', '2020-01-01T00:00:00Z')")
    .run();
  // Miniflare's types lack the method.
  const deployed = /** @type {any} */ (await worker.miniflare.getWorker());
  assert.equal((await deployed.scheduled()).outcome, "ok");
  const left = db.prepare("SELECT count(*) FROM codes WHERE code = 'old'");
  assert.equal(await left.first("count(*)"), 0);
});

/** @param {string} form */
const leftBy = (form) =>
  readFileSync(path(`../sqlstore/testdata/${form}.sql`), "utf8");

// See migrate_test.go in web/sqlstore.
for (const [form, id] of Object.entries({
  form1: "0123456789abcdef0123456789abcdef",
  form2: "0123456789abcdef0123456789abcdef",
  form3: "0123456789abcdef0123456789abcdef",
  form4: "c47c8e9dba6f852f575604e6a4ba5d1d",
})) {
  test(`a database of ${form} is migrated`, async (t) => {
    const { url, miniflare } = await startWorker(leftBy(form));
    t.after(() => miniflare.dispose());
    const headers = { cookie: `session-writer=${id}-20000` };
    const exchange = async (/** @type {string} */ query) => {
      const response = await fetch(
        new URL(`/sessions/exchange?${query}`, url),
        { method: "POST", headers },
      );
      assert.ok(response.ok, await response.clone().text());
      return response;
    };
    const hello = await exchange("session=cart");
    const owner = hello.headers.get("session-owner");
    const response = await exchange(`session=cart&owner=${owner}`);
    assert.equal(response.headers.get("session-complete"), "true");
    const item = await response.text();
    for (const said of ['{"a":{"n":1e400}}', '{"c":"é\\u0000"}', '["b"]']) {
      assert.ok(item.includes(said), `${said} in ${item}`);
    }
    const wish = await exchange(`session=wish&owner=${owner}`);
    assert.deepEqual((await wish.json()).batches[0].set, { w: [] });

    const db = await miniflare.getD1Database("DB");
    const left = db.prepare(
      "SELECT count(*) AS n FROM sqlite_master WHERE name IN ('entries', 'records_before', 'pairings', 'records_ended')",
    );
    assert.equal(await left.first("n"), 0);
  });
}

test("pages ask as long as a database has no key for those who listen", async (t) => {
  const { url, miniflare } = await startWorker();
  t.after(() => miniflare.dispose());
  const db = await miniflare.getD1Database("DB");
  await db.prepare("ALTER TABLE live_keys RENAME TO none").run();
  /** @type {Record<string, string>} */
  const headers = { "content-type": "application/json" };
  const exchange = async () => {
    const response = await fetch(
      new URL("/sessions/exchange?session=cart", url),
      { method: "POST", body: items({ a: 1 }), headers },
    );
    assert.ok(response.ok, await response.clone().text());
    return response;
  };
  headers.cookie = cookieOf(await exchange()).split(";")[0];
  assert.equal((await exchange()).headers.get("session-live"), null);
  const socket = await miniflare.dispatchFetch(
    new URL("/sessions/live?ticket=", url),
    { headers: { upgrade: "websocket" } },
  );
  assert.equal(socket.status, 401);

  await db.prepare("ALTER TABLE none RENAME TO live_keys").run();
  assert.match(
    String((await exchange()).headers.get("session-live")),
    /^live\?ticket=[0-9a-f.]+$/,
  );
});

test("make edge and make deploy migrate what is there", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "session-writer-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const options = [
    ...["DB", "--config", path("wrangler.jsonc")],
    ...["--local", "--persist-to", folder],
  ];
  const run = async (/** @type {string[]} */ ...args) => {
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (said += text));
    const [code] = await once(child, "close");
    assert.equal(code, 0, said);
    return said;
  };
  const execute = async (/** @type {string} */ sql) =>
    JSON.parse(
      await run(
        path("node_modules/wrangler/bin/wrangler.js"),
        ...["d1", "execute", ...options, "--json", `--command=${sql}`],
      ),
    );
  await execute(leftBy("form2"));
  await run(path("migrate.js"), ...options);
  await run(path("migrate.js"), ...options);
  const [{ results }] = await execute(
    "SELECT count(*) AS timed, (SELECT max(version) FROM schema_versions) AS version, (SELECT count(*) FROM live_keys) AS keys FROM records WHERE made >= '17'",
  );
  assert.deepEqual(results, [{ timed: 6, version: 2, keys: 1 }]);
});

test("the suite of package server passes", async () => {
  const suite = spawn(
    "go",
    ["test", "-count=1", "-short", "-run=^TestServer", "./web/server"],
    {
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
      env: { ...process.env, SERVER_URL: worker.url.origin },
      stdio: "inherit",
    },
  );
  const [code] = await once(suite, "exit");
  assert.equal(code, 0);
});

// The last one: no other works after it.
test("a database without tables is not available", async () => {
  const db = await worker.miniflare.getD1Database("DB");
  await db.prepare("DROP TABLE sessions").run();
  const response = await get("/sessions/health");
  assert.equal(response.status, 503);
  assert.equal((await response.json()).code, "unavailable");
});
