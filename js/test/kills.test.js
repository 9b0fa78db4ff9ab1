import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { assertWhole, killDuringSaves } from "../kills/rounds.js";
import { browserName } from "../harness/browser.js";
import { launchKillable } from "../harness/killable.js";
import { startSite } from "../harness/server.js";
import { long } from "./long.js";

for (const durable of [false, true]) {
  test(
    `after a kill there are whole batches, the first of each writer, and all that was there before, durable ${durable}`,
    { timeout: 60_000 },
    async (t) => {
      /** @type {import("../kills/rounds.js").Round[]} */
      const rounds = [{ end: "kill", during: "tabs that come and go" }];
      if (long) {
        rounds.push(
          { end: "killRenderers", during: "tabs that come and go" },
          { end: "kill", during: "three tabs that stay" },
        );
      }
      const seed = Number(process.env.SEED || Date.now() % 1e6);
      t.diagnostic(`SEED=${seed}`);
      await killDuringSaves(
        browserName,
        seed,
        rounds,
        (round, result) =>
          t.diagnostic(JSON.stringify({ ...round, ...result })),
        durable,
      );
    },
  );
}

test(
  "when one tab is killed, the others save on and agree, and of its saves the first are there, whole",
  { timeout: 60_000 },
  async () => {
    const profile = await mkdtemp(join(tmpdir(), "session-writer-"));
    const site = await startSite();
    const url = site.url("/writers.js");
    const browser = await launchKillable(profile);
    try {
      /** @type {Map<string, import("../harness/browser.js").Page>} */
      const tabs = new Map();
      for (const name of ["a", "b", "victim"]) {
        const page = await browser.newPage();
        await page.goto(site.url("/"));
        tabs.set(name, page);
      }
      for (const [name, page] of tabs) {
        await page.evaluate(
          async (url, name) => (await import(url)).start([name], 5),
          url,
          name,
        );
      }
      /**
       * Waits until a tab has saved that many batches more.
       *
       * @param {string} name
       * @param {number} more
       */
      const saveOn = async (name, more) =>
        tabs.get(name)?.evaluate(
          async (url, name, more) => {
            const { saved } = await import(url);
            const enough = saved[name] + more;
            await inPage.until(() => saved[name] >= enough);
          },
          url,
          name,
          more,
        );

      const victim = tabs.get("victim");
      assert.ok(victim);
      await saveOn("victim", 20);
      await browser.killRenderer(victim);
      tabs.delete("victim");
      await Promise.all([saveOn("a", 40), saveOn("b", 40)]);

      /** @type {Record<string, number>} */
      const last = {};
      for (const [name, page] of tabs) {
        last[name] = await page.evaluate(
          async (url, name) => {
            const { saved, stop } = await import(url);
            stop();
            return saved[name];
          },
          url,
          name,
        );
      }
      const fresh = await browser.newPage();
      await fresh.goto(site.url("/"));
      const states = [];
      for (const page of [...tabs.values(), fresh]) {
        states.push(
          await page.evaluate(async (last) => {
            const session = await inPage.open();
            await inPage.until(() =>
              Object.entries(last).every(
                ([name, n]) => session.get(`${name} ${n}`) !== undefined,
              ),
            );
            return {
              entries: session.load(),
              corrupt: session.stats().corrupt,
            };
          }, last),
        );
      }
      for (const { entries, corrupt } of states) {
        assert.equal(corrupt, 0);
        assert.deepEqual(entries, states[0].entries);
      }
      // Without gaps, so that these are all of them.
      const keys = assertWhole(states[0].entries);
      for (const [name, n] of Object.entries(last)) {
        assert.ok(keys.includes(`${name} ${n}`));
      }
      assert.ok(keys.includes("victim 0"));
    } finally {
      await browser.kill();
      await site.close();
      await rm(profile, { recursive: true });
    }
  },
);
