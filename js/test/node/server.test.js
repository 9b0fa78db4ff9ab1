// What a server renders, that opens sessions for its visitors.
import assert from "node:assert/strict";
import { test } from "node:test";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { dist } from "../../harness/server.js";

/** @type {typeof import("session-writer")} */
const { openSync } = await import(pathToFileURL(join(dist, "index.js")).href);

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");

/** @param {number} i */
const initialOf = (i) => ({
  owner: "0123456789abcdef",
  cursor: `c0ffee-${i}`,
  item: `{"format":1,"batches":[{"stamp":"1700000000000-0000-0123456789ab","set":{"visitor":${i},"text":"${"x".repeat(10_000)}"}}]}`,
});

test("each visitor's rendering has his own entries", () => {
  const options = { fallback: /** @type {const} */ ("memory") };
  const [ada, bob] = [1, 2].map((i) =>
    openSync("cart", { ...options, initial: initialOf(i) }),
  );
  assert.equal(ada.get("visitor"), 1);
  assert.equal(bob.get("visitor"), 2);
  assert.equal(ada.initial.visitor, 1);
  assert.equal(openSync("cart", options).has("visitor"), false);
});

test("a session in memory that nobody has any more takes no room", async () => {
  const visit = (/** @type {number} */ i) => {
    const session = openSync("cart", {
      fallback: "memory",
      initial: initialOf(i),
    });
    session.subscribe(() => {});
    assert.equal(session.load().visitor, i);
    return new WeakRef(session);
  };
  const sessions = Array.from({ length: 200 }, (_, i) => visit(i));
  const kept = () => sessions.filter((ref) => ref.deref()).length;
  for (let tries = 0; kept() > 0 && tries < 100; tries++) {
    await new Promise((resolve) => setTimeout(resolve));
    collect();
  }
  assert.equal(kept(), 0);
});
