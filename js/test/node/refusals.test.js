// What a server answers that has no room, or is none, with a fetch of ours.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { dist } from "../../harness/server.js";

/** @type {typeof import("../../src/index.js")} */
const { open } = await import(pathToFileURL(`${dist}/index.js`).href);

const owner = "000000000000ada0";

/**
 * Opens a session of its own in memory that is synced by such a fetch.
 *
 * @param {string} name
 * @param {(path: string, body: string) => Response} answer
 * @param {import("../../src/index.js").Options} [options]
 */
async function synced(name, answer, options) {
  const session = await open(name, { storage: "memory", ...options });
  session.save({ a: 1, big: "x".repeat(100) });
  /** @type {string[]} */
  const sent = [];
  const sync = await session.sync("http://server.example/", {
    interval: Infinity,
    delay: 1000,
    fetch: async (url, init) => {
      const { pathname, search } = new URL(String(url));
      sent.push(String(init?.body ?? ""));
      if (sent.length > 100) throw new Error("it sends without end");
      return answer(pathname + search, String(init?.body ?? ""));
    },
  });
  return { session, sync, sent };
}

/** Knows who asks, and refuses to take anything. */
const noRoom = (/** @type {string} */ path, /** @type {string} */ body) =>
  path.includes("owner=") && body
    ? Response.json(
        { code: "quota", error: "there may be 100 sessions" },
        { status: 413, headers: { "Session-Owner": owner } },
      )
    : new Response(null, {
        status: 204,
        headers: {
          "Session-Owner": owner,
          "Session-Cursor": path.includes("owner=") ? "x" : "",
        },
      });

for (const maxAge of [undefined, 3600]) {
  test(`a server without any room is asked so often, and no more, with maxAge ${maxAge}`, async () => {
    const { session, sync } = await synced(`no room ${maxAge}`, noRoom, {
      maxAge,
    });
    await assert.rejects(sync.now(), {
      code: "sync",
      reason: "quota",
      key: "big",
    });
    assert.deepEqual(Object.keys(session.load()), ["a", "big"]);
    session.close();
  });
}

for (const [name, response, reason] of /** @type {const} */ ([
  [
    "has no such path",
    () => new Response("<h1>Not found</h1>", { status: 404 }),
    "no-server",
  ],
  ["allows no POST", () => new Response(null, { status: 405 }), "no-server"],
  ["answers with a page", () => new Response("<!doctype html>"), "no-server"],
  ["is away", () => new Response("Bad gateway", { status: 502 }), undefined],
  [
    "is ours, and has no such path",
    () => Response.json({ code: "not-found", error: "no" }, { status: 404 }),
    "not-found",
  ],
])) {
  test(`the reason of a server that ${name} is ${reason}`, async () => {
    const { session, sync } = await synced(name, response);
    await assert.rejects(sync.now(), { code: "sync", reason });
    await assert.rejects(sync.pair(), { code: "sync", reason });
    await assert.rejects(sync.join("code"), { code: "sync", reason });
    session.close();
  });
}

test("a sync that was closed joins nobody", async () => {
  const { session, sync, sent } = await synced(
    "closed",
    () =>
      new Response(null, {
        status: 204,
        headers: { "Session-Owner": owner, "Session-Cursor": "1" },
      }),
  );
  sync.close();
  await assert.rejects(sync.join("code"), { code: "closed" });
  assert.deepEqual(sent, []);
  session.close();
});
