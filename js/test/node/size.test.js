import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { brotliCompressSync, constants } from "node:zlib";
import { buildEmptyProgram, fromMakefile } from "../../harness/go.js";
import { dist } from "../../harness/server.js";

/** How many bytes a page may load of what TinyGo builds. */
const limit = 47_500;

/**
 * How many times as many as an empty Go program has, of what Go builds, with the module
 * in a file of its own.
 */
const ratioLimit = 1.225;

test("the entry is small", async (t) => {
  const sum = await size(join(dist, "index.js"));
  const names = ["streaming.js", "session.wasm"];
  const parts = await Promise.all(names.map((name) => size(join(dist, name))));
  t.diagnostic(`brotli: index.js ${sum}, ${names.join(" and ")} ${parts}`);
  if (fromMakefile("COMPILER") === "tinygo") {
    assert.ok(sum <= limit, `${sum} bytes, more than ${limit}`);
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  t.after(() => rm(folder, { recursive: true }));
  await buildEmptyProgram(join(folder, "empty.wasm"));
  const empty = await size(join(folder, "empty.wasm"));
  const apart = parts.reduce((a, b) => a + b);
  const ratio = apart / empty;
  t.diagnostic(`an empty Go program: ${empty}, ratio ${ratio.toFixed(4)}`);
  assert.ok(ratio <= ratioLimit, `${apart} bytes are ${ratio} times ${empty}`);
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
