import { chromium } from "playwright-core";
import { processes } from "../processes.js";
import { contextOf } from "./context.js";
import { executable } from "./executable.js";

/** @returns {Promise<import("../browser.js").Driver>} */
export async function launchChromium() {
  const browser = await chromium.launch(chromiumOptions());
  return {
    newContext: async () => {
      const context = await browser.newContext();
      // Its pages are told what a Service Worker says if it is listened to.
      context.on("serviceworker", (worker) => worker.on("console", () => {}));
      return contextOf(context, chromiumTab);
    },
    close: () => browser.close(),
  };
}

/**
 * @param {string} profile
 * @returns {Promise<import("../killable.js").OnProfile>}
 */
export async function launchChromiumOn(profile) {
  const context = await chromium.launchPersistentContext(
    profile,
    chromiumOptions(),
  );
  // Playwright has it lead a group, and does not say which.
  const browser = processes().find(
    ({ id, group, command }) =>
      id === group && command.includes(`--user-data-dir=${profile}`),
  );
  if (!browser) throw new Error("Chromium leads no process group");
  return {
    ...contextOf(context, chromiumTab),
    id: browser.id,
    ended: new Promise((resolve) => context.once("close", resolve)),
    isRenderer: (command) => command.includes("--type=renderer"),
  };
}

/** Returns how Chromium is launched. */
export function chromiumOptions() {
  return {
    executablePath: executable("CHROMIUM", [
      "chromium",
      "chromium-browser",
      "google-chrome",
    ]),
    args: [
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
    // Users have the cache, and the package must cope with it.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  };
}

/**
 * @param {import("playwright-core").Page} page
 * @returns {import("../browser.js").Tab}
 */
export function chromiumTab(page) {
  /** @type {string[]} */
  const messages = [];
  page.on("pageerror", (error) => messages.push(String(error.stack || error)));
  page.on("console", (message) => {
    const type = message.type();
    // A console does not show these unless it is asked to, and Vite has some.
    if (type === "debug") return;
    // Of no page but of a Service Worker. That of go-app logs what it does.
    if (type === "log" && !message.page()) return;
    messages.push(`${type}: ${message.text()}`);
  });
  return {
    goto: (url) => page.goto(url),
    reload: () => page.reload(),
    // A page out of the back/forward cache has no load event.
    back: () => page.goBack({ waitUntil: "commit" }),
    press: (key) => page.keyboard.press(key),
    prefer: (colorScheme) => page.emulateMedia({ colorScheme }),
    run: (expression) => page.evaluate(expression),
    close: () => page.close(),
    takeMessages: () => messages.splice(0),
  };
}
