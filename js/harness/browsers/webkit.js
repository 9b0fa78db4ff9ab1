// WebKit speaks WebDriver only (https://www.w3.org/TR/webdriver2/), which is
// JSON over HTTP: the few commands that tabs need are here.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { executable } from "./executable.js";

/**
 * Launches WebKitGTK. A driver has one session, which is one browser of its
 * own, so that each context has a driver.
 *
 * @returns {Promise<import("../browser.js").Driver>}
 */
export async function launchWebKit() {
  const driver = executable("WEBKIT_DRIVER", ["WebKitWebDriver"]);
  /** @type {Set<Session>} */
  const sessions = new Set();
  return {
    newContext: async () => {
      const session = await Session.start(driver);
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
  #process;
  #origin;
  #path = "";

  /**
   * The last of the commands. They are of one window, the one that was
   * switched to last, so no tab may come between a switch and its command.
   *
   * @type {Promise<unknown>}
   */
  #last = Promise.resolve();

  /** The window that the session began with, and that stays. */
  #first = "";

  /** The window that commands are of. */
  #current = "";

  /**
   * @param {import("node:child_process").ChildProcess} process
   * @param {string} origin
   */
  constructor(process, origin) {
    this.#process = process;
    this.#origin = origin;
  }

  /** @param {string} driver */
  static async start(driver) {
    const port = await freePort();
    const process = spawn(driver, [`--port=${port}`], { stdio: "ignore" });
    const session = new Session(process, `http://127.0.0.1:${port}`);
    try {
      await session.#listening();
      const { sessionId } = await session.#send("POST", "/session", {
        capabilities: {
          alwaysMatch: { timeouts: { script: null, pageLoad: 60_000 } },
        },
      });
      session.#path = `/session/${sessionId}`;
      session.#first = session.#current = await session.#send("GET", "/window");
      return session;
    } catch (error) {
      process.kill();
      throw error;
    }
  }

  async newTab() {
    // Not of type tab: one behind another is hidden, and its timers wait.
    const { handle } = await this.#command(this.#first, "POST", "/window/new", {
      type: "window",
    });
    /** @type {(method: string, path: string, body?: object) => Promise<any>} */
    const command = (method, path, body) =>
      this.#command(handle, method, path, body);
    return {
      goto: (/** @type {string} */ url) => command("POST", "/url", { url }),
      reload: () => command("POST", "/refresh", {}),
      back: () => command("POST", "/back", {}),
      hide: () => command("POST", "/window/minimize", {}),
      run: async (/** @type {string} */ expression) => {
        const id = ++runs;
        // Tabs wait for each other, so none may keep the others from their
        // turn for as long as its expression takes.
        let { result } = await command("POST", "/execute/async", {
          script: start(expression),
          args: [id],
        });
        while (result === undefined) {
          ({ result } = await command("POST", "/execute/async", {
            script: resume,
            args: [id],
          }));
        }
        return String(result);
      },
      close: () => command("DELETE", "/window"),
    };
  }

  async end() {
    try {
      // What is asked for from now on fails: a test that ran out of time may
      // still be asking.
      await (this.#last = this.#last.then(() => this.#send("DELETE", "")));
    } finally {
      this.#process.kill();
    }
  }

  /**
   * Gives a command to a window, when all commands before it are done.
   *
   * @param {string} window
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   */
  #command(window, method, path, body) {
    const turn = this.#last.then(async () => {
      if (window !== this.#current) {
        await this.#send("POST", "/window", { handle: window });
        this.#current = window;
      }
      return this.#send(method, path, body);
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   */
  async #send(method, path, body) {
    const response = await fetch(this.#origin + this.#path + path, {
      method,
      body: body && JSON.stringify(body),
    });
    const { value } = await response.json();
    if (!response.ok) {
      throw new Error(`${method} ${path}: ${value.error}: ${value.message}`);
    }
    return value;
  }

  /** Waits until the driver listens: it says so in no other way. */
  async #listening() {
    for (;;) {
      if (this.#process.exitCode !== null) {
        throw new Error(
          `WebKitWebDriver has ended with ${this.#process.exitCode}`,
        );
      }
      try {
        return await this.#send("GET", "/status");
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}

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

/** Returns a port that nothing listens on: WebKit does not choose one. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (
    server.address()
  );
  server.close();
  await once(server, "close");
  return port;
}
