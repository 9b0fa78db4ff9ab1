// What a server has put into the page.
import assert from "node:assert/strict";
import { assertError } from "./assert-error.js";
import { inBrowser } from "./in-browser.js";
import { load, now, save, sync, withServer } from "./synced.js";

/** @typedef {import("../harness/browser.js").Page} Page */

/**
 * Returns what a server that renders the page would put into it.
 *
 * @param {Page} page
 */
const embedded = (page) =>
  page.evaluate(async () =>
    (await fetch("/sessions/initial?session=cart")).text(),
  );

/**
 * Opens the session with that, and returns what is there before anything else happens.
 *
 * @param {Page} page
 * @param {string} initial
 */
const open = (page, initial) =>
  page.evaluate(async (initial) => {
    const session = await inPage.open("cart", {
      initial,
      defaults: { theme: "light" },
    });
    inPage.kept.session = session;
    const { initial: shown } = session;
    return { shown, loaded: session.load(), snapshot: session.snapshot() };
  }, initial);

withServer(
  "a new device shows at once what the server has rendered",
  async ({ page, newPage, newDevice }) => {
    await sync(page);
    await save(page, { a: 1, b: 1, removed: 1 });
    await page.evaluate(() => inPage.kept.session.remove("removed"));
    await now(page);
    const initial = await embedded(page);
    const all = { theme: "light", a: 1, b: 1 };
    const device = await newDevice();
    assert.deepEqual(await open(device, initial), {
      shown: all,
      loaded: all,
      snapshot: all,
    });
    // A tab that has it all stores nothing more.
    const before = await page.evaluate(() => inPage.items());
    assert.deepEqual((await open(page, initial)).loaded, all);
    assert.deepEqual(await page.evaluate(() => inPage.items()), before);
    // The other tabs of the device hear of it.
    const tab = await newPage();
    await tab.evaluate(async () => {
      inPage.kept.session = await inPage.open();
    });
    assert.deepEqual(await load(tab), { a: 1, b: 1 });
  },
);

withServer(
  "what another device saved meanwhile is there before the first exchange",
  async ({ page, newPage }) => {
    await sync(page);
    await save(page, { a: 1, gone: 1 });
    await now(page);
    // A handler of the server, or another device of the same visitor.
    const other = await newPage();
    const initial = await other.evaluate(async () => {
      const session = await inPage.open("cart", { storage: "memory" });
      const sync = await session.sync("/sessions/", { interval: Infinity });
      await sync.now();
      session.save({ b: 2 });
      session.remove("gone");
      await sync.now();
      session.close();
      return (await fetch("/sessions/initial?session=cart")).text();
    });
    await save(page, { own: 3 });
    const { shown, loaded } = await open(page, initial);
    assert.deepEqual(shown, { theme: "light", a: 1, b: 2 });
    assert.deepEqual(loaded, { theme: "light", a: 1, b: 2, own: 3 });
    const sent = await page.evaluate(async () => {
      /** @type {string[]} */
      const sent = [];
      const { session } = inPage.kept;
      const sync = await session.sync("/sessions/", {
        interval: Infinity,
        fetch: (/** @type {string} */ url, /** @type {any} */ init) => {
          sent.push(String(init.body ?? ""));
          return fetch(url, init);
        },
      });
      await sync.now();
      return sent;
    });
    assert.equal(sent.length, 1, "one exchange");
    assert.match(sent[0], /"own":3/);
    assert.doesNotMatch(sent[0], /"b":2/); // the server has it
    assert.deepEqual(await load(page), { theme: "light", a: 1, b: 2, own: 3 });
  },
);

withServer("an old page brings nothing back", async ({ page }) => {
  await sync(page);
  await save(page, { a: 1, removed: 1 });
  await now(page);
  const old = await embedded(page);
  await page.evaluate(() => inPage.kept.session.remove("removed"));
  await now(page);
  await page.evaluate(() => {
    const { session } = inPage.kept;
    for (let i = 0; i < 40; i++) session.save({ a: i }); // compacts
  });
  await now(page);
  const { shown, loaded } = await open(page, old);
  assert.deepEqual(shown, { theme: "light", a: 1, removed: 1 });
  assert.deepEqual(loaded, { theme: "light", a: 39 });
});

withServer(
  "another owner's page, which may be an old one, changes nothing of whose session this is",
  async ({ page, newDevice }) => {
    const device = await newDevice();
    await sync(device);
    await save(device, { whose: "his" });
    await now(device);
    const his = await embedded(device);
    await sync(page);
    await save(page, { whose: "mine", sent: 1 });
    await now(page);
    await save(page, { unsent: 1 });
    const { shown, loaded } = await open(page, his);
    assert.deepEqual(shown, { theme: "light", whose: "his" }); // as the server rendered it
    assert.deepEqual(loaded, {
      theme: "light",
      whose: "mine",
      sent: 1,
      unsent: 1,
    });
  },
);

withServer(
  "what was forgotten does not come back out of the page",
  async ({ page }) => {
    await sync(page);
    await save(page, { a: 1 });
    await now(page);
    const initial = await embedded(page);
    await page.evaluate(() => inPage.kept.session.forget());
    assert.deepEqual((await open(page, initial)).loaded, { theme: "light" });
  },
);

withServer(
  "what a page replaces goes from the mirror, too",
  async ({ page, newPage }) => {
    await sync(page, {}, { durable: true });
    await save(page, { a: 1, gone: 1 });
    await now(page);
    await page.evaluate(() => inPage.kept.session.flush());
    const other = await newPage();
    const initial = await other.evaluate(async () => {
      const session = await inPage.open("cart", { storage: "memory" });
      const sync = await session.sync("/sessions/", { interval: Infinity });
      await sync.now();
      session.remove("gone");
      await sync.now();
      session.close();
      return (await fetch("/sessions/initial?session=cart")).text();
    });
    await page.reload();
    const { items, mirrored, loaded } = await page.evaluate(async (initial) => {
      const session = await inPage.open("cart", { initial, durable: true });
      await session.flush();
      return {
        items: inPage.items(),
        mirrored: await inPage.mirrored(),
        loaded: session.load(),
      };
    }, initial);
    assert.deepEqual(loaded, { a: 1 });
    assert.deepEqual(mirrored, items);
  },
);

withServer(
  "what nobody owned yet is the owner's whom the page tells",
  async ({ page, newDevice }) => {
    const device = await newDevice();
    await device.evaluate(async () => {
      (await inPage.open()).save({ before: 1 });
    });
    await sync(page);
    await save(page, { a: 1 });
    await now(page);
    const { loaded } = await open(device, await embedded(page));
    assert.deepEqual(loaded, { theme: "light", a: 1, before: 1 });
  },
);

withServer("who is unknown shows what is here", async ({ page }) => {
  const nobody = await embedded(page);
  assert.equal(nobody, '{"owner":"","cursor":"","item":""}');
  await page.evaluate(async () => (await inPage.open()).save({ a: 1 }));
  assert.deepEqual((await open(page, nobody)).loaded, { theme: "light", a: 1 });
});

inBrowser(
  "what is no server's is refused, and may be missing",
  async ({ page }) => {
    const { refused, missing } = await page.evaluate(async () => {
      const refused = [];
      for (const initial of [
        "",
        "x",
        {},
        7,
        { owner: "x", cursor: "", item: "" },
        { owner: "", cursor: " ", item: "" },
        { owner: "", cursor: "" },
        { owner: "0123456789abcdef", cursor: 5, item: "" },
      ]) {
        const options = /** @type {any} */ ({ initial });
        refused.push(await inPage.attempt(() => inPage.open("cart", options)));
      }
      const missing = [];
      for (const initial of [undefined, null]) {
        missing.push((await inPage.open("cart", { initial })).load());
      }
      return { refused, missing };
    });
    for (const { error } of refused) {
      assertError(error, { code: "config", says: "the option initial is" });
    }
    assert.deepEqual(missing, [{}, {}]);
  },
);

inBrowser(
  "an item that cannot be read is reported, and the session is what it was",
  async ({ page }) => {
    const loaded = await page.evaluate(async () => {
      (await inPage.open()).save({ a: 1 });
      const initial = { owner: "0123456789abcdef", cursor: "c-1", item: "{}" };
      return (await inPage.open("cart", { initial })).load();
    });
    assert.deepEqual(loaded, { a: 1 });
    assert.equal((await page.takeErrors()).length, 1);
  },
);
