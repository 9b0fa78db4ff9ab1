// Devices that share a session, each with a storage of its own, in two browsers.
import { startFront } from "./front.js";
import { scriptsOf } from "./contenders.js";

/** @typedef {import("../harness/browser.js").Browser} Browser */
/** @typedef {import("../harness/browser.js").Context} Context */
/** @typedef {import("../harness/browser.js").Page} Page */
/** @typedef {import("./contenders.js").Contender} Contender */
/** @typedef {import("./contenders.js").Server} Server */
/** @typedef {import("./front.js").Front} Front */
/** @typedef {typeof import("./page/participant.js")} Participant */

/** A browser's profile, with a page that takes part. */
export class Device {
  #context;
  #url;
  /** @type {Page | undefined} */
  #page;

  /**
   * @param {Context} context
   * @param {string} url
   */
  constructor(context, url) {
    this.#context = context;
    this.#url = url;
  }

  /**
   * Opens the page.
   *
   * @param {string} [code] that of the device whose session it is to have
   */
  async open(code) {
    this.#page = await this.#context.newPage();
    await this.#page.goto(this.#url);
    await this.call("open", code);
  }

  /**
   * Calls a function of participant.js.
   *
   * @template {keyof Participant} F
   * @param {F} name
   * @param {Parameters<Participant[F]>} args
   * @returns {Promise<Awaited<ReturnType<Participant[F]>>>}
   */
  call(name, ...args) {
    if (!this.#page) throw new Error("the page is closed");
    return this.#page.evaluate(
      /** @type {(name: any, args: any[]) => any} */ (
        async (name, args) =>
          (await import(new URL("/page/participant.js", location.href).href))[
            name
          ](...args)
      ),
      name,
      args,
    );
  }

  async closePage() {
    await this.#page?.close();
    this.#page = undefined;
  }

  close() {
    return this.#context.close();
  }
}

/**
 * A server, and what is between it and the pages.
 *
 * @typedef {object} Place
 * @property {Server} server
 * @property {Front} front
 * @property {(browser: Browser, user?: number) => Promise<Device>} newDevice one of a user's,
 *   whose page is not open
 * @property {() => Promise<unknown>} close
 */

/**
 * @param {Contender} contender
 * @returns {Promise<Place>}
 */
export async function startPlace(contender) {
  const server = await contender.start();
  const front = await startFront(server.origin, await scriptsOf(contender));
  /** @type {Device[]} */
  const devices = [];
  return {
    server,
    front,
    newDevice: async (browser, user = 0) => {
      const device = new Device(
        await browser.newContext(),
        `${front.origin}/page/#${user}`,
      );
      devices.push(device);
      return device;
    },
    close: async () => {
      for (const device of devices) await device.close();
      await front.close();
      await server.close();
    },
  };
}

/**
 * Opens two devices of a user that have one session with the same entries.
 *
 * @param {Place} place
 * @param {[Browser, Browser]} browsers
 * @param {number} [user]
 */
export async function openPair(place, browsers, user) {
  const saver = await place.newDevice(browsers[0], user);
  const listener = await place.newDevice(browsers[1], user);
  await saver.open();
  await saver.call("fill");
  await listener.open(await saver.call("invite"));
  await listener.call("filled");
  return { saver, listener };
}
