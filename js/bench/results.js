// What the samples come to.
import {
  cases,
  contenders,
  limit,
  names,
  others,
  raw,
  takesPart,
  titleOf,
} from "./cases.js";
import { manySaves } from "./measure.js";

/** @typedef {import("./cases.js").Contender} Contender */
/** @typedef {import("./measure.js").Measured} Measured */

/**
 * A median, and the quartiles below and above it.
 *
 * @typedef {object} Spread
 * @property {number} median
 * @property {number} low
 * @property {number} high
 */

/**
 * @typedef {object} Results
 * @property {string} browser
 * @property {string} compiler of the module
 * @property {number} seed
 * @property {number} rounds
 * @property {Record<string, Partial<Record<Contender, Spread>>>} cases in
 *   microseconds, by the titles of the cases
 * @property {Record<"cold" | "warm", Record<import("./measure.js").Program, Spread>>} opens
 *   in milliseconds
 * @property {Measured["heap"]} heap in bytes
 * @property {Target[]} targets
 */

/**
 * @typedef {object} Target
 * @property {string} what
 * @property {string} asked
 * @property {string} measured
 * @property {boolean} reached
 */

/**
 * @param {Measured} measured
 * @param {{ compiler: string, seed: number, rounds: number }} run
 * @returns {Results}
 */
export function resultsOf(measured, run) {
  const results = {
    browser: measured.browser,
    ...run,
    cases: mapped(measured.cases, (samples) => mapped(samples, spread)),
    opens: mapped(measured.opens, (samples) => mapped(samples, spread)),
    heap: measured.heap,
  };
  return { ...results, targets: targets(results) };
}

/**
 * @template {string} K
 * @template T, R
 * @param {Partial<Record<K, T>>} object
 * @param {(value: T) => R} f
 */
function mapped(object, f) {
  return /** @type {Record<K, R>} */ (
    Object.fromEntries(
      Object.entries(object).map(([key, value]) => [
        key,
        f(/** @type {T} */ (value)),
      ]),
    )
  );
}

/**
 * @param {number[]} samples
 * @returns {Spread}
 */
function spread(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  /** @param {number} share */
  const quantile = (share) => {
    const at = (sorted.length - 1) * share;
    const below = sorted[Math.floor(at)];
    const above = sorted[Math.ceil(at)];
    return Number((below + (above - below) * (at % 1)).toPrecision(4));
  };
  return { median: quantile(0.5), low: quantile(0.25), high: quantile(0.75) };
}

/** @typedef {Omit<Results, "targets">} Measurements */

/**
 * @param {Measurements} results
 * @param {string} title
 * @param {Contender} contender
 */
export function median(results, title, contender) {
  const spread = results.cases[title][contender];
  if (!spread) throw new Error(`${contender} takes no part in ${title}`);
  return spread.median;
}

/** The contenders that write an item for each entry, in JavaScript. */
const perEntry = names.filter(
  (name) => contenders[name].writes === "entry" && !contenders[name].go,
);

/** Those that write the whole session at each save. */
const perSession = names.filter(
  (name) => contenders[name].writes === "session",
);

/** How much memory may differ by when it was collected, in bytes. */
const noise = 1 << 20;

/**
 * @param {Measurements} results
 * @returns {Target[]}
 */
function targets(results) {
  /** @type {Target[]} */
  const list = [];
  /** @type {(what: string, ratio: number, most: number, more?: string) => unknown} */
  const atMost = (what, ratio, most, more = "") =>
    list.push({
      what,
      asked: `at most ${most}x`,
      measured: times(ratio) + more,
      reached: ratio <= most,
    });
  /** @type {(what: string, ratio: number, least: number) => unknown} */
  const faster = (what, ratio, least) =>
    list.push({
      what,
      asked: `at least ${least}x faster`,
      measured: times(ratio),
      reached: ratio >= least,
    });
  /** @type {(title: string, other: Contender, one?: Contender) => number} */
  const ratio = (title, one, other = "session-writer") =>
    median(results, title, other) / median(results, title, one);
  /** @param {number} entries */
  const save = (entries, session = 10) =>
    titleOf({ operation: "save", entries, session });
  /** @param {Contender} contender */
  const growth = (contender) =>
    median(results, save(5, 10_000), contender) /
    median(results, save(5), contender);

  atMost("save 1 beside one setItem", ratio(save(1), raw), 1.5);
  atMost("save 1 beside store2", ratio(save(1), "store2"), 1);
  for (const name of perEntry) {
    faster(`save 20 than ${name}`, 1 / ratio(save(20), name), 6);
  }
  faster(`save 100 than ${raw}`, 1 / ratio(save(100), raw), 9);
  for (const entries of [20, 100]) {
    atMost(
      `save ${entries} beside ${limit}`,
      ratio(save(entries), limit),
      1.25,
    );
  }
  atMost(
    "save 5 into 10,000 beside into 10",
    growth("session-writer"),
    1.3,
    ` (${perSession.map((name) => `${name} ${times(growth(name))}`).join(", ")})`,
  );
  const all = titleOf({ operation: "load", entries: 1_000, session: 1_000 });
  atMost("load 1,000 beside getItem and JSON.parse", ratio(all, raw), 1);
  faster(
    "save 20 from Go than go-app BrowserStorage",
    1 / ratio(save(20), "go-app BrowserStorage", "session-writer from Go"),
    5,
  );
  const { session, empty } = results.opens.warm;
  atMost(
    "open and load 20, warm, beside an empty program",
    session.median / empty.median,
    1.5,
  );
  for (const entries of [1, 5, 20]) {
    atMost(
      `save ${entries} when durable beside not`,
      ratio(save(entries), "session-writer", "session-writer, durable"),
      1.15,
    );
  }
  const flushed = median(results, save(1), "session-writer, flushed");
  list.push({
    what: "save 1 and flush",
    asked: "at most 2 ms",
    measured: `${(flushed / 1000).toFixed(2)} ms`,
    reached: flushed <= 2000,
  });
  for (const [kind, part] of /** @type {const} */ ([
    ["plain", "module"],
    ["plain", "js"],
    ["durable", "module"],
    ["durable", "js"],
  ])) {
    const { before, after } = results.heap[kind];
    list.push({
      what: `${part === "js" ? "JavaScript heap" : "module's memory"} after ${manySaves.toLocaleString("en")} ${kind} saves`,
      asked: "no growth",
      measured: `${megabytes(before[part])} to ${megabytes(after[part])}`,
      reached: after[part] <= before[part] + noise,
    });
  }
  return list;
}

/**
 * Returns the contenders that are faster than session-writer, the fastest
 * first, by the titles of the cases.
 *
 * @param {Measurements} results
 * @returns {[title: string, faster: Contender[]][]}
 */
export function fasterPeers(results) {
  return cases.map((each) => {
    const title = titleOf(each);
    const ours = median(results, title, "session-writer");
    const faster = names.filter(
      (name) =>
        !others.includes(name) &&
        contenders[name].merges !== false &&
        takesPart(name, each) &&
        median(results, title, name) < ours,
    );
    faster.sort(
      (a, b) => median(results, title, a) - median(results, title, b),
    );
    return [title, faster];
  });
}

/** @param {number} ratio */
export function times(ratio) {
  return `${ratio.toFixed(ratio < 10 ? 2 : 0)}x`;
}

/** @param {number} bytes */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/**
 * Says a time in few digits.
 *
 * @param {number} time
 */
export function digits(time) {
  return time < 10 ? time.toFixed(1) : Math.round(time).toLocaleString("en");
}
