import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { decode, encode } from "../../src/text.js";

test("bytes are the same after they were text, which no page or bundler changes", () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  for (const bytes of [all, randomBytes(10_000), new Uint8Array(200_000)]) {
    const text = encode(bytes);
    assert.match(text, /^[ !#-~]*$/);
    assert.doesNotMatch(text, /[<\\]/);
    assert.deepEqual(Uint8Array.from(decode(text)), Uint8Array.from(bytes));
  }
});
