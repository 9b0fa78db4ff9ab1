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
      const { open, openSync, SessionError } = await inPage.sessionWriter();
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
          "save what throws it as an error of ours": () =>
            session.save({
              [Symbol.iterator]: () => {
                throw Object.defineProperty(
                  new SessionError("quota", "it is full"),
                  "cause",
                  { get: throwing },
                );
              },
            }),
          get: () => session.get(x),
          remove: () => session.remove(x),
          subscribe: () => typeof x === "object" && session.subscribe(x),
          open: () => open(x),
          "open with": () => open("cart", x),
          "open with a storage": () => open("cart", { storage: x }),
          "open with a maxAge": () => open("cart", { maxAge: x }),
          "open with a fallback": () => open("cart", { fallback: x }),
          "open synchronously": () => openSync(x),
          "open synchronously with": () => openSync("cart", x),
          sync: () => session.sync(x),
          "sync with": () => session.sync("/nothing/", x),
          "sync with a delay": () => session.sync("/nothing/", { delay: x }),
          "sync with a fetch": () =>
            typeof x === "object" && session.sync("/nothing/", { fetch: x }),
          "subscribe to a sync": () =>
            typeof x === "object" && sync.subscribe(x),
          join: () => sync.join(x),
          "join with": () => typeof x === "object" && sync.join("0000", x),
          rename: () => sync.rename(x, "mine"),
          "rename to": () => sync.rename("0123456789abcdef", x),
          revoke: () => sync.revoke(x),
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
  "entries that throw an error of ours, or what is like one, are refused",
  async ({ page }) => {
    const errors = await page.evaluate(async () => {
      const { SessionError } = await inPage.sessionWriter();
      const session = await inPage.open();
      const ours = () => new SessionError("quota", "it is full");
      const trap = () => {
        throw new Error("a trap");
      };
      /** @type {Record<string, () => unknown>} */
      const thrown = {
        "one of ours": ours,
        "a Proxy of one": () => new Proxy(ours(), {}),
        "a Proxy of one that throws": () => new Proxy(ours(), { get: trap }),
        "what has its prototype": () => Object.create(SessionError.prototype),
        "one whose message is a symbol": () =>
          Object.assign(ours(), { message: Symbol("message") }),
        "one whose message throws": () =>
          Object.defineProperty(ours(), "message", { get: trap }),
        "one whose cause throws": () =>
          Object.defineProperty(ours(), "cause", { get: trap }),
        "one whose key throws": () =>
          Object.defineProperty(ours(), "key", { get: trap }),
        "one whose code throws": () =>
          Object.defineProperty(ours(), "code", { get: trap }),
      };
      return Object.entries(thrown).map(([what, make]) => {
        try {
          session.save({
            [Symbol.iterator]: () => {
              throw make();
            },
          });
          return [what, "saved"];
        } catch (error) {
          return error instanceof SessionError
            ? [what, error.code, error.message]
            : [what, "not ours"];
        }
      });
    });
    const full = ["quota", 'session "cart": save: it is full'];
    const begin = 'session "cart": save: the entries threw ';
    assert.deepEqual(errors, [
      ["one of ours", ...full],
      ["a Proxy of one", ...full],
      ["a Proxy of one that throws", "value", `${begin}an object that throws`],
      ["what has its prototype", "value", `${begin}Error`],
      ...[
        ["one whose message is a symbol", "an object (Error)"],
        ["one whose message throws", "an object (Error)"],
        ["one whose cause throws", "SessionError: it is full"],
        ["one whose key throws", "SessionError: it is full"],
        ["one whose code throws", "SessionError: it is full"],
      ].map(([what, said]) => [what, "value", begin + said]),
    ]);
  },
);

inBrowser("a module's source that throws is told of", async ({ page }) => {
  const { outcomes, loaded } = await page.evaluate(async () => {
    const { open, SessionError } = await inPage.streaming();
    const trap = () => {
      throw new Error("a trap");
    };
    const bytes = await (await fetch("/dist/session.wasm")).arrayBuffer();
    const response = () =>
      new Response(bytes, { headers: { "Content-Type": "application/wasm" } });
    const url = () => new URL("/dist/session.wasm", location.href);
    /** @param {object} object @param {string} name */
    const throwing = (object, name) =>
      Object.defineProperty(object, name, { get: trap });
    /** @type {Record<string, object>} */
    const sources = {
      "a Proxy of a Response": new Proxy(response(), {}),
      "a Proxy of a Response that throws": new Proxy(response(), { get: trap }),
      "what has a Response's prototype": Object.create(Response.prototype),
      "a Response whose ok throws": throwing(response(), "ok"),
      "a Response whose headers throw": throwing(response(), "headers"),
      "a Proxy of a URL": new Proxy(url(), {}),
      "a Proxy of a URL that throws": new Proxy(url(), { get: trap }),
      "what has a URL's prototype": Object.create(URL.prototype),
      "a URL whose protocol throws": throwing(url(), "protocol"),
      "a URL whose toString throws": throwing(url(), "toString"),
      "what has a module's prototype": Object.create(
        WebAssembly.Module.prototype,
      ),
      "a module whose then throws": throwing(
        new WebAssembly.Module(bytes),
        "then",
      ),
    };
    /** @type {Record<string, string>} */
    const outcomes = {};
    for (const [what, wasm] of Object.entries(sources)) {
      try {
        await open("cart", { wasm: /** @type {any} */ (wasm) });
        outcomes[what] = "opened";
      } catch (error) {
        outcomes[what] =
          error instanceof SessionError
            ? `${error.code} ${error.message.slice(0, 22)}`
            : `not ours: ${error}`;
      }
    }
    const session = await open("cart");
    session.save({ a: 1 });
    return { outcomes, loaded: session.load() };
  });
  for (const [what, outcome] of Object.entries(outcomes)) {
    assert.equal(outcome, 'load session "cart": open: ', what);
  }
  assert.deepEqual(loaded, { a: 1 });
});

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
