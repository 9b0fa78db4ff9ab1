import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { dist } from "../../harness/server.js";

const index = pathToFileURL(join(dist, "index.js")).href;
const streaming = pathToFileURL(join(dist, "streaming.js")).href;

/**
 * Runs a program in a Node of its own, which has to end by itself, and returns
 * what it printed as JSON.
 *
 * @param {string} program
 */
async function run(program) {
  const child = spawn(
    process.execPath,
    [
      "--input-type=module",
      "--eval",
      `const print = (value) => console.log(JSON.stringify(value));
       const index = ${JSON.stringify(index)};
       const streaming = ${JSON.stringify(streaming)};
       ${program}`,
    ],
    { timeout: 20_000 },
  );
  const [stdout, stderr, [code, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  assert.equal(signal, null, `it did not end by itself: ${stdout}${stderr}`);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, "");
  return JSON.parse(stdout);
}

test("in Node, importing the package touches nothing", async () => {
  const printed = await run(`
    const globals = () => Object.getOwnPropertyNames(globalThis).join();
    globalThis.fetch = () => print("it fetches");
    const before = globals();
    const exported = [];
    for (const entry of [index, streaming]) {
      exported.push(Object.keys(await import(entry)).sort());
    }
    print({ exported, same: before === globals() });
  `);
  assert.deepEqual(printed, {
    exported: [
      ["SessionError", "open", "openSync"],
      ["SessionError", "open"],
    ],
    same: true,
  });
});

test("in Node, the browser's storages are disabled", async () => {
  const printed = await run(`
    const { open, SessionError } = await import(index);
    const refused = (options) =>
      open("x", options).catch((error) => [
        error instanceof SessionError,
        error.code,
        error.message.startsWith('session "x": open: '),
      ]);
    print([await refused(), await refused({ storage: "session" })]);
  `);
  assert.deepEqual(printed, [
    [true, "disabled", true],
    [true, "disabled", true],
  ]);
});

test("in Node, a session is kept in memory, and the process ends", async () => {
  const printed = await run(`
    const { open, openSync } = await import(index);
    const before = Object.getOwnPropertyNames(globalThis).join();
    const session = await open("x", { storage: "memory" });
    const other = openSync("x", { fallback: "memory" });
    const told = new Promise((resolve) => other.subscribe(resolve));
    session.subscribe(() => {});
    session.save({ a: 1, b: 2 });
    other.save(new Map([["b", "ü"]]));
    // A server's sessions are of several visitors.
    const third = openSync("x", { fallback: "memory" });
    print({
      loaded: [session.load(), third.load()],
      persistent: [session.persistent, other.persistent],
      change: await told,
      same: before === Object.getOwnPropertyNames(globalThis).join(),
    });
  `);
  assert.deepEqual(printed, {
    loaded: [{ a: 1, b: 2 }, {}],
    persistent: [false, false],
    change: { set: { b: "ü" }, removed: [], cleared: false, remote: false },
    same: true,
  });
});

test("in Node, the module can be given, and need not be there", async () => {
  const printed = await run(`
    import { readFile } from "node:fs/promises";
    const { open } = await import(streaming);
    const code = (wasm) =>
      open("x", { storage: "memory", wasm }).then(
        (session) => session.active,
        ({ code, message }) => [code, message.includes(String(wasm))],
      );
    const url = new URL("session.wasm", index);
    print([
      await code("file:///not/there.wasm"),
      await code(new URL("data:application/wasm;base64,AGFzbQ==")),
      await code(await readFile(url)),
    ]);
  `);
  assert.deepEqual(printed, [["load", true], ["load", true], true]);
});

test("in Node, another program's module is an error, not a crash", async () => {
  const printed = await run(`
    const { open } = await import(streaming);
    const { code } = await open("x", {
      storage: "memory",
      wasm: Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0),
    }).catch((error) => error);
    const session = await open("x", { storage: "memory" });
    session.save({ a: 1 });
    print([code, session.load()]);
  `);
  assert.deepEqual(printed, ["load", { a: 1 }]);
});

test("in Node, a module's source that throws is an error of ours", async () => {
  const printed = await run(`
    const { open, SessionError } = await import(streaming);
    const trap = () => {
      throw new Error("a trap");
    };
    const url = new URL("session.wasm", index);
    const response = () => new Response("");
    const throwing = (object, name) =>
      Object.defineProperty(object, name, { get: trap });
    const outcomes = [];
    for (const wasm of [
      new Proxy(response(), { get: trap }),
      throwing(response(), "ok"),
      throwing(response(), "headers"),
      Object.create(URL.prototype),
      new Proxy(url, { get: trap }),
      throwing(new URL(url), "protocol"),
      Object.assign(new URL("blob:x"), { toString: trap }),
    ]) {
      outcomes.push(
        await open("x", { storage: "memory", wasm }).then(
          () => "opened",
          (error) => error instanceof SessionError && error.code,
        ),
      );
    }
    const session = await open("x", { storage: "memory" });
    print([outcomes, session.active]);
  `);
  assert.deepEqual(printed, [Array(7).fill("load"), true]);
});
