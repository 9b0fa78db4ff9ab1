import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { browserName, launch } from "../harness/browser.js";
import { contenders, sizeOf } from "../live/contenders.js";
import { measureLatency } from "../live/latency.js";
import { killAlone, killAmongPages } from "../live/restarts.js";
import { long } from "./long.js";

const skip = browserName !== "chromium" && "it is measured in Chromium only";

/** @type {[import("../harness/browser.js").Browser, import("../harness/browser.js").Browser]} */
let browsers;
before(async () => {
  if (!skip) browsers = [await launch(), await launch()];
});
after(() => Promise.all((browsers ?? []).map((browser) => browser.close())));

for (const [name, contender] of Object.entries(contenders)) {
  if (name.endsWith("Worker")) continue; // it is not built for each test
  test(
    `another browser has what is saved by ${name}`,
    { timeout: 60_000, skip },
    async () => {
      const { latencies } = await measureLatency(contender, browsers, {
        pairs: 1,
        seed: 1,
        paces: [
          { saves: 2, least: 0, most: 1 },
          { saves: 22, least: 0, most: 1 }, // some replace others
        ],
      });
      assert.deepEqual(
        latencies.map(({ times }) => times.length),
        [2, 22],
      );
      assert.ok(latencies.every(({ bytes }) => bytes > 0));
      assert.ok((await sizeOf(contender)) > 0);
    },
  );
}

test(
  "after a kill of the server, another browser has what was saved",
  { timeout: 120_000, skip },
  async () => {
    const contender = contenders["session-writer"];
    const { saved, known, kept, back } = await killAlone(
      contender,
      browsers,
      1_500,
    );
    assert.ok(kept >= known, `${kept} of ${known} were left`);
    assert.equal(back, saved);
    if (!long) return;
    const among = await killAmongPages(contender, browsers, 1_500);
    assert.equal(among.back, among.saved);
    assert.ok(among.later);
  },
);
