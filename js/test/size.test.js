import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { brotliCompressSync, constants } from "node:zlib";
import { dist } from "./server.js";

/** @typedef {import("node:test").TestContext} TestContext */

/** How many bytes a page may load of what TinyGo builds. */
const limit = 40_000;

/** How much larger than an empty program may be what Go builds. */
const ratioLimit = 1.25;

/** @type {Record<string, [name: string, body: (t: TestContext) => Promise<void>]>} */
const byCompiler = {
  tinygo: [
    `the module, its runtime and the shim are at most ${limit} bytes`,
    inAll,
  ],
  go: [
    `the module is at most ${ratioLimit} times as large as an empty Go program`,
    besideEmpty,
  ],
};
test(...byCompiler[fromMakefile("COMPILER")]);

/** @param {TestContext} t */
async function inAll(t) {
  const sizes = await Promise.all(
    ["session.wasm", "wasm_exec.js", "index.js"].map((name) =>
      size(join(dist, name)),
    ),
  );
  const sum = sizes.reduce((a, b) => a + b);
  t.diagnostic(`brotli: ${sizes.join(" + ")} = ${sum}`);
  assert.ok(sum <= limit, `${sum} bytes`);
}

/** @param {TestContext} t */
async function besideEmpty(t) {
  const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "go.mod"), "module empty\n\ngo 1.26\n");
  await writeFile(
    join(folder, "main.go"),
    "package main\n\nfunc main() { select {} }\n",
  );
  execFileSync("go", ["build", ...flags(), "-o", "empty.wasm", "."], {
    cwd: folder,
    env: { ...process.env, GOOS: "js", GOARCH: "wasm" },
    stdio: "inherit",
  });

  const empty = await size(join(folder, "empty.wasm"));
  const module = await size(join(dist, "session.wasm"));
  const ratio = module / empty;
  t.diagnostic(
    `brotli: module ${module}, empty program ${empty}, ratio ${ratio.toFixed(3)}`,
  );
  assert.ok(ratio <= ratioLimit, `${module} is ${ratio} times ${empty}`);
}

/**
 * Returns a variable of the Makefile.
 *
 * @param {string} name
 */
function fromMakefile(name) {
  const value = process.env[name];
  if (!value) {
    throw new Error(
      `${name} is not set: run this with make test-js, which says how the module was built`,
    );
  }
  return value;
}

/** Returns the flags that Go builds the module with. */
function flags() {
  // As a shell splits it: a space after a backslash does not count.
  return (fromMakefile("GO_WASM_FLAGS").match(/(?:\\.|[^\\\s])+/g) ?? []).map(
    (flag) => flag.replaceAll(/\\(.)/g, "$1"),
  );
}

/**
 * Returns the size of a file as a server sends it that compresses well.
 *
 * @param {string} file
 */
async function size(file) {
  const bytes = await readFile(file);
  return brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_LGWIN]: 24,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    },
  }).length;
}
