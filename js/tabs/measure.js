// Several tabs save into one session as fast as they can.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** @typedef {import("../harness/browser.js").Page} Page */
/** @typedef {typeof import("./participant.js")} Participant */

/**
 * @typedef {object} Measured
 * @property {number} saved the number of batches that were acknowledged
 * @property {number} refused the number of those for which there was no room
 * @property {string[]} lost the keys of batches that were acknowledged, and
 *   that a fresh tab does not have
 * @property {number} reads
 * @property {number} torn the number of reads that saw a part of a batch
 * @property {boolean} agree whether all tabs load the same in the end
 * @property {boolean} told whether each that subscribed was told of just that,
 *   and of whole batches only
 * @property {Record<string, unknown>} entries what a fresh tab loads
 * @property {number} items that are left in the storage
 */

/** How long tabs may take to agree, in milliseconds. */
const patience = 20_000;

/**
 * @param {object} given
 * @param {() => Promise<Page>} given.newPage opens a blank page of the site
 * @param {import("../harness/server.js").Site} given.site that has been used for nothing else
 * @param {import("./contenders.js").Contender} given.contender
 * @param {number} given.tabs
 * @param {number} given.batches of each tab
 * @returns {Promise<Measured>}
 */
export async function measure({ newPage, site, contender, tabs, batches }) {
  const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  try {
    await build({
      entryPoints: [
        join(dirname(fileURLToPath(import.meta.url)), "participant.js"),
      ],
      bundle: true,
      format: "esm",
      outdir: folder,
      logLevel: "warning",
    });
    site.serve("/tabs/", folder);

    const participant = async () => {
      const page = await newPage();
      /**
       * @template {keyof Participant} F
       * @param {F} name
       * @param {Parameters<Participant[F]>} args
       * @returns {Promise<Awaited<ReturnType<Participant[F]>>>}
       */
      const call = (name, ...args) =>
        page.evaluate(
          async (url, name, args) => (await import(url))[name](...args),
          site.url("/tabs/participant.js"),
          name,
          args,
        );
      await call("join", contender);
      return call;
    };

    const names = Array.from({ length: tabs }, (_, i) => `tab ${i}`);
    const savers = await Promise.all(names.map(participant));
    const reader = await participant();

    const reading = reader("read");
    const refused = await Promise.all(
      savers.map((call, i) => call("save", names[i], names, batches)),
    );
    await reader("stopReading");
    const { reads, torn } = await reading;

    const fresh = await participant();
    const all = [...savers, reader, fresh];
    const end = Date.now() + patience;
    let states, agree, told;
    do {
      states = await Promise.all(all.map((call) => call("state")));
      const same = JSON.stringify(states[all.length - 1].loaded);
      agree = states.every(({ loaded }) => JSON.stringify(loaded) === same);
      told = states.every(({ told }) => !told || JSON.stringify(told) === same);
    } while (!(agree && told) && Date.now() < end);

    const { loaded, items } = states[all.length - 1];
    const entries = Object.fromEntries(loaded);
    const saved = names.flatMap((name, i) =>
      Array.from({ length: batches }, (_, n) => n)
        .filter((n) => !refused[i].includes(n))
        .map((n) => `${name} ${n}`),
    );
    return {
      saved: saved.length,
      refused: refused.flat().length,
      lost: saved.filter((key) => entries[key] !== key),
      reads,
      torn,
      agree,
      told: told && states.every(({ tornTold }) => tornTold === 0),
      entries,
      items,
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}
