import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { readItem, readKey, ledgerText, readLedger } from "../../src/item.js";

/** @param {string} name */
const read = async (name) =>
  JSON.parse(
    await readFile(
      new URL(`../../../testdata/${name}`, import.meta.url),
      "utf8",
    ),
  );
const examples = await read("items.json");

for (const { name, text, since, batches, fault } of examples) {
  test(`an item means what the example says: ${name}`, () => {
    const expected = fault
      ? { fault }
      : {
          since,
          batches: batches.map((/** @type {any} */ batch) => ({
            stamp: batch.stamp,
            clear: batch.clear ?? false,
            set: Object.fromEntries(
              (batch.set ?? []).map(
                (/** @type {[string, string]} */ [key, value]) => [
                  key,
                  JSON.parse(value),
                ],
              ),
            ),
            remove: batch.remove ?? [],
          })),
        };
    assert.deepEqual(readItem(text), expected);
  });
}

for (const { name, text, ledger } of await read("ledgers.json")) {
  test(`a ledger means what the example says: ${name}`, () => {
    const expected = ledger && { ...ledger, stamps: new Set(ledger.stamps) };
    assert.deepEqual(readLedger(text), expected);
    if (expected) assert.equal(ledgerText(expected), text);
  });
}

test("the key of an item says whose it is", () => {
  const stamp = "1795373052123-0000-3f9a2c7e1b40";
  const parts = {
    milliseconds: 1795373052123,
    counter: "0000",
    writer: "3f9a2c7e1b40",
  };
  assert.deepEqual(readKey(`cart/${stamp}`), {
    name: "cart",
    owner: undefined,
    ...parts,
  });
  assert.deepEqual(readKey(`cart/0123456789abcdef/${stamp}`), {
    name: "cart",
    owner: "0123456789abcdef",
    ...parts,
  });
  for (const other of [
    "cart",
    "cart/",
    `/${stamp}`,
    `cart/${stamp}x`,
    `cart/0123456789abcde/${stamp}`,
    "cart/0123456789abcdef/3f9a2c7e1b40",
  ]) {
    assert.equal(readKey(other), undefined, other);
  }
});
