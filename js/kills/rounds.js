// A browser is killed during saves and started again on the same profile,
// many times over.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { launchKillable } from "../harness/killable.js";
import { generator } from "../harness/in-page/random.js";
import { startSite } from "../harness/server.js";

/** @typedef {import("../harness/browser.js").Page} Page */

/**
 * How a round goes. Chromium writes what a site has stored when the site's
 * last tab goes, and otherwise five seconds after the first save and then more
 * rarely: tabs that come and go have it write often, tabs that stay, once.
 *
 * @typedef {object} Round
 * @property {"kill" | "killRenderers"} end
 * @property {"tabs that come and go" | "three tabs that stay"} during
 */

/**
 * What a round came to.
 *
 * @typedef {object} Result
 * @property {number} after the moment of the kill, in milliseconds after the
 *   first save
 * @property {number} saved the number of batches whose save is known to have
 *   returned
 * @property {number} lost the number of those that are not there afterwards
 * @property {number} lostTime how long before the kill the first of them was
 *   known to be saved, in milliseconds
 * @property {number} found the number of batches that are there
 * @property {boolean} halfCompacted whether items say twice what was saved once
 */

/** With more entries than this, the session is cleared. */
const enough = 4_000;

/**
 * Kills, and after each kill asserts that there are whole batches only, of
 * each writer the first up to some, and all that was there before the round.
 *
 * @param {string} name of the browser
 * @param {number} seed of the moments
 * @param {Round[]} rounds
 * @param {(round: Round, result: Result) => void} [report]
 * @param {boolean} [durable] whether the session is
 */
export async function killDuringSaves(
  name,
  seed,
  rounds,
  report = () => {},
  durable = false,
) {
  const random = generator(seed);
  const profile = await mkdtemp(join(tmpdir(), "session-writer-"));
  const site = await startSite();
  let browser = await launchKillable(profile, name);
  const newPage = async () => {
    const page = await browser.newPage();
    await page.goto(site.url("/"));
    return page;
  };
  /** @type {string[]} */
  let before = [];
  let done = 0;
  try {
    for (const round of rounds) {
      const { log, killed, after } = await saveUntil(round);
      // Without renderers the browser goes on, and is closed as ever.
      if (round.end === "killRenderers") await browser.close();
      browser = await launchKillable(profile, name);
      const page = await newPage();
      /** @type {Awaited<ReturnType<typeof look>>} */
      const looked = await page.evaluate(look, durable);
      const { entries, corrupt, halfCompacted } = looked;
      assert.equal(corrupt, 0, "items cannot be read");
      const keys = assertWhole(entries);
      const missing = log.filter(({ key }) => !keys.includes(key));
      assert.deepEqual(
        before.filter((key) => !keys.includes(key)),
        [],
        "what was there before the round is gone",
      );
      report(round, {
        after,
        saved: log.length,
        lost: missing.length,
        lostTime:
          missing.length && killed - Math.min(...missing.map(({ at }) => at)),
        found: keys.filter((key) => !before.includes(key)).length,
        halfCompacted,
      });
      done++;
      if (keys.length < enough) {
        before = keys;
      } else {
        await page.evaluate(async () => (await inPage.open()).clear());
        before = [];
      }
      await page.close();
    }
  } catch (error) {
    console.error(
      `seed ${seed}: round ${done + 1}, ${JSON.stringify(rounds[done])}; the profile is ${profile}`,
    );
    await browser.kill();
    await site.close();
    throw error;
  }
  await browser.close();
  await site.close();
  await rm(profile, { recursive: true });

  /**
   * Has writers save until the kill, and returns the keys of the batches that
   * are known to be saved, with the time when that became known.
   *
   * @param {Round} round
   */
  async function saveUntil({ end, during }) {
    const passing = during === "tabs that come and go";
    const after = passing ? between(50, 2_500) : between(5_000, 8_500);
    const stay = between(50, 400);
    /** @type {{ key: string, at: number }[]} */
    const log = [];
    let over = false;
    /** @type {() => void} */
    let begun;
    const saving = new Promise((resolve) => {
      begun = () => resolve(undefined);
    });

    /** @param {Page} page @param {string[]} writers */
    const save = async (page, writers) => {
      const url = site.url("/writers.js");
      await page.evaluate(
        async (url, writers, durable) =>
          (await import(url)).start(writers, 0, durable),
        url,
        writers,
        durable,
      );
      /** @type {Record<string, number>} */
      const known = {};
      return async () => {
        /** @type {Record<string, number>} */
        const saved = await page.evaluate(
          async (url) => (await import(url)).saved,
          url,
        );
        const at = Date.now();
        if (over) return;
        for (const [writer, last] of Object.entries(saved)) {
          for (let n = known[writer] ?? 0; n <= last; n++) {
            log.push({ key: `${writer} ${n}`, at });
          }
          known[writer] = last + 1;
          begun();
        }
      };
    };

    /** @param {number} tab */
    const go = async (tab) => {
      for (let visit = 0; !over; visit++) {
        const page = await newPage();
        const writers = [0, 1].map((i) => `${done}.${tab}.${visit}.${i}`);
        const note = await save(page, writers);
        const until = passing ? Date.now() + stay : Infinity;
        do await note();
        while (!over && Date.now() < until);
        await page.close();
      }
    };

    const going = Array.from({ length: passing ? 1 : 3 }, (_, tab) =>
      go(tab).catch((error) => {
        if (!over) throw error; // it was not the kill
      }),
    );
    const killing = saving.then(async () => {
      await delay(after);
      over = true;
      const killed = Date.now();
      await browser[end]();
      return killed;
    });
    await Promise.race([killing, Promise.all(going)]);
    return { log, killed: await killing, after };
  }

  /** @param {number} from @param {number} to */
  function between(from, to) {
    return Math.round(from + random() * (to - from));
  }
}

/** Loads the session, in the page. */
async function look(/** @type {boolean} */ durable) {
  const session = await inPage.open("cart", { durable });
  const entries = session.load();
  /** @type {string[]} */
  const stamps = inPage
    .items()
    .filter(([key]) => key.startsWith("cart/"))
    .flatMap(([, text]) =>
      JSON.parse(text).batches.map(
        (/** @type {{ stamp: string }} */ { stamp }) => stamp,
      ),
    );
  return {
    entries,
    corrupt: session.stats().corrupt,
    halfCompacted: new Set(stamps).size < stamps.length,
  };
}

/**
 * Asserts that entries come from whole batches, of each writer the first up to
 * some, and returns the batches' own keys.
 *
 * @param {Record<string, unknown>} entries
 */
export function assertWhole(entries) {
  const keys = Object.keys(entries).filter((key) => key.includes(" "));
  const shared = Object.keys(entries).filter((key) => !keys.includes(key));
  if (keys.length > 0) {
    const values = new Set(shared.map((key) => entries[key]));
    assert.equal(shared.length, 5, `of five keys there are ${shared}`);
    assert.equal(values.size, 1, `a part of a batch: ${[...values]}`);
    assert.ok(keys.includes(String([...values][0])), "a batch lacks its own");
  }
  /** @type {Map<string, number[]>} */
  const numbers = new Map();
  for (const key of keys) {
    assert.equal(entries[key], key);
    const [writer, number] = key.split(" ");
    numbers.set(writer, [...(numbers.get(writer) ?? []), Number(number)]);
  }
  for (const [writer, found] of numbers) {
    assert.deepEqual(
      found.sort((a, b) => a - b),
      found.map((_, i) => i),
      `of ${writer} an earlier batch is missing`,
    );
  }
  return keys;
}
