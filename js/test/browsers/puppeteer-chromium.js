import puppeteer from "puppeteer-core";
import { chromiumOptions } from "./chromium.js";

/** @returns {Promise<import("../browser.js").Driver>} */
export async function launchPuppeteerChromium() {
  const { executablePath, args } = chromiumOptions();
  const browser = await puppeteer.launch({
    executablePath,
    args,
    protocolTimeout: 0, // a test has its own
  });
  return {
    newContext: async () => {
      const context = await browser.createBrowserContext();
      return {
        newTab: async () => tab(await context.newPage()),
        close: () => context.close(),
      };
    },
    close: () => browser.close(),
  };
}

/**
 * @param {import("puppeteer-core").Page} page
 * @returns {import("../browser.js").Tab}
 */
function tab(page) {
  return {
    goto: (url) => page.goto(url),
    reload: () => page.reload(),
    back: () => page.goBack(),
    hide: async () => (await page.browserContext().newPage()).bringToFront(),
    run: async (expression) => String(await page.evaluate(expression)),
    close: () => page.close(),
  };
}
