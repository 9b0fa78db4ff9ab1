// What a save survives.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { launchKillable } from "../harness/killable.js";
import { startSite } from "../harness/server.js";

/** @typedef {import("../harness/browser.js").Page} Page */
/** @typedef {import("../harness/killable.js").Killable} Killable */

/**
 * Tries whether a save survives what happens to it, and returns how often it
 * did.
 *
 * @param {string} name of the browser
 * @param {number} tries
 * @param {(browser: Killable, page: Page) => Promise<unknown>} happen may close
 *   the browser
 */
export async function survivals(name, tries, happen) {
  let survived = 0;
  for (let i = 0; i < tries; i++) {
    await onProfile(name, async (launch, site) => {
      const browser = await launch();
      const page = await browser.newPage();
      await page.goto(site.url("/"));
      await page.evaluate(async () => {
        (await inPage.open()).save({ survived: true });
      });
      await happen(browser, page);
      const there = await (await launch()).newPage();
      await there.goto(site.url("/"));
      if (await there.evaluate(isThere)) survived++;
    });
  }
  return survived;
}

/** Looks for the entry, in the page. */
async function isThere() {
  return (await inPage.open()).get("survived") === true;
}

/**
 * Saves ten times a second, kills the browser, and returns how much of the
 * time before the kill is lost, in milliseconds.
 *
 * @param {string} name of the browser
 * @param {number} duration in milliseconds
 */
export async function lostBeforeKill(name, duration) {
  let lost = 0;
  await onProfile(name, async (launch, site) => {
    const browser = await launch();
    const page = await browser.newPage();
    await page.goto(site.url("/"));
    await page.evaluate(async () => {
      const session = await inPage.open();
      const save = () => session.save({ at: Date.now() });
      save();
      setInterval(save, 100);
    });
    await delay(duration);
    const killed = Date.now();
    await browser.kill();
    const there = await (await launch()).newPage();
    await there.goto(site.url("/"));
    const at = await there.evaluate(async () =>
      Number((await inPage.open()).get("at") ?? 0),
    );
    lost = Math.min(killed - at, duration);
  });
  return lost;
}

/**
 * Calls f with what launches a browser on a new profile, again and again, one
 * at a time.
 *
 * @param {string} name of the browser
 * @param {(launch: () => Promise<Killable>, site: import("../harness/server.js").Site) => Promise<void>} f
 */
async function onProfile(name, f) {
  const profile = await mkdtemp(join(tmpdir(), "session-writer-"));
  const site = await startSite();
  /** @type {Killable | undefined} */
  let browser;
  try {
    await f(async () => (browser = await launchKillable(profile, name)), site);
  } finally {
    await browser?.close();
    await site.close();
    await rm(profile, { recursive: true });
  }
}
