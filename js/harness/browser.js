// The browsers that the tests run in, cut down to what the tests need, so that
// no test knows which library drives which browser.

/**
 * A tab as a driver gives it. Everything else is the same for all browsers.
 *
 * @typedef {object} Tab
 * @property {(url: string) => Promise<unknown>} goto resolves after the load
 *   event, so that module scripts have run
 * @property {() => Promise<unknown>} reload likewise
 * @property {() => Promise<unknown>} back resolves when the earlier document is
 *   there again
 * @property {() => Promise<unknown>} [show] has it be in front, where tabs do not
 *   stay there when others are opened
 * @property {() => Promise<unknown>} [hide] has something else be in front of it
 * @property {(key: string) => Promise<unknown>} [press] presses a key and lets it go:
 *   a character, or the name that KeyboardEvent.key has for it
 * @property {(scheme: "light" | "dark") => Promise<unknown>} [prefer] sets the color
 *   scheme that the user prefers
 * @property {(frozen: boolean) => Promise<unknown>} [freeze] has the tasks of a hidden tab
 *   stop, as they do when it was hidden for long, or go on
 * @property {(expression: string) => Promise<string>} run evaluates an
 *   expression that is a promise of a string
 * @property {() => Promise<unknown>} close
 * @property {() => string[]} [takeMessages] returns what its console has shown since
 *   the last call, where the driver tells
 */

/**
 * A browser as a driver gives it, which has contexts with tabs.
 *
 * @typedef {object} Driver
 * @property {() => Promise<DriverContext>} newContext
 * @property {() => Promise<unknown>} close
 */

/**
 * @typedef {object} DriverContext
 * @property {() => Promise<Tab>} newTab
 * @property {(url: string) => Promise<unknown>} [visit] opens a tab that it
 *   leaves alone from then on
 * @property {() => Promise<unknown>} close
 */

/**
 * Storage, cache and tabs that are apart from those of every other context.
 *
 * @typedef {object} Context
 * @property {() => Promise<Page>} newPage
 * @property {(url: string) => Promise<unknown>} visit opens a page that does
 *   all by itself
 * @property {() => Promise<unknown>} close
 */

/**
 * @typedef {object} Browser
 * @property {() => Promise<Context>} newContext
 * @property {() => Promise<unknown>} close
 */

/**
 * Each with a file of its own, so that a browser's tests load its driver only.
 *
 * @type {Record<string, () => Promise<Driver>>}
 */
const drivers = {
  chromium: async () =>
    (await import("./browsers/chromium.js")).launchChromium(),
  firefox: async () => (await import("./browsers/firefox.js")).launchFirefox(),
  webkit: async () => (await import("./browsers/webkit.js")).launchWebKit(),
};

/** The name of the browser that the tests run in, unless they say another. */
export const browserName = process.env.BROWSER || "chromium";

/** Where the browsers differ, and a test has to say so. */
export const engine = {
  /**
   * Whether scripts of a tab that is being closed run to their end. Firefox
   * stops them when the tab is the last of its process
   * (dom.abort_script_on_child_shutdown).
   */
  finishesClosingTabs: browserName !== "firefox",

  /**
   * Whether there is always room for what several tabs save without a pause.
   * Firefox writes late what they store, and refuses more while it is behind.
   */
  keepsUpWithTabs: browserName !== "firefox",

  /**
   * Whether a page can have the browser render others before they are visited.
   * Firefox and WebKit know no speculation rules.
   */
  prerenders: browserName === "chromium",

  /** Whether its driver can freeze a tab. */
  freezes: browserName === "chromium",

  /** Whether its driver can have the user prefer a color scheme. */
  prefersColorScheme: browserName === "chromium",
};

/**
 * Launches a browser.
 *
 * @param {string} [name]
 * @returns {Promise<Browser>}
 */
export async function launch(name = browserName) {
  if (!Object.hasOwn(drivers, name)) {
    throw new Error(
      `the browser is ${JSON.stringify(name)}: use ${Object.keys(drivers).join(", ")}`,
    );
  }
  return drivenBy(await drivers[name]());
}

/**
 * Launches a browser that hides tabs behind others, and prerenders, as users'
 * browsers do. Playwright has every tab be in front, and ends prerendering.
 */
export async function launchHiding() {
  if (browserName !== "chromium") return launch();
  const { launchBareChromium } = await import("./browsers/bare-chromium.js");
  return drivenBy(await launchBareChromium());
}

/**
 * @param {Driver} driver
 * @returns {Browser}
 */
function drivenBy(driver) {
  return {
    newContext: async () => {
      const context = await driver.newContext();
      return {
        newPage: async () => new Page(await context.newTab()),
        visit: async (url) => {
          if (!context.visit) throw new Error("this driver drives every tab");
          await context.visit(url);
        },
        close: () => context.close(),
      };
    },
    close: () => driver.close(),
  };
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

  /** Shows the page, as a tab is shown when it is opened. */
  async show() {
    await this.#tab?.show?.();
  }

  /** Hides the page, as a tab behind another is. */
  async hide() {
    if (!this.#tab?.hide) throw new Error("this tab is always in front");
    await this.#tab.hide();
    await this.evaluate(() =>
      inPage.until(() => document.visibilityState === "hidden"),
    );
  }

  /**
   * Presses a key where the focus is: a character, or a key by its name.
   *
   * @param {string} key
   */
  async press(key) {
    if (!this.#tab?.press) throw new Error("this tab has no keyboard");
    await this.#tab.press(key);
  }

  /**
   * Has the tasks of a hidden page stop, as they do when it was hidden for long, or go on.
   *
   * @param {boolean} frozen
   */
  async freeze(frozen) {
    if (!this.#tab?.freeze) throw new Error("this tab cannot be frozen");
    await this.#tab.freeze(frozen);
  }

  /**
   * Sets the color scheme that the user prefers, until it is set again.
   *
   * @param {"light" | "dark"} scheme
   */
  async prefer(scheme) {
    if (!this.#tab?.prefer) throw new Error("this tab has one color scheme");
    await this.#tab.prefer(scheme);
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

  /**
   * Returns all that the console has shown since the last call, errors that nobody
   * caught included. Of any page, where takeErrors is for those with page.js.
   */
  takeMessages() {
    if (!this.#tab?.takeMessages) throw new Error("this tab does not tell");
    return this.#tab.takeMessages();
  }

  async #collectErrors() {
    if (!this.#tab) return;
    this.#errors.push(
      ...(await this.evaluate(() => globalThis.inPage?.takeErrors() ?? [])),
    );
  }
}

/**
 * Returns the name and version of the browser that a page is in.
 *
 * @param {Page} page
 */
export async function browserOf(page) {
  const agent = await page.evaluate(() => navigator.userAgent);
  for (const [product, name] of [
    ["Firefox", "Firefox"],
    ["Chrome", "Chromium"],
    ["Version", "WebKit"], // of Safari, which the engine says it is
  ]) {
    const version = new RegExp(`${product}/([\\d.]+?)(\\.0)*( |$)`).exec(agent);
    if (version) return `${name} ${version[1]}`;
  }
  return agent;
}
