import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

/**
 * Returns the number that a pattern finds in a file of the repository.
 *
 * @param {string} file
 * @param {RegExp} pattern with the number as its first group
 */
async function numberIn(file, pattern) {
  const text = await readFile(new URL(`../../../${file}`, import.meta.url));
  const digits = pattern.exec(String(text))?.[1];
  assert.ok(digits, `${file} has no ${pattern}`);
  return Number(digits.replaceAll("_", ""));
}

const page = "js/src/live.js";
const server = "web/live/live.go";

test("pages and servers mean the same by the codes of a socket's end", async () => {
  assert.equal(
    await numberIn(page, /endedCode = (\d+)/),
    await numberIn(server, /CodeEnded = (\d+)/),
  );
  assert.equal(
    await numberIn(page, /expiredCode = (\d+)/),
    await numberIn(server, /CodeExpired = (\d+)/),
  );
});

test("a page pings as often as servers expect, and renews a socket before they close it", async () => {
  assert.equal(
    await numberIn(page, /every: ([\d_]+)/),
    1000 * (await numberIn(server, /PingInterval = (\d+) \* time\.Second/)),
  );
  const lifetime = await numberIn(server, /Lifetime = (\d+) \* time\.Hour/);
  const renewal = await numberIn(page, /renewal = ([\d_]+)/);
  assert.ok(renewal < lifetime * 3_600_000, `${renewal} ms, ${lifetime} h`);
});
