// Browsers that can be killed, and started again on the same profile.
import { readFileSync, readdirSync } from "node:fs";
import { chromium } from "playwright-core";
import { Page, browserName } from "./browser.js";
import { chromiumOptions, chromiumTab } from "./browsers/chromium.js";

/**
 * @typedef {object} Killable
 * @property {() => Promise<Page>} newPage
 * @property {() => Promise<unknown>} close closes it as a user does
 * @property {() => Promise<unknown>} kill ends all its processes with SIGKILL
 * @property {() => Promise<unknown>} killRenderers ends those that run pages,
 *   and no other
 */

/** @type {Record<string, (profile: string) => Promise<Killable>>} */
const browsers = { chromium: launchChromium };

/**
 * Launches the browser that the environment variable BROWSER names.
 *
 * @param {string} profile the folder where it keeps what it stores
 * @param {string} [name]
 */
export async function launchKillable(profile, name = browserName) {
  if (!canBeKilled(name)) throw new Error(`nothing here kills ${name}`);
  return browsers[name](profile);
}

/** @param {string} [name] */
export function canBeKilled(name = browserName) {
  return Object.hasOwn(browsers, name);
}

/**
 * @param {string} profile
 * @returns {Promise<Killable>}
 */
async function launchChromium(profile) {
  const context = await chromium.launchPersistentContext(
    profile,
    chromiumOptions(),
  );
  const browser = processes().find(
    ({ id, group, command }) =>
      id === group && command.includes(`--user-data-dir=${profile}`),
  );
  if (!browser) throw new Error("Chromium leads no process group");
  const closed = new Promise((resolve) => context.once("close", resolve));
  // Playwright has it lead a group, in which all its processes are.
  const own = () => processes().filter(({ group }) => group === browser.id);
  return {
    newPage: async () => new Page(chromiumTab(await context.newPage())),
    close: () => context.close(),
    kill: async () => {
      process.kill(-browser.id, "SIGKILL");
      await gone(own);
      await closed;
    },
    killRenderers: async () => {
      const renderers = own().filter(({ command }) =>
        command.includes("--type=renderer"),
      );
      for (const { id } of renderers) process.kill(id, "SIGKILL");
      await gone(() =>
        own().filter(({ id }) => renderers.some((each) => each.id === id)),
      );
    },
  };
}

/**
 * Waits until none of some processes is left.
 *
 * @param {() => unknown[]} left
 */
async function gone(left) {
  while (left().length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/**
 * Returns all processes that are running, as Linux lists them.
 *
 * @returns {{ id: number, group: number, command: string }[]}
 */
function processes() {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "utf8");
        // After the name, which may have anything in it: state, parent, group.
        const [state, , group] = stat
          .slice(stat.lastIndexOf(")") + 2)
          .split(" ");
        if (state === "Z") return [];
        const command = readFileSync(`/proc/${name}/cmdline`, "utf8");
        return [{ id: Number(name), group: Number(group), command }];
      } catch {
        return []; // it has ended meanwhile
      }
    });
}
