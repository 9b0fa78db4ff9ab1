// How long a save takes from one page to the other, and what that sends.
import { openPair, startPlace } from "./devices.js";

/** @typedef {import("../harness/browser.js").Browser} Browser */
/** @typedef {import("./devices.js").Device} Device */

/**
 * How saves follow each other.
 *
 * @typedef {object} Pace
 * @property {number} saves of each pair of devices
 * @property {number} least the shortest pause before each, in milliseconds
 * @property {number} most
 */

/**
 * @typedef {object} Latency
 * @property {number[]} times in milliseconds, in order of size
 * @property {number} bytes for each save
 */

/**
 * @param {import("./contenders.js").Contender} contender
 * @param {[Browser, Browser]} browsers
 * @param {object} given
 * @param {number} given.pairs how many users there are, each with two devices
 * @param {Pace[]} given.paces
 * @param {number} given.seed
 * @returns {Promise<{ latencies: Latency[], apart: number }>} by how much the clocks are
 *   apart, at most, in milliseconds
 */
export async function measureLatency(
  contender,
  browsers,
  { pairs, paces, seed },
) {
  const place = await startPlace(contender);
  try {
    /** @type {Awaited<ReturnType<typeof openPair>>[]} */
    const open = [];
    for (let user = 0; user < pairs; user++) {
      open.push(await openPair(place, browsers, user));
    }
    const latencies = [];
    let first = 0;
    for (const { saves, ...pauses } of paces) {
      const before = place.front.passed.bytes;
      const times = await Promise.all(
        open.map(async ({ saver, listener }, i) => {
          const [saved, told] = await Promise.all([
            saver.call("saveAll", { saves, ...pauses, seed: seed + i }),
            listener.call("allTold", first, saves),
          ]);
          return told.map((time, n) => time - saved[n]);
        }),
      );
      first += saves;
      latencies.push({
        times: times.flat().sort((a, b) => a - b),
        bytes: (place.front.passed.bytes - before) / (saves * pairs),
      });
    }
    const apart = await Promise.all(
      open.map(({ saver, listener }) => clocksApart(saver, listener)),
    );
    return { latencies, apart: Math.max(...apart) };
  } finally {
    await place.close();
  }
}

/**
 * Returns by how much the clocks of two pages may be apart, at most, in milliseconds: each is
 * compared with that of this process, at the moment when an answer came fastest.
 *
 * @param {Device} a
 * @param {Device} b
 */
async function clocksApart(a, b) {
  const offset = async (/** @type {Device} */ device) => {
    let best = { error: Infinity, offset: 0 };
    for (let i = 0; i < 100; i++) {
      const asked = performance.timeOrigin + performance.now();
      const theirs = await device.call("now");
      const answered = performance.timeOrigin + performance.now();
      const error = (answered - asked) / 2;
      if (error < best.error) {
        best = { error, offset: theirs - (asked + answered) / 2 };
      }
    }
    return best;
  };
  const [ofA, ofB] = [await offset(a), await offset(b)];
  return Math.abs(ofA.offset - ofB.offset) + ofA.error + ofB.error;
}

/**
 * Returns the number below which a share of others is, which are in order of size.
 *
 * @param {number[]} sorted
 * @param {number} share
 */
export function quantile(sorted, share) {
  return sorted[Math.ceil(sorted.length * share) - 1];
}
