import assert from "node:assert/strict";
import { assertError } from "./assert-error.js";
import { inBrowser } from "./in-browser.js";
import { fromMakefile } from "../harness/go.js";
import { dist } from "../harness/server.js";

inBrowser(
  "the module is in index.js, which loads nothing",
  async ({ page, site }) => {
    const loaded = await page.evaluate(async () => {
      const { openSync } = await inPage.sessionWriter();
      const session = openSync("cart");
      session.save({ a: 1 });
      return openSync("cart").load();
    });
    assert.deepEqual(loaded, { a: 1 });
    assert.equal(site.requests("/dist/session.wasm"), 0);
  },
);

inBrowser(
  "the module of streaming.js is the session.wasm beside it, loaded by open",
  async ({ page, site }) => {
    await page.evaluate(() => inPage.streaming());
    assert.equal(site.requests("/dist/session.wasm"), 0);
    await page.evaluate(async () =>
      (await inPage.openStreaming()).save({ a: 1 }),
    );
    assert.equal(site.requests("/dist/session.wasm"), 1);
  },
);

/**
 * What can be given for the module, in a page at the root of its site.
 *
 * @type {Record<string, () => unknown>}
 */
const sources = {
  "a URL as a string": () => `${location.origin}/mine/session.wasm`,
  "a URL": () => new URL("/mine/session.wasm", location.href),
  "a path": () => "/mine/session.wasm",
  "a path that is relative to the document": () => "mine/session.wasm",
  "a Response": () => fetch("/mine/session.wasm"),
  "a Response of our own making": async () =>
    new Response(await (await fetch("/mine/session.wasm")).blob()),
  "an ArrayBuffer": async () =>
    (await fetch("/mine/session.wasm")).arrayBuffer(),
  "a Uint8Array": async () =>
    new Uint8Array(await (await fetch("/mine/session.wasm")).arrayBuffer()),
  "a part of a larger buffer": async () => {
    const wasm = await (await fetch("/mine/session.wasm")).arrayBuffer();
    const larger = new Uint8Array(wasm.byteLength + 20);
    larger.set(new Uint8Array(wasm), 10);
    return new DataView(larger.buffer, 10, wasm.byteLength);
  },
  "a WebAssembly.Module": () =>
    WebAssembly.compileStreaming(fetch("/mine/session.wasm")),
};

inBrowser("the module can be given", async ({ page, site, t }) => {
  site.serve("/mine/", dist);
  for (const [what, make] of Object.entries(sources)) {
    await t.test(what, async () => {
      const before = site.requests("/mine/session.wasm");
      // The page loads the module once, so each source needs a new one.
      await page.reload();
      const loaded = await page.evaluate(async (make) => {
        const session = await inPage.openStreaming("cart", {
          wasm: await make(),
        });
        session.save({ a: 1 });
        return session.load();
      }, make);
      assert.deepEqual(loaded, { a: 1 });
      assert.equal(site.requests("/mine/session.wasm"), before + 1);
      assert.equal(site.requests("/dist/session.wasm"), 0);
    });
  }
});

/**
 * What is wrong with /faulty/<name>.wasm, and what the error must say besides
 * its URL.
 *
 * @type {Record<string, string[]>}
 */
const faults = {
  "not-found": ["404", "Not Found"],
  "server-error": ["500", "Internal Server Error"],
  html: ["text/html"],
  truncated: [],
  empty: [],
  destroyed: [],
  "another-program": [],
  "another-go-program": [],
  "other-imports": [],
};

inBrowser(
  "a module that cannot be loaded is told of, and can be tried again",
  async ({ page, site, t }) => {
    for (const [fault, says] of Object.entries(faults)) {
      await t.test(fault, async () => {
        await page.reload();
        const path = `/faulty/${fault}.wasm`;
        const { string, response, loaded } = await page.evaluate(
          async (path) => {
            const string = await inPage.attempt(() =>
              inPage.openStreaming("cart", { wasm: path }),
            );
            const response = await inPage.attempt(async () =>
              inPage.openStreaming("cart", { wasm: await fetch(path) }),
            );
            const session = await inPage.openStreaming();
            session.save({ a: 1 });
            await inPage.nextTask();
            return { string, response, loaded: session.load() };
          },
          path,
        );
        assertError(string.error, {
          code: "load",
          says: ['session "cart": open: ', site.url(path), ...says],
        });
        // Without an answer there is no response to give.
        if (fault !== "destroyed") {
          assertError(response.error, {
            code: "load",
            says: [site.url(path), ...says],
          });
          assert.equal(site.requests(path), 2);
        }
        assert.deepEqual(loaded, { a: 1 });
        assert.deepEqual(await page.takeErrors(), []);
      });
    }
  },
);

/**
 * What is no module, and what the error must say.
 *
 * @type {Record<string, [make: () => unknown, says: string]>}
 */
const noModules = {
  "other bytes": [() => Uint8Array.of(1, 2, 3), "bytes"],
  "no bytes": [() => new ArrayBuffer(0), "bytes"],
  "another module": [
    () => WebAssembly.compile(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)),
    "session.wasm",
  ],
  "what is no URL": [() => "http://", '"http://"'],
  "a Response that was read": [
    async () => {
      const response = await fetch("/dist/session.wasm");
      await response.arrayBuffer();
      return response;
    },
    "/dist/session.wasm",
  ],
  "a Response of an error": [() => Response.error(), "0"],
};

inBrowser("what is given and no module is told of", async ({ page, t }) => {
  for (const [what, [make, says]] of Object.entries(noModules)) {
    await t.test(what, async () => {
      await page.reload();
      const { error } = await page.evaluate(async (make) => {
        const wasm = await make();
        return inPage.attempt(() => inPage.openStreaming("cart", { wasm }));
      }, make);
      assertError(error, { code: "load", says });
      assert.deepEqual(await page.takeErrors(), []);
    });
  }
});

inBrowser(
  "a URL that the policy forbids is told of",
  async ({ page, site }) => {
    const elsewhere = site.otherOrigin("/cors/dist/session.wasm");
    const { error } = await page.evaluate(
      (wasm) => inPage.attempt(() => inPage.openStreaming("cart", { wasm })),
      elsewhere,
    );
    assertError(error, { code: "load", says: elsewhere });
    assert.deepEqual(await page.takeErrors(), [
      `forbidden by connect-src: ${elsewhere}`,
    ]);
  },
);

inBrowser(
  "where the policy forbids WebAssembly, the error says what to allow",
  async ({ newPage, site }) => {
    const page = await newPage(site.url("/without-wasm"));
    const errors = await page.evaluate(async () => {
      const { openSync } = await inPage.sessionWriter();
      return [
        (await inPage.attempt(() => openSync("cart"))).error,
        (await inPage.attempt(() => inPage.openStreaming())).error,
      ];
    });
    for (const error of errors) {
      assertError(error, {
        code: "load",
        says: ["Content-Security-Policy", "'wasm-unsafe-eval'"],
      });
    }
    for (const error of await page.takeErrors()) {
      assert.match(error, /^forbidden by script-src/);
    }
  },
);

inBrowser("a page loads the module once", async ({ page, site }) => {
  const loaded = await page.evaluate(async () => {
    const atOnce = await Promise.all([
      inPage.openStreaming("a"),
      inPage.openStreaming("b"),
    ]);
    const later = [];
    for (let i = 0; i < 8; i++)
      later.push(await inPage.openStreaming(`later ${i}`));
    const sessions = [...atOnce, ...later];
    for (const session of sessions) session.save({ is: session.name });
    return sessions.map((session) => session.load().is === session.name);
  });
  assert.deepEqual(loaded, Array(10).fill(true));
  assert.equal(site.requests("/dist/session.wasm"), 1);
});

inBrowser("two opens at once fail with one request", async ({ page, site }) => {
  const outcomes = await page.evaluate(() =>
    Promise.all([
      inPage.attempt(() =>
        inPage.openStreaming("a", { wasm: "/faulty/not-found.wasm" }),
      ),
      inPage.attempt(() =>
        inPage.openStreaming("b", { wasm: "/faulty/not-found.wasm" }),
      ),
    ]),
  );
  assertError(outcomes[0].error, { code: "load", says: 'session "a"' });
  assertError(outcomes[1].error, { code: "load", says: 'session "b"' });
  assert.equal(site.requests("/faulty/not-found.wasm"), 1);
});

inBrowser(
  "application/wasm is compiled while it loads, another type from its bytes",
  async ({ page, t }) => {
    for (const [path, expected] of /** @type {const} */ ([
      ["/dist/session.wasm", { compileStreaming: 1, compile: 0 }],
      ["/faulty/octet-stream.wasm", { compileStreaming: 0, compile: 1 }],
      ["/faulty/charset.wasm", { compileStreaming: 0, compile: 1 }],
    ])) {
      await t.test(path, async () => {
        await page.reload();
        const calls = await page.evaluate(async (path) => {
          const calls = { compileStreaming: 0, compile: 0 };
          const api = /** @type {any} */ (WebAssembly);
          for (const name of /** @type {const} */ ([
            "compileStreaming",
            "compile",
          ])) {
            const original = api[name];
            api[name] = (/** @type {unknown[]} */ ...args) => {
              calls[name]++;
              return original.apply(api, args);
            };
          }
          (await inPage.openStreaming("cart", { wasm: path })).save({ a: 1 });
          return calls;
        }, path);
        assert.deepEqual(calls, expected);
      });
    }
  },
);

inBrowser("importing the package touches nothing", async ({ page, site }) => {
  const absent = ["Response"];
  // Go's runtime file needs these when it is evaluated.
  if (fromMakefile("COMPILER") === "tinygo") {
    absent.push("TextDecoder", "TextEncoder");
  }
  const touched = await page.evaluate(async (absent) => {
    /** @type {string[]} */
    const touched = [];
    for (const name of ["localStorage", "sessionStorage"]) {
      const { get } = /** @type {any} */ (
        Object.getOwnPropertyDescriptor(window, name)
      );
      Object.defineProperty(window, name, {
        get: () => {
          touched.push(name);
          return get.call(window);
        },
      });
    }
    for (const name of /** @type {const} */ ([
      "fetch",
      "addEventListener",
      "setTimeout",
      "queueMicrotask",
    ])) {
      const original = /** @type {any} */ (window)[name];
      Object.defineProperty(window, name, {
        value: (/** @type {unknown[]} */ ...args) => {
          touched.push(name);
          return original(...args);
        },
      });
    }
    for (const name of /** @type {const} */ ([
      "compile",
      "compileStreaming",
      "instantiate",
      "instantiateStreaming",
      "Module",
      "Instance",
    ])) {
      /** @type {any} */ (WebAssembly)[name] = () => touched.push(name);
    }
    for (const name of absent) delete (/** @type {any} */ (window)[name]);
    const globals = () => Object.getOwnPropertyNames(globalThis).sort();
    const before = globals();
    for (const module of [inPage.sessionWriter(), inPage.streaming()]) {
      const { open, SessionError } = await module;
      if (typeof open !== "function" || typeof SessionError !== "function") {
        touched.push("the exports");
      }
    }
    const after = globals();
    if (before.join() !== after.join()) touched.push("the globals");
    return touched;
  }, absent);
  assert.deepEqual(touched, []);
  assert.equal(site.requests("/dist/index.js"), 1);
  assert.equal(site.requests("/dist/session.wasm"), 0);
});

inBrowser("no global is left behind", async ({ page }) => {
  const { before, after } = await page.evaluate(async () => {
    const globals = () => Object.getOwnPropertyNames(globalThis).sort();
    const before = globals();
    const session = await inPage.open();
    session.save({ a: 1 });
    session.subscribe(() => {});
    session.close();
    await inPage.attempt(() => inPage.open("a/b"));
    return { before, after: globals() };
  });
  assert.deepEqual(after, before);
});

inBrowser(
  "a page's own globals of the names that the runtime uses stay as they are",
  async ({ page, t }) => {
    /** @type {Record<string, () => Record<string, PropertyDescriptor>>} */
    const pages = {
      values: () => {
        const value = (/** @type {unknown} */ value) => ({
          value,
          writable: true,
          enumerable: true,
          configurable: true,
        });
        return {
          Go: value(1),
          fs: value({ writeSync: () => 0 }),
          path: value("/path"),
          process: value({ env: { NODE_ENV: "test" } }),
          global: value(window),
          require: value(() => {
            throw new Error("this is not Node's");
          }),
        };
      },
      "falsy values": () => {
        const value = (/** @type {unknown} */ value) => ({
          value,
          writable: true,
          enumerable: true,
          configurable: true,
        });
        return {
          Go: value(0),
          fs: value(null),
          path: value(""),
          process: value(undefined),
          global: value(null),
          require: value(0),
        };
      },
      "what var and function declare": () => {
        const value = (/** @type {unknown} */ value) => ({
          value,
          writable: true,
          enumerable: true,
          configurable: false,
        });
        return {
          Go: value(() => "Go"),
          fs: value(undefined),
          path: value([]),
          process: value(false),
          global: value("global"),
          require: value({}),
        };
      },
    };
    for (const [what, make] of Object.entries(pages)) {
      await t.test(what, async () => {
        await page.reload();
        const result = await page.evaluate(async (make) => {
          const descriptors = make();
          Object.defineProperties(globalThis, descriptors);
          const session = await inPage.open();
          session.save({ a: 1 });
          const changed = Object.entries(descriptors).filter(
            ([name, before]) => {
              const after = /** @type {any} */ (
                Object.getOwnPropertyDescriptor(globalThis, name)
              );
              return Object.entries(before).some(
                ([field, value]) => after[field] !== value,
              );
            },
          );
          return { loaded: session.load(), changed: changed.map(([n]) => n) };
        }, make);
        assert.deepEqual(result, { loaded: { a: 1 }, changed: [] });
      });
    }
  },
);
