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
 * Tries whether a save and a removal survive what happens to them, and returns how
 * often they did.
 *
 * @param {string} name of the browser
 * @param {number} tries
 * @param {(browser: Killable, page: Page) => Promise<unknown>} happen may close
 *   the browser
 * @param {boolean} [durable] whether the session is durable, and flushed before
 */
export async function survivals(name, tries, happen, durable = false) {
  let survived = 0;
  for (let i = 0; i < tries; i++) {
    await onProfile(name, async (launch, site) => {
      const browser = await launch();
      const page = await browser.newPage();
      await page.goto(site.url("/"));
      await page.evaluate(async (durable) => {
        const session = await inPage.open("cart", { durable });
        session.save({ survived: true, removed: true });
        session.remove("removed");
        if (durable) await session.flush();
      }, durable);
      await happen(browser, page);
      const there = await (await launch()).newPage();
      await there.goto(site.url("/"));
      if (await there.evaluate(isThere, durable)) survived++;
    });
  }
  return survived;
}

/** Looks for the entry, in the page. */
async function isThere(/** @type {boolean} */ durable) {
  const session = await inPage.open("cart", { durable });
  return session.get("survived") === true && !session.has("removed");
}

/**
 * Saves ten times a second, kills the browser, and returns how much of the
 * time before the kill is lost, in milliseconds.
 *
 * @param {string} name of the browser
 * @param {number} duration in milliseconds
 * @param {boolean} [durable]
 */
export async function lostBeforeKill(name, duration, durable = false) {
  let lost = 0;
  await onProfile(name, async (launch, site) => {
    const browser = await launch();
    const page = await browser.newPage();
    await page.goto(site.url("/"));
    await page.evaluate(async (durable) => {
      const session = await inPage.open("cart", { durable });
      const save = () => session.save({ at: Date.now() });
      save();
      setInterval(save, 100);
    }, durable);
    await delay(duration);
    const killed = Date.now();
    await browser.kill();
    const there = await (await launch()).newPage();
    await there.goto(site.url("/"));
    const at = await there.evaluate(
      async (durable) =>
        Number((await inPage.open("cart", { durable })).get("at") ?? 0),
      durable,
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
