import assert from "node:assert/strict";
import { inBrowser } from "./in-browser.js";

/**
 * What save takes, each of which says a: 1, b: 2.
 *
 * @type {Record<string, () => unknown>}
 */
const forms = {
  "a Map": () =>
    new Map([
      ["a", 1],
      ["b", 2],
    ]),
  "an array of pairs": () => [
    ["a", 1],
    ["b", 2],
  ],
  "a generator": () =>
    (function* () {
      yield ["a", 1];
      yield ["b", 2];
    })(),
  "an iterable object of its own making": () => ({
    *[Symbol.iterator]() {
      yield ["a", 1];
      yield ["b", 2];
    },
  }),
  "a Map's entries": () => new Map(Object.entries({ a: 1, b: 2 })).entries(),
  "a plain object": () => ({ a: 1, b: 2 }),
  "an object without a prototype": () =>
    Object.assign(Object.create(null), { a: 1, b: 2 }),
  "an object with a getter": () => ({
    a: 1,
    get b() {
      return 2;
    },
  }),
  "an object's enumerable properties": () =>
    Object.defineProperty({ a: 1, b: 2 }, "hidden", { value: 3 }),
};

inBrowser("save takes whatever yields pairs", async ({ page, t }) => {
  for (const [form, make] of Object.entries(forms)) {
    await t.test(form, async () => {
      const loaded = await page.evaluate(
        async (form, make) => {
          const session = await inPage.open(form);
          session.save(/** @type {any} */ (make()));
          return session.load();
        },
        form,
        make,
      );
      assert.deepEqual(loaded, { a: 1, b: 2 });
    });
  }
});

inBrowser("save takes FormData and URLSearchParams", async ({ page }) => {
  const loaded = await page.evaluate(async () => {
    const session = await inPage.open();
    const form = new FormData();
    form.append("name", "Ada");
    form.append("tag", "first");
    form.append("tag", "last");
    session.save(/** @type {any} */ (form));
    session.save(new URLSearchParams("q=a+b&page=2"));
    return session.load();
  });
  assert.deepEqual(loaded, { name: "Ada", tag: "last", q: "a b", page: "2" });
});

inBrowser("save takes objects and Maps of another realm", async ({ page }) => {
  const loaded = await page.evaluate(async () => {
    const frame = document.createElement("iframe");
    document.body.append(frame);
    const realm = /** @type {any} */ (frame.contentWindow);
    const session = await inPage.open();
    session.save(Object.assign(new realm.Object(), { object: 1 }));
    session.save(new realm.Map([["map", 2]]));
    session.save(realm.Array.of(realm.Array.of("array", 3)));
    return session.load();
  });
  assert.deepEqual(loaded, { object: 1, map: 2, array: 3 });
});

inBrowser("a save leaves what it does not speak of", async ({ page }) => {
  const loaded = await page.evaluate(async () => {
    const session = await inPage.open();
    session.save({ a: 1, b: { deep: [1] } });
    session.save({ b: 2, c: 3 });
    session.save(new Map([["d", null]]));
    return session.load();
  });
  assert.deepEqual(loaded, { a: 1, b: 2, c: 3, d: null });
});

inBrowser("of equal keys in a batch the last counts", async ({ page }) => {
  const loaded = await page.evaluate(async () => {
    const session = await inPage.open();
    session.save([
      ["a", 1],
      ["b", 1],
      ["a", 2],
      ["a", 3],
    ]);
    return session.load();
  });
  assert.deepEqual(loaded, { a: 3, b: 1 });
});

inBrowser("saves of one millisecond apply in their order", async ({ page }) => {
  const loaded = await page.evaluate(async () => {
    const now = Date.now();
    Date.now = () => now;
    const [one, other] = [await inPage.open(), await inPage.open()];
    for (let i = 0; i <= 10; i++) {
      one.save({ a: `one ${i}`, b: `one ${i}` });
      other.save({ a: `other ${i}` });
    }
    return one.load();
  });
  assert.deepEqual(loaded, { a: "other 10", b: "one 10" });
});

inBrowser("a save wins although the clock was set back", async ({ page }) => {
  const loaded = await page.evaluate(async () => {
    const session = await inPage.open();
    session.save({ a: 1, b: 1 });
    const now = Date.now();
    Date.now = () => now - 365 * 24 * 60 * 60 * 1000;
    session.save({ a: 2 });
    session.remove("b");
    return session.load();
  });
  assert.deepEqual(loaded, { a: 2 });
});

inBrowser("save changes nothing that it was given", async ({ page }) => {
  await page.evaluate(async () => {
    const session = await inPage.open();
    const entries = Object.freeze({ a: Object.freeze({ b: 1 }) });
    session.save(entries);
    /** @type {any} */ (session.load()).a.b = 2;
    if (/** @type {any} */ (session.get("a")).b !== 1) {
      throw new Error("what load returned is kept in the session");
    }
  });
});

inBrowser("all that was saved is there after a reload", async ({ page }) => {
  await page.evaluate(async () => {
    const session = await inPage.open();
    session.save({ user: { name: "Ada" }, gone: true });
    session.save({ theme: "dark" });
    session.remove("gone");
  });
  await page.reload();
  assert.deepEqual(
    await page.evaluate(async () => (await inPage.open()).load()),
    { user: { name: "Ada" }, theme: "dark" },
  );
});

inBrowser("get tells absent from null", async ({ page }) => {
  const got = await page.evaluate(async () => {
    const session = await inPage.open();
    session.save({ present: { a: [1] }, nothing: null, no: false, text: "" });
    return [
      "present",
      "nothing",
      "no",
      "text",
      "absent",
      "toString",
      "__proto__",
    ].map((key) => {
      const value = session.get(key);
      return value === undefined ? "undefined" : { value };
    });
  });
  assert.deepEqual(got, [
    { value: { a: [1] } },
    { value: null },
    { value: false },
    { value: "" },
    "undefined",
    "undefined",
    "undefined",
  ]);
});

inBrowser("remove removes what it names and nothing else", async ({ page }) => {
  const got = await page.evaluate(async () => {
    const session = await inPage.open();
    session.save({ a: 1, b: 2, c: 3, d: 4 });
    session.remove("a");
    session.remove("b", "absent", "b");
    session.remove("absent", "toString");
    const removed = session.load();
    session.save({ a: "again" });
    return [removed, session.load(), session.get("b") === undefined];
  });
  assert.deepEqual(got, [{ c: 3, d: 4 }, { a: "again", c: 3, d: 4 }, true]);
});

inBrowser("clear removes all, and a save begins anew", async ({ page }) => {
  const got = await page.evaluate(async () => {
    const session = await inPage.open();
    session.clear();
    session.save({ a: 1, b: 2 });
    session.clear();
    const cleared = session.load();
    session.save({ c: 3 });
    return [cleared, session.load()];
  });
  assert.deepEqual(got, [{}, { c: 3 }]);
});

inBrowser("stats say what the session takes", async ({ page }) => {
  const { stats, empty, units } = await page.evaluate(async () => {
    const session = await inPage.open();
    const empty = session.stats();
    session.save({ a: "äöü😀", b: 2 });
    session.save({ b: 3 });
    session.remove("absent");
    const units = inPage.items().flat().join("").length;
    return { stats: session.stats(), empty, units };
  });
  assert.deepEqual(empty, { entries: 0, items: 0, bytes: 0, corrupt: 0 });
  assert.deepEqual(stats, { entries: 2, items: 3, bytes: units, corrupt: 0 });
});

/** Texts that something on the way might take for something else. */
const texts = [
  "__proto__",
  "length",
  "constructor",
  "toString",
  "hasOwnProperty",
  "getItem",
  "0",
  "-1",
  " ",
  "\u0000",
  "a\u0000b",
  "\t\r\n\b\f\v\u007f",
  '"quotes"',
  "'",
  "\\",
  "\\u0041",
  "a/b",
  "/",
  "</script>",
  "äöü",
  "日本語",
  "😀👩‍👩‍👧",
  "\u2028\u2029",
  "\uFEFF",
  "\uFEFFmarked",
  "\uFFFD\uFFFE\uFFFF",
  "x".repeat(10_000),
];

inBrowser(
  "entries of the key __proto__ are safe to spread and to assign",
  async ({ page }) => {
    const got = await page.evaluate(async () => {
      const session = await inPage.open();
      const changes = inPage.recordChanges(session);
      session.save(JSON.parse('{"__proto__":{"admin":true},"a":1}'));
      await inPage.nextTask();
      const copies = [session.load(), changes[0].set].flatMap((entries) => [
        { ...entries },
        Object.assign({}, entries),
      ]);
      return {
        copies: copies.map((copy) => ({
          a: copy.a,
          admin: "admin" in copy,
          plain: Object.getPrototypeOf(copy) === Object.prototype,
        })),
        got: session.get("__proto__"),
        loaded: session.load().__proto__,
        told: changes[0].set.__proto__,
      };
    });
    const safe = { a: 1, admin: false, plain: true };
    const value = { admin: true };
    assert.deepEqual(got, {
      copies: [safe, safe, safe, safe],
      got: value,
      loaded: value,
      told: value,
    });
  },
);

inBrowser("any text can be a key", async ({ page }) => {
  const pairs = texts.map((text, i) => /** @type {const} */ ([text, i]));
  /** @param {typeof pairs} pairs */
  const state = async (pairs) => {
    const session = await inPage.open();
    const loaded = session.load();
    return {
      // All, also one that is not enumerable.
      loaded: Object.fromEntries(
        Reflect.ownKeys(loaded).map((key) => [key, loaded[String(key)]]),
      ),
      own: pairs.every(([key]) => Object.hasOwn(loaded, key)),
      got: pairs.map(([key]) => session.get(key)),
    };
  };
  const expected = {
    loaded: Object.fromEntries(pairs),
    own: true,
    got: texts.map((_, i) => i),
  };

  await page.evaluate(async (pairs) => {
    (await inPage.open()).save(pairs);
  }, pairs);
  assert.deepEqual(await page.evaluate(state, pairs), expected, "as pairs");
  await page.reload();
  assert.deepEqual(await page.evaluate(state, pairs), expected, "after reload");

  // As properties of an object, through compaction, and removed.
  await page.evaluate(async (pairs) => {
    const session = await inPage.open();
    session.clear();
    for (const pair of pairs) session.save(Object.fromEntries([pair]));
  }, pairs);
  await page.reload();
  assert.deepEqual(await page.evaluate(state, pairs), expected, "compacted");

  const left = await page.evaluate(async (keys) => {
    const session = await inPage.open();
    session.remove(...keys);
    return Reflect.ownKeys(session.load());
  }, texts);
  assert.deepEqual(left, []);
});

inBrowser("any text can be a session's name", async ({ page }) => {
  const names = texts.filter((text) => !text.includes("/"));
  await page.evaluate(async (names) => {
    for (const name of names) {
      (await inPage.open(name)).save({ name });
    }
  }, names);
  await page.reload();
  const loaded = await page.evaluate(async (names) => {
    const loaded = [];
    for (const name of names) {
      const session = await inPage.open(name);
      loaded.push({ ...session.load(), is: session.name });
    }
    return loaded;
  }, names);
  assert.deepEqual(
    loaded,
    names.map((name) => ({ name, is: name })),
  );
});

/**
 * Values, and what JSON makes of them.
 *
 * @type {Record<string, [make: () => unknown, expected: unknown]>}
 */
const values = {
  null: [() => null, null],
  false: [() => false, false],
  "the empty string": [() => "", ""],
  "an empty object and array": [() => [{}, []], [{}, []]],
  "nested values": [
    () => ({ a: [1, { b: [null, { c: "d" }] }] }),
    { a: [1, { b: [null, { c: "d" }] }] },
  ],
  "what JSON drops or changes inside a value": [
    () => ({ a: [undefined, NaN], b: undefined, c: new Map() }),
    { a: [null, null], c: {} },
  ],
  "a key named __proto__ inside a value": [
    () => JSON.parse('{"__proto__":{"a":1}}'),
    JSON.parse('{"__proto__":{"a":1}}'),
  ],
  "a Date": [() => new Date(0), "1970-01-01T00:00:00.000Z"],
  "a URL": [() => new URL("https://a.example/b"), "https://a.example/b"],
  "an object with toJSON": [
    () => ({ toJSON: (/** @type {string} */ key) => [`toJSON of ${key}`] }),
    ["toJSON of "],
  ],
  "an empty object that toJSON returned": [
    () => Object.assign(new Map(), { toJSON: () => ({}) }),
    {},
  ],
  "an object of a class": [
    () =>
      new (class {
        a = 1;
      })(),
    { a: 1 },
  ],
  "boxed values": [
    () => [Object(1), Object("a"), Object(true)],
    [1, "a", true],
  ],
  "a lone surrogate": [() => "a\uD800b\uDC00", "a\uD800b\uDC00"],
  "1 MB": [
    () => "0123456789abcdef".repeat(65536),
    "0123456789abcdef".repeat(65536),
  ],
  "all of U+0000 to U+FFFF": [
    () =>
      Array.from({ length: 0x10000 }, (_, i) => String.fromCharCode(i)).join(
        "",
      ),
    Array.from({ length: 0x10000 }, (_, i) => String.fromCharCode(i)).join(""),
  ],
  "1,000 levels": [
    () => JSON.parse("[".repeat(1000) + "]".repeat(1000)),
    JSON.parse("[".repeat(1000) + "]".repeat(1000)),
  ],
  numbers: [
    () => [
      0.1,
      1 / 3,
      -0,
      1e21,
      1e-7,
      Number.MAX_SAFE_INTEGER,
      Number.MAX_VALUE,
      Number.MIN_VALUE,
      -Math.PI,
    ],
    [
      0.1,
      1 / 3,
      0,
      1e21,
      1e-7,
      Number.MAX_SAFE_INTEGER,
      Number.MAX_VALUE,
      Number.MIN_VALUE,
      -Math.PI,
    ],
  ],
};

inBrowser("values are kept as JSON has them", async ({ page, t }) => {
  for (const [what, [make]] of Object.entries(values)) {
    await page.evaluate(
      async (what, make) => {
        const session = await inPage.open(what);
        session.save({ value: make() });
        // Often enough that it is compacted.
        for (let i = 0; i < 16; i++) session.save({ i });
      },
      what,
      make,
    );
  }
  await page.reload();
  for (const [what, [, expected]] of Object.entries(values)) {
    await t.test(what, async () => {
      const got = await page.evaluate(async (what) => {
        const session = await inPage.open(what);
        return [session.get("value"), session.load().value];
      }, what);
      assert.deepEqual(got, [expected, expected]);
    });
  }
});
