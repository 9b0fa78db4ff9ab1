// What runs in a page that takes part: it saves through contender.js, which the page
// loads from beside this, and listens there.
import { generator } from "../../harness/in-page/random.js";

/**
 * A session that is shared with other devices.
 *
 * @typedef {object} Shared
 * @property {(key: string, value: Value) => void} save
 * @property {() => Record<string, Value>} load
 * @property {(told: (value: Value) => void) => void} subscribe
 * @property {() => Promise<string>} [invite] returns a code by which another device joins
 * @property {(code: string) => Promise<void>} [join]
 * @property {() => void} [forget] forgets the session here, but not on the server
 */

/**
 * An entry. About 40 characters as JSON.
 *
 * @typedef {{ n: number, name: string, price: number }} Value n is which save it is from
 */

/** How many entries a session has. */
const entries = 20;

/** @type {Shared} */
let shared;

/**
 * When a save was made, or told, by its number, in milliseconds since 1970.
 *
 * @type {{ saved: number[], told: number[] }}
 */
const times = { saved: [], told: [] };

/** @type {{ until: () => boolean, resolve: () => void }[]} */
const waiting = [];

/** Who has been told to stop saving. */
let stopped = false;

/**
 * Opens the session. With a code, that of another device, and otherwise a new one.
 *
 * @param {string} [code]
 */
export async function open(code) {
  const url = new URL("contender.js", import.meta.url).href;
  /** @type {{ open: () => Promise<Shared> }} */
  const contender = await import(url);
  shared = await contender.open();
  shared.subscribe(({ n }) => {
    const time = now();
    // A value that replaces another tells of that, too.
    for (; n >= 0 && times.told[n] === undefined; n -= entries) {
      times.told[n] = time;
    }
    look();
  });
  if (code) await shared.join?.(code);
}

export const invite = () => shared.invite?.();

export const forget = () => shared.forget?.();

/** What the clock says, in milliseconds since 1970. */
export const now = () => performance.timeOrigin + performance.now();

/** Saves what a session has at first. */
export function fill() {
  for (let i = 0; i < entries; i++) save(i, -1);
}

/** Resolves when the session has all that fill saves. */
export const filled = () => until(() => count() >= entries);

/**
 * Saves one entry after another, and returns when.
 *
 * @param {object} what
 * @param {number} what.saves
 * @param {number} what.least the shortest pause before each, in milliseconds
 * @param {number} what.most
 * @param {number} what.seed of the pauses
 */
export async function saveAll({ saves, least, most, seed }) {
  const random = generator(seed);
  const first = times.saved.length;
  for (let n = first; n < first + saves; n++) {
    await pause(least + random() * (most - least));
    times.saved[n] = now();
    save(n % entries, n);
  }
  return times.saved.slice(first);
}

/**
 * Resolves to when the saves of some numbers were told, once all are.
 *
 * @param {number} first
 * @param {number} saves
 */
export async function allTold(first, saves) {
  const told = () => times.told.slice(first, first + saves);
  await until(() => Object.keys(told()).length === saves);
  return told();
}

/**
 * Saves new entries until stop is called.
 *
 * @param {number} every in milliseconds
 */
export function keepSaving(every) {
  stopped = false;
  const run = async () => {
    for (let n = entries; !stopped; n++) {
      save(n, n);
      await pause(every);
    }
  };
  void run();
}

/** Ends that, and returns how many entries there are. */
export function stop() {
  stopped = true;
  return count();
}

/** How many entries there are. */
export const count = () => Object.keys(shared.load()).length;

/**
 * Waits until there are that many entries, but not longer than given, and returns how many
 * there are.
 *
 * @param {number} enough
 * @param {number} ms
 */
export async function most(enough, ms) {
  await Promise.race([until(() => count() >= enough), pause(ms)]);
  return count();
}

/**
 * Waits for an entry, but not longer than given, and returns whether it is there.
 *
 * @param {string} key
 * @param {number} ms
 */
export async function gets(key, ms) {
  const isThere = () => key in shared.load();
  await Promise.race([until(isThere), pause(ms)]);
  return isThere();
}

/**
 * Saves an entry under a key of its own.
 *
 * @param {string} key
 */
export const saveLast = (key) =>
  shared.save(key, { n: -1, name: key, price: 9.95 });

/**
 * @param {number} i
 * @param {number} n
 */
function save(i, n) {
  shared.save(`entry ${i}`, { n, name: `entry ${i}`, price: 9.95 });
}

/** @param {() => boolean} condition which changes when the session tells of something */
async function until(condition) {
  if (condition()) return;
  await new Promise((resolve) =>
    waiting.push({ until: condition, resolve: () => resolve(undefined) }),
  );
}

function look() {
  for (const waiter of waiting.filter(({ until }) => until())) {
    waiting.splice(waiting.indexOf(waiter), 1);
    waiter.resolve();
  }
}

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
