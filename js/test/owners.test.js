// Whose session a page shows: that of whoever the server takes the browser for.
import assert from "node:assert/strict";
import {
  load,
  now,
  pair,
  save,
  state,
  sync,
  texts,
  withServer,
} from "./synced.js";

/** @typedef {import("../harness/browser.js").Page} Page */
/** @typedef {import("../harness/server.js").Forward} Forward */

/**
 * Has the server know some users, and the first of them be there.
 *
 * @param {import("./synced.js").SyncVisit} visit
 * @param {string[]} users
 */
async function known({ page, forward }, ...users) {
  for (const user of users.reverse()) {
    forward.user = user;
    await page.evaluate(() =>
      fetch("/sessions/exchange?session=first", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: "[]",
      }),
    );
  }
}

/**
 * What somebody finds who comes with a new browser.
 *
 * @param {import("./synced.js").SyncVisit} visit
 * @param {string} user
 */
async function onAnotherDevice({ newDevice, forward }, user) {
  forward.user = user;
  const page = await newDevice();
  await sync(page);
  const loaded = await load(page);
  await page.close();
  return loaded;
}

/**
 * Saves when a user is there, and exchanges that.
 *
 * @param {Page} page
 * @param {Forward} forward
 * @param {string} user
 * @param {Record<string, unknown>} entries
 */
async function saveAs(page, forward, user, entries) {
  forward.user = user;
  await now(page);
  await save(page, entries);
  await now(page);
}

withServer(
  "a page shows another owner's session when he is there, and the former's when he is back",
  async (visit) => {
    const { page, newDevice, forward } = visit;
    await known(visit, "ben", "ada");
    const home = await newDevice();
    await sync(home);
    await saveAs(home, forward, "ben", { iban: "of ben" });

    forward.user = "ada";
    await sync(page);
    await saveAs(page, forward, "ada", { diary: "of ada" });
    await save(page, { draft: "of ada" });
    await page.evaluate(() => {
      inPage.kept.changes = inPage.recordChanges(inPage.kept.session);
    });

    forward.user = "ben";
    await now(page);
    assert.deepEqual(await load(page), { iban: "of ben" });
    assert.deepEqual(
      await page.evaluate(async () => {
        const { changes, session } = inPage.kept;
        await inPage.until(() => changes.at(-1)?.set.iban === "of ben");
        /** @type {Record<string, unknown>} */
        const known = { diary: "of ada", draft: "of ada" };
        for (const { set, removed, cleared } of changes) {
          if (cleared) for (const key of Object.keys(known)) delete known[key];
          for (const key of removed) delete known[key];
          Object.assign(known, set);
        }
        return [known, session.load()];
      }),
      [{ iban: "of ben" }, { iban: "of ben" }],
      "who follows the changes has what is shown",
    );
    assert.doesNotMatch(await texts(page), /diary/, "what ada's server has");
    assert.match(await texts(page), /draft/, "what it does not have yet");
    assert.equal((await state(page)).unsent, 0, "nothing of it is ben's");
    await saveAs(page, forward, "ben", { note: "of ben" });
    assert.deepEqual(await onAnotherDevice(visit, "ben"), {
      iban: "of ben",
      note: "of ben",
    });
    assert.deepEqual(await onAnotherDevice(visit, "ada"), { diary: "of ada" });

    forward.user = "ada";
    await now(page);
    assert.deepEqual(await load(page), { diary: "of ada", draft: "of ada" });
    assert.deepEqual(await onAnotherDevice(visit, "ada"), {
      diary: "of ada",
      draft: "of ada",
    });
    assert.deepEqual(await onAnotherDevice(visit, "ben"), {
      iban: "of ben",
      note: "of ben",
    });
  },
);

withServer(
  "what one owner clears is not cleared for another",
  async (visit) => {
    const { page, forward } = visit;
    await known(visit, "ben", "ada");
    await sync(page);
    await saveAs(page, forward, "ben", { iban: "of ben" });
    await now(page);
    forward.user = "ada";
    await now(page);
    await saveAs(page, forward, "ada", { diary: "of ada" });
    await page.evaluate(() => inPage.kept.session.clear());
    forward.user = "ben";
    await now(page);
    assert.deepEqual(await load(page), { iban: "of ben" });
    assert.deepEqual(await onAnotherDevice(visit, "ben"), { iban: "of ben" });
    forward.user = "ada";
    await now(page);
    assert.deepEqual(await load(page), {});
    assert.deepEqual(await onAnotherDevice(visit, "ada"), {});
  },
);

withServer(
  "a tab that has not heard of another owner saves for the former",
  async (visit) => {
    const { page, newPage, forward } = visit;
    await known(visit, "ada", "ben");
    await sync(page);
    await saveAs(page, forward, "ada", { diary: "of ada" });
    const deaf = await newPage();
    await deaf.evaluate(() => {
      inPage.kept.deaf = true;
      addEventListener("storage", (event) => {
        if (inPage.kept.deaf) event.stopImmediatePropagation();
      });
    });
    await sync(deaf);
    forward.user = "ben";
    await saveAs(page, forward, "ben", { iban: "of ben" });
    await save(deaf, { late: "of ada" });
    for (let i = 0; i < 40; i++) await save(deaf, { later: `${i} of ada` });
    await now(page);
    assert.deepEqual(await load(page), { iban: "of ben" });
    assert.deepEqual(await onAnotherDevice(visit, "ben"), { iban: "of ben" });

    forward.user = "ben";
    await deaf.evaluate(() => {
      inPage.kept.deaf = false;
    });
    await saveAs(page, forward, "ben", { iban: "2 of ben" });
    await deaf.evaluate(() =>
      inPage.until(() => inPage.kept.session.get("iban") === "2 of ben"),
    );
    assert.deepEqual(await load(deaf), { iban: "2 of ben" });

    forward.user = "ada";
    await now(page);
    const all = { diary: "of ada", late: "of ada", later: "39 of ada" };
    assert.deepEqual(await load(page), all);
    // Another tab may hear of the owner before it hears of what he had sent.
    await deaf.evaluate(() =>
      inPage.until(() => inPage.kept.session.get("diary") === "of ada"),
    );
    assert.deepEqual(await load(deaf), all);
    assert.deepEqual(await onAnotherDevice(visit, "ada"), all);
    assert.deepEqual(await onAnotherDevice(visit, "ben"), {
      iban: "2 of ben",
    });
  },
);

withServer(
  "a tab learns of another owner by its own exchange, too",
  async (visit) => {
    const { page, newPage, forward } = visit;
    await known(visit, "ada", "ben");
    await sync(page);
    await saveAs(page, forward, "ada", { diary: "of ada" });
    const deaf = await newPage();
    await deaf.evaluate(() =>
      addEventListener("storage", (event) => event.stopImmediatePropagation()),
    );
    await sync(deaf);
    forward.user = "ben";
    await now(page);
    await now(deaf);
    assert.deepEqual([await load(page), await load(deaf)], [{}, {}]);
    await save(deaf, { iban: "of ben" });
    await now(deaf);
    await now(page);
    assert.deepEqual(await load(page), { iban: "of ben" });
  },
);

/**
 * The tag of the owner whose session a page shows.
 *
 * @param {Page} page
 */
const ownerOf = (page) =>
  page.evaluate(() => String(localStorage.getItem("/cart")?.split(" ")[0]));

/**
 * Has a user come to a visitor's browser, and the server say that he is the visitor's
 * heir.
 *
 * @param {import("./synced.js").SyncVisit} visit
 * @param {string} user
 */
async function signIn({ page, newDevice, forward }, user) {
  const former = await ownerOf(page);
  forward.user = user;
  const other = await newDevice();
  await sync(other);
  forward.heirs.set(former, await ownerOf(other));
  await other.close();
  return former;
}

withServer(
  "what a visitor's page has not sent becomes his heir's",
  async (visit) => {
    const { page, newPage, forward } = visit;
    await known(visit, "ada");
    const home = await visit.newDevice();
    await sync(home);
    await saveAs(home, forward, "ada", { address: "x", note: "y" });
    forward.user = undefined;
    await sync(page);
    await save(page, { cart: [1] });
    await now(page);
    await save(page, { cart: [1, 2], coupon: "z" });
    await page.evaluate(() => inPage.kept.session.remove("note"));
    const deaf = await newPage();
    await deaf.evaluate(() =>
      addEventListener("storage", (event) => event.stopImmediatePropagation()),
    );
    await sync(deaf);

    const former = await signIn(visit, "ada");
    await now(page);
    const all = { address: "x", note: "y", cart: [1, 2], coupon: "z" };
    assert.deepEqual(await load(page), all);
    assert.deepEqual(await onAnotherDevice(visit, "ada"), all);

    // A tab that has not heard of the heir saves for the visitor.
    for (let i = 0; i < 40; i++) await save(deaf, { late: i });
    await now(page);
    assert.deepEqual(await load(page), { ...all, late: 39 });
    // The other tab compacts when it is idle, perhaps after that.
    await page.evaluate(() =>
      inPage.eventually(async () => {
        await inPage.kept.sync.now();
        return inPage.kept.sync.state.unsent === 0;
      }),
    );
    assert.deepEqual(await onAnotherDevice(visit, "ada"), { ...all, late: 39 });
    await now(deaf);
    assert.deepEqual(await load(deaf), { ...all, late: 39 });
    assert.deepEqual(
      await page.evaluate(
        (former) =>
          inPage.items().filter(([key]) => key.startsWith(`cart/${former}`)),
        former,
      ),
      [],
      "nothing is left of the visitor's",
    );
  },
);

withServer("an heir is noted when there is room", async (visit) => {
  const { page, forward } = visit;
  await known(visit, "ada");
  forward.user = undefined;
  await sync(page);
  await save(page, { cart: [1] });
  await now(page);
  await save(page, { cart: [1, 2] });
  const former = await signIn(visit, "ada");
  const [before, error, after] = await page.evaluate(async (former) => {
    const { sync } = inPage.kept;
    const { setItem } = Storage.prototype;
    Storage.prototype.setItem = function (
      /** @type {string} */ key,
      /** @type {string} */ text,
    ) {
      if (key === `//${former}`) {
        throw new DOMException("full", "QuotaExceededError");
      }
      setItem.call(this, key, text);
    };
    const before = inPage.items();
    const { error } = await inPage.attempt(() => sync.now());
    Storage.prototype.setItem = setItem;
    return [before, error, inPage.items()];
  }, former);
  assert.equal(error?.code, "quota");
  assert.deepEqual(after, before);
  await now(page);
  assert.deepEqual(await load(page), { cart: [1, 2] });
  assert.deepEqual(await onAnotherDevice(visit, "ada"), { cart: [1, 2] });
});

withServer("an heir who makes no sense is none", async (visit) => {
  const { page, forward } = visit;
  await known(visit, "ada");
  await sync(page);
  await saveAs(page, forward, "ada", { diary: 1 });
  await save(page, { draft: 1 });
  const own = await ownerOf(page);
  const another = "0011223344556677";
  for (const [owner, heir] of [
    ["", another],
    [own, another],
    [another, own],
    [another, "true"],
  ]) {
    const before = await page.evaluate(() => inPage.items());
    const error = await page.evaluate(
      async ([owner, heir]) => {
        const { session } = inPage.kept;
        const headers = { "Session-Owner": owner, "Session-Heir": heir };
        const sync = await session.sync("/sessions/", {
          ...inPage.onRequest,
          fetch: async () =>
            new Response('{"code":"owner"}', { status: 412, headers }),
        });
        const { error } = await inPage.attempt(() => sync.now());
        sync.close();
        return error;
      },
      [owner, heir],
    );
    assert.deepEqual([error?.code, error?.reason], ["sync", "no-server"]);
    assert.deepEqual(await page.evaluate(() => inPage.items()), before);
  }
});

withServer(
  "forget drops what is here, in every tab, and nothing on the server",
  async (visit) => {
    const { page, newPage, forward } = visit;
    await known(visit, "ada", "ben");
    await sync(page);
    await saveAs(page, forward, "ada", { diary: "of ada" });
    await save(page, { draft: "of ada" });
    forward.user = "ben";
    await now(page);
    await saveAs(page, forward, "ben", { iban: "of ben" });
    const tab = await newPage();
    await sync(tab);
    await tab.evaluate(() => {
      inPage.kept.changes = inPage.recordChanges(inPage.kept.session);
    });

    // Or it would get the copy again, when it is shown.
    await tab.evaluate(() => inPage.kept.sync?.close());
    const forgotten = await page.evaluate(() => {
      const { session, sync } = inPage.kept;
      inPage.kept.changes = inPage.recordChanges(session);
      session.forget();
      return inPage
        .attempt(() => sync.now())
        .then(({ error }) => [session.load(), error?.message]);
    });
    assert.deepEqual(forgotten, [
      {},
      'session "cart": sync: the sync is closed: call session.sync again',
    ]);
    for (const each of [page, tab]) {
      assert.deepEqual(
        await each.evaluate(async () => {
          const { changes, session } = inPage.kept;
          await inPage.until(() => changes.length > 0);
          const { cleared, set } = changes.at(-1);
          return [session.load(), cleared, set];
        }),
        [{}, true, {}],
      );
    }
    assert.doesNotMatch(await texts(page), /ben/);
    assert.match(await texts(page), /draft/, "what is kept for ada");
    assert.deepEqual(await onAnotherDevice(visit, "ben"), { iban: "of ben" });

    // A session that is forgotten is as one that was never synced.
    await save(page, { guest: 1 });
    assert.deepEqual(await load(page), { guest: 1 });
    forward.user = "ada";
    await page.evaluate(() => inPage.kept.session.remove("guest"));
    await sync(page);
    assert.deepEqual(await load(page), { diary: "of ada", draft: "of ada" });
  },
);

withServer(
  "what is forgotten during an exchange is not back after it",
  async ({ page, newPage, forward }) => {
    await sync(page);
    await save(page, { a: 1 });
    await now(page);
    await save(page, { b: 1 });
    const tab = await newPage();
    forward.meanwhile = async () => {
      forward.meanwhile = undefined;
      await tab.evaluate(async () => (await inPage.open()).forget());
      await page.evaluate(() =>
        inPage.until(() => localStorage.getItem("/cart") === null),
      );
    };
    await page.evaluate(() => inPage.kept.sync.now().catch(() => {}));
    assert.equal(forward.meanwhile, undefined);
    assert.deepEqual(await load(page), {});
    assert.deepEqual(await page.evaluate(() => inPage.items()), []);
    await now(page);
    assert.deepEqual(await load(page), { a: 1, b: 1 }, "when it is asked for");
  },
);

withServer(
  "a session that was never synced can be forgotten",
  async ({ page }) => {
    assert.deepEqual(
      await page.evaluate(async () => {
        const session = await inPage.open();
        session.save({ a: 1 });
        session.forget();
        const items = inPage.items();
        session.save({ b: 1 });
        return [items, session.load()];
      }),
      [[], { b: 1 }],
    );
  },
);

withServer(
  "who clears and then joins takes nothing from those whom he joins",
  async ({ page: laptop, newDevice }) => {
    await sync(laptop);
    await save(laptop, { cart: [1, 2, 3], address: "x" });
    await now(laptop);
    const never = await newDevice();
    await never.evaluate(async () => {
      const session = await inPage.open();
      session.save({ demo: 1 });
      session.clear();
      session.save({ theme: "dark" });
    });
    const synced = await newDevice();
    await sync(synced);
    await save(synced, { demo: 1, cart: "none" });
    await now(synced);
    await synced.evaluate(() => {
      inPage.kept.session.clear();
      inPage.kept.session.save({ size: 12 });
    });
    const all = { cart: [1, 2, 3], address: "x", theme: "dark", size: 12 };
    await sync(never);
    await pair(laptop, never);
    await pair(laptop, synced);
    for (const device of [laptop, never, synced]) await now(device);
    for (const device of [laptop, never, synced]) {
      assert.deepEqual(await load(device), all);
    }
    await never.evaluate(() => inPage.kept.session.remove("address"));
    await now(never);
    await now(laptop);
    assert.equal((await load(laptop)).address, undefined, "from then on");
  },
);

/**
 * Opens and syncs two sessions in a page, and returns what the first exchanges
 * of both, made at once, came to.
 *
 * @param {Page} page
 */
const syncTwo = (page) =>
  page.evaluate(async () => {
    const sessions = [await inPage.open("cart"), await inPage.open("prefs")];
    sessions[0].save({ a: 1 });
    sessions[1].save({ b: 1 });
    const syncs = await Promise.all(
      sessions.map((session) => session.sync("/sessions/", inPage.onRequest)),
    );
    Object.assign(inPage.kept, { sessions, syncs });
    await Promise.all(syncs.map((sync) => sync.now()));
  });

/**
 * Saves something in both sessions, and exchanges both at once.
 *
 * @param {Page} page
 */
const bothNow = (page) =>
  page.evaluate(async () => {
    const { sessions, syncs } = inPage.kept;
    for (const session of sessions) session.save({ n: Math.random() });
    await Promise.all(syncs.map((/** @type {any} */ sync) => sync.now()));
    return syncs.map((/** @type {any} */ { state }) => [
      state.status,
      state.unsent,
    ]);
  });

/**
 * The tags of the owners of the page's sessions.
 *
 * @param {Page} page
 */
const owners = (page) =>
  page.evaluate(() =>
    ["/cart", "/prefs"].map((key) => localStorage.getItem(key)?.split(" ")[0]),
  );

withServer(
  "two sessions of a page that sync for the first time at once have one owner",
  async ({ page, forward }) => {
    await syncTwo(page);
    const [cart, prefs] = await owners(page);
    assert.match(String(cart), /^[\da-f]{16}$/);
    assert.equal(prefs, cart);
    assert.deepEqual(await bothNow(page), [
      ["idle", 0],
      ["idle", 0],
    ]);
    assert.ok(forward.passed.every(({ status }) => status < 300));
  },
);

withServer(
  "two sessions of a page whose cookie is lost have one owner again, and go on",
  async (visit) => {
    const { page, forward } = visit;
    forward.user = "ada";
    await syncTwo(page);
    const [before] = await owners(page);
    forward.jars.get("ada")?.clear();
    for (let i = 0; i < 4; i++) {
      assert.deepEqual(await bothNow(page), [
        ["idle", 0],
        ["idle", 0],
      ]);
    }
    const [cart, prefs] = await owners(page);
    assert.notEqual(cart, before);
    assert.equal(prefs, cart);
    const [mine, fresh] = await page.evaluate(() =>
      inPage.kept.sessions.map((/** @type {any} */ session) => session.load()),
    );
    assert.deepEqual([mine.a, fresh.b], [1, 1], "nothing is lost");
    assert.deepEqual(await onAnotherDevice(visit, "ada"), mine);
  },
);
