// Chromium without a driver, spoken to in its own protocol, which is at
// https://chromedevtools.github.io/devtools-protocol/. Drivers attach to every
// tab: Playwright keeps all in front and ends prerendering so, and Puppeteer
// loses pages that were prerendered. So of Puppeteer there is the connection
// only, which attaches to what it is told to.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as puppeteer from "puppeteer-core";
import { gone, processes } from "../processes.js";
import { chromiumOptions } from "./chromium.js";

/** @returns {Promise<import("../browser.js").Driver>} */
export async function launchBareChromium() {
  const profile = await mkdtemp(join(tmpdir(), "session-writer-"));
  const { executablePath, args } = chromiumOptions();
  const browser = spawn(
    executablePath,
    [
      ...args,
      "--headless",
      `--user-data-dir=${profile}`,
      "--no-startup-window",
      "--remote-debugging-pipe",
    ],
    {
      detached: true, // it leads a group of its own
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    },
  );
  const ended = once(browser, "exit");
  const [, , , input, output] = browser.stdio;
  // Its types do not say that it is exported.
  const { PipeTransport } = /** @type {any} */ (puppeteer);
  const connection = new puppeteer.Connection(
    "",
    new PipeTransport(input, output),
    0,
    0, // no timeout: a test has its own
  );
  return {
    newContext: async () => {
      const context = await connection.send("Target.createBrowserContext");
      const open = async (/** @type {string} */ url) => {
        const params = { url, ...context };
        return (await connection.send("Target.createTarget", params)).targetId;
      };
      return {
        newTab: async () => tab(connection, await open("about:blank"), open),
        visit: open,
        close: () => connection.send("Target.disposeBrowserContext", context),
      };
    },
    close: async () => {
      input?.destroy(); // its end
      await ended;
      await gone(() =>
        processes().filter(({ group }) => group === browser.pid),
      );
      await rm(profile, { recursive: true });
    },
  };
}

/**
 * Attaches to a tab.
 *
 * @param {puppeteer.Connection} connection
 * @param {string} targetId
 * @param {(url: string) => Promise<unknown>} open opens another beside it
 * @returns {Promise<import("../browser.js").Tab>}
 */
async function tab(connection, targetId, open) {
  const { targetInfo } = await connection.send("Target.getTargetInfo", {
    targetId,
  });
  const session = await connection.createSession(targetInfo);
  await session.send("Page.enable");
  const never = async () => {
    throw new Error("a Chromium without a driver does not do this");
  };
  return {
    goto: async (url) => {
      const loaded = new Promise((resolve) =>
        session.once("Page.loadEventFired", resolve),
      );
      const { errorText } = await session.send("Page.navigate", { url });
      if (errorText) throw new Error(`${url}: ${errorText}`);
      await loaded;
    },
    reload: never,
    back: never,
    hide: () => open("about:blank"),
    freeze: (frozen) =>
      session.send("Page.setWebLifecycleState", {
        state: frozen ? "frozen" : "active",
      }),
    run: async (expression) => {
      const { result, exceptionDetails } = await session.send(
        "Runtime.evaluate",
        {
          expression,
          awaitPromise: true,
          returnByValue: true,
        },
      );
      if (exceptionDetails) throw new Error(result.description);
      return String(result.value);
    },
    close: () => connection.send("Target.closeTarget", { targetId }),
  };
}
