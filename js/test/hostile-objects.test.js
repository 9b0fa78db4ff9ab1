import assert from "node:assert/strict";
import { inBrowser } from "./in-browser.js";

/**
 * Makes the objects that throw whatever is done with them, and what throws
 * those. It runs in the page.
 */
function makeHostile() {
  /** @param {object} target @param {() => unknown} thrown */
  const throwing = (target, thrown) =>
    new Proxy(
      target,
      new Proxy(
        {},
        {
          get: () => () => {
            throw thrown();
          },
        },
      ),
    );
  /** @param {object} target */
  const revoked = (target) => {
    const { proxy, revoke } = Proxy.revocable(target, {});
    revoke();
    return proxy;
  };
  const error = () => new Error("a trap");
  return {
    "a Proxy that throws": throwing({}, error),
    "a Proxy of an array that throws": throwing([], error),
    "a Proxy that throws a revoked one": throwing({}, () => revoked({})),
    "a revoked Proxy": revoked({}),
    "a revoked Proxy of an array": revoked([]),
    "a revoked Proxy of a function": revoked(() => {}),
    "a function whose name throws": Object.defineProperty(() => {}, "name", {
      get: () => {
        throw error();
      },
    }),
    "an object whose tag throws": {
      get [Symbol.toStringTag]() {
        throw error();
      },
    },
    "an object without a prototype": Object.create(null),
    "an object with a getter that throws a revoked Proxy": {
      get a() {
        throw revoked({});
      },
    },
    "an error that cannot be said": Object.defineProperty(
      new Error(),
      "message",
      {
        get: () => {
          throw error();
        },
      },
    ),
  };
}

inBrowser(
  "whatever objects throw, every error is a SessionError",
  async ({ page }) => {
    const wrong = await page.evaluate(async (makeHostile) => {
      const { open, SessionError } = await inPage.sessionWriter();
      const session = await inPage.open();
      const state = () => JSON.stringify([session.load(), inPage.items()]);
      session.save({ kept: 1 });
      const before = state();
      const sync = await session.sync("/nothing/", {
        fetch: async () => new Response(null, { status: 404 }),
      });
      await sync.now().catch(() => {});

      /** @type {string[]} */
      const wrong = [];
      for (const [what, hostile] of Object.entries(makeHostile())) {
        const x = /** @type {any} */ (hostile);
        const throwing = () => {
          throw x;
        };
        /** @type {Record<string, () => unknown>} */
        const calls = {
          save: () => session.save(x),
          "save a pair": () => session.save([x]),
          "save a key": () => session.save([[x, 1]]),
          "save a value": () => session.save([["a", x], x]),
          "save a property": () => session.save({ a: x, "": 1 }),
          "save what throws it": () =>
            session.save({ a: { toJSON: throwing } }),
          "save what yields, and throws it": () =>
            session.save({ [Symbol.iterator]: throwing }),
          get: () => session.get(x),
          remove: () => session.remove(x),
          subscribe: () => typeof x === "object" && session.subscribe(x),
          open: () => open(x),
          "open with": () => open("cart", x),
          "open with a storage": () => open("cart", { storage: x }),
          "open with a maxAge": () => open("cart", { maxAge: x }),
          "open with a fallback": () => open("cart", { fallback: x }),
          "open with a wasm": () => open("cart", { wasm: x }),
          sync: () => session.sync(x),
          "sync with": () => session.sync("/nothing/", x),
          "sync with a delay": () => session.sync("/nothing/", { delay: x }),
          "sync with a fetch": () =>
            typeof x === "object" && session.sync("/nothing/", { fetch: x }),
          "subscribe to a sync": () =>
            typeof x === "object" && sync.subscribe(x),
          join: () => sync.join(x),
        };
        for (const [call, f] of Object.entries(calls)) {
          try {
            await f();
          } catch (thrown) {
            let isOurs = false;
            try {
              isOurs = thrown instanceof SessionError;
            } catch {
              // It is a Proxy.
            }
            if (!isOurs) wrong.push(`${call}: ${what}`);
          }
        }
        // Of some of them nothing is saved.
        session.remove("a");
      }
      sync.close();
      if (state() === before) wrong.push("nothing was removed");
      if (session.get("kept") !== 1) wrong.push("something was lost");
      return wrong;
    }, makeHostile);
    assert.deepEqual(wrong, []);
  },
);

inBrowser(
  "a storage that throws whatever is no more than an error",
  async ({ page }) => {
    const { codes, loaded } = await page.evaluate(async (makeHostile) => {
      const { SessionError } = await inPage.sessionWriter();
      const session = await inPage.open();
      /** @type {string[]} */
      const codes = [];
      for (const hostile of Object.values(makeHostile())) {
        const mend = inPage.breakStorage("setItem", () => hostile);
        try {
          session.save({ a: 1 });
          codes.push("saved");
        } catch (error) {
          codes.push(error instanceof SessionError ? error.code : "not ours");
        }
        mend();
      }
      session.save({ b: 2 });
      return { codes, loaded: session.load() };
    }, makeHostile);
    assert.deepEqual([...new Set(codes)], ["internal"]);
    assert.deepEqual(loaded, { b: 2 });
  },
);
