// Browsers that can be killed, and started again on the same profile.
import { Page, browserName } from "./browser.js";
import { gone, memoryOf, processes } from "./processes.js";

/**
 * A browser on a profile as its launcher gives it. All its processes are in a
 * group of their own.
 *
 * @typedef {object} OnProfile
 * @property {() => Promise<import("./browser.js").Tab>} newTab
 * @property {() => Promise<unknown>} close closes it as a user does
 * @property {number} id of the process that leads the group
 * @property {Promise<unknown>} ended resolves when its driver knows of its end
 * @property {(command: string) => boolean} isRenderer whether a process of that
 *   command runs pages
 */

/**
 * @typedef {object} Killable
 * @property {() => Promise<Page>} newPage
 * @property {() => Promise<unknown>} close closes it as a user does
 * @property {() => Promise<unknown>} kill ends all its processes with SIGKILL
 * @property {() => Promise<unknown>} killRenderers ends those that run pages,
 *   and no other
 * @property {(page: Page) => Promise<unknown>} killRenderer ends the one that
 *   runs this page
 */

/** @type {Record<string, (profile: string) => Promise<OnProfile>>} */
const launchers = {
  chromium: async (profile) =>
    (await import("./browsers/chromium.js")).launchChromiumOn(profile),
  firefox: async (profile) =>
    (await import("./browsers/firefox.js")).launchFirefoxOn(profile),
  webkit: async (profile) =>
    (await import("./browsers/minibrowser.js")).launchMiniBrowserOn(profile),
};

/** What a page takes to be known by, in megabytes. */
const ballast = 256;

/**
 * Launches a browser.
 *
 * @param {string} profile the folder where it keeps what it stores
 * @param {string} [name]
 * @returns {Promise<Killable>}
 */
export async function launchKillable(profile, name = browserName) {
  const browser = await launchers[name](profile);
  const own = () => processes().filter(({ group }) => group === browser.id);
  const renderers = () =>
    own().filter(({ command }) => browser.isRenderer(command));

  /** @param {import("./processes.js").Process[]} victims */
  const kill = async (victims) => {
    for (const { id } of victims) process.kill(id, "SIGKILL");
    await gone(() =>
      own().filter(({ id }) => victims.some((victim) => victim.id === id)),
    );
  };
  return {
    newPage: async () => new Page(await browser.newTab()),
    close: () => browser.close(),
    kill: async () => {
      process.kill(-browser.id, "SIGKILL");
      await gone(own);
      await browser.ended;
    },
    killRenderers: () => kill(renderers()),
    killRenderer: async (page) => {
      // No driver says which process it is. It is the one that grows.
      const before = new Map(renderers().map((it) => [it.id, memoryOf(it)]));
      await page.evaluate((ballast) => {
        inPage.kept.ballast = new Uint8Array(ballast << 20).fill(1);
      }, ballast);
      const grown = renderers().filter(
        (it) => memoryOf(it) - (before.get(it.id) ?? 0) > ballast * 0.9,
      );
      if (grown.length !== 1) throw new Error(`${grown.length} processes grew`);
      await kill(grown);
    },
  };
}
