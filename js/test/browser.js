// The browsers that the tests run in, cut down to what the tests need, so that
// no test knows which library drives which browser.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";

/**
 * A tab as a driver gives it. Everything else is the same for all browsers.
 *
 * @typedef {object} Tab
 * @property {(url: string) => Promise<unknown>} goto resolves after the load
 *   event, so that module scripts have run
 * @property {() => Promise<unknown>} reload likewise
 * @property {() => Promise<unknown>} back resolves when the earlier document is
 *   there again
 * @property {(expression: string) => Promise<string>} run evaluates an
 *   expression that is a promise of a string
 * @property {() => Promise<unknown>} close
 */

/**
 * Storage, cache and tabs that are apart from those of every other context.
 *
 * @typedef {object} Context
 * @property {() => Promise<Page>} newPage
 * @property {() => Promise<unknown>} close
 */

/**
 * @typedef {object} Browser
 * @property {() => Promise<Context>} newContext
 * @property {() => Promise<unknown>} close
 */

/** @type {Record<string, () => Promise<Browser>>} */
const browsers = { chromium: launchChromium };

/**
 * Launches the browser that the environment variable BROWSER names.
 *
 * @param {string} [name]
 * @returns {Promise<Browser>}
 */
export async function launch(name = process.env.BROWSER || "chromium") {
  if (!Object.hasOwn(browsers, name)) {
    throw new Error(
      `BROWSER is ${JSON.stringify(name)}: use ${Object.keys(browsers).join(" or ")}`,
    );
  }
  return browsers[name]();
}

/** A page, which page.js runs in. */
export class Page {
  /** @type {Tab | undefined} */
  #tab;
  /** @type {string[]} */
  #errors = [];

  /** @param {Tab} tab */
  constructor(tab) {
    this.#tab = tab;
  }

  /** @param {string} url */
  async goto(url) {
    await this.#collectErrors();
    await this.#tab?.goto(url);
  }

  async reload() {
    await this.#collectErrors();
    await this.#tab?.reload();
  }

  /** Goes back in the tab's history. */
  async back() {
    await this.#collectErrors();
    await this.#tab?.back();
  }

  /** Closes the page, if it is open; the errors in it can still be taken. */
  async close() {
    await this.#collectErrors();
    await this.#tab?.close();
    this.#tab = undefined;
  }

  get closed() {
    return this.#tab === undefined;
  }

  /**
   * Calls a function in the page and returns what it returns, or resolves to,
   * as JSON carries it. Arguments are JSON values or functions, which go as
   * their source: neither they nor f see anything of this process.
   *
   * @template {unknown[]} A
   * @template R
   * @param {(...args: A) => R | Promise<R>} f
   * @param {A} args
   * @returns {Promise<R>}
   */
  async evaluate(f, ...args) {
    if (!this.#tab) throw new Error("the page is closed");
    const sources = args.map((arg) =>
      typeof arg === "function" ? `(${arg})` : JSON.stringify(arg),
    );
    const reply = JSON.parse(
      await this.#tab.run(
        `(async () => {
          try {
            return JSON.stringify({ value: await (${f})(${sources}) });
          } catch (thrown) {
            return JSON.stringify({ thrown: String(thrown?.stack ?? thrown) });
          }
        })()`,
      ),
    );
    if ("thrown" in reply) throw new Error(`in the page: ${reply.thrown}`);
    return reply.value;
  }

  /**
   * Returns the errors that nobody caught in the page, and what was written to
   * its console as an error, since the last call. A test that expects some
   * takes them; any others fail it.
   */
  async takeErrors() {
    await this.#collectErrors();
    return this.#errors.splice(0);
  }

  async #collectErrors() {
    if (!this.#tab) return;
    this.#errors.push(
      ...(await this.evaluate(() => globalThis.inPage?.takeErrors() ?? [])),
    );
  }
}

/** @returns {Promise<Browser>} */
async function launchChromium() {
  const browser = await chromium.launch(chromiumOptions());
  return {
    newContext: async () => {
      const context = await browser.newContext();
      return {
        newPage: async () => chromiumPage(await context.newPage()),
        close: () => context.close(),
      };
    },
    close: () => browser.close(),
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

/** @param {import("playwright-core").Page} page */
export function chromiumPage(page) {
  return new Page({
    goto: (url) => page.goto(url),
    reload: () => page.reload(),
    // A page out of the back/forward cache has no load event.
    back: () => page.goBack({ waitUntil: "commit" }),
    run: (expression) => page.evaluate(expression),
    close: () => page.close(),
  });
}

/**
 * Returns the path of a browser: what the environment variable says, or the
 * first of the names on the PATH.
 *
 * @param {string} variable
 * @param {string[]} names
 */
function executable(variable, names) {
  const given = process.env[variable];
  if (given) {
    if (!isExecutable(given)) {
      throw new Error(`${variable} is ${given}, which cannot be executed`);
    }
    return given;
  }
  const found = names
    .flatMap((name) =>
      (process.env.PATH ?? "")
        .split(delimiter)
        .map((folder) => join(folder, name)),
    )
    .find(isExecutable);
  if (!found) {
    throw new Error(
      `none of ${names.join(", ")} is on the PATH: install one, or set ${variable} to its path`,
    );
  }
  return found;
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
