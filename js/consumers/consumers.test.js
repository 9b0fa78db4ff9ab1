// Builds a small app as users do, with the packed package, and looks at it in a browser:
// all consumers, or those that CONSUMERS names. Each is a folder here.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { runtimeOfGo } from "../harness/go.js";
import { freePort } from "../harness/server.js";
import { startNative } from "../harness/sessions-server.js";
import { inBrowser } from "../test/in-browser.js";

/** @typedef {import("../harness/browser.js").Page} Page */
/** @typedef {import("../test/in-browser.js").Visit} Visit */

const run = promisify(execFile);
const here = dirname(fileURLToPath(import.meta.url));

/** @type {Record<string, (consumer: Consumer) => void>} */
const consumers = {
  plain: inPage(serve),
  esbuild: inPage(build),
  rollup: inPage(build),
  webpack: inPage(build),
  vite: inPage(build, dev),
  "vite-5": inPage(build, dev),
  parcel: inPage(build),
  angular: inPage(build),
  next: inPage(start),
  sveltekit: inPage(build),
  workers: inPage(serviceWorker, moduleWorker, classicWorker),
  node: inNode("in silence"),
  jest: inNode(),
  vitest: inNode(),
  "syscall-js": inGo(goPage),
  "go-app": inGo(goServer),
  "web/consumers/pages": inPages,
};

/**
 * @typedef {object} Consumer
 * @property {string} name
 */

/** The packed package. */
let tarball = "";
before(async () => {
  const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  const { stdout } = await run(
    "npm",
    ["pack", "--silent", "--pack-destination", folder],
    { cwd: join(here, "..") },
  );
  tarball = join(folder, stdout.trim());
});

// Nobody is to be told that this builds something.
Object.assign(process.env, {
  NEXT_TELEMETRY_DISABLED: "1",
  NG_CLI_ANALYTICS: "false",
});

const chosen = process.env.CONSUMERS?.split(" ") ?? Object.keys(consumers);
for (const name of chosen) consumers[name]({ name });

/**
 * Makes a folder for a consumer, and calls f with it.
 *
 * @param {string} name
 * @param {(folder: string) => Promise<void>} f
 */
async function inFolder(name, f) {
  const folder = await mkdtemp(join(tmpdir(), `session-writer-${name}-`));
  try {
    await f(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/**
 * Installs the package in a copy of a consumer's folder, and calls f with that.
 *
 * @param {string} name
 * @param {(folder: string) => Promise<void>} f
 */
function installed(name, f) {
  return inFolder(name, async (folder) => {
    await cp(join(here, "app"), folder, { recursive: true });
    await cp(join(here, name), folder, { recursive: true });
    const quiet = ["--no-audit", "--no-fund", "--silent"];
    await run("npm", ["ci", ...quiet], { cwd: folder });
    await run("npm", ["install", "--no-save", ...quiet, tarball], {
      cwd: folder,
    });
    await f(folder);
  });
}

/**
 * Runs what tests the package in Node.
 *
 * @param {"in silence"} [how] without what a test runner prints
 * @returns {(consumer: Consumer) => void}
 */
function inNode(how) {
  return ({ name }) =>
    test(`the package works with ${name}`, () =>
      installed(name, async (folder) => {
        const printed = await run("npm", ["test", "--silent"], { cwd: folder });
        if (how) assert.deepEqual(printed, { stdout: "", stderr: "" });
      }));
}

/**
 * @param {((folder: string, visit: Visit) => Promise<void>)[]} ways
 * @returns {(consumer: Consumer) => void}
 */
function inPage(...ways) {
  return ({ name }) =>
    inBrowser(
      `the package works with ${name}`,
      async (visit) => {
        await installed(name, async (folder) => {
          for (const way of ways) {
            await visit.t.test(way.name, () => way(folder, visit));
          }
        });
      },
      300_000, // as it is downloaded
    );
}

/**
 * Compiles a Go program to WebAssembly, and looks at it.
 *
 * @param {(source: string, folder: string, visit: Visit) => Promise<void>} way
 * @returns {(consumer: Consumer) => void}
 */
function inGo(way) {
  return ({ name }) =>
    inBrowser(
      `the Go packages work with ${name}`,
      (visit) =>
        inFolder(name, async (folder) => {
          const source = join(here, name);
          await run("go", ["build", "-o", join(folder, "web", "app.wasm")], {
            cwd: source,
            env: { ...process.env, GOOS: "js", GOARCH: "wasm" },
          });
          await way(source, folder, visit);
        }),
      300_000, // as it is downloaded, and so is what it is made of
    );
}

/**
 * Looks at what a Go program renders with a session.
 *
 * @param {Consumer} consumer
 */
function inPages({ name }) {
  inBrowser(
    `the first rendering is equal on the server and in the page of ${name}`,
    (visit) =>
      inFolder("pages", async (folder) => {
        const source = join(here, "..", "..", name);
        await run("go", ["build", "-o", join(folder, "server")], {
          cwd: source,
        });
        await run("tar", ["-xzf", tarball], { cwd: folder });
        const server = `server -package ${join(folder, "package")}`;
        await withServer(folder, server, async (url) => {
          await lookAtRendering(await visit.newDevice(`${url}template`));
          await lookAtRendering(await visit.newDevice(`${url}templ`));
          await signIn(() => visit.newDevice(`${url}template`));
        });
      }),
    300_000, // as it is downloaded
  );
}

/**
 * A visitor's cart becomes the user's by the login, with what his page has not sent, and
 * nothing of it is shown after the logout.
 *
 * @param {() => Promise<Page>} newDevice
 */
async function signIn(newDevice) {
  /** @type {(page: Page, path: string) => Promise<unknown>} */
  const post = (page, path) =>
    page.evaluate(async (path) => {
      const { ok, status } = await fetch(path, { method: "POST" });
      if (!ok) throw new Error(`${path}: ${status}`);
    }, path);
  const shown = async (/** @type {Page} */ page) =>
    page.evaluate(async () => {
      const { session, sync } = /** @type {any} */ (globalThis);
      await sync.now();
      return session.load();
    });
  const save = (/** @type {Page} */ page, /** @type {unknown} */ entries) =>
    page.evaluate((entries) => {
      /** @type {any} */ (globalThis).session.save(entries);
    }, entries);

  const home = await newDevice();
  await post(home, "/login?user=ada");
  await save(home, { apples: 1, at: "home" });
  assert.deepEqual(await shown(home), { apples: 1, at: "home" });

  const page = await newDevice();
  await save(page, { apples: 2, pears: 1 });
  await shown(page);
  await save(page, { unsent: true });
  await post(page, "/login?user=ada");
  const both = { apples: 3, pears: 1, unsent: true, at: "home" };
  assert.deepEqual(await shown(page), both);
  assert.deepEqual(await shown(home), both);

  await post(page, "/logout");
  assert.deepEqual(await shown(page), {});
  await post(page, "/login?user=bob");
  assert.deepEqual(await shown(page), {});
  await post(page, "/login?user=ada");
  assert.deepEqual(await shown(page), both);
}

/** @param {Page} page */
async function lookAtRendering(page) {
  const rendered = async () => {
    const [server, page_] = await page.evaluate(async () => {
      const { rendered } = /** @type {any} */ (globalThis);
      return rendered;
    });
    assert.deepEqual(JSON.parse(page_), JSON.parse(server));
    return JSON.parse(server);
  };
  const call = (/** @type {string} */ what) =>
    page.evaluate(async (what) => {
      const body = new URLSearchParams({ what });
      const { status } = await fetch("/buy", { method: "POST", body });
      if (status !== 200) throw new Error(`it answers ${status}`);
    }, what);
  assert.deepEqual(await rendered(), {});
  await call("</script>"); // by a handler
  await page.reload();
  assert.deepEqual(await rendered(), { "</script>": 1 });
  // By the page, whose save the server has.
  await page.evaluate(async () => {
    const { session, sync } = /** @type {any} */ (globalThis);
    session.save({ page: 2 });
    await sync.now();
  });
  await call("handler");
  await page.reload();
  assert.deepEqual(await rendered(), {
    "</script>": 1,
    handler: 1,
    page: 2,
  });
  assert.deepEqual(page.takeMessages(), []);
}

/**
 * Looks at a program that has a page.
 *
 * @param {string} source
 * @param {string} folder
 * @param {Visit} visit
 */
async function goPage(source, folder, visit) {
  await cp(join(source, "index.html"), join(folder, "index.html"));
  await cp(await runtimeOfGo(), join(folder, "wasm_exec.js"));
  await serve(folder, visit);
}

/**
 * Looks at a program that is its own server, as far as it is not compiled to
 * WebAssembly.
 *
 * @param {string} source
 * @param {string} folder
 * @param {Visit} visit
 */
async function goServer(source, folder, visit) {
  await cp(join(source, "web"), join(folder, "web"), { recursive: true });
  await run("go", ["build", "-o", join(folder, "server")], { cwd: source });
  await withServer(folder, "server", (url) => look(url, visit));
}

/**
 * Looks at the app as it is.
 *
 * @param {string} folder
 * @param {Visit} visit
 */
async function serve(folder, visit, query = "") {
  visit.site.serve("/app/", folder, null);
  await look(visit.site.url(`/app/index.html${query}`), visit);
}

/**
 * Builds the app, and looks at what comes out.
 *
 * @param {string} folder
 * @param {Visit} visit
 */
async function build(folder, visit) {
  await run("npm", ["run", "build", "--silent"], { cwd: folder });
  await serve(join(folder, "out"), visit);
}

/**
 * Starts the server that is for developers, and looks at what it serves.
 *
 * @param {string} folder
 * @param {Visit} visit
 */
async function dev(folder, visit) {
  const vite = "node_modules/.bin/vite --host 127.0.0.1 --strictPort";
  await withServer(folder, vite, (url) => look(url, visit));
}

/**
 * Builds the app, starts the server that renders it, and looks at what a browser
 * makes of that.
 *
 * @param {string} folder
 * @param {Visit} visit
 */
async function start(folder, visit) {
  await run("npm", ["run", "build", "--silent"], { cwd: folder });
  const next = "node_modules/.bin/next start --hostname 127.0.0.1";
  const sessions = await startNative();
  visit.t.after(() => sessions.close());
  process.env.SESSIONS = sessions.origin; // for Next's own server
  await withServer(folder, next, async (url) => {
    const rendered = await (await fetch(url)).text();
    assert.match(rendered, /<output>{}<\/output>/);
    await look(url, visit);
    // Where the server has a session of the visitor, Next renders that. The cookie is the
    // host's, of whatever port.
    visit.site.forward("/sessions/", sessions.origin);
    const device = await visit.newDevice();
    await device.evaluate(async () => {
      const { inPage } = /** @type {any} */ (globalThis);
      const session = await inPage.open();
      session.save({ saved: "elsewhere" });
      await (await session.sync("/sessions/")).now();
    });
    await device.goto(url);
    await shows(device, '{"saved":"elsewhere"}');
    await save(device, { b: 2 });
    await shows(device, '{"saved":"elsewhere","b":2}');
    await device.reload();
    await shows(device, '{"saved":"elsewhere","b":2}');
    assert.deepEqual(device.takeMessages(), []);
  });
}

/**
 * Starts a server on a port of its own, and calls f with its URL.
 *
 * @param {string} folder
 * @param {string} command a program in the folder that takes a port, and arguments
 * @param {(url: string) => Promise<void>} f
 */
async function withServer(folder, command, f) {
  const port = String(await freePort());
  const url = `http://127.0.0.1:${port}`;
  const [program, ...args] = command.split(" ");
  const server = spawn(join(folder, program), [...args, "--port", port], {
    ...{ cwd: folder, stdio: ["ignore", "pipe", "inherit"] },
    // It would write the port in bold where CI is set.
    env: { ...process.env, NO_COLOR: "1" },
  });
  const ended = once(server, "exit");
  // Then there is no next line.
  const late = setTimeout(() => server.kill(), 60_000);
  try {
    for await (const line of createInterface(server.stdout)) {
      if (line.includes(url)) return await f(`${url}/`);
    }
    assert.fail("it does not start, or not within a minute");
  } finally {
    clearTimeout(late);
    server.kill();
    await ended; // Until then it may write into the folder.
  }
}

/**
 * Looks at a session that is in the service worker, where all tabs have it. It has no
 * storage, and outlives a page.
 *
 * @param {string} folder
 * @param {Visit} visit
 */
async function serviceWorker(folder, visit) {
  await serve(folder, visit, "?service");
}

/**
 * Looks at a session that is in a worker, which ends with its page.
 *
 * @param {string} folder
 * @param {Visit} visit
 */
async function moduleWorker(folder, { site, newPage }) {
  site.serve("/app/", folder, null);
  await lookAtSaving(await newPage(site.url("/app/index.html?module")));
}

/**
 * Likewise, of a worker that imports nothing: it is built.
 *
 * @param {string} folder
 * @param {Visit} visit
 */
async function classicWorker(folder, { site, newPage }) {
  await run("npm", ["run", "build", "--silent"], { cwd: folder });
  site.serve("/app/", folder, null);
  await lookAtSaving(await newPage(site.url("/app/index.html?classic")));
}

/**
 * Sees that a save survives a reload, that another tab hears of it, and that the
 * console is silent.
 *
 * @param {string} url
 * @param {Visit} visit
 */
async function look(url, { newPage }) {
  const page = await newPage(url);
  await lookAtSaving(page);
  await page.reload();
  await shows(page, '{"a":1}');
  const other = await newPage(url);
  await shows(other, '{"a":1}');
  await save(other, { b: 2 });
  await shows(page, '{"a":1,"b":2}');
  for (const tab of [page, other]) {
    assert.deepEqual(tab.takeMessages(), []);
    await tab.close();
  }
}

/**
 * Sees that a page saves, and that the console is silent.
 *
 * @param {Page} page
 */
async function lookAtSaving(page) {
  await shows(page, "{}");
  await save(page, { a: 1 });
  await shows(page, '{"a":1}');
  assert.deepEqual(page.takeMessages(), []);
}

/**
 * Waits until a page shows a text.
 *
 * @param {Page} page
 * @param {string} text
 */
async function shows(page, text) {
  await page.evaluate(async (text) => {
    const output = () => document.querySelector("output")?.textContent;
    for (const end = Date.now() + 20_000; output() !== text;) {
      if (Date.now() > end) throw new Error(`it shows ${output()}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }, text);
}

/**
 * Has a page save entries.
 *
 * @param {Page} page
 * @param {object} entries
 */
async function save(page, entries) {
  await page.evaluate(async (entries) => {
    // What a server has rendered is there before it.
    const session = () => /** @type {any} */ (globalThis).session;
    while (!session()) await new Promise((resolve) => setTimeout(resolve));
    session().save(entries);
  }, entries);
}
