import assert from "node:assert/strict";
import { assertError } from "./assert-error.js";
import { inBrowser } from "./in-browser.js";

/**
 * What open must refuse, and what its message must say.
 *
 * @type {Record<string, [make: () => unknown[], says: string | string[]]>}
 */
const refused = {
  "an empty name": [() => [""], '""'],
  "no name": [() => [], "undefined"],
  "a number as the name": [() => [5], "5"],
  "null as the name": [() => [null], "null"],
  "an object as the name": [() => [{}], "an object"],
  "an array as the name": [() => [["cart"]], "an array of 1"],
  "a symbol as the name": [() => [Symbol("mine")], "Symbol(mine)"],
  "a BigInt as the name": [() => [5n], "5n"],
  "an object with a cycle as the name": [
    () => [Object.assign([0], { 0: globalThis })],
    "an array of 1",
  ],
  "a name with a slash": [() => ["a/b"], ['"a/b"', "slash"]],
  "a slash as the name": [() => ["/"], ['"/"', "slash"]],
  "a name with a lone surrogate": [() => ["a\uD800"], '"a\\ud800"'],

  "null for the options": [() => ["cart", null], "null"],
  "a string for the options": [() => ["cart", "session"], '"session"'],
  "a number for the options": [() => ["cart", 60], "60"],
  "a function for the options": [() => ["cart", () => {}], "a function"],
  "an array for the options": [() => ["cart", ["session"]], "an array of 1"],
  "an empty array for the options": [() => ["cart", []], "an array of 0"],
  "a Map for the options": [
    () => ["cart", new Map([["storage", "session"]])],
    "Map",
  ],

  "an unknown option": [
    () => ["cart", { ttl: 60 }],
    ['"ttl"', "storage", "maxAge", "fallback"],
  ],
  "an option in the wrong case": [
    () => ["cart", { maxage: 60 }],
    ['"maxage"', "maxAge"],
  ],
  "an option named as a property of all objects": [
    () => ["cart", { toString: 1 }],
    '"toString"',
  ],

  "an unknown storage": [
    () => ["cart", { storage: "cookie" }],
    ["storage", '"cookie"', '"local", "session", "memory" or an object'],
  ],
  "a storage named as a property of all objects": [
    () => ["cart", { storage: "constructor" }],
    ["storage", '"constructor"'],
  ],
  "an object that is no storage as the storage": [
    () => ["cart", { storage: { getItem() {}, length: 0 } }],
    ["storage", "an object"],
  ],
  "a Map as the storage": [
    () => ["cart", { storage: new Map() }],
    ["storage", "Map"],
  ],
  "null as the storage": [
    () => ["cart", { storage: null }],
    ["storage", "null"],
  ],

  "a negative maxAge": [() => ["cart", { maxAge: -1 }], ["maxAge", "-1"]],
  "a maxAge of 0": [() => ["cart", { maxAge: 0 }], ["maxAge", "0"]],
  "a maxAge of NaN": [() => ["cart", { maxAge: NaN }], ["maxAge", "NaN"]],
  "a maxAge of Infinity": [
    () => ["cart", { maxAge: Infinity }],
    ["maxAge", "Infinity"],
  ],
  "a string as the maxAge": [
    () => ["cart", { maxAge: "60" }],
    ["maxAge", '"60"', "seconds"],
  ],
  "a BigInt as the maxAge": [
    () => ["cart", { maxAge: 60n }],
    ["maxAge", "60n"],
  ],
  "null as the maxAge": [() => ["cart", { maxAge: null }], ["maxAge", "null"]],

  "another fallback than memory": [
    () => ["cart", { fallback: "local" }],
    ["fallback", '"local"', '"memory"'],
  ],
  "1 as durable": [
    () => ["cart", { durable: 1 }],
    ["durable", "1", "true or false"],
  ],
  "a text as persist": [
    () => ["cart", { persist: "yes" }],
    ["persist", '"yes"', "true or false"],
  ],
  "durable in sessionStorage": [
    () => ["cart", { durable: true, storage: "session" }],
    ["localStorage", "durable"],
  ],
  "durable in memory": [
    () => ["cart", { durable: true, storage: "memory" }],
    ["localStorage", "durable"],
  ],
  "true as the fallback": [
    () => ["cart", { fallback: true }],
    ["fallback", "true"],
  ],

  "a number as the wasm": [() => ["cart", { wasm: 5 }], ["wasm", "5"]],
  "an object as the wasm": [
    () => ["cart", { wasm: {} }],
    ["wasm", "an object"],
  ],
  "null as the wasm": [() => ["cart", { wasm: null }], ["wasm", "null"]],
  "a Promise as the wasm": [
    () => ["cart", { wasm: Promise.resolve("session.wasm") }],
    ["wasm", "Promise"],
  ],
  "a Request as the wasm": [
    () => ["cart", { wasm: new Request("session.wasm") }],
    ["wasm", "Request"],
  ],
};

inBrowser(
  "open refuses a bad name or option before anything is loaded",
  async ({ page, site, t }) => {
    for (const [what, [make, says]] of Object.entries(refused)) {
      await t.test(what, async () => {
        const { error } = await page.evaluate(
          (make) =>
            inPage.attempt(async () => {
              const { open } = await inPage.streaming();
              await /** @type {any} */ (open)(...make());
            }),
          make,
        );
        assertError(error, { code: "config", says });
        const { sync, promise } = await page.evaluate(async (make) => {
          const { open, openSync } = await inPage.sessionWriter();
          return {
            sync: await inPage.attempt(() => {
              /** @type {any} */ (openSync)(...make());
            }),
            promise: await inPage.attempt(() =>
              /** @type {any} */ (open)(...make()),
            ),
          };
        }, make);
        for (const { error } of [sync, promise]) {
          assertError(error, {
            code: "config",
            // There the module is no option.
            says: what.endsWith(" wasm") ? "wasm" : says,
          });
        }
      });
    }
    assert.equal(site.requests("/dist/session.wasm"), 0);
  },
);

inBrowser("open rejects, it never throws", async ({ page }) => {
  const threw = await page.evaluate(async () => {
    const entries = [await inPage.sessionWriter(), await inPage.streaming()];
    return Promise.all(
      entries.map(({ open }) => {
        const promise = /** @type {any} */ (open)();
        return promise.then(
          () => false,
          () => promise instanceof Promise,
        );
      }),
    );
  });
  assert.deepEqual(threw, [true, true]);
});

inBrowser("a refusal says the session and the call", async ({ page }) => {
  const { error } = await page.evaluate(() =>
    inPage.attempt(() => inPage.open("cart", { storage: "cookie" })),
  );
  assertError(error, { code: "config", says: 'session "cart": open: ' });
});

inBrowser(
  "bad options are refused once a session is open, too",
  async ({ page }) => {
    const errors = await page.evaluate(async () => {
      await inPage.open();
      await inPage.openStreaming();
      return Promise.all([
        inPage.attempt(() => inPage.openStreaming("cart", { wasm: 5 })),
        inPage.attempt(() => inPage.open("a/b")),
      ]);
    });
    for (const { error } of errors) assertError(error, { code: "config" });
  },
);

inBrowser("options that are undefined are as if left out", async ({ page }) => {
  const persistent = await page.evaluate(async () => {
    const session = await inPage.openStreaming("cart", {
      storage: undefined,
      maxAge: undefined,
      fallback: undefined,
      wasm: undefined,
    });
    session.save({ a: 1 });
    return session.persistent && inPage.items().length === 1;
  });
  assert.equal(persistent, true);
});

inBrowser("subscribe refuses what is no function", async ({ page }) => {
  const errors = await page.evaluate(async () => {
    const session = await inPage.open();
    return Promise.all(
      [undefined, null, {}, "listener"].map((listener) =>
        inPage.attempt(() => session.subscribe(/** @type {any} */ (listener))),
      ),
    );
  });
  const says = ["undefined", "null", "an object", '"listener"'];
  for (const [i, { error }] of errors.entries()) {
    assertError(error, {
      code: "config",
      says: ['session "cart": subscribe: ', says[i]],
    });
  }
});
