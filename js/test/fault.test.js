import assert from "node:assert/strict";
import { assertError } from "./assert-error.js";
import { inBrowser } from "./in-browser.js";

inBrowser(
  "what a page's own storage throws is a fault, and the session works on",
  async ({ page, t }) => {
    /** @type {Record<string, [thrown: () => unknown, says: string]>} */
    const faults = {
      "a TypeError": [
        () => new TypeError("setItem is mine"),
        "setItem is mine",
      ],
      "an object": [() => ({ mine: true }), ""],
      "a string": [() => "setItem is mine", ""],
      nothing: [() => undefined, ""],
      null: [() => null, ""],
    };
    for (const [what, [thrown, says]] of Object.entries(faults)) {
      await t.test(what, async () => {
        const { outcomes, loaded } = await page.evaluate(async (thrown) => {
          const session = await inPage.open();
          session.save({ a: 1 });
          const mend = inPage.breakStorage("setItem", thrown);
          const outcomes = [];
          for (const f of [
            () => session.save({ a: 2 }),
            () => session.remove("a"),
            () => session.clear(),
          ]) {
            outcomes.push(await inPage.attemptOn(session, f));
          }
          mend();
          session.save({ b: 2 });
          return { outcomes, loaded: session.load() };
        }, thrown);
        for (const { error, before, after } of outcomes) {
          assertError(error, {
            code: "internal",
            says: ['session "cart"', says],
          });
          assert.deepEqual(after, before);
        }
        assert.deepEqual(loaded, { a: 1, b: 2 });
      });
    }
  },
);

inBrowser(
  "a fault while it compacts does not fail the save, which is done",
  async ({ page, t }) => {
    for (const method of /** @type {const} */ (["removeItem", "getItem"])) {
      for (const thrown of [
        () => new DOMException("Denied.", "SecurityError"),
        () => new TypeError("mine"),
      ]) {
        await t.test(`${method}: ${thrown}`, async () => {
          const { errors, loaded } = await page.evaluate(
            async (method, thrown) => {
              const session = await inPage.open(`${method} ${thrown}`);
              const mend = inPage.breakStorage(method, thrown);
              const errors = [];
              for (let i = 0; i < 40; i++) {
                const { error } = await inPage.attempt(() =>
                  session.save({ i }),
                );
                if (error) errors.push(error);
              }
              mend();
              return { errors, loaded: session.load() };
            },
            method,
            thrown,
          );
          assert.deepEqual(loaded, { i: 39 });
          assert.deepEqual(errors, []);
        });
      }
    }
  },
);

inBrowser(
  "a storage that calls back into the session does no harm",
  async ({ page }) => {
    const loaded = await page.evaluate(async () => {
      const [session, log] = [await inPage.open(), await inPage.open("log")];
      const { setItem } = Storage.prototype;
      let calls = 0;
      Storage.prototype.setItem = function (
        /** @type {string} */ key,
        /** @type {string} */ text,
      ) {
        if (key.startsWith("cart/")) {
          log.save({ [`call ${++calls}`]: text.length > 0 });
          if (calls === 1) session.save({ inner: session.load() });
        }
        setItem.call(this, key, text);
      };
      session.save({ a: 1 });
      session.save({ b: 2 });
      return { session: session.load(), log: log.load() };
    });
    assert.deepEqual(loaded, {
      session: { a: 1, b: 2, inner: {} },
      log: { "call 1": true, "call 2": true, "call 3": true },
    });
  },
);

inBrowser(
  "where the stack runs out, a call fails or is whole, and nothing hangs",
  async ({ page }) => {
    const { codes, after } = await page.evaluate(async () => {
      const { SessionError } = await inPage.sessionWriter();
      const session = await inPage.open();
      session.save({ a: 0, b: 0 });
      /** @type {Set<string>} */
      const codes = new Set();
      let saves = 0;
      // Once the stack has run out, a save is tried at each depth on the way
      // back: it fails in our JavaScript, then in the module, then not at all.
      const dive = () => {
        try {
          dive();
        } catch (error) {
          if (saves > 2000) return;
          saves++;
          try {
            session.save({ a: saves, b: saves });
            codes.add("saved");
          } catch (error) {
            codes.add(
              error instanceof SessionError ? error.code : "out of stack",
            );
          }
          throw error;
        }
      };
      dive();
      const after = [];
      for (const f of [
        () => session.save({ c: 1 }),
        () => session.remove("c"),
        () => session.clear(),
        () => session.load(),
        () => session.get("a"),
        () => session.stats(),
        () => session.subscribe(() => {}),
        () => inPage.open("another"),
        () => session.close(),
      ]) {
        const { error } = await inPage.attempt(f);
        after.push(error?.code ?? error?.name ?? "done");
      }
      return { codes: [...codes].sort(), after };
    });
    for (const code of codes) {
      assert.match(code, /^(saved|internal|value|out of stack)$/);
    }
    for (const code of after) assert.match(code, /^(done|internal)$/);
    await page.takeErrors(); // the console says why the module has stopped

    await page.reload();
    const { a, b } = await page.evaluate(async () =>
      (await inPage.open()).load(),
    );
    assert.equal(a, b);
  },
);
