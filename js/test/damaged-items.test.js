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
