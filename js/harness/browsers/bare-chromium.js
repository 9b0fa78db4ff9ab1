// Chromium without a driver, spoken to in its own protocol, which is at
// https://chromedevtools.github.io/devtools-protocol/. Drivers attach to every
// tab: Playwright keeps all in front and ends prerendering so, and Puppeteer
// loses pages that were prerendered.
import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
  const connection = new Connection(
    /** @type {import("node:stream").Writable} */ (input),
    /** @type {import("node:stream").Readable} */ (output),
  );
  return {
    newContext: async () => {
      const context = await connection.call("Target.createBrowserContext");
      const open = async (/** @type {string} */ url) => {
        const params = { url, ...context };
        return (await connection.call("Target.createTarget", params)).targetId;
      };
      return {
        newTab: async () => tab(connection, await open("about:blank"), open),
        visit: open,
        close: () => connection.call("Target.disposeBrowserContext", context),
      };
    },
    close: async () => {
      connection.end();
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
 * @param {Connection} connection
 * @param {string} targetId
 * @param {(url: string) => Promise<unknown>} open opens another beside it
 * @returns {Promise<import("../browser.js").Tab>}
 */
async function tab(connection, targetId, open) {
  const { sessionId } = await connection.call("Target.attachToTarget", {
    targetId,
    flatten: true,
  });
  /** @type {(method: string, params?: object) => Promise<any>} */
  const call = (method, params) => connection.call(method, params, sessionId);
  await call("Page.enable");
  const never = async () => {
    throw new Error("a Chromium without a driver does not do this");
  };
  return {
    goto: async (url) => {
      const loaded = once(connection, `${sessionId} Page.loadEventFired`);
      const { errorText } = await call("Page.navigate", { url });
      if (errorText) throw new Error(`${url}: ${errorText}`);
      await loaded;
    },
    reload: never,
    back: never,
    hide: () => open("about:blank"),
    run: async (expression) => {
      const { result, exceptionDetails } = await call("Runtime.evaluate", {
        expression,
        awaitPromise: true,
        returnByValue: true,
      });
      if (exceptionDetails) throw new Error(result.description);
      return String(result.value);
    },
    close: () => connection.call("Target.closeTarget", { targetId }),
  };
}

/**
 * The pipes to a Chromium. They carry JSON, each message with a zero byte at
 * its end. Events are emitted as the session's id and the method.
 */
class Connection extends EventEmitter {
  #input;
  #lastCall = 0;

  /**
   * What waits for a reply, by the number of its call.
   *
   * @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>}
   */
  #calls = new Map();

  /**
   * @param {import("node:stream").Writable} input
   * @param {import("node:stream").Readable} output
   */
  constructor(input, output) {
    super();
    this.#input = input;
    let received = "";
    output.setEncoding("utf8").on("data", (text) => {
      const messages = (received + text).split("\0");
      received = String(messages.pop());
      for (const message of messages) this.#receive(JSON.parse(message));
    });
    output.on("close", () => {
      for (const { reject } of this.#calls.values()) {
        reject(new Error("Chromium has ended"));
      }
    });
  }

  /**
   * @param {string} method
   * @param {object} [params]
   * @param {string} [sessionId] of the tab, if it is one that is to do it
   * @returns {Promise<any>}
   */
  call(method, params, sessionId) {
    const id = ++this.#lastCall;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#input.write(
        `${JSON.stringify({ id, method, params, sessionId })}\0`,
      );
    });
  }

  /** Ends the browser as well. */
  end() {
    this.#input.end();
  }

  /** @param {any} message */
  #receive({ id, result, error, method, sessionId }) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (method) this.emit(`${sessionId} ${method}`);
    else if (error) call?.reject(new Error(error.message));
    else call?.resolve(result);
  }
}
