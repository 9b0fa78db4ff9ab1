// What is sent while nobody saves anything.
import { setTimeout as delay } from "node:timers/promises";
import { openPair, startPlace } from "./devices.js";

/** How long nothing has passed when pages are taken to have done all they do at first. */
const quiet = 5_000;

/**
 * Opens two visible pages, and leaves them alone.
 *
 * @param {import("./contenders.js").Contender} contender
 * @param {[import("../harness/browser.js").Browser, import("../harness/browser.js").Browser]} browsers
 * @param {number} ms for how long
 * @returns {Promise<import("./front.js").Passed>} what passed meanwhile
 */
export async function measureIdle(contender, browsers, ms) {
  const place = await startPlace(contender);
  try {
    await openPair(place, browsers);
    const { passed } = place.front;
    for (let before = -1; before !== passed.messages;) {
      before = passed.messages;
      await delay(quiet);
    }
    const { bytes, messages, requests } = passed;
    const count = requests.length;
    await delay(ms);
    return {
      bytes: passed.bytes - bytes,
      messages: passed.messages - messages,
      requests: requests.slice(count),
    };
  } finally {
    await place.close();
  }
}
