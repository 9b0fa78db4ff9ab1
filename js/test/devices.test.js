// Which devices share a session, and what becomes of one that does not any more.
import assert from "node:assert/strict";
import {
  load,
  now,
  otherDevice,
  pair,
  save,
  state,
  sync,
  texts,
  withServer,
} from "./synced.js";

/** @typedef {import("../harness/browser.js").Page} Page */

/** @param {Page} page @returns {Promise<import("../src/api.js").Device[]>} */
const devices = (page) => page.evaluate(() => inPage.kept.sync.devices());

/** @param {Page} page */
const hasNews = (page) =>
  page.evaluate(() => inPage.kept.sync.state.newDevices);

/** @param {Page} page @returns {Promise<string>} */
const codeOf = (page) =>
  page.evaluate(async () => (await inPage.kept.sync.pair()).code);

/**
 * The code and, if there is one, the reason of the error of a call of the page's Sync.
 *
 * @param {Page} page
 * @param {string} call
 * @param {unknown[]} args
 */
const refused = (page, call, ...args) =>
  page.evaluate(
    async (call, args) => {
      const { sync } = inPage.kept;
      const { error } = await inPage.attempt(() => sync[call](...args));
      if (error && !error.message.startsWith('session "cart": sync: ')) {
        throw new Error(error.message);
      }
      if (!error?.isSessionError) throw new Error("it is no error of ours");
      return [error.code, error.reason].filter(Boolean).join(" ");
    },
    call,
    args,
  );

withServer(
  "two paired pages list both, and the first is told that the second has joined",
  async ({ page, newDevice }) => {
    const other = await otherDevice(page, newDevice, { a: 1 });
    assert.equal(await hasNews(page), undefined, "before an exchange");
    await now(page);
    assert.equal(await hasNews(page), true);
    await now(page);
    assert.equal(await hasNews(page), true, "until it asks");

    const told = await page.evaluate(async () => {
      const { sync } = inPage.kept;
      /** @type {unknown[]} */
      const states = [];
      sync.subscribe((/** @type {any} */ state) =>
        states.push("newDevices" in state),
      );
      const devices = await sync.devices();
      await inPage.until(() => states.length > 0);
      return { devices, states };
    });
    assert.deepEqual(told.states, [false], "subscribers hear of it");
    const [first, second] = told.devices;
    assert.equal(told.devices.length, 2);
    for (const { id, name, first, last } of told.devices) {
      assert.match(id, /^[\da-f]{16}$/);
      assert.match(name, /^\w+ on \w+$/);
      assert.ok(first <= last && Math.abs(Date.now() - last) < 60_000);
    }
    assert.ok(first.first <= second.first);
    assert.deepEqual([first.current, second.current], [true, false]);
    assert.deepEqual([first.new, second.new], [false, true]);

    await now(page);
    assert.equal(await hasNews(page), undefined);
    assert.equal((await devices(page))[1].new, false);
    await now(other);
    assert.equal(await hasNews(other), undefined, "it knows whom it joined");
    assert.deepEqual(
      (await devices(other)).map(({ id, current }) => [id, current]),
      [
        [first.id, false],
        [second.id, true],
      ],
    );
  },
);

withServer(
  "a device is called what any of them calls it",
  async ({ page, newDevice }) => {
    const other = await otherDevice(page, newDevice, { a: 1 });
    const [{ id }] = await devices(page);
    const name = "<b>Ada's</b> 電話";
    await other.evaluate(
      (id, name) => inPage.kept.sync.rename(id, name),
      id,
      name,
    );
    assert.equal((await devices(page))[0].name, name);
    for (const bad of ["", "x".repeat(101), "é".repeat(51)]) {
      assert.equal(await refused(page, "rename", id, bad), "sync malformed");
    }
    assert.equal((await devices(other))[0].name, name);
  },
);

withServer(
  "a page that is revoked shows nothing of what was shared, and keeps what it had not sent",
  async ({ page, newDevice }) => {
    const other = await otherDevice(page, newDevice, { a: 1 });
    await now(other);
    assert.deepEqual(await load(other), { a: 1 });
    await save(other, { draft: "unsent" });
    const [, { id }] = await devices(page);
    await page.evaluate((id) => inPage.kept.sync.revoke(id), id);
    assert.equal((await devices(page)).length, 1);
    assert.equal(await refused(page, "revoke", id), "sync device");

    assert.deepEqual(await load(other), { a: 1, draft: "unsent" }, "so far");
    await now(other);
    assert.deepEqual(await load(other), {});
    assert.equal((await state(other)).unsent, 0);
    assert.match(await texts(other), /draft/);
    assert.doesNotMatch(await texts(other), /"a"/);
    assert.equal(await refused(other, "devices"), "sync identity");

    await save(other, { fresh: 1 });
    await now(other);
    const third = await newDevice();
    await sync(third);
    await pair(other, third);
    assert.deepEqual(await load(third), { fresh: 1 });
    await now(page);
    assert.deepEqual(await load(page), { a: 1 });

    // Whoever lets it join again gets what was kept.
    await pair(page, other);
    await now(page);
    const all = { a: 1, draft: "unsent", fresh: 1 };
    assert.deepEqual(await load(other), all);
    assert.deepEqual(await load(page), all);
    assert.equal((await devices(page)).length, 2);
  },
);

withServer("a page can revoke itself", async ({ page }) => {
  await sync(page);
  await save(page, { a: 1 });
  await now(page);
  const [{ id }] = await devices(page);
  await page.evaluate((id) => inPage.kept.sync.revoke(id), id);
  assert.equal(await refused(page, "devices"), "sync identity");
  await now(page);
  assert.deepEqual(await load(page), {});
});

withServer("what is asked of devices is refused in words", async ({ page }) => {
  await sync(page);
  for (const [call, ...args] of [
    ["devices"],
    ["rename", "0123456789abcdef", "mine"],
    ["revoke", "0123456789abcdef"],
  ]) {
    const error = await refused(page, call, ...args);
    assert.equal(error, "sync identity", call);
  }
  await save(page, { a: 1 });
  await now(page);
  for (const id of ["0123456789abcdef", "", "../owner"]) {
    for (const call of ["rename", "revoke"]) {
      const error = await refused(page, call, id, "mine");
      assert.equal(error, "sync device", `${call} ${id}`);
    }
  }
  for (const [call, ...args] of /** @type {[string, ...any[]][]} */ ([
    ["rename", "0123456789abcdef"],
    ["rename", 5, "mine"],
    ["revoke"],
    ["join", 5],
  ])) {
    const error = await refused(page, call, ...args);
    assert.equal(error, "config", `${call} ${args}`);
  }
  for (const agree of [null, false, 1, "yes", {}]) {
    const error = await refused(page, "join", "0000", agree);
    assert.equal(error, "config", `agree: ${agree}`);
  }
  await page.evaluate(() => inPage.kept.sync.close());
  for (const call of ["devices", "rename", "revoke", "join"]) {
    const error = await refused(page, call, "0000", "mine");
    assert.equal(error, "closed", call);
  }
});

withServer(
  "nothing is joined unless the user agrees, and the code stays good",
  async ({ page, newDevice, forward }) => {
    await sync(page);
    await save(page, { a: 1 });
    await now(page);
    const listed = await devices(page);
    const code = await codeOf(page);
    const other = await newDevice();
    await sync(other);
    await save(other, { b: 2 });
    await now(other);

    const passed = forward.passed.length;
    const came = await other.evaluate(async (code) => {
      const { session, sync } = inPage.kept;
      const before = JSON.stringify([
        session.load(),
        Object.entries(localStorage),
      ]);
      /** @type {unknown[]} */
      const asked = [];
      /** @type {((devices: unknown) => unknown)[]} */
      const agrees = [
        () => false,
        async () => false,
        () => undefined,
        () => {
          throw new RangeError("not these");
        },
        () => Promise.reject(new RangeError("not these")),
        () => {
          sync.close();
          return true;
        },
      ];
      const came = [];
      for (const agree of agrees) {
        const { value, error } = await inPage.attempt(() =>
          sync.join(code, (/** @type {unknown} */ devices) => {
            asked.push(devices);
            return agree(devices);
          }),
        );
        came.push(
          error ? (error.code ?? `${error.name}: ${error.message}`) : value,
        );
      }
      const after = JSON.stringify([
        session.load(),
        Object.entries(localStorage),
      ]);
      return { came, asked, same: before === after };
    }, code);
    assert.deepEqual(came.came, [
      ...[false, false, false],
      ...["RangeError: not these", "RangeError: not these", "closed"],
    ]);
    assert.equal(came.same, true);
    for (const devices of came.asked) {
      assert.deepEqual(devices, [{ ...listed[0], current: false }]);
    }
    assert.deepEqual(
      [...new Set(forward.passed.slice(passed).map(({ path }) => path))],
      ["/sessions/join"],
      "nothing is sent of what is saved here",
    );
    await now(page);
    assert.deepEqual(await load(page), { a: 1 });
    assert.equal((await devices(page)).length, 1);

    await sync(other);
    const joined = await other.evaluate(
      (code) => inPage.kept.sync.join(code, async () => "yes"),
      code,
    );
    assert.equal(joined, true);
    assert.deepEqual(await load(other), { a: 1, b: 2 });
    assert.equal(await refused(other, "join", code), "sync pairing");
  },
);

withServer(
  "nobody is asked about a code that is not good",
  async ({ page }) => {
    await sync(page);
    const outcome = await page.evaluate(async () => {
      let asked = 0;
      const { error } = await inPage.attempt(() =>
        inPage.kept.sync.join("0000-0000-0000-0000", () => ++asked),
      );
      return [error?.code, error?.reason, asked];
    });
    assert.deepEqual(outcome, ["sync", "pairing", 0]);
  },
);

withServer(
  "what is no answer about devices is an error of sync",
  async ({ page }) => {
    await sync(page);
    await save(page, { a: 1 });
    await now(page);
    const device = { id: "0123456789abcdef", name: "mine", first: 1, last: 1 };
    const answers = [
      ...["", "<html>", "null", "1", "[]", "{}", '{"devices":null}'],
      ...['{"devices":{}}', '{"devices":1}', '{"devices":[null]}'],
      ...[{ id: 1 }, { name: null }, { first: "1" }, { last: undefined }].map(
        (bad) => JSON.stringify({ devices: [device, { ...device, ...bad }] }),
      ),
    ];
    const wrong = await page.evaluate(async (answers) => {
      const { session } = inPage.kept;
      /** @type {any} */
      let given;
      let asked = 0;
      const sync = await session.sync("/sessions/", {
        ...inPage.onRequest,
        fetch: async (/** @type {any} */ url, /** @type {any} */ init) =>
          given ? given() : fetch(url, init),
      });
      await sync.now();
      /** @type {(() => unknown)[]} */
      const gives = [
        ...answers.map((body) => () => new Response(body)),
        () => new Response("", { status: 500 }),
        () => new Response("", { status: 404 }),
        () => undefined,
        () => {
          throw new Error("forbidden");
        },
      ];
      /** @type {Record<string, () => unknown>} */
      const calls = {
        devices: () => sync.devices(),
        join: () => sync.join("0000", () => ++asked),
      };
      /** @type {string[]} */
      const wrong = [];
      for (const [call, f] of Object.entries(calls)) {
        for (const [i, give] of gives.entries()) {
          given = give;
          const { error } = await inPage.attempt(f);
          if (!error?.isSessionError || error.code !== "sync") {
            wrong.push(`${call}: ${answers[i] ?? i}: ${error?.message}`);
          }
        }
      }
      // Their good answers have no body.
      for (const call of ["rename", "revoke"]) {
        for (const give of gives.slice(answers.length)) {
          given = give;
          const { error } = await inPage.attempt(() => sync[call]("0", "mine"));
          if (error?.code !== "sync") wrong.push(`${call}: ${give}`);
        }
      }
      given = undefined;
      if (asked > 0) wrong.push("somebody was asked");
      await sync.now();
      return wrong;
    }, answers);
    assert.deepEqual(wrong, []);
    assert.deepEqual(await load(page), { a: 1 });
  },
);
