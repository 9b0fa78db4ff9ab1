import { describe } from "./describe.js";
import { Engine } from "./engine.js";
import { faultOf } from "./entries.js";
import { SessionError } from "./error.js";
import { readInitial } from "./initial.js";
import { maxMillis } from "./limits.js";
import { patience } from "./mirror.js";
import { aBoolean, read } from "./options.js";
import { isLocal, onlyLocal, Session } from "./session.js";
import { isStorage, MemoryArea, memoryOfPage, names } from "./areas.js";
import { View } from "./view.js";

/** @typedef {import("./engine.js").Module} Module */

/** @typedef {import("./api.js").Options} Options */
/** @typedef {import("./initial.js").Checked} Checked */

/**
 * @template {Options} T
 * @param {string} name
 * @param {T} options
 * @param {import("./options.js").Known} [more] what other options accept
 */
export function checked(name, options, more) {
  checkName(name);
  const given = read(options, { ...known, ...more });
  const { durable, storage = "local" } = given;
  const initial = readInitial(given.initial);
  if (durable && storage !== "local" && !isLocal(storage)) {
    throw new SessionError("config", onlyLocal);
  }
  return { ...given, initial };
}

/**
 * @param {Module} module
 * @param {string} name
 * @param {Checked} given
 */
export function openIn(module, name, given) {
  const { storage = "local", maxAge = 0, fallback, defaults } = given;
  const view = new View(defaults, given.initial?.entries);
  const milliseconds = Math.min(Math.ceil(maxAge * 1000), maxMillis);
  /** @param {import("./areas.js").Where} where */
  const at = (where) =>
    new Session(new Engine(module, where, name, milliseconds), view, given);
  try {
    return at(storage === "memory" ? new MemoryArea() : storage);
  } catch (error) {
    if (!fallback) throw error;
    return at(memoryOfPage ?? new MemoryArea());
  }
}

/**
 * Waits until what localStorage has lost of a durable session is back. If it cannot be,
 * the session says so.
 *
 * @param {Pick<import("./api.js").Session, "durable" | "flush">} session
 */
export async function whenRestored(session) {
  if (session.durable === "off") return;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, patience);
  });
  await Promise.race([session.flush().catch(() => {}), late]);
  clearTimeout(timer);
}

/** @param {unknown} name */
function checkName(name) {
  const fault =
    faultOf(name) || (String(name).includes("/") && "must not contain a slash");
  if (fault) {
    throw new SessionError(
      "config",
      `the session name ${describe(name)} ${fault}`,
    );
  }
}

/** @type {import("./options.js").Known} */
const known = {
  storage: {
    expected:
      '"local", "session", "memory" or an object with the methods of Storage',
    accepts: (value) =>
      typeof value === "string"
        ? names.includes(/** @type {any} */ (value))
        : isStorage(value),
  },
  maxAge: {
    expected: "a positive, finite number of seconds",
    accepts: (value) => Number.isFinite(value) && value > 0,
  },
  fallback: {
    expected: '"memory"',
    accepts: (value) => value === "memory",
  },
  durable: aBoolean,
  persist: aBoolean,
  // readInitial says what is wrong with it, and View with them.
  initial: { expected: "", accepts: () => true },
  defaults: { expected: "", accepts: () => true },
};
