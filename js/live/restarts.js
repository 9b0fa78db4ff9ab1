// What is left when a server is killed during saves, and started again.
import { setTimeout as delay } from "node:timers/promises";
import { openPair, startPlace } from "./devices.js";

/** @typedef {import("../harness/browser.js").Browser} Browser */
/** @typedef {import("./contenders.js").Contender} Contender */

/** How long entries are waited for that may be lost, in milliseconds. */
const patience = 20_000;

/** How often is saved, in milliseconds. */
const every = 20;

/**
 * What was where when the server was killed, in numbers of entries.
 *
 * @typedef {object} Killed
 * @property {number} saved what the page had saved
 * @property {number} known what the page on the other device had of it
 */

/**
 * Kills a server, and has both pages be closed before it is started again.
 *
 * @param {Contender} contender
 * @param {[Browser, Browser]} browsers
 * @param {number} after how many milliseconds of saving the kill comes
 * @returns {Promise<Killed & { kept: number, back: number }>} kept is what a device without a
 *   copy then found, and back what it had once the page that had saved was opened again
 */
export function killAlone(contender, browsers, after) {
  return withKill(contender, browsers, after, async (round) => {
    const { place, saver, listener, other, killed } = round;
    await saver.closePage();
    await listener.closePage();
    await place.server.restart?.();
    await other.open();
    const kept = await other.call("most", killed.known, patience);
    await saver.open();
    const back = await other.call("most", killed.saved, patience);
    return { ...killed, kept, back };
  });
}

/**
 * Kills a server, and starts it again while both pages are open.
 *
 * @param {Contender} contender
 * @param {[Browser, Browser]} browsers
 * @param {number} after how many milliseconds of saving the kill comes
 * @returns {Promise<Killed & { back: number, later: boolean, ms: number }>} back is what a
 *   device without a copy then got, later whether it also got what the page saved then, and ms
 *   how long all of that took
 */
export function killAmongPages(contender, browsers, after) {
  return withKill(contender, browsers, after, async (round) => {
    const { place, saver, other, killed } = round;
    await place.server.restart?.();
    const restarted = performance.now();
    await other.open();
    const back = await other.call("most", killed.saved, patience);
    await saver.call("saveLast", "later");
    const later = await other.call("gets", "later", patience);
    return { ...killed, back, later, ms: performance.now() - restarted };
  });
}

/**
 * Kills a server while a page saves, and calls f.
 *
 * @template T
 * @param {Contender} contender
 * @param {[Browser, Browser]} browsers
 * @param {number} after
 * @param {(round: Awaited<ReturnType<typeof openPair>> & {
 *   place: import("./devices.js").Place,
 *   other: import("./devices.js").Device,
 *   killed: Killed,
 * }) => Promise<T>} f
 */
async function withKill(contender, browsers, after, f) {
  const place = await startPlace(contender);
  try {
    const { saver, listener } = await openPair(place, browsers);
    // The user's, as if he had signed in there before.
    const other = await place.newDevice(browsers[1]);
    await other.open(await saver.call("invite"));
    await other.call("filled");
    await other.call("forget");
    await other.closePage();

    await saver.call("keepSaving", every);
    await delay(after);
    await place.server.kill?.();
    const saved = await saver.call("stop");
    const known = await listener.call("count");
    return await f({ place, saver, listener, other, killed: { saved, known } });
  } finally {
    await place.close();
  }
}
