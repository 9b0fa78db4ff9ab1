// The package as npm gives it to its users.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { build } from "esbuild";
import { assertError } from "./assert-error.js";
import { inBrowser } from "./in-browser.js";
import { dist } from "../harness/server.js";

const run = promisify(execFile);

/** Where package.json is. */
const root = join(dist, "..");

/** A project of somebody else's, in which the package is installed. */
let project = "";

/**
 * The paths of what is in the package.
 *
 * @type {string[]}
 */
let packed;

before(async () => {
  project = await mkdtemp(join(tmpdir(), "session-writer-"));
  const { stdout } = await run(
    "npm",
    ["pack", "--json", "--pack-destination", project],
    { cwd: root },
  );
  const [{ filename, files }] = JSON.parse(stdout);
  packed = files.map((/** @type {{ path: string }} */ { path }) => path);
  await writeFile(
    join(project, "package.json"),
    JSON.stringify({ private: true, type: "module" }),
  );
  await run("npm", ["install", "--offline", "--ignore-scripts", filename], {
    cwd: project,
  });
});
after(() => rm(project, { recursive: true }));

test("the package is dist, its license and its README", async () => {
  const expected = (await readdir(dist)).map((name) => `dist/${name}`);
  expected.push("package.json", "LICENSE", "README.md");
  assert.deepEqual([...packed].sort(), expected.sort());
  for (const path of packed) {
    assert.doesNotMatch(path, /test|src/);
  }
});

test("the package carries its license", () => {
  const names = packed.filter((path) => /^licen[cs]e/i.test(path));
  assert.equal(names.length, 1, "the MIT license has to be in all copies");
});

test("Node requires the package by its name", async () => {
  await writeFile(
    join(project, "main.cjs"),
    `const { openSync, SessionError } = require("session-writer");
     const session = openSync("cart", { storage: "memory" });
     session.save({ a: 1 });
     console.log(JSON.stringify(session.load()));
     try {
       openSync("a/b");
     } catch (error) {
       console.log(error instanceof SessionError);
     }`,
  );
  const { stdout, stderr } = await run(process.execPath, ["main.cjs"], {
    cwd: project,
    timeout: 20_000,
  });
  assert.equal(stdout, '{"a":1}\ntrue\n');
  assert.equal(stderr, "");
});

test("the package installs alone, and Node imports it by its name", async () => {
  assert.deepEqual(
    (await readdir(join(project, "node_modules"))).filter(
      (name) => !name.startsWith("."),
    ),
    ["session-writer"],
  );
  await writeFile(
    join(project, "main.js"),
    `import { open } from "session-writer";
     const session = await open("cart", { storage: "memory" });
     session.save({ a: 1 });
     console.log(JSON.stringify(session.load()));
     import.meta.resolve("session-writer/streaming");
     import.meta.resolve("session-writer/session.wasm");
     import.meta.resolve("session-writer/package.json");`,
  );
  const { stdout, stderr } = await run(process.execPath, ["main.js"], {
    cwd: project,
    timeout: 20_000,
  });
  assert.equal(stdout, '{"a":1}\n');
  assert.equal(stderr, "");
});

/** A program that uses all there is, and some that there is not. */
const program = `
import {
  open,
  openSync,
  SessionError,
  type Change,
  type Device,
  type Entries,
  type Options,
  type Session,
  type SessionErrorCode,
  type Sync,
  type SyncState,
  type Stats,
} from "session-writer";
import {
  open as openStreaming,
  type Options as StreamingOptions,
  type WasmSource,
} from "session-writer/streaming";
import {
  queryPersister,
  reduxStorage,
  stateStorage,
  vueUse,
  webStorage,
  zustandStorage,
} from "session-writer/storage";
import module from "session-writer/session.wasm";

const wasm: WasmSource = new URL("https://a.example/session.wasm");
const streamed: StreamingOptions = { storage: "session", wasm };
await openStreaming("cart", streamed);
await openStreaming("cart", { wasm: new Uint8Array(8) });
await openStreaming("cart", { wasm: await fetch("/session.wasm") });
await openStreaming("cart", { wasm: await WebAssembly.compile(new ArrayBuffer(8)) });
const options: Options = { storage: "session", maxAge: 60, fallback: "memory" };
const atOnce: Session = openSync("cart", options);
atOnce.close();
const session: Session = await open("cart", options);
await open("cart");
await open("cart", {});

const name: string = session.name;
const flags: boolean[] = [session.active, session.persistent];

session.save({ user: { name }, none: null });
session.save(new Map<string, unknown>([["a", 1]]));
session.save(new Map([["a", 1]]));
session.save([["a", 1], ["b", "c"]]);
session.save([["a", 1]] as const);
session.save(new URLSearchParams("a=1"));
session.save(new FormData());
session.save(
  (function* (): Generator<[string, number]> {
    yield ["a", 1];
  })(),
);
const entries: Entries = new Set<[string, number]>();
session.save(entries);
type Cart = { items: string[] };
const cart: Cart = { items: [] };
session.save(cart);

const loaded: Record<string, unknown> = session.load();
const value: unknown = session.get("a");
const there: boolean = session.has("a");
const keys: string[] = session.keys();
const { save } = session;
save({ there, keys });
const shown: Readonly<Record<string, unknown>> = session.snapshot();
const untyped: Session = openSync("cart", { defaults: { a: 1 } });
untyped.save({ b: shown.a });
session.remove();
session.remove("a", "b");
session.clear();
const end: () => void = session.subscribe((change: Change) => {
  const { set, removed, cleared, remote } = change;
  const all: [Record<string, unknown>, readonly string[], boolean, boolean] = [
    set,
    removed,
    cleared,
    remote,
  ];
  console.log(all);
});
end();
const stats: Stats = session.stats();
const total: number = stats.entries + stats.items + stats.bytes + stats.corrupt;
const sync: Sync = await session.sync("/sessions/", { delay: 1, fetch });
const { status, unsent, error: failed }: SyncState = sync.state;
const known: "idle" | "syncing" | "offline" | "error" = status;
sync.subscribe((state: SyncState) => console.log(state, known, unsent, failed));
const { code, expiresIn }: { code: string; expiresIn: number } = await sync.pair();
await sync.join(code);
const agree = (devices: Device[]): boolean => devices.every(({ current }) => !current);
const joined: boolean = await sync.join(code, agree);
for (const device of await sync.devices()) {
  const { id, name, first, last, new: fresh, current }: Device = device;
  const shown: [string, number, number, boolean, boolean] = [name, first, last, fresh, current];
  await sync.rename(id, name);
  await sync.revoke(id);
  console.log(shown, joined, sync.state.newDevices === true);
}
const done: void = await sync.now();
sync.close();
console.log(done, expiresIn);
session.close();

try {
  session.save({});
} catch (error) {
  if (error instanceof SessionError) {
    const code: SessionErrorCode = error.code;
    const key: string | undefined = error.key;
    const reason: string | undefined = error.reason;
    const known: "config" | "load" | "disabled" | "quota" | "key" | "value" | "closed" | "sync" | "internal" = code;
    const text: string = error.name + error.message;
    console.log(key, reason, known, text, error.cause, error.stack);
    // @ts-expect-error the code is fixed
    error.code = "quota";
    // @ts-expect-error there is no such code
    if (error.code === "full") console.log();
  }
}
console.log(loaded, value, total, flags);

// What an interface describes can be saved, and types the session.
interface Prefs {
  theme: "light" | "dark";
  size?: number;
}
const prefs: Prefs = { theme: "dark" };
session.save(prefs);
const typed: Session<Prefs> = openSync<Prefs>("prefs", { storage: "memory" });
typed.save(prefs);
typed.save({ size: 5 });
typed.save([["theme", "light"]]);
typed.save(new Map<"theme", "light" | "dark">([["theme", "dark"]]));
const theme: "light" | "dark" | undefined = typed.get("theme");
const some: Partial<Prefs> = typed.load();
typed.remove("theme", "size");
const typedKeys: ("theme" | "size")[] = typed.keys();
typed.subscribe(({ set, removed }: Change<Prefs>) => {
  const size: number | undefined = set.size;
  const gone: readonly ("theme" | "size")[] = removed;
  console.log(size, gone);
});
const promised: Session<Prefs> = await open<Prefs>("prefs");
const streamedPrefs: Session<Prefs> = await openStreaming<Prefs>("prefs");
console.log(theme, some, typedKeys, promised, streamedPrefs);
const snapshot: Readonly<Partial<Prefs>> = typed.snapshot();
const withDefaults = openSync<Prefs>("prefs", { defaults: { theme: "dark" } });
const defaults: Readonly<Partial<Prefs>> = withDefaults.defaults;
console.log(snapshot.size, defaults);
// @ts-expect-error it is frozen
typed.snapshot().size = 5;
// @ts-expect-error a default has the type of the entry
openSync<Prefs>("prefs", { defaults: { theme: "red" } });
// @ts-expect-error there is no such entry
await open<Prefs>("prefs", { defaults: { colour: "red" } });

const web: string | null = webStorage(typed).getItem("theme");
const items: Pick<Storage, "length" | "clear" | "key"> = webStorage(session);
const state = stateStorage(typed);
state.subscribe("prefs", (text: string | null) => console.log(text));
console.log(web, items, vueUse(state).getItem("prefs"));
const { storage, subscribe } = reduxStorage(typed);
const read: Promise<unknown> = storage.getItem("root");
subscribe((members: object) => console.log(members, read));
zustandStorage(typed).setItem("prefs", { state: {}, version: 1 });
queryPersister(session).removeClient();
const url: WasmSource = module;
console.log(url);
// @ts-expect-error it is a session that is stored in
stateStorage(localStorage);

{
  using ended = openSync("using");
  console.log(ended.name);
}
// A test can have a session of its own.
const fake: Session<Prefs> = { ...typed, get: () => undefined };
console.log(fake.name);
openSync("own", { storage: { ...localStorage, length: 0, key: () => null } });
// @ts-expect-error there is no such key
typed.save({ colour: "red" });
// @ts-expect-error the value is of another type
typed.save({ size: "5" });
// @ts-expect-error nor as a pair
typed.save([["size", "5"]]);
// @ts-expect-error there is no such key
typed.get("colour");
// @ts-expect-error nor to be removed
typed.remove("colour");
// @ts-expect-error nor to be asked for
typed.has("colour");
// @ts-expect-error the entries are of an interface or an object
openSync<string>("prefs");

// @ts-expect-error a name is a string
await open(5);
// @ts-expect-error there is a name
await open();
// @ts-expect-error there is no such storage
await open("cart", { storage: "cookie" });
// @ts-expect-error there is no such option
await open("cart", { ttl: 60 });
// @ts-expect-error seconds are a number
await open("cart", { maxAge: "60" });
// @ts-expect-error the fallback is memory
await open("cart", { fallback: "session" });
// @ts-expect-error open returns a promise
open("cart").save({});
// @ts-expect-error the module is in the entry
await open("cart", { wasm });
// @ts-expect-error entries are given
session.save();
// @ts-expect-error a string is no entries
session.save("a");
// @ts-expect-error a number is no entries
session.save(5);
// @ts-expect-error null is no entries
session.save(null);
// @ts-expect-error keys are strings
session.save(new Map([[1, 1]]));
// @ts-expect-error an iterable yields pairs
session.save(["a", "b"]);
// @ts-expect-error the value is not known
const text: string = session.get("a");
// @ts-expect-error keys are strings
session.remove(5);
// @ts-expect-error keys are given one by one
session.remove(["a"]);
// @ts-expect-error a listener is a function
session.subscribe("listener");
// @ts-expect-error the name is fixed
session.name = "other";
// @ts-expect-error so is whether it is active
session.active = false;
// @ts-expect-error a server is given
await session.sync();
// @ts-expect-error there is no such option
await session.sync("/", { often: true });
// @ts-expect-error sessions come from open
new session.constructor();
console.log(text);
`;

test("the types are those of the API", async () => {
  await writeFile(join(project, "main.ts"), program);
  await writeFile(
    join(project, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        noEmit: true,
        target: "es2022",
        lib: ["es2022", "dom", "dom.iterable", "esnext.disposable"],
        types: [],
        module: "nodenext",
      },
      files: ["main.ts"],
    }),
  );
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const { stdout } = await run(process.execPath, [tsc], {
    cwd: project,
  }).catch((error) => error);
  assert.equal(stdout, "");
});

/**
 * How a page can be bundled: what it says, with which options of esbuild, and
 * whether the wasm is copied to where the bundle is.
 *
 * @type {Record<string, { source: string, options?: import("esbuild").BuildOptions, copied?: boolean }>}
 */
const bundles = {
  "as a module": {
    source: `export { open } from "session-writer";`,
  },
  "as a module, minified and split": {
    source: `export { open } from "session-writer";`,
    options: { minify: true, splitting: true },
  },
  "as a classic script": {
    source: `import { open } from "session-writer";
             globalThis.bundled = { open };`,
    options: { format: "iife" },
  },
  "as a module, with session.wasm beside it": {
    source: `export { open } from "session-writer/streaming";`,
    copied: true,
  },
  "with session.wasm as a file of its own": {
    source: `import { open as openSession } from "session-writer/streaming";
             import wasm from "session-writer/session.wasm";
             export const open = (name) => openSession(name, { wasm });`,
    options: { loader: { ".wasm": "file" }, publicPath: "/bundle" },
  },
  "with session.wasm in it": {
    source: `import { open as openSession } from "session-writer/streaming";
             import wasm from "session-writer/session.wasm";
             export const open = (name) => openSession(name, { wasm });`,
    options: { loader: { ".wasm": "binary" } },
  },
  "as a classic script that says where session.wasm is": {
    source: `import { open } from "session-writer/streaming";
             globalThis.bundled = {
               open: (name) => open(name, { wasm: "/bundle/session.wasm" }),
             };`,
    options: { format: "iife", logLevel: "error" },
    copied: true,
  },
};

inBrowser("a bundle of the package works", async ({ page, site, t }) => {
  for (const [how, { source, options, copied }] of Object.entries(bundles)) {
    await t.test(how, async () => {
      const folder = await bundle(source, options);
      if (copied) {
        await cp(join(dist, "session.wasm"), join(folder, "session.wasm"));
      }
      site.serve("/bundle/", folder);
      await page.reload();
      const { loaded, same } = await page.evaluate(async () => {
        const globals = () =>
          Object.getOwnPropertyNames(globalThis).sort().join();
        const before = globals();
        const module = await import(/** @type {string} */ ("/bundle/main.js"));
        const { open } = module.open
          ? module
          : /** @type {any} */ (globalThis).bundled;
        const session = await open("cart");
        session.save({ a: 1 });
        delete (/** @type {any} */ (globalThis).bundled);
        return { loaded: session.load(), same: before === globals() };
      });
      assert.deepEqual(loaded, { a: 1 });
      assert.ok(same, "it has left globals behind");
    });
  }
});

inBrowser(
  "a bundle of streaming as a classic script has to say where session.wasm is",
  async ({ page, site }) => {
    const folder = await bundle(
      `import { open, SessionError } from "session-writer/streaming";
       globalThis.bundled = open("cart").catch((error) => ({
         name: error.name,
         message: error.message,
         code: error.code,
         isError: error instanceof Error,
         isSessionError: error instanceof SessionError,
       }));`,
      { format: "iife", logLevel: "error" },
    );
    site.serve("/bundle/", folder);
    const error = await page.evaluate(async () => {
      await import(/** @type {string} */ ("/bundle/main.js"));
      return /** @type {any} */ (globalThis).bundled;
    });
    assertError(error, { code: "load", says: "wasm" });
  },
);

/**
 * Bundles a program of the project's as main.js, and returns its folder.
 *
 * @param {string} source
 * @param {import("esbuild").BuildOptions} [options]
 */
async function bundle(source, options) {
  const folder = await mkdtemp(join(project, "bundle-"));
  await writeFile(join(project, "main.js"), source);
  await build({
    absWorkingDir: project,
    entryPoints: ["main.js"],
    outdir: folder,
    bundle: true,
    format: "esm",
    logLevel: "warning",
    ...options,
  });
  return folder;
}
