import puppeteer from "puppeteer-core";
import { executable } from "./executable.js";

/** @returns {Promise<import("../browser.js").Driver>} */
export async function launchFirefox() {
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: executable("FIREFOX", ["firefox-esr", "firefox"]),
    extraPrefsFirefox: {
      // As in the other browsers, the tabs of a test do not wait for each
      // other: in a tab behind another, Firefox lets a timer wait a second.
      "dom.min_background_timeout_value": 4,
      "dom.timeout.enable_budget_timer_throttling": false,
      // The policy of the pages forbids the icon that Firefox would ask for.
      "browser.chrome.site_icons": false,
    },
    protocolTimeout: 0, // a test has its own
  });
  return {
    newContext: async () => {
      const context = await browser.createBrowserContext();
      return {
        newTab: async () => {
          const page = await context.newPage();
          return {
            goto: (url) => page.goto(url),
            reload: () => page.reload(),
            // A page out of the back/forward cache has no load event.
            back: () => page.goBack({ waitUntil: [] }),
            run: async (expression) => String(await page.evaluate(expression)),
            close: () => page.close({ runBeforeUnload: false }),
          };
        },
        close: () => context.close(),
      };
    },
    close: () => browser.close(),
  };
}
