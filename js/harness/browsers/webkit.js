// WebKit speaks WebDriver only (https://www.w3.org/TR/webdriver2/), in which a
// session has one window at a time that commands are of.
import { Builder, Key } from "selenium-webdriver";
import { DriverService } from "selenium-webdriver/remote/index.js";
import { executable } from "./executable.js";

/**
 * Launches WebKitGTK. A driver has one session, which is one browser of its
 * own, so that each context has a driver.
 *
 * @returns {Promise<import("../browser.js").Driver>}
 */
export async function launchWebKit() {
  const program = executable("WEBKIT_DRIVER", ["WebKitWebDriver"]);
  /** @type {Set<Session>} */
  const sessions = new Set();
  return {
    newContext: async () => {
      const session = await Session.start(program);
      sessions.add(session);
      return {
        newTab: () => session.newTab(),
        close: async () => {
          sessions.delete(session);
          await session.end();
        },
      };
    },
    close: async () => {
      for (const session of sessions) await session.end();
    },
  };
}

/** A WebDriver session, and the process that it is the only one of. */
class Session {
  #service;
  #driver;

  /**
   * The last of the commands. They are of one window, the one that was
   * switched to last, so no tab may come between a switch and its command.
   *
   * @type {Promise<unknown>}
   */
  #last = Promise.resolve();

  /** The window that the session began with, and that stays. */
  #first;

  /** The window that commands are of. */
  #current;

  /**
   * @param {DriverService} service
   * @param {import("selenium-webdriver").WebDriver} driver
   * @param {string} first
   */
  constructor(service, driver, first) {
    this.#service = service;
    this.#driver = driver;
    this.#first = this.#current = first;
  }

  /** @param {string} program */
  static async start(program) {
    const service = new DriverService.Builder(program)
      .setLoopback(true)
      .build();
    try {
      const driver = await new Builder()
        .usingServer(await service.start())
        .withCapabilities({
          browserName: "MiniBrowser",
          timeouts: { script: null, pageLoad: 60_000 },
        })
        .build();
      return new Session(service, driver, await driver.getWindowHandle());
    } catch (error) {
      await service.kill();
      throw error;
    }
  }

  async newTab() {
    const handle = await this.#inTurn(this.#first, async (driver) => {
      // Not of type tab: one behind another is hidden, and its timers wait.
      await driver.switchTo().newWindow("window");
      return (this.#current = await driver.getWindowHandle());
    });
    /**
     * @template T
     * @param {(driver: import("selenium-webdriver").WebDriver) => Promise<T>} command
     */
    const command = (command) => this.#inTurn(handle, command);
    return {
      goto: (/** @type {string} */ url) => command((it) => it.get(url)),
      reload: () => command((it) => it.navigate().refresh()),
      back: () => command((it) => it.navigate().back()),
      hide: () => command((it) => it.manage().window().minimize()),
      press: (/** @type {string} */ key) =>
        command((it) =>
          it
            .actions()
            .sendKeys(keys[key] ?? key)
            .perform(),
        ),
      run: async (/** @type {string} */ expression) => {
        const id = ++runs;
        // Tabs wait for each other, so none may keep the others from their
        // turn for as long as its expression takes.
        let script = start(expression);
        for (;;) {
          const { result } = await command((it) =>
            it.executeAsyncScript(script, id),
          );
          if (result !== undefined) return String(result);
          script = resume;
        }
      },
      close: () => command((it) => it.close()),
    };
  }

  async end() {
    try {
      // What is asked for from now on fails: a test that ran out of time may
      // still be asking.
      await (this.#last = this.#last.then(() => this.#driver.quit()));
    } finally {
      await this.#service.kill();
    }
  }

  /**
   * Gives commands to a window, when all commands before them are done.
   *
   * @template T
   * @param {string} window
   * @param {(driver: import("selenium-webdriver").WebDriver) => Promise<T>} commands
   * @returns {Promise<T>}
   */
  #inTurn(window, commands) {
    const turn = this.#last.then(async () => {
      if (window !== this.#current) {
        await this.#driver.switchTo().window(window);
        this.#current = window;
      }
      return commands(this.#driver);
    });
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/**
 * The keys that are not a character, as WebDriver sends them.
 *
 * @type {Record<string, string>}
 */
const keys = { Enter: Key.ENTER, Tab: Key.TAB };

/** How many expressions have been evaluated, in all tabs. */
let runs = 0;

/**
 * Returns a script that evaluates the expression under a number, and has its
 * result if that comes soon.
 *
 * @param {string} expression
 */
function start(expression) {
  // A test may replace what the page has: this is from before it could.
  return `
    const run = (globalThis[Symbol.for("run")] ??= {
      setTimeout, clearTimeout, results: {},
    });
    run.results[arguments[0]] = ${expression};
    ${resume}`;
}

/** A script that has the result of the expression, if that comes soon. */
const resume = `{
  const [id, done] = arguments;
  const { setTimeout, clearTimeout, results } = globalThis[Symbol.for("run")];
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    done({});
  }, 100);
  results[id].then((result) => {
    if (late) return; // the next script has it
    clearTimeout(timer);
    delete results[id];
    done({ result });
  });
}`;
