import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startWorker } from "./local.js";

const site = fileURLToPath(new URL("dist/site", import.meta.url));

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
    "style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

const contentTypes = /** @type {Record<string, string>} */ ({
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
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
  assert.ok(files.includes("session-writer/session.wasm"), String(files));
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

test("the suite of package server passes", async () => {
  const suite = spawn(
    "go",
    ["test", "-count=1", "-run", "^TestHTTP", "./web/server"],
    {
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
      env: { ...process.env, SESSION_WRITER_URL: worker.url.href },
      stdio: "inherit",
    },
  );
  const [code] = await once(suite, "exit");
  assert.equal(code, 0);
});
