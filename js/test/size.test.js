import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { brotliCompressSync, constants } from "node:zlib";
import { dist } from "./server.js";

/** How much larger than an empty program the module may be. */
const limit = 1.25;

test(`the module is at most ${limit} times as large as an empty Go program`, async (t) => {
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
  assert.ok(ratio <= limit, `${module} is ${ratio} times ${empty}`);
});

/** Returns the flags that the module is built with, from the Makefile. */
function flags() {
  const { GO_WASM_FLAGS } = process.env;
  if (!GO_WASM_FLAGS) {
    throw new Error(
      "GO_WASM_FLAGS is not set: run this with make test-js, which says how the module was built",
    );
  }
  // As a shell splits it: a space after a backslash does not count.
  return (GO_WASM_FLAGS.match(/(?:\\.|[^\\\s])+/g) ?? []).map((flag) =>
    flag.replaceAll(/\\(.)/g, "$1"),
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
