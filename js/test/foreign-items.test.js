import assert from "node:assert/strict";
import { inBrowser } from "./in-browser.js";

inBrowser(
  "items under the session's name that cannot be read are left alone",
  async ({ page, t }) => {
    const stats = await page.evaluate(async () => {
      const [a, b, c, d, e, f, g, h] = Array.from({ length: 8 }, (_, i) =>
        inPage.stamp(Date.now() - 1000 + i),
      );
      const real = JSON.stringify({
        format: 1,
        batches: [{ stamp: a, set: { stolen: "from a damaged item" } }],
      });
      /** @type {[string, string][]} */
      const foreign = [
        ["cart/", "the name alone"],
        ["cart/notes", "milk, eggs"],
        ["cart/notes/2", '{"stolen":1}'],
        ["cart/__proto__", real],
        [`cart/${a}`, "no JSON"],
        [`cart/${b}`, '{"stolen":1}'],
        [`cart/${c}`, real.replace('"format":1', '"format":2')],
        [`cart/${d}`, real.slice(0, -20)],
        [`cart/${e}`, real.replace(a, "yesterday")],
        [`cart/${f}`, ""],
        [`cart/${g}`, "[]"],
        [`cart/${h}`, "a lone surrogate: \uD800"],
        [`cart/9${a}`, real],
        [`cart/${a.toUpperCase()}`, real],
      ];
      for (const [key, text] of foreign) localStorage.setItem(key, text);
      inPage.kept.foreign = inPage.items();
      const session = (inPage.kept.session = await inPage.open());
      session.save({ a: 1 });
      return session.stats();
    });
    assert.equal(stats.corrupt, 14);
    assert.equal(stats.entries, 1);
    assert.equal(stats.items, 1);

    /** What the session does, and what is loaded afterwards. */
    const steps = /** @type {const} */ ([
      ["load", () => {}, { a: 1 }],
      ["remove", () => inPage.kept.session.remove("a", "stolen"), {}],
      [
        "100 saves",
        () => {
          for (let i = 0; i < 100; i++) inPage.kept.session.save({ i, a: 2 });
        },
        { i: 99, a: 2 },
      ],
      ["clear", () => inPage.kept.session.clear(), {}],
      ["a save after it", () => inPage.kept.session.save({ b: 3 }), { b: 3 }],
    ]);
    for (const [what, step, expected] of steps) {
      await t.test(what, async () => {
        const { loaded, missing, corrupt } = await page.evaluate(
          async (step) => {
            step();
            const { session, foreign } = inPage.kept;
            const loaded = session.load();
            const items = inPage.items().map((item) => item.join("="));
            return {
              loaded,
              missing: foreign.filter(
                (/** @type {string[]} */ item) =>
                  !items.includes(item.join("=")),
              ),
              corrupt: session.stats().corrupt,
            };
          },
          /** @type {() => unknown} */ (step),
        );
        assert.deepEqual(loaded, expected);
        assert.deepEqual(missing, []);
        assert.equal(corrupt, 14);
      });
    }
  },
);

inBrowser(
  "an item whose key has a lone surrogate does not stop the rest",
  async ({ page }) => {
    const result = await page.evaluate(async () => {
      localStorage.setItem("cart/\uD800", "not ours");
      localStorage.setItem("\uDC00", "not ours either");
      const session = await inPage.open();
      session.save({ a: 1 });
      for (let i = 0; i < 40; i++) session.save({ i });
      session.remove("i");
      return {
        loaded: session.load(),
        a: session.get("a"),
        left: [
          localStorage.getItem("cart/\uD800"),
          localStorage.getItem("\uDC00"),
        ],
        corrupt: session.stats().corrupt,
      };
    });
    assert.deepEqual(result, {
      loaded: { a: 1 },
      a: 1,
      left: ["not ours", "not ours either"],
      corrupt: 1,
    });
  },
);

inBrowser(
  "items that other programs wrote in our form are read",
  async ({ page }) => {
    const loaded = await page.evaluate(async () => {
      const [first, second] = [1000, 0].map((ago) =>
        inPage.stamp(Date.now() - ago),
      );
      // With the white space that a person would put there.
      localStorage.setItem(
        `cart/${second}`,
        JSON.stringify(
          {
            format: 1,
            batches: [
              { stamp: first, clear: true, set: { a: 1, b: 1, "\u00e4": 1 } },
              { stamp: second, set: { a: 2 }, remove: ["b"] },
            ],
          },
          null,
          "\t",
        ),
      );
      inPage.writeItem("cart", Date.now() - 5000, { cleared: true });
      return (await inPage.open()).load();
    });
    assert.deepEqual(loaded, { a: 2, ä: 1 });
  },
);

inBrowser("an item that somebody rewrote is read again", async ({ page }) => {
  const loaded = await page.evaluate(async () => {
    const session = await inPage.open();
    session.save({ a: 1, b: 1 });
    const loaded = [session.load()];
    const [[key, text]] = inPage.items();
    for (const other of [
      text.replace('"a":1', '"a":2'),
      text.replace('"a":1', '"c":3'),
      "damaged",
    ]) {
      localStorage.setItem(key, other);
      loaded.push(session.load(), { a: session.get("a") ?? "nothing" });
    }
    return loaded;
  });
  assert.deepEqual(loaded, [
    { a: 1, b: 1 },
    { a: 2, b: 1 },
    { a: 2 },
    { b: 1, c: 3 },
    { a: "nothing" },
    {},
    { a: "nothing" },
  ]);
});
