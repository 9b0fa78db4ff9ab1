// Measures how live session-writer is beside its peers, for README.md: all of it, or what
// the arguments name: latency, kills, idle, storm. The pauses and the moments of kills follow from
// the environment variable SEED.
import { readFile } from "node:fs/promises";
import { browserOf, launch } from "../harness/browser.js";
import { generator } from "../harness/in-page/random.js";
import { publish, table } from "../harness/publish.js";
import { contenders, sizeOf } from "./contenders.js";
import { measureIdle } from "./idle.js";
import { measureLatency, quantile } from "./latency.js";
import { killAlone, killAmongPages } from "./restarts.js";
import { measureStorm } from "./storm.js";

const seed = Number(process.env.SEED || Date.now() % 1e6);
console.error(`SEED=${seed}`);

/** How many users save at once, each on one device for another. */
const pairs = 4;

/** The first has saves that come after a pause. The second is somebody who types. */
const paces = [
  { saves: 50, least: 1_200, most: 1_800 },
  { saves: 100, least: 200, most: 200 },
];

/** In milliseconds. */
const goal = { median: 100, p99: 250 };

/** How often each server is killed, in each of two ways. */
const kills = 5;

/** How long pages are left alone, in minutes. */
const idleMinutes = 10;

/** For how many seconds a server is gone, and how many pages wait for it. */
const outages = [1, 15, 60];
const waiting = 1000;

const parts = { latency, kills: killed, idle, storm };
const asked = process.argv.slice(2);
const names = Object.keys(contenders);
const readme = new URL("README.md", import.meta.url);

/** @type {[import("../harness/browser.js").Browser, import("../harness/browser.js").Browser]} */
const browsers = [await launch("chromium"), await launch("chromium")];
try {
  const version = await versions();
  for (const [name, measure] of Object.entries(parts)) {
    if (asked.length > 0 && !asked.includes(name)) continue;
    await publish(readme, name, `${version}:\n\n${await measure()}`);
  }
} finally {
  for (const browser of browsers) await browser.close();
}

async function latency() {
  const rows = [];
  const reached = [];
  let most = 0;
  for (const name of names) {
    const { latencies, apart } = await measureLatency(
      contenders[name],
      browsers,
      { pairs, paces, seed },
    );
    console.error(JSON.stringify({ name, apart, latencies }));
    most = Math.max(most, apart);
    const times = latencies.flatMap(({ times }) => [
      quantile(times, 0.5),
      quantile(times, 0.99),
      quantile(times, 1),
    ]);
    rows.push([
      name,
      ...times.map((time) => time.toFixed(time < 10 ? 1 : 0)),
      ...latencies.map(({ bytes }) => bytes.toFixed(0)),
      ((await sizeOf(contenders[name])) / 1000).toFixed(1),
    ]);
    const [median, p99] = times;
    if (name.startsWith("session-writer")) {
      const isReached = median <= goal.median && p99 <= goal.p99;
      reached.push(`${name}: ${isReached ? "reached" : "not reached"}`);
    }
  }
  const count = paces.map(({ saves }) => saves * pairs);
  return `${table([
    [
      "",
      ...["median", "p99", "worst"].map((it) => `after a pause: ${it}`),
      ...["median", "p99", "worst"].map((it) => `typing: ${it}`),
      "bytes a save",
      "typing: bytes a save",
      "KB of JavaScript",
    ],
    ...rows,
  ])}

Times are in ms, of ${count[0]} saves after a pause, and of ${count[1]} while somebody types. The goal
after a pause is a median of ${goal.median} ms and a p99 of ${goal.p99} ms. ${reached.join(". ")}. The clocks
of the two pages were apart by ${most.toFixed(1)} ms at most.`;
}

async function killed() {
  const random = generator(seed);
  const able = names.filter((name) => !name.endsWith("Worker"));
  /** @type {string[][]} */
  const columns = [];
  for (const name of able) {
    const alone = [];
    const among = [];
    for (let i = 0; i < kills; i++) {
      const after = 1_000 + random() * 2_000;
      alone.push(await killAlone(contenders[name], browsers, after));
      among.push(await killAmongPages(contenders[name], browsers, after));
    }
    console.error(JSON.stringify({ name, alone, among }));
    const whole = among.filter(({ back, saved }) => back === saved);
    columns.push([
      name,
      share(alone, "kept", "saved"),
      share(alone, "kept", "known"),
      share(alone, "back", "saved"),
      share(among, "back", "saved"),
      `${among.filter(({ later }) => later).length} of ${kills} times`,
      whole.length > 0
        ? `${(Math.max(...whole.map(({ ms }) => ms)) / 1000).toFixed(1)} s`
        : "never",
    ]);
  }
  const what = [
    "",
    "of what was saved, the server alone has",
    "of what the other device had heard of, the server alone has",
    "of what was saved, it has once the page that saved is opened again",
    "of what was saved, it has where both pages have stayed open",
    "what such a page saves later arrives",
    "where nothing was lost, all of that takes at most",
  ];
  return table(
    what.map((it, i) => [it, ...columns.map((column) => column[i])]),
  );
}

/**
 * Says how much one number is of another, in all rounds.
 *
 * @template {string} K
 * @param {Record<K, number>[]} rounds
 * @param {K} part more of it does not count in a round
 * @param {K} whole
 */
function share(rounds, part, whole) {
  const [some, all] = rounds.reduce(
    (sum, round) => [
      sum[0] + Math.min(round[part], round[whole]),
      sum[1] + round[whole],
    ],
    [0, 0],
  );
  return some === all ? `all ${all}` : `${some} of ${all}`;
}

async function idle() {
  const passed = await Promise.all(
    names.map((name) =>
      measureIdle(contenders[name], browsers, idleMinutes * 60_000),
    ),
  );
  console.error(JSON.stringify(passed));
  return table([
    [
      `two pages for ${idleMinutes} minutes`,
      "requests",
      "messages",
      "bytes a minute",
    ],
    ...names.map((name, i) => [
      name,
      passed[i].requests.length,
      passed[i].messages,
      (passed[i].bytes / idleMinutes).toFixed(0),
    ]),
  ]);
}

async function storm() {
  const rows = [];
  for (const down of outages) {
    const { most, all, seconds } = await measureStorm(waiting, down * 1000);
    rows.push([String(down), String(most), String(all), seconds.toFixed(0)]);
  }
  return table([
    [
      `${waiting} pages, the server is gone for, s`,
      "requests in the worst second",
      "requests until all are live",
      "s until then",
    ],
    ...rows,
  ]);
}

/** Returns what took part, with versions. */
async function versions() {
  const context = await browsers[0].newContext();
  const browser = await browserOf(await context.newPage());
  await context.close();
  const { devDependencies } = JSON.parse(
    await readFile(new URL("../package.json", import.meta.url), "utf8"),
  );
  return [
    browser,
    ...[
      ["Yjs", "yjs"],
      ["y-websocket", "y-websocket"],
      ["its server", "@y/websocket-server"],
      ["TinyBase", "tinybase"],
    ].map(([name, dependency]) => `${name} ${devDependencies[dependency]}`),
  ].join(", ");
}
