// Kills the browsers that the environment variable BROWSERS names during
// saves, many times, and measures what a save survives in them. The moments
// follow from the environment variable SEED.
import { setTimeout as delay } from "node:timers/promises";
import { browserOf, launch } from "../harness/browser.js";
import { publish, table } from "../harness/publish.js";
import { killDuringSaves } from "./rounds.js";
import { lostBeforeKill, survivals } from "./survival.js";

/** @typedef {import("./rounds.js").Round} Round */

const seed = Number(process.env.SEED || Date.now() % 1e6);
console.error(`SEED=${seed}`);

/** @type {[count: number, round: Round][]} */
const plan = [
  [34, { end: "kill", during: "tabs that come and go" }],
  [8, { end: "kill", during: "three tabs that stay" }],
  [8, { end: "killRenderers", during: "tabs that come and go" }],
  [4, { end: "killRenderers", during: "three tabs that stay" }],
];

/** How often each thing is tried that happens right after a save. */
const tries = 5;

/** How long after a save the browser is killed, in seconds. */
const waits = [2, 4, 6, 8];

/** How long is saved before the browser is killed, in seconds. */
const durations = [15, 45, 100];

/** How many of the planned rounds, in browsers other than Chromium. */
const share = 0.5;

const parts = [];
for (const name of (process.env.BROWSERS || "chromium").split(" ")) {
  parts.push(
    `${await versionOf(name)}:\n\n${await survival(name)}\n\n${await kills(name)}`,
  );
}
await publish(
  new URL("README.md", import.meta.url),
  "survival",
  parts.join("\n\n"),
);

/** @param {string} name */
async function survival(name) {
  /**
   * @param {string} what
   * @param {Parameters<typeof survivals>[2]} happen
   */
  const row = async (what, happen, times = tries) => [
    what,
    `${await survivals(name, times, happen)} of ${times}`,
    `${await survivals(name, times, happen, true)} of ${times}`,
  ];

  const rows = [
    await row("the tab is closed right after", async (browser, page) => {
      await page.close();
      await browser.close();
    }),
    await row("the browser is closed right after", (it) => it.close()),
    await row("the page's process is killed right after", async (browser) => {
      await browser.killRenderers();
      await browser.close();
    }),
    await row("the browser is killed right after", (it) => it.kill()),
    ...(await Promise.all(
      waits.map((seconds) =>
        row(
          `the browser is killed ${seconds} s after`,
          async (it) => {
            await delay(seconds * 1000);
            await it.kill();
          },
          2,
        ),
      ),
    )),
    ...(await Promise.all(
      durations.map(async (seconds) => {
        const lost = await Promise.all(
          [false, true].map((durable) =>
            lostBeforeKill(name, seconds * 1000, durable),
          ),
        );
        return [
          `ten saves a second for ${seconds} s, and the browser is killed`,
          ...lost.map((ms) => `all but the last ${(ms / 1000).toFixed(2)} s`),
        ];
      }),
    )),
  ];
  return table([["what happens", "saved", "durable, and flushed"], ...rows]);
}

/** @param {string} name */
async function kills(name) {
  const rounds = plan.flatMap(([count, round]) =>
    Array(name === "chromium" ? count : count * share).fill(round),
  );
  const rows = [];
  for (const durable of [false, true]) {
    /** @type {Map<Round, import("./rounds.js").Result[]>} */
    const results = new Map(plan.map(([, round]) => [round, []]));
    const report = (
      /** @type {Round} */ round,
      /** @type {import("./rounds.js").Result} */ result,
    ) => {
      console.error(JSON.stringify({ durable, ...round, ...result }));
      results.get(round)?.push(result);
    };
    await killDuringSaves(name, seed, rounds, report, durable);
    for (const [{ end, during }, all] of results) {
      rows.push([
        { kill: "browser", killRenderers: "pages' processes" }[end],
        `saves in ${during}`,
        durable ? "yes" : "no",
        all.length,
        0, // or it would have thrown
        all.filter(({ halfCompacted }) => halfCompacted).length,
        all.reduce((sum, { saved }) => sum + saved, 0),
        all.reduce((sum, { lost }) => sum + lost, 0),
        `${(Math.max(...all.map(({ lostTime }) => lostTime)) / 1000).toFixed(1)} s`,
      ]);
    }
  }
  return table([
    [
      "killed",
      "during",
      "durable",
      "kills",
      "half a batch, or a gap",
      "half a compaction",
      "batches saved",
      "lost",
      "at most the last",
    ],
    ...rows,
  ]);
}

/** @param {string} name */
async function versionOf(name) {
  const browser = await launch(name);
  try {
    return await browserOf(await (await browser.newContext()).newPage());
  } finally {
    await browser.close();
  }
}
