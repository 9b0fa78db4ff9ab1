import { readdirSync } from "node:fs";
import puppeteer from "puppeteer-core";
import { gone } from "../processes.js";
import { contextOf } from "./context.js";
import { executable } from "./executable.js";

/** @returns {Promise<import("../browser.js").Driver>} */
export async function launchFirefox() {
  const browser = await puppeteer.launch(firefoxOptions());
  return {
    newContext: async () =>
      contextOf(await browser.createBrowserContext(), firefoxTab),
    close: () => browser.close(),
  };
}

/**
 * @param {string} profile
 * @returns {Promise<import("../killable.js").OnProfile>}
 */
export async function launchFirefoxOn(profile) {
  const browser = await puppeteer.launch({
    ...firefoxOptions(),
    userDataDir: profile,
  });
  const disconnected = new Promise((resolve) =>
    browser.once("disconnected", resolve),
  );
  // Puppeteer puts the profile's preferences back when the process has ended,
  // and says in no other way that it is done. A browser that starts meanwhile
  // would lose those that it was given.
  const backups = () =>
    readdirSync(profile).filter((name) => name.endsWith(".puppeteer"));
  return {
    ...contextOf(browser, firefoxTab),
    id: Number(browser.process()?.pid),
    ended: disconnected.then(() => gone(backups)),
    isRenderer: (command) => / tab\0$/.test(command),
  };
}

/** @returns {import("puppeteer-core").LaunchOptions} */
function firefoxOptions() {
  return {
    browser: "firefox",
    executablePath: executable("FIREFOX", ["firefox-esr", "firefox"]),
    extraPrefsFirefox: {
      // As in the other browsers, the tabs of a test do not wait for each
      // other: in a tab behind another, Firefox lets a timer wait a second.
      "dom.min_background_timeout_value": 4,
      "dom.min_background_timeout_value_without_budget_throttling": 4,
    },
    protocolTimeout: 0, // a test has its own
  };
}

/**
 * @param {import("puppeteer-core").Page} page
 * @returns {import("../browser.js").Tab}
 */
function firefoxTab(page) {
  // The commands of WebDriver BiDi themselves: once a page came out of the
  // back/forward cache, page.goto waits for a load that never was.
  const { browsingContext } = /** @type {any} */ (page.mainFrame());
  return {
    goto: (url) => browsingContext.navigate(url, "complete"),
    reload: () => browsingContext.reload({ wait: "complete" }),
    back: () => browsingContext.traverseHistory(-1),
    show: () => page.bringToFront(),
    hide: () => page.browserContext().newPage(),
    press: (key) =>
      page.keyboard.press(
        /** @type {import("puppeteer-core").KeyInput} */ (key),
      ),
    run: async (expression) => String(await page.evaluate(expression)),
    close: () => page.close({ runBeforeUnload: false }),
  };
}
