import assert from "node:assert/strict";
import { assertError } from "./assert-error.js";
import { inBrowser } from "./in-browser.js";

/** @typedef {import("./assert-error.js").Expected} Expected */

/**
 * What save must refuse.
 *
 * @type {Record<string, [make: () => unknown, expected: Expected]>}
 */
const entries = {
  // Keys.
  "an empty key": [
    () => ({ good: 1, "": 2 }),
    { code: "key", key: "", says: '""' },
  ],
  "a number as the key in a Map": [
    () => new Map([[5, 1]]),
    { code: "key", says: "key 5" },
  ],
  "a number as the key in a pair": [
    () => [[5, 1]],
    { code: "key", says: "key 5" },
  ],
  "null as the key in a Map": [
    () => new Map([[null, 1]]),
    { code: "key", says: "key null" },
  ],
  "null as the key in a pair": [
    () => [[null, 1]],
    { code: "key", says: "key null" },
  ],
  "undefined as the key": [
    () => [[undefined, 1]],
    { code: "key", says: "key undefined" },
  ],
  "a symbol as the key in a Map": [
    () => new Map([[Symbol("mine"), 1]]),
    { code: "key", says: "Symbol(mine)" },
  ],
  "a symbol as the key in a pair": [
    () => [[Symbol("mine"), 1]],
    { code: "key", says: "Symbol(mine)" },
  ],
  "a symbol as an object's property": [
    () => ({ good: 1, [Symbol("mine")]: 2 }),
    { code: "key", says: "Symbol(mine)" },
  ],
  "an object as the key": [
    () => new Map([[{}, 1]]),
    { code: "key", says: "an object" },
  ],
  "a String object as the key": [
    () => new Map([[Object("a"), 1]]),
    { code: "key", says: "an object (String)" },
  ],
  "a key with a high surrogate alone": [
    () => ({ "a\uD800": 1 }),
    { code: "key", key: "a\uD800", says: '"a\\ud800"' },
  ],
  "a key with a low surrogate alone": [
    () => ({ "\uDC00b": 1 }),
    { code: "key", key: "\uDC00b", says: '"\\udc00b"' },
  ],

  // Values.
  undefined: [
    () => ({ a: undefined }),
    { code: "value", key: "a", says: ['key "a"', "undefined"] },
  ],
  "a function": [
    () => ({ a: function total() {} }),
    { code: "value", key: "a", says: ['key "a"', "function (total)"] },
  ],
  "a class": [
    () => ({ a: class Cart {} }),
    { code: "value", key: "a", says: ['key "a"', "Cart"] },
  ],
  "a symbol": [
    () => ({ a: Symbol("mine") }),
    { code: "value", key: "a", says: ['key "a"', "Symbol(mine)"] },
  ],
  "a BigInt": [
    () => ({ a: 5n }),
    { code: "value", key: "a", says: ['key "a"', "BigInt"] },
  ],
  "a BigInt inside a value": [
    () => ({ a: { b: [5n] } }),
    { code: "value", key: "a", says: ['key "a"', "BigInt"] },
  ],
  NaN: [
    () => ({ a: NaN }),
    { code: "value", key: "a", says: ['key "a"', "NaN"] },
  ],
  Infinity: [
    () => ({ a: Infinity }),
    { code: "value", key: "a", says: ['key "a"', "Infinity"] },
  ],
  "-Infinity": [
    () => ({ a: -Infinity }),
    { code: "value", key: "a", says: ['key "a"', "-Infinity"] },
  ],
  "a boxed NaN": [
    () => ({ a: Object(NaN) }),
    { code: "value", key: "a", says: ['key "a"', "NaN"] },
  ],
  "a cycle": [
    () => {
      /** @type {any} */
      const a = { b: {} };
      a.b.a = a;
      return { a };
    },
    { code: "value", key: "a", says: ['key "a"', "TypeError"] },
  ],
  "a toJSON that throws": [
    () => ({
      a: {
        toJSON() {
          throw new RangeError("no such cart");
        },
      },
    }),
    {
      code: "value",
      key: "a",
      says: ['key "a"', "RangeError: no such cart"],
    },
  ],
  "a toJSON that throws what is no error": [
    () => ({
      a: {
        toJSON() {
          throw "no such cart";
        },
      },
    }),
    { code: "value", key: "a", says: ['key "a"', "no such cart"] },
  ],
  "a toJSON that returns undefined": [
    () => ({ a: { toJSON: () => undefined } }),
    { code: "value", key: "a", says: 'key "a"' },
  ],
  "a toJSON that returns NaN": [
    () => ({ a: { toJSON: () => NaN } }),
    { code: "value", key: "a", says: 'key "a"' },
  ],
  "a toJSON that returns a Map": [
    () => ({ a: { toJSON: () => new Map([["b", 1]]) } }),
    { code: "value", key: "a", says: 'key "a"' },
  ],
  "a getter inside a value that throws": [
    () => ({
      a: {
        get b() {
          throw new Error("no such cart");
        },
      },
    }),
    { code: "value", key: "a", says: ['key "a"', "no such cart"] },
  ],
  "too many levels for JSON.stringify": [
    () => {
      // Without toJSON, browsers have a way to go that is not recursive.
      /** @type {unknown} */
      let a = { toJSON: () => 1 };
      for (let i = 0; i < 1e6; i++) a = [a];
      return { a };
    },
    { code: "value", key: "a", says: 'key "a"' },
  ],
  "a Map as a value": [
    () => ({ a: new Map([["b", 1]]) }),
    { code: "value", key: "a", says: ['key "a"', "Map"] },
  ],
  "the object Math as a value": [
    () => ({ a: Math }),
    { code: "value", key: "a", says: ['key "a"', "Math"] },
  ],
  "a Set as a value": [
    () => ({ a: new Set([1]) }),
    { code: "value", key: "a", says: ['key "a"', "Set"] },
  ],
  "a Promise as a value": [
    () => ({ a: Promise.resolve(1) }),
    { code: "value", key: "a", says: ['key "a"', "Promise"] },
  ],
  "a RegExp as a value": [
    () => ({ a: /b/ }),
    { code: "value", key: "a", says: ['key "a"', "RegExp"] },
  ],
  "an Error as a value": [
    () => ({ a: new Error("b") }),
    { code: "value", key: "a", says: ['key "a"', "Error"] },
  ],
  "an ArrayBuffer as a value": [
    () => ({ a: new ArrayBuffer(1) }),
    { code: "value", key: "a", says: ['key "a"', "ArrayBuffer"] },
  ],
  "a Blob as a value": [
    () => ({ a: new Blob(["b"]) }),
    { code: "value", key: "a", says: ['key "a"', "Blob"] },
  ],
  "a file of a form": [
    () => {
      const form = new FormData();
      form.set("good", "1");
      form.set("photo", new File(["b"], "b.png"));
      return form;
    },
    { code: "value", key: "photo", says: ['key "photo"', "File"] },
  ],
  "a getter of the entries that throws": [
    () => ({
      good: 1,
      get bad() {
        throw new Error("no such cart");
      },
    }),
    {
      code: "value",
      key: "bad",
      says: ['key "bad"', "no such cart"],
    },
  ],

  // What is no entries at all.
  "null for the entries": [() => null, { code: "value", says: "null" }],
  "nothing for the entries": [
    () => undefined,
    { code: "value", says: "undefined" },
  ],
  "a number for the entries": [() => 42, { code: "value", says: "42" }],
  "a string for the entries": [
    () => "user=Ada",
    { code: "value", says: '"user=Ada"' },
  ],
  "a boolean for the entries": [() => true, { code: "value", says: "true" }],
  "a function for the entries": [
    () => () => [["a", 1]],
    { code: "value", says: "function" },
  ],
  "an object of a class for the entries": [
    () =>
      new (class Cart {
        a = 1;
      })(),
    { code: "value", says: "an object" },
  ],
  "a Promise for the entries": [
    () => Promise.resolve({ a: 1 }),
    { code: "value", says: "Promise" },
  ],
  "a Date for the entries": [
    () => new Date(0),
    { code: "value", says: "Date" },
  ],
  "an asynchronous generator for the entries": [
    () =>
      (async function* () {
        yield ["a", 1];
      })(),
    { code: "value", says: "AsyncGenerator" },
  ],

  // Iterables.
  "an iterable that yields strings": [
    () => ["ab", "cd"],
    { code: "value", says: '"ab"' },
  ],
  "an iterable that yields numbers": [
    () => [1, 2],
    { code: "value", says: "yield 1" },
  ],
  "an iterable that yields null": [
    () => [["a", 1], null],
    { code: "value", says: "null" },
  ],
  "an iterable that yields an array of one": [
    () => [["a"]],
    { code: "value", says: "an array of 1" },
  ],
  "an iterable that yields an array of three": [
    () => [["a", 1, 2]],
    { code: "value", says: "an array of 3" },
  ],
  "an iterable that yields objects": [
    () => [{ key: "a", value: 1 }],
    { code: "value", says: "an object" },
  ],
  "an iterable that throws": [
    () =>
      (function* () {
        yield ["good", 1];
        throw new Error("no more carts");
      })(),
    { code: "value", says: "no more carts" },
  ],
  "an object whose iterator is none": [
    () => ({ a: 1, [Symbol.iterator]: 5 }),
    { code: "value", says: "TypeError" },
  ],
  "a typed array": [() => Uint8Array.of(7), { code: "value", says: "7" }],

  // One of several.
  "the first of five": [
    () => ({ a: undefined, b: 1, c: 1, d: 1, e: 1 }),
    { code: "value", key: "a", says: 'key "a"' },
  ],
  "the one in the middle of five": [
    () => new Map(Object.entries({ a: 1, b: 1, c: () => {}, d: 1, e: 1 })),
    { code: "value", key: "c", says: 'key "c"' },
  ],
  "the last of five": [
    () =>
      (function* () {
        yield* Object.entries({ a: 1, b: 1, c: 1, d: 1 });
        yield ["e", NaN];
      })(),
    { code: "value", key: "e", says: 'key "e"' },
  ],
  "a bad value that a good one of the same key follows": [
    () => [
      ["a", undefined],
      ["a", 1],
    ],
    { code: "value", key: "a", says: 'key "a"' },
  ],
};

inBrowser(
  "save refuses bad entries, and the session is what it was",
  async ({ page, t }) => {
    await page.evaluate(async () => {
      const session = (inPage.kept.session = await inPage.open());
      session.save({ a: "before", b: null });
      session.save({ e: { deep: [1] } });
      session.remove("b");
    });
    for (const [what, [make, expected]] of Object.entries(entries)) {
      await t.test(what, async () => {
        const { error, before, after } = await page.evaluate(
          (make) =>
            inPage.attemptOn(inPage.kept.session, () =>
              inPage.kept.session.save(make()),
            ),
          make,
        );
        assertError(error, { ...expected, says: said("save", expected) });
        assert.deepEqual(after, before);
      });
    }
  },
);

/**
 * Keys that no key can be.
 *
 * @type {Record<string, [make: () => unknown, expected: Expected]>}
 */
const keys = {
  "the empty string": [() => "", { code: "key", key: "", says: '""' }],
  "a number": [() => 5, { code: "key", says: "5" }],
  nothing: [() => undefined, { code: "key", says: "undefined" }],
  null: [() => null, { code: "key", says: "null" }],
  "a symbol": [() => Symbol("mine"), { code: "key", says: "Symbol(mine)" }],
  "an array of keys": [
    () => ["a", "b"],
    { code: "key", says: "an array of 2" },
  ],
  "a lone surrogate": [
    () => "\uD800",
    { code: "key", key: "\uD800", says: '"\\ud800"' },
  ],
};

inBrowser("remove and get refuse what is no key", async ({ page, t }) => {
  await page.evaluate(async () => {
    const session = (inPage.kept.session = await inPage.open());
    session.save({ a: 1, b: 2, null: 3, undefined: 4, 5: 6 });
  });
  for (const [what, [make, expected]] of Object.entries(keys)) {
    await t.test(what, async () => {
      const { removed, got } = await page.evaluate(async (make) => {
        const { session } = inPage.kept;
        return {
          removed: await inPage.attemptOn(session, () =>
            session.remove("a", make(), "b"),
          ),
          got: await inPage.attemptOn(session, () => session.get(make())),
        };
      }, make);
      assertError(removed.error, {
        ...expected,
        says: said("remove", expected),
      });
      assertError(got.error, { ...expected, says: said("get", expected) });
      assert.deepEqual(removed.after, removed.before);
      assert.deepEqual(got.after, got.before);
    });
  }
});

inBrowser("what was thrown is the error's cause", async ({ page }) => {
  const errors = await page.evaluate(async () => {
    const session = await inPage.open();
    const fail = () => {
      throw new Error("no such cart");
    };
    return Promise.all([
      inPage.attempt(() => session.save({ a: { toJSON: fail } })),
      inPage.attempt(() =>
        session.save(
          Object.defineProperty({}, "a", { get: fail, enumerable: true }),
        ),
      ),
      inPage.attempt(() => session.save({ [Symbol.iterator]: fail })),
    ]);
  });
  for (const { error } of errors) {
    assert.equal(error?.cause, "Error: no such cart");
  }
});

inBrowser(
  "a generator is closed when its entries are refused",
  async ({ page }) => {
    const closed = await page.evaluate(async () => {
      const session = await inPage.open();
      let closed = false;
      const { error } = await inPage.attempt(() =>
        session.save(
          (function* () {
            try {
              yield ["a", undefined];
              yield ["b", 1];
            } finally {
              closed = true;
            }
          })(),
        ),
      );
      return closed && error?.code;
    });
    assert.equal(closed, "value");
  },
);

inBrowser(
  "entries may use the session while they are read",
  async ({ page }) => {
    const { loaded, active } = await page.evaluate(async () => {
      const session = await inPage.open();
      session.save(
        (function* () {
          session.save({ a: "inner", b: "inner" });
          yield ["a", "outer"];
          yield ["c", { toJSON: () => session.get("b") }];
        })(),
      );
      session.save({ d: { toJSON: () => session.close() ?? "closed" } });
      return { loaded: session.load(), active: session.active };
    });
    assert.deepEqual(loaded, {
      a: "outer",
      b: "inner",
      c: "inner",
      d: "closed",
    });
    assert.equal(active, false);
  },
);

inBrowser("a session works on after refusals", async ({ page }) => {
  const loaded = await page.evaluate(async () => {
    const session = await inPage.open();
    for (let i = 0; i < 20; i++) {
      await inPage.attempt(() => session.save({ [`bad ${i}`]: undefined }));
      session.save({ good: i });
    }
    return session.load();
  });
  assert.deepEqual(loaded, { good: 19 });
});

/**
 * Every message says which session and which call.
 *
 * @param {string} operation
 * @param {Expected} expected
 */
function said(operation, { says = [] }) {
  return [`session "cart": ${operation}: `, ...[says].flat()];
}
