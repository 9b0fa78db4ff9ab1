// WebKitGTK's own small browser on a profile. Under WebDriver it forgets all
// that it stored when it ends, so it is driven as its remote inspector does:
// with https://github.com/WebKit/WebKit/tree/main/Source/JavaScriptCore/inspector/protocol
// over WebSockets. No library that is kept speaks it: Playwright's WebKit is built
// with a protocol of its own, and clients of Chromium's lack Target's messages.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { findFreePort } from "selenium-webdriver/net/portprober.js";
import { WebSocket } from "ws";
import { gone, processes } from "../processes.js";
import { executable } from "./executable.js";

/**
 * @param {string} profile
 * @returns {Promise<import("../killable.js").OnProfile>}
 */
export async function launchMiniBrowserOn(profile) {
  const host = `127.0.0.1:${await findFreePort("127.0.0.1")}`;
  const browser = spawn(
    executable("MINIBROWSER", ["MiniBrowser"], libraries()),
    [
      "--enable-developer-extras=true", // the inspector
      "--javascript-can-open-windows-automatically=true",
      "about:blank",
    ],
    {
      env: {
        ...process.env,
        WEBKIT_INSPECTOR_HTTP_SERVER: host,
        XDG_DATA_HOME: join(profile, "data"),
        XDG_CACHE_HOME: join(profile, "cache"),
        XDG_CONFIG_HOME: join(profile, "config"),
      },
      detached: true, // it leads a group of its own
      stdio: "ignore",
    },
  );
  const ended = once(browser, "exit");
  const id = Number(browser.pid);
  const own = () => processes().filter(({ group }) => group === id);
  const known = new Set();
  const next = async () => {
    const path = await newPath(browser, host, known);
    known.add(path);
    return Target.connect(`ws://${host}${path}`);
  };
  const first = await next();
  let windows = 1;
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();
  const open = (/** @type {string} */ url) => {
    // One after another, as nothing says which page is the new one. Not blank
    // at first, as it would share the process of this one then. In a window: a
    // tab behind another is hidden, and its timers wait.
    const opened = last.then(async () => {
      windows++;
      await first.evaluate(
        `open(${JSON.stringify(url)}, "_blank", "noopener,width=400,height=300") ?? ""`,
      );
      return next();
    });
    last = opened.catch(() => {});
    return opened;
  };
  return {
    newTab: async () => tab(first, open),
    close: async () => {
      // Quitting asks every page, and waits for ever for those without process.
      if (own().some(({ command }) => isRenderer(command))) {
        await quit(id, windows);
      } else {
        browser.kill();
      }
      await ended;
      await gone(own);
    },
    id,
    ended,
    isRenderer,
  };
}

/** @param {string} command */
function isRenderer(command) {
  return command.includes("/WebKitWebProcess\0");
}

/**
 * Returns a tab, which is opened when it first goes somewhere. Until then it
 * is the first page, which is blank.
 *
 * @param {Target} first
 * @param {(url: string) => Promise<Target>} open
 * @returns {import("../browser.js").Tab}
 */
function tab(first, open) {
  let target = first;
  const never = async () => {
    throw new Error("a MiniBrowser that may be killed does not do this");
  };
  return {
    goto: async (url) => {
      if (target !== first) return never();
      target = await open(url);
      return target.loaded(url);
    },
    reload: never,
    back: never,
    run: (expression) => target.evaluate(expression),
    close: async () => {
      if (target !== first) await target.close();
    },
  };
}

/** What the inspector connects to: a page, whatever process runs it. */
class Target {
  #socket;
  #id = "";
  #lastCall = 0;

  /**
   * What waits for a reply, by the number of its call.
   *
   * @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>}
   */
  #calls = new Map();

  /** @param {WebSocket} socket */
  constructor(socket) {
    this.#socket = socket;
    this.attached = new Promise((resolve) => {
      socket.on("message", (data) => {
        this.#receive(JSON.parse(String(data)));
        if (this.#id) resolve(undefined);
      });
    });
    socket.on("close", () => this.#fail("the page is closed"));
  }

  /** @param {string} url of its socket */
  static async connect(url) {
    const socket = new WebSocket(url);
    const target = new Target(socket);
    await once(socket, "open");
    await target.attached;
    return target;
  }

  /**
   * Waits until the page of that address is there.
   *
   * @param {string} url
   */
  async loaded(url) {
    // A call is lost when another process takes over the page.
    while (
      (await this.evaluate("`${location.href} ${document.readyState}`").catch(
        () => "",
      )) !== `${url} complete`
    ) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /**
   * Evaluates an expression, which may be a promise, of a string.
   *
   * @param {string} expression
   * @returns {Promise<string>}
   */
  async evaluate(expression) {
    const { result, wasThrown } = await this.#call("Runtime.evaluate", {
      expression: `Promise.resolve(${expression})`,
    });
    if (wasThrown) throw new Error(result.description);
    const awaited = await this.#call("Runtime.awaitPromise", {
      promiseObjectId: result.objectId,
      returnByValue: true,
    });
    if (awaited.wasThrown) throw new Error(awaited.result.description);
    return String(awaited.result.value);
  }

  async close() {
    const closed = once(this.#socket, "close");
    await this.#call("Runtime.evaluate", { expression: "close()" });
    await closed;
  }

  /**
   * @param {string} method
   * @param {object} params
   * @returns {Promise<any>}
   */
  #call(method, params) {
    const id = ++this.#lastCall;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#socket.send(
        JSON.stringify({
          id,
          method: "Target.sendMessageToTarget",
          params: {
            targetId: this.#id,
            message: JSON.stringify({ id, method, params }),
          },
        }),
      );
    });
  }

  /** @param {any} message */
  #receive({ id, error, method, params }) {
    if (error) {
      this.#calls.get(id)?.reject(new Error(error.message));
      this.#calls.delete(id);
    }
    switch (method) {
      case "Target.targetCreated":
        if (!params.targetInfo.isProvisional) {
          this.#id = params.targetInfo.targetId;
        }
        break;
      case "Target.didCommitProvisionalTarget":
        this.#id = params.newTargetId;
        this.#fail("another process has taken over the page");
        break;
      case "Target.targetDestroyed":
        if (params.targetId === this.#id) this.#fail("the process has ended");
        break;
      case "Target.dispatchMessageFromTarget": {
        const { id, result, error } = JSON.parse(params.message);
        const call = this.#calls.get(id);
        this.#calls.delete(id);
        if (error) call?.reject(new Error(error.message));
        else call?.resolve(result);
      }
    }
  }

  /** @param {string} why */
  #fail(why) {
    for (const { reject } of this.#calls.values()) reject(new Error(why));
    this.#calls.clear();
  }
}

/**
 * Waits for a page, and returns the path of its socket, which is none of those
 * that are known.
 *
 * @param {import("node:child_process").ChildProcess} browser
 * @param {string} host
 * @param {Set<string>} known
 */
async function newPath(browser, host, known) {
  for (;;) {
    if (browser.exitCode !== null) {
      throw new Error(`MiniBrowser has ended with ${browser.exitCode}`);
    }
    // A page for people is all that says which there are.
    const list = await fetch(`http://${host}/`).then(
      (response) => response.text(),
      () => "", // it does not listen yet
    );
    const path = (list.match(/\/socket\/\d+\/\d+\/WebPage/g) ?? []).find(
      (path) => !known.has(path),
    );
    if (path) return path;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * Chooses Quit in the menu of a MiniBrowser, in each of its windows, as that
 * closes no other.
 *
 * @param {number} id of the process
 * @param {number} windows the number of those that it had
 */
async function quit(id, windows) {
  const name = await busName(id);
  const path = (/** @type {number} */ window) =>
    `${application}/window/${window}`;
  for (let window = 1; window <= windows; window++) {
    try {
      const activate = "org.gtk.Actions.Activate";
      await call(name, path(window), activate, ["quit", "[]", "{}"]);
      for (;;) await call(name, path(window), "org.gtk.Actions.List");
    } catch {
      // It is closed, now or before.
    }
  }
}

/** The path of a MiniBrowser on the session bus. */
const application = "/org/webkitgtk/MiniBrowser";

/**
 * Returns the name by which a MiniBrowser answers on the session bus.
 *
 * @param {number} id of the process
 */
async function busName(id) {
  const found = new AbortController();
  const askBus = (/** @type {string} */ method, /** @type {string[]} */ args) =>
    call("org.freedesktop.DBus", "/", `org.freedesktop.DBus.${method}`, args);
  const names = await askBus("ListNames", []);
  try {
    // It has several, and does not answer by all of them.
    return await Promise.any(
      Array.from(names.matchAll(/:\d+\.\d+/g), async ([name]) => {
        const owner = await askBus("GetConnectionUnixProcessID", [name]);
        if (owner.trim() !== `(uint32 ${id},)`) throw new Error("another's");
        await call(name, application, "org.gtk.Actions.List", [], found.signal);
        return name;
      }),
    );
  } finally {
    found.abort();
  }
}

/**
 * Calls a method of an object on the session bus, and returns what it replies.
 *
 * @param {string} name
 * @param {string} path
 * @param {string} method
 * @param {string[]} [args]
 * @param {AbortSignal} [signal]
 */
async function call(name, path, method, args = [], signal) {
  const { stdout } = await promisify(execFile)(
    "gdbus",
    [
      ...["call", "--session", `--dest=${name}`, `--object-path=${path}`],
      ...[`--method=${method}`, ...args],
    ],
    { signal },
  );
  return stdout;
}

/** Returns the folders where a system may have WebKitGTK's own programs. */
function libraries() {
  const inside = (/** @type {string} */ folder) =>
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => join(folder, name));
  return inside("/usr/lib")
    .flatMap((folder) => [folder, ...inside(folder)])
    .filter((folder) => /\/webkit(2)?gtk-[\d.]+$/.test(folder));
}
