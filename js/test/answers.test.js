// What a page makes of whatever a server answers.
import assert from "node:assert/strict";
import { load, now, pair, save, state, sync, withServer } from "./synced.js";

/** @typedef {import("../harness/browser.js").Page} Page */

/**
 * An answer, in which OWNER is the tag of the owner whose session it is about.
 *
 * @typedef {object} Given
 * @property {number} [status]
 * @property {Record<string, string>} [headers] beside good ones
 * @property {string} [without] the header that is missing
 * @property {string} [body]
 * @property {"cut" | "endless" | "late"} [stream] a body that breaks off, one
 *   that does not end, and one of many small chunks
 * @property {"nothing" | "throws" | "rejects" | "number" | "empty" | "error" | "bare"} [returns]
 *   something else than a response; bare is like a response with a body and
 *   that status
 */

/** The greatest stamp that there can be. */
const last = "8999999999999-ffff-ffffffffffff";

/** @param {object} batch */
const item = (batch) => JSON.stringify({ format: 1, batches: [batch] });

const proper = item({
  stamp: "1795373052123-0000-3f9a2c7e1b40",
  set: { a: 1 },
});

/**
 * A refusal of stamps that are too late.
 *
 * @param {Record<string, string>} headers
 */
const late = (headers) => ({ status: 422, headers, body: '{"code":"stamp"}' });

/**
 * None of them says anything. testdata/answers.json has more.
 *
 * @type {Record<string, Given>}
 */
const hostile = {
  "no cursor": { status: 204, without: "Session-Cursor" },
  "no owner": { status: 204, without: "Session-Owner" },
  "neither, as from a server of files": {
    ...{ headers: { "Session-Owner": "" }, without: "Session-Cursor" },
    body: "<!doctype html><title>App</title>",
  },
  "HTML with all headers": { body: "<!doctype html><title>App</title>" },
  "a tag in capitals": { headers: { "Session-Owner": "ABCDEF0123456789" } },
  "a short tag": { headers: { "Session-Owner": "abcdef" } },
  "a long tag": { headers: { "Session-Owner": "0123456789abcdef0" } },
  "a tag with a slash": { headers: { "Session-Owner": "0123456789abcde/" } },
  "two tags": { headers: { "Session-Owner": "OWNER, OWNER" } },
  "another's tag": { headers: { "Session-Owner": "0123456789abcdef" } },
  "a cursor with a space": {
    headers: { "Session-Cursor": "a b" },
    body: proper,
  },
  "a cursor that stands for none": {
    headers: { "Session-Cursor": "-" },
    body: proper,
  },
  "an item and an empty cursor": {
    headers: { "Session-Cursor": "" },
    body: proper,
  },
  "all that there is, without a cursor": {
    headers: { "Session-Complete": "true", "Session-Cursor": "" },
  },
  "an item that is cut off": { body: proper.slice(0, -2) },
  "an item and more": { body: `${proper}{` },
  "two items": { body: proper + proper },
  "an array of items": { body: `[${proper}]` },
  "an empty array": { body: "[]" },
  "an empty object": { body: "{}" },
  "a string": { body: '"cart"' },
  null: { body: "null" },
  "a number": { body: "1" },
  "white space": { body: " " },
  "an item of another format": { body: '{"format":2,"batches":[]}' },
  "an item of format 1.0": { body: proper.replace("1,", "1.0,") },
  "an item without batches": { body: '{"format":1,"batches":[]}' },
  "a batch without a stamp": { body: item({ set: { a: 1 } }) },
  "a stamp after the year 2255": {
    body: item({ stamp: "9000000000000-0000-3f9a2c7e1b40", set: { a: 1 } }),
  },
  "a stamp of other digits": {
    body: item({ stamp: "1795373052123-0000-3F9A2C7E1B40", set: { a: 1 } }),
  },
  "an empty key": {
    body: item({ stamp: "1795373052123-0000-3f9a2c7e1b40", set: { "": 1 } }),
  },
  "a member that nobody knows": {
    body: item({ stamp: "1795373052123-0000-3f9a2c7e1b40", sets: {} }),
  },
  "nothing but nulls": { body: "\0".repeat(100) },
  "a body that breaks off": { body: proper, stream: "cut" },
  "a body without end": { body: "x".repeat(1_000_000), stream: "endless" },
  "no content, with some": {
    ...{ returns: "bare", status: 204 },
    body: "<html>",
  },
  "a redirection": { status: 302, headers: { Location: "/login" } },
  "a redirection that is not followed": { returns: "error" },
  400: { status: 400, body: '{"error":"no"}' },
  401: { status: 401, body: '{"error":{"message":"sign in"}}' },
  "404 of a server of files": { status: 404, body: "<h1>Not found</h1>" },
  "412 without end": { status: 412, body: '{"code":"cursor"}' },
  "412 without an owner, without end": {
    ...{ status: 412, without: "Session-Owner", body: '{"code":"owner"}' },
  },
  "412 of something else": { status: 412 },
  "413 for everything": { status: 413, body: '{"code":"quota"}' },
  "422 with the year 1970": late({ "Session-Latest": "0" }),
  "422 with a time far ahead, without end": late({
    "Session-Latest": "8999999999999",
  }),
  "422 with a newest stamp that is too late": late({
    "Session-Latest": "1795373052123",
    "Session-Newest": last,
  }),
  "422 of something else": {
    ...{ status: 422, headers: { "Session-Latest": "1795373052123" } },
  },
  429: { status: 429, body: '{"error":"slow down"}' },
  "500 with an item": { status: 500, body: proper },
  "503 without anything": { status: 503, without: "Session-Cursor" },
  "no response": { returns: "nothing" },
  "a number for a response": { returns: "number" },
  "an object that is no response": { returns: "empty" },
  "a fetch that throws": { returns: "throws" },
  "a fetch that rejects with nothing": { returns: "rejects" },
};

/**
 * Opens a session in a page, and syncs it by what is in kept.given if that is
 * there, or else by the page's fetch.
 *
 * @param {Page} page
 */
async function syncBy(page) {
  await sync(page);
  await page.evaluate(async () => {
    const { kept } = inPage;
    const owner = () => localStorage.getItem("/cart")?.split(" ")[0] ?? "";

    /** @type {(given: any) => ReadableStream} */
    const streamed = ({ body, stream }) => {
      const chunk = new TextEncoder().encode(body);
      let at = 0;
      return new ReadableStream({
        pull: (controller) => {
          if (stream === "endless") controller.enqueue(chunk);
          else if (at === chunk.length) controller.close();
          else if (stream === "cut" && at > chunk.length / 2) {
            controller.error(new TypeError("network error"));
          } else controller.enqueue(chunk.slice(at, ++at));
        },
      });
    };

    /** @type {(given: any) => any} */
    const respond = (given) => {
      const { returns, status = 200, without, body, stream } = given;
      if (returns === "nothing") return undefined;
      if (returns === "number") return 204;
      if (returns === "empty") return {};
      if (returns === "throws") throw new Error("forbidden");
      if (returns === "rejects") return Promise.reject();
      if (returns === "error") return Response.error();
      const headers = new Headers({
        ...{ "Session-Owner": "OWNER", "Session-Cursor": "c-1" },
        ...given.headers,
      });
      if (without) headers.delete(without);
      for (const [name, value] of headers) {
        headers.set(name, value.replaceAll("OWNER", owner()));
      }
      if (returns === "bare") {
        return { ok: true, status, headers, text: async () => body };
      }
      return new Response(stream ? streamed(given) : (body ?? null), {
        ...{ status, headers },
      });
    };

    kept.count = 0;
    kept.sync = await kept.session.sync("/sessions/", {
      ...inPage.onRequest,
      fetch: async (/** @type {any} */ url, /** @type {any} */ init) => {
        if (!kept.given) return fetch(url, init);
        if (++kept.count > 1000) throw new Error("there are too many requests");
        return respond(kept.given);
      },
    });
    await kept.sync.now();
  });
}

/**
 * Exchanges with a server that gives an answer to everything, and returns what
 * that came to.
 *
 * @param {Page} page
 * @param {Given} given
 */
const exchangeWith = (page, given) =>
  page.evaluate(async (given) => {
    const { kept } = inPage;
    Object.assign(kept, { given, count: 0 });
    const { error } = await inPage.attempt(() => kept.sync.now());
    kept.given = undefined;
    return {
      error,
      requests: kept.count,
      stateSays: kept.sync.state.error?.message,
      status: kept.sync.state.status,
      loaded: kept.session.load(),
      corrupt: kept.session.stats().corrupt,
    };
  }, given);

withServer(
  "what is no answer changes nothing, and a good server then gets and gives all",
  async ({ page, newDevice, t }) => {
    const other = await newDevice();
    await sync(other);
    await syncBy(page);
    await save(page, { seen: 0, kept: 1 });
    await pair(other, page);
    t.diagnostic(`${Object.keys(hostile).length} answers`);
    let n = 0;
    for (const [name, given] of Object.entries(hostile)) {
      await save(other, { other: ++n });
      await now(other);
      await save(page, { seen: n, [`page ${n % 5}`]: n });
      const before = await load(page);
      const got = await exchangeWith(page, given);
      const { error, requests, loaded, corrupt } = got;
      console.log(name, "|", error?.message, "|", got.status, requests);
      assert.deepEqual(loaded, before, name);
      assert.equal(corrupt, 0, name);
      assert.ok(error, `${name}: there is no error`);
      assert.deepEqual(
        [error.code, error.isSessionError],
        ["sync", true],
        name,
      );
      assert.match(error.message, /^session "cart": sync: \S.{9}/, name);
      assert.ok(requests < 20, `${name}: ${requests} requests`);
      if (got.status === "error") assert.equal(got.stateSays, error.message);
      else assert.equal(got.status, "offline", name);

      await now(page);
      // What was compacted as the page was idle is to be sent once more.
      if ((await state(page)).unsent > 0) await now(page);
      assert.deepEqual(await load(page), { ...before, other: n }, name);
      const { status, unsent } = await state(page);
      assert.deepEqual([status, unsent], ["idle", 0], name);
      await now(other);
      assert.deepEqual(await load(other), { ...before, other: n }, name);
    }
  },
);

withServer(
  "an answer says what it says, however old or late it claims to be",
  async ({ page, newDevice }) => {
    const other = await newDevice();
    await sync(other);
    await syncBy(page);
    await save(page, { kept: 1 });
    await pair(other, page);
    const stamp = "1795373052123-0000-3f9a2c7e1b40";
    let want = await load(page);
    let n = 0;
    for (const given of /** @type {Given[]} */ ([
      {},
      { headers: { "Session-Age": "0" } },
      { headers: { "Session-Age": "9".repeat(15) } },
      { headers: { "Session-Cursor": "x".repeat(4000) } },
      { stream: "late" },
    ])) {
      const key = `said ${++n}`;
      const body = item({ stamp, set: { [key]: n } });
      const { error, loaded, corrupt } = await exchangeWith(page, {
        ...given,
        body,
      });
      want = { ...want, [key]: n };
      assert.deepEqual([error, loaded, corrupt], [undefined, want, 0]);
      await now(page);
      assert.equal((await state(page)).unsent, 0);
      await now(other);
      assert.deepEqual(await load(other), want);
    }
  },
);

for (const [name, batch, said] of /** @type {[string, object, object][]} */ ([
  ["sets", { set: { x: 0, old: 1 } }, { x: 0, y: 1, old: 1 }],
  ["clears", { clear: true }, {}],
  ["removes", { remove: ["x"] }, { y: 1 }],
])) {
  withServer(
    `what is saved after the greatest stamp there can be is there: one that ${name}`,
    async ({ page, newPage, newDevice }) => {
      const other = await newDevice();
      await sync(other);
      await syncBy(page);
      await save(page, { x: 1, y: 1 });
      await pair(other, page);
      const { error, loaded, corrupt } = await exchangeWith(page, {
        body: item({ stamp: last, ...batch }),
      });
      assert.deepEqual([error, loaded, corrupt], [undefined, said, 0]);
      for (let i = 0; i < 3; i++) {
        await save(page, { x: i });
        assert.deepEqual(await load(page), { ...said, x: i });
        const tab = await newPage();
        await sync(tab);
        await save(tab, { x: `tab ${i}` });
        assert.equal((await load(tab)).x, `tab ${i}`);
        await now(tab);
        await now(page);
        assert.deepEqual(await load(page), { ...said, x: `tab ${i}` });
        await tab.close();
      }
      await save(page, { x: "last" });
      await now(page);
      assert.equal((await state(page)).unsent, 0);
      await now(other);
      assert.deepEqual(await load(other), { ...said, x: "last" });
      await save(other, { x: "of the other" });
      await now(other);
      await now(page);
      assert.deepEqual(await load(page), { ...said, x: "of the other" });
    },
  );
}

withServer(
  "another owner in the answer to everything is followed, and the session kept for its own",
  async ({ page }) => {
    await syncBy(page);
    await save(page, { a: 1 });
    await now(page);
    await save(page, { b: 1 });
    const { error, loaded } = await exchangeWith(page, {
      ...{ status: 412, headers: { "Session-Owner": "0123456789abcdef" } },
      body: '{"code":"owner"}',
    });
    assert.equal(error?.code, "sync");
    assert.deepEqual(loaded, {});
    await now(page);
    assert.deepEqual(await load(page), { a: 1, b: 1 });
  },
);

withServer(
  "what is no answer to pair or join is an error of sync",
  async ({ page }) => {
    await syncBy(page);
    const bodies = [
      ...["null", "{}", "[]", "1", '"code"', "", "<html>", '{"code":"A"}'],
      JSON.stringify({ expiresIn: 600 }),
      JSON.stringify({ code: 1, expiresIn: 600 }),
      JSON.stringify({ code: "A", expiresIn: null }),
      JSON.stringify({ code: "A", expiresIn: "600" }),
      JSON.stringify({ code: "A", expiresIn: true }),
      JSON.stringify({ code: "A", expiresIn: [600] }),
      JSON.stringify({ code: "", expiresIn: 600 }),
      JSON.stringify({ code: "A B", expiresIn: 600 }),
      JSON.stringify({ code: "<b>", expiresIn: 600 }),
    ];
    const bad = /** @type {Given[]} */ ([
      ...["nothing", "number", "empty", "throws", "rejects"].map((returns) => ({
        returns,
      })),
      { status: 410, body: '{"code":"pairing","error":"it is used"}' },
      { status: 500, body: "null" },
      { body: "x", stream: "cut" },
      { body: "x".repeat(1_000_000), stream: "endless" },
    ]);
    for (const [call, answers] of /** @type {const} */ ([
      ["pair", [...bad, ...bodies.map((body) => ({ body }))]],
      ["join", [...bad.slice(0, -2), { headers: { "Session-Owner": "x" } }]],
    ])) {
      for (const given of answers) {
        const { error } = await page.evaluate(
          async (call, given) => {
            const { kept } = inPage;
            // What it exchanges before goes well.
            const owner = localStorage.getItem("/cart")?.split(" ")[0];
            const { sync } = kept;
            const { now } = sync;
            sync.now = async () => {
              kept.given = undefined;
              await now.call(sync);
              Object.assign(kept, { given, count: 0 });
            };
            const outcome = await inPage.attempt(() => sync[call]("0000"));
            kept.given = undefined;
            delete sync.now;
            if (localStorage.getItem("/cart")?.split(" ")[0] !== owner) {
              throw new Error("it took another owner");
            }
            return outcome;
          },
          call,
          given,
        );
        const what = `${call}: ${JSON.stringify(given).slice(0, 100)}`;
        assert.ok(error, `${what}: there is no error`);
        assert.deepEqual(
          [error.code, error.isSessionError],
          ["sync", true],
          what,
        );
        assert.match(error.message, /^session "cart": sync: \S.{9}/, what);
      }
    }
    await now(page);
    assert.equal((await state(page)).status, "idle");
  },
);
