// All contenders in one browser, each in a tab and an origin of its own, so
// that none pays for what another has stored. They take turns in random order.
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { generator } from "../harness/in-page/random.js";
import { Page, browserOf } from "../harness/browser.js";
import { chromiumOptions, chromiumTab } from "../harness/browsers/chromium.js";
import { buildEmptyProgram, buildWasm, runtimeOfGo } from "../harness/go.js";
import { dist, startSite } from "../harness/server.js";
import { withModule } from "../build-options.js";
import {
  cases,
  contenders,
  limit,
  names,
  readers,
  sessions,
  takesPart,
  titleOf,
} from "./cases.js";

/** @typedef {import("./cases.js").Contender} Contender */
/** @typedef {typeof import("./stopwatch.js")} Stopwatch */
/** @typedef {typeof import("./opening.js")} Opening */
/** @typedef {"session" | "durable20" | "durable1000" | "empty" | "zustand"} Program what is opened */
/** @typedef {import("../harness/server.js").Site} Site */
/** @typedef {Record<"before" | "after", { module: number, js: number }>} Heap in bytes */

/**
 * What was measured, one number from each round.
 *
 * @typedef {object} Measured
 * @property {string} browser
 * @property {Record<string, Partial<Record<Contender, number[]>>>} cases in
 *   microseconds, by the titles of the cases
 * @property {Record<"cold" | "warm", Record<Program, number[]>>} opens
 *   until ready, in milliseconds
 * @property {Record<"plain" | "durable", Heap>} heap before and after many saves
 */

/** How many saves there are between two looks at the heap. */
export const manySaves = 100_000;

const here = dirname(fileURLToPath(import.meta.url));

/**
 * @param {object} given
 * @param {number} given.seed of the order
 * @param {number} given.rounds
 * @param {(text: string) => void} given.say
 * @returns {Promise<Measured>}
 */
export async function measure({ seed, rounds, say }) {
  const random = generator(seed);
  const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  const browser = await chromium.launch(chromiumOptions());
  /** @type {Site[]} */
  const sites = [];
  try {
    await buildAll(folder);
    const newSite = async () => {
      const site = await startSite({ isolated: true });
      sites.push(site);
      site.serve("/bench/", folder, undefined, "max-age=3600");
      return site;
    };
    const context = await browser.newContext();

    /** @type {Measured["cases"]} */
    const measured = Object.fromEntries(
      cases.map((each) => [
        titleOf(each),
        Object.fromEntries(
          names
            .filter((name) => takesPart(name, each))
            .map((name) => [name, []]),
        ),
      ]),
    );
    const tabs = /** @type {Record<Contender, Tab>} */ ({});
    for (const name of names) {
      tabs[name] = await newTab(context, await newSite());
      await tabs[name].call("join", name);
    }
    await checkLimit(tabs);

    const opening = await newOpening(browser, await newSite());
    /** @type {Measured["opens"]} */
    const opens = {
      cold: noOpens(),
      warm: noOpens(),
    };

    // In the first round it is verified that what is timed is done, and the
    // browser gets to know the code.
    for (let round = 0; round <= rounds; round++) {
      for (const session of shuffled(sessions)) {
        for (const name of shuffled(names)) {
          await takeTurn(name, session, round === 0);
        }
      }
      if (round === 0) continue;
      for (const program of shuffled(opening.programs)) {
        opens.cold[program].push(await opening.cold(program));
        opens.warm[program].push(await opening.warm(program));
      }
      say(`round ${round} of ${rounds}`);
    }
    for (const { page } of Object.values(tabs)) {
      const errors = await page.takeErrors();
      if (errors.length > 0) throw new Error(`in a page: ${errors}`);
    }

    return {
      browser: await browserOf(tabs["session-writer"].page),
      cases: measured,
      opens,
      heap: {
        plain: await measureHeap(browser, await newSite(), false),
        durable: await measureHeap(browser, await newSite(), true),
      },
    };

    /**
     * @param {Contender} name
     * @param {number} session
     * @param {boolean} verify
     */
    async function takeTurn(name, session, verify) {
      const { call, site } = tabs[name];
      const turn = cases.filter(
        (each) => each.session === session && takesPart(name, each),
      );
      if (turn.length > 0) await call("prepare", name, session);
      let size = session;
      for (const each of turn) {
        const { operation, entries } = each;
        const { micros, last } = await call("time", name, operation, entries);
        if (!verify) {
          measured[titleOf(each)][name]?.push(micros);
        } else if (operation === "save") {
          const merges = contenders[name].merges !== false;
          size = merges ? Math.max(size, entries) : entries;
          // It must not be there while others are timed: it would be told of
          // every item, which costs time.
          const reader = await newTab(context, site);
          const by = readers[name] ?? name;
          await reader.call("expect", by, size, entries, last);
          await reader.page.close();
        }
      }
    }
  } finally {
    await browser.close();
    for (const site of sites) await site.close();
    await rm(folder, { recursive: true });
  }

  /**
   * @template T
   * @param {readonly T[]} list
   */
  function shuffled(list) {
    const rest = [...list];
    return list.map(
      () => rest.splice(Math.floor(random() * rest.length), 1)[0],
    );
  }
}

/**
 * Builds what the pages load.
 *
 * @param {string} folder
 */
async function buildAll(folder) {
  await build({
    entryPoints: ["stopwatch.js", "opening.js", "zustand.js"].map((file) =>
      join(here, file),
    ),
    bundle: true,
    format: "esm",
    outdir: folder,
    define: { "process.env.NODE_ENV": '"production"' },
    logLevel: "warning",
  });
  const programs = new Set(names.flatMap((name) => contenders[name].go ?? []));
  for (const program of programs) {
    await buildWasm(join(here, "go", program), join(folder, `${program}.wasm`));
  }
  // Not the module's own, which may be of another compiler.
  await cp(await runtimeOfGo(), join(folder, "go_exec.js"));
  await cp(join(dist, "index.js"), join(folder, "index.js"));
  const empty = join(folder, "empty.wasm");
  await buildEmptyProgram(empty);
  await build({
    ...withModule(empty),
    entryPoints: [join(here, "empty.js")],
    outdir: folder,
  });
}

/** @typedef {Awaited<ReturnType<typeof newTab>>} Tab */

/**
 * @param {import("playwright-core").BrowserContext} context
 * @param {Site} site
 */
async function newTab(context, site) {
  const page = new Page(chromiumTab(await context.newPage()));
  await page.goto(site.url("/"));
  /** @type {Caller<Stopwatch>} */
  const call = caller(page, site.url("/bench/stopwatch.js"));
  return { page, site, call };
}

/**
 * Calls a function of a module in a page.
 *
 * @template {Record<string, (...args: any[]) => any>} M
 * @typedef {<F extends keyof M & string>(name: F, ...args: Parameters<M[F]>) => Promise<Awaited<ReturnType<M[F]>>>} Caller
 */

/**
 * @param {Page} page
 * @param {string} url
 * @returns {Caller<any>}
 */
function caller(page, url) {
  return (name, ...args) =>
    page.evaluate(
      async (url, name, args) => (await import(url))[name](...args),
      url,
      name,
      args,
    );
}

/**
 * Checks that the limit writes as much as session-writer does.
 *
 * @param {Record<Contender, Tab>} tabs
 */
async function checkLimit(tabs) {
  for (const entries of [1, 20, 100]) {
    const [ours, theirs] = await Promise.all(
      /** @type {const} */ (["session-writer", limit]).map((name) =>
        tabs[name].call("itemLength", name, entries),
      ),
    );
    if (ours !== theirs) {
      throw new Error(
        `of ${entries} entries session-writer makes ${ours} characters, and "${limit}" ${theirs}`,
      );
    }
  }
}

/**
 * Times opens: cold in a context that has nothing, warm in one that has been
 * to the site some times.
 *
 * @param {import("playwright-core").Browser} browser
 * @param {Site} site
 */
async function newOpening(browser, site) {
  const functions = /** @type {const} */ ({
    session: "openSession",
    durable20: "openDurable20",
    durable1000: "openDurable1000",
    empty: "startEmpty",
    zustand: "hydrateZustand",
  });

  /** @param {import("playwright-core").BrowserContext} context */
  const visitor = async (context) => {
    const page = new Page(chromiumTab(await context.newPage()));
    /** @type {Caller<Opening>} */
    const call = caller(page, site.url("/bench/opening.js"));
    return async (/** @type {Program} */ program) => {
      await page.goto(site.url("/"));
      return call(functions[program]);
    };
  };

  const requests = () =>
    ["index", "empty", "zustand"]
      .map((file) => site.requests(`/bench/${file}.js`))
      .reduce((sum, n) => sum + n);

  const programs = /** @type {Program[]} */ (Object.keys(functions));
  const warm = await visitor(await browser.newContext());
  for (const program of programs) {
    for (let visit = 0; visit < 5; visit++) await warm(program);
  }
  return {
    programs,
    warm: async (/** @type {Program} */ program) => {
      const before = requests();
      const took = await warm(program);
      if (requests() > before) throw new Error("the cache had no module");
      return took;
    },
    cold: async (/** @type {Program} */ program) => {
      const context = await browser.newContext();
      try {
        return await (
          await visitor(context)
        )(program);
      } finally {
        await context.close();
      }
    },
  };
}

/** @returns {Record<Program, number[]>} */
function noOpens() {
  return {
    session: [],
    durable20: [],
    durable1000: [],
    empty: [],
    zustand: [],
  };
}

/**
 * @param {import("playwright-core").Browser} browser
 * @param {Site} site
 * @param {boolean} durable
 * @returns {Promise<Heap>}
 */
async function measureHeap(browser, site, durable) {
  const context = await browser.newContext();
  const tab = await context.newPage();
  const inspector = await context.newCDPSession(tab);
  const page = new Page(chromiumTab(tab));
  await page.goto(site.url("/"));
  /** @type {Caller<Opening>} */
  const call = caller(page, site.url("/bench/opening.js"));
  await call("openMeasured", durable);
  const saveAndLook = async (/** @type {number} */ saves) => {
    const module = await call("saveManyTimes", saves);
    await inspector.send("HeapProfiler.collectGarbage");
    const { usedSize } = await inspector.send("Runtime.getHeapUsage");
    return { module, js: usedSize };
  };
  // Before the first collection the module's heap has not the size it keeps.
  const before = await saveAndLook(manySaves / 20);
  return { before, after: await saveAndLook(manySaves) };
}
