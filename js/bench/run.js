// Times session-writer beside its peers, for README.md: see cases.js. The order
// follows from the environment variable SEED.
import { writeFile } from "node:fs/promises";
import { format } from "prettier";
import { publish, table } from "../harness/publish.js";
import { fromMakefile } from "../harness/go.js";
import { cases, names, raw, sessions, titleOf } from "./cases.js";
import { chart } from "./chart.js";
import { manySaves, measure } from "./measure.js";
import { digits, fasterPeers, megabytes, resultsOf, times } from "./results.js";

/** @typedef {import("./cases.js").Case} Case */
/** @typedef {import("./results.js").Results} Results */

const seed = Number(process.env.SEED || Date.now() % 1e6);
console.error(`SEED=${seed}`);
const rounds = 7;
const compiler = { go: "Go", tinygo: "TinyGo" }[fromMakefile("COMPILER")] ?? "";

const results = resultsOf(await measure({ seed, rounds, say: console.error }), {
  compiler,
  seed,
  rounds,
});
await writeFile(
  new URL("results.json", import.meta.url),
  await format(JSON.stringify(results), { parser: "json" }),
);
await writeFile(new URL("chart.svg", import.meta.url), chart(results));

for (const session of sessions) {
  console.log(`\n${withSpread(cases.filter((it) => it.session === session))}`);
}
console.log(
  `\n${table([
    ["target", "asked", "measured", ""],
    ...results.targets.map(({ what, asked, measured, reached }) => [
      what,
      asked,
      measured,
      reached ? "reached" : "not reached",
    ]),
  ])}\n`,
);
await publish(new URL("README.md", import.meta.url), "bench", summary());

/**
 * Returns a table of medians with their quartiles, and how many times the raw
 * loop's each is.
 *
 * @param {Case[]} cases
 */
function withSpread(cases) {
  return table([
    ["µs: median (quartiles), beside the raw loop", ...cases.map(titleOf)],
    ...names.map((name) => [
      name,
      ...cases.map((each) => {
        const { [name]: spread, [raw]: base } = results.cases[titleOf(each)];
        if (!spread || !base) return "";
        const { median, low, high } = spread;
        return `${digits(median)} (${digits(low)}-${digits(high)}) ${times(median / base.median)}`;
      }),
    ]),
  ]);
}

/** Returns what README.md says. */
function summary() {
  const columns = [
    ...cases.filter((it) => it.session === 10 && it.operation === "save"),
    ...cases.filter((it) => it.session === 10_000 && it.entries === 5),
    ...cases.filter((it) => it.session === 1_000 && it.operation !== "save"),
  ];
  const { opens, heap, browser } = results;
  /** @param {"cold" | "warm"} visit @param {import("./measure.js").Program} program */
  const open = (visit, program) =>
    `${opens[visit][program].median.toFixed(1)} ms`;
  const faster = fasterPeers(results)
    .filter(([, peers]) => peers.length > 0)
    .map(([title, peers]) => `- ${title}: ${peers.join("; ")}`);

  return `${browser}, the module by ${compiler}, medians of ${rounds} rounds, in µs:

${table([
  ["", ...columns.map(titleOf)],
  ...names.map((name) => [
    name,
    ...columns.map((each) => {
      const spread = results.cases[titleOf(each)][name];
      return spread ? digits(spread.median) : "";
    }),
  ]),
])}

Faster than session-writer:

${faster.length > 0 ? faster.join("\n") : "- none"}

\`openSync\` and \`load\`, with 20 entries, take ${open("cold", "session")} on a first visit and ${open("warm", "session")} on a later one. A program of the
same compiler that does nothing takes ${open("cold", "empty")} and ${open("warm", "empty")}, and zustand until it
has what it persisted ${open("cold", "zustand")} and ${open("warm", "zustand")}. \`open\` of a durable session takes ${open("warm", "durable20")} with 20 entries and
${open("warm", "durable1000")} with 1,000, on a later visit. In ${manySaves.toLocaleString("en")} saves the module's memory
goes from ${megabytes(heap.plain.before.module)} to ${megabytes(heap.plain.after.module)}, and the page's JavaScript heap from ${megabytes(heap.plain.before.js)} to ${megabytes(heap.plain.after.js)};
when they are durable, to ${megabytes(heap.durable.after.module)} and ${megabytes(heap.durable.after.js)}.`;
}
