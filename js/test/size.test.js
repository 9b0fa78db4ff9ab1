import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { brotliCompressSync, constants } from "node:zlib";
import { buildEmptyProgram } from "./go.js";
import { dist } from "./server.js";

/** How much larger than an empty program the module may be. */
const limit = 1.25;

test(`the module is at most ${limit} times as large as an empty Go program`, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  t.after(() => rm(folder, { recursive: true }));
  await buildEmptyProgram(join(folder, "empty.wasm"));

  const empty = await size(join(folder, "empty.wasm"));
  const module = await size(join(dist, "session.wasm"));
  const ratio = module / empty;
  t.diagnostic(
    `brotli: module ${module}, empty program ${empty}, ratio ${ratio.toFixed(3)}`,
  );
  assert.ok(ratio <= limit, `${module} is ${ratio} times ${empty}`);
});

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
