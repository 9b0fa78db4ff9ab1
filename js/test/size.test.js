import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { brotliCompressSync, constants } from "node:zlib";
import { buildEmptyProgram, fromMakefile } from "./go.js";
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
  await buildEmptyProgram(join(folder, "empty.wasm"));

  const empty = await size(join(folder, "empty.wasm"));
  const module = await size(join(dist, "session.wasm"));
  const ratio = module / empty;
  t.diagnostic(
    `brotli: module ${module}, empty program ${empty}, ratio ${ratio.toFixed(3)}`,
  );
  assert.ok(ratio <= ratioLimit, `${module} is ${ratio} times ${empty}`);
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
