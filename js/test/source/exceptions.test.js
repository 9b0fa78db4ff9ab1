import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { codeOf, disabled, quota, thrown } from "../../src/codes.js";

const examples = JSON.parse(
  await readFile(
    new URL("../../../testdata/exceptions.json", import.meta.url),
    "utf8",
  ),
);
/** @type {Record<string, number>} */
const codes = { quota, disabled, "": thrown };

for (const { name, domException, means } of examples) {
  const kind = domException ? "a DOMException" : "an error";
  test(`${kind} called ${name || "nothing"} means what the example says`, () => {
    const error = domException
      ? new DOMException("", name)
      : Object.assign(new Error(), { name });
    assert.equal(codeOf(error), codes[means]);
  });
}
