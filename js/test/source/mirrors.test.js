import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { MemoryArea } from "../../src/areas.js";
import { restore } from "../../src/mirror.js";

const examples = JSON.parse(
  await readFile(
    new URL("../../../testdata/mirrors.json", import.meta.url),
    "utf8",
  ),
);

for (const { name, now, cleared = false, storage, mirror, then } of examples) {
  test(`a mirror is restored as the example says: ${name}`, () => {
    const area = new MemoryArea();
    for (const [key, text] of Object.entries(storage)) area.setItem(key, text);
    /** @type {Map<string, string>} */
    const read = new Map(Object.entries(mirror));
    /** @type {Map<string, string | undefined>} */
    const pending = new Map();
    /** @type {string[]} */
    const keys = [];
    restore("cart", area, read, now, cleared, pending, keys);
    const written = new Map([...read, ...pending]);
    for (const [key, text] of written) {
      if (text === undefined) written.delete(key);
    }
    assert.deepEqual(
      Object.fromEntries(
        [...area.keys()].map((key) => [key, area.getItem(key)]),
      ),
      then.storage,
    );
    assert.deepEqual(Object.fromEntries(written), then.mirror);
    const [forgotten] = then.storage["/cart/mirror"].split(" ");
    assert.deepEqual(
      keys.sort(),
      [...then.back, `cart/${forgotten}-0000-000000000000`].sort(),
    );
  });
}
