import assert from "node:assert/strict";
import { assertError } from "./assert-error.js";
import { inBrowser } from "./in-browser.js";

/** What opaque.js finds where there is no storage. */
const outcome = {
  refused: ["disabled", "disabled"],
  kept: [
    { active: true, persistent: false, loaded: { a: 1 } },
    { active: true, persistent: false, loaded: { a: 1 } },
    { active: true, persistent: false, loaded: {} }, // memory of its own
  ],
  told: { set: { a: 1 }, removed: [], cleared: false, remote: true },
};

inBrowser(
  "in a sandboxed frame the storage is disabled, and memory works",
  async ({ page }) => {
    const received = await page.evaluate(
      () =>
        new Promise((resolve) => {
          addEventListener("message", ({ data }) => resolve(data));
          const frame = document.createElement("iframe");
          frame.sandbox.add("allow-scripts");
          frame.src = "/cors/frame";
          document.body.append(frame);
        }),
    );
    assert.deepEqual(received, outcome);
  },
);

inBrowser(
  "in a worker the storage is disabled, and memory works",
  async ({ page }) => {
    const received = await page.evaluate(
      () =>
        new Promise((resolve, reject) => {
          const worker = new Worker("/opaque.js", { type: "module" });
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = ({ message }) => reject(new Error(message));
        }),
    );
    assert.deepEqual(received, outcome);
  },
);

/**
 * Ways in which window.localStorage can be of no use.
 *
 * @type {Record<string, () => PropertyDescriptor>}
 */
const useless = {
  "reading it throws a SecurityError": () => ({
    get() {
      throw new DOMException("Access is denied.", "SecurityError");
    },
  }),
  "reading it throws another error": () => ({
    get() {
      throw new Error("blocked by an extension");
    },
  }),
  "it is null": () => ({ value: null }),
  // As in Node 25.0.
  "it is no storage": () => ({ value: {} }),
  "it is undefined": () => ({ value: undefined }),
};

inBrowser(
  "without localStorage the storage is disabled",
  async ({ page, t }) => {
    for (const [what, make] of Object.entries(useless)) {
      await t.test(what, async () => {
        await page.reload();
        const { refused, fallen, apart } = await page.evaluate(async (make) => {
          Object.defineProperty(window, "localStorage", make());
          const refused = await inPage.attempt(() => inPage.open());
          const fallen = await inPage.attempt(async () => {
            const session = await inPage.open("cart", { fallback: "memory" });
            session.save({ a: 1 });
            const { active, persistent } = session;
            return { active, persistent, loaded: session.load() };
          });
          const apart = await inPage.open("cart", { storage: "session" });
          apart.save({ b: 1 });
          return {
            refused,
            fallen,
            apart: { persistent: apart.persistent, loaded: apart.load() },
          };
        }, make);
        assertError(refused.error, {
          code: "disabled",
          says: 'session "cart": open: ',
        });
        assert.deepEqual(fallen, {
          value: { active: true, persistent: false, loaded: { a: 1 } },
        });
        assert.deepEqual(apart, { persistent: true, loaded: { b: 1 } });
      });
    }
  },
);

inBrowser("the fallback has the same maxAge", async ({ page }) => {
  const { alive, over } = await page.evaluate(async () => {
    Object.defineProperty(window, "localStorage", { value: null });
    const session = await inPage.open("cart", {
      fallback: "memory",
      maxAge: 60,
    });
    const now = Date.now();
    Date.now = () => now;
    session.save({ a: 1 });
    Date.now = () => now + 60_000;
    const alive = session.load();
    Date.now = () => now + 60_001;
    return { alive, over: session.load() };
  });
  assert.deepEqual(alive, { a: 1 });
  assert.deepEqual(over, {});
});

inBrowser("the fallback is for a disabled storage only", async ({ page }) => {
  const { persistent, refused } = await page.evaluate(async () => {
    const session = await inPage.open("cart", { fallback: "memory" });
    inPage.fill();
    const refused = await inPage.attempt(() => session.save({ a: 1 }));
    return { persistent: session.persistent, refused };
  });
  assert.equal(persistent, true);
  assertError(refused.error, { code: "quota" });
});

inBrowser(
  "a storage that is switched off while a session is open is disabled",
  async ({ page }) => {
    const { broken, loaded } = await page.evaluate(async () => {
      const session = await inPage.open();
      session.save({ a: 1 });
      const denied = () => new DOMException("Denied.", "SecurityError");
      const mend = [
        inPage.breakStorage("getItem", denied),
        inPage.breakStorage("setItem", denied),
      ];
      const broken = [];
      for (const f of [
        () => session.save({ a: 2 }),
        () => session.remove("a"),
        () => session.clear(),
        () => session.load(),
        () => session.get("a"),
        () => session.stats(),
        () => session.subscribe(() => {}),
      ]) {
        broken.push(await inPage.attempt(f));
      }
      for (const end of mend) end();
      return { broken, loaded: session.load() };
    });
    for (const { error } of broken) assertError(error, { code: "disabled" });
    assert.deepEqual(loaded, { a: 1 });
  },
);
