import assert from "node:assert/strict";
import { inBrowser } from "./in-browser.js";

inBrowser(
  "items that are damaged in whatever way are left alone, and the rest is loaded",
  async ({ page, site, t }) => {
    const seed = Number(process.env.SEED || Date.now() % 1e6);
    t.diagnostic(`SEED=${seed}`);
    const { wrong, readable, damaged } = await page.evaluate(
      async (url, seed) => (await import(url)).damage(seed, 300),
      site.url("/mutations.js"),
      seed,
    );
    assert.deepEqual(wrong, []);
    assert.ok(readable > 0 && damaged > readable, `${readable}, ${damaged}`);
    t.diagnostic(`${damaged} items could not be read, ${readable} could`);
  },
);

inBrowser(
  "two sessions of a page see that an item was repaired, whoever reads it first",
  async ({ page }) => {
    const seen = await page.evaluate(async () => {
      const sessions = [await inPage.open("cart"), await inPage.open("cart")];
      sessions[0].save({ a: 1 });
      const key = Object.keys(localStorage).find((key) =>
        key.startsWith("cart/"),
      );
      const text = localStorage[/** @type {string} */ (key)];
      const load = () => sessions.map((session) => session.load());
      localStorage[/** @type {string} */ (key)] = text.slice(1);
      const damaged = load();
      localStorage[/** @type {string} */ (key)] = text;
      const repaired = load();
      localStorage[/** @type {string} */ (key)] = text.slice(1);
      load();
      delete localStorage[/** @type {string} */ (key)];
      sessions[0].load();
      localStorage[/** @type {string} */ (key)] = text;
      return { damaged, repaired: [...repaired, ...load(), ...load()] };
    });
    assert.deepEqual(seen.damaged, [{}, {}]);
    assert.deepEqual(seen.repaired, Array(6).fill({ a: 1 }));
  },
);
