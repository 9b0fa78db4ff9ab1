// One of the tabs that share a session. It runs in the page.
import { batch, isTorn } from "../harness/in-page/batches.js";
import { contenders } from "./contenders.js";

/** @type {import("./contenders.js").Store} */
let store;

/**
 * What the changes that were told come to together.
 *
 * @type {Map<string, unknown> | undefined}
 */
let told;

/** How often what was told had only a part of a batch. */
let tornTold = 0;

/**
 * Opens the session.
 *
 * @param {import("./contenders.js").Contender} contender
 */
export async function join(contender) {
  store = await contenders[contender]();
  if (!store.subscribe) return;
  const known = (told = new Map(Object.entries(store.load())));
  store.subscribe(({ set, removed, cleared }) => {
    if (cleared) known.clear();
    for (const key of removed) known.delete(key);
    for (const [key, value] of Object.entries(set)) known.set(key, value);
    if (isTorn(Object.fromEntries(known))) tornTold++;
  });
}

/**
 * Saves batches as fast as it can, once all tabs are ready to, and returns
 * the numbers of those that were refused for want of room.
 *
 * @param {string} name of this tab
 * @param {string[]} names of all of them
 * @param {number} batches
 */
export async function save(name, names, batches) {
  localStorage.setItem(`ready ${name}`, "");
  await inPage.until(() =>
    names.every((each) => localStorage.getItem(`ready ${each}`) !== null),
  );
  /** @type {number[]} */
  const refused = [];
  for (let n = 0; n < batches; n++) {
    try {
      await store.save(batch(name, n));
    } catch (error) {
      if (!isQuota(error)) throw error;
      refused.push(n);
    }
    await soon();
  }
  return refused;
}

/** @type {{ reads: number, torn: number } | undefined} */
let reading;

/** Reads as fast as it can, until it is told to stop. */
export async function read() {
  const counts = (reading = { reads: 0, torn: 0 });
  while (reading) {
    counts.reads++;
    if (isTorn(store.load())) counts.torn++;
    await soon();
  }
  return counts;
}

export function stopReading() {
  reading = undefined;
}

/** Returns what the tab knows, the entries in the order of their keys. */
export function state() {
  return {
    loaded: sorted(Object.entries(store.load())),
    told: told && sorted([...told]),
    tornTold,
    items: inPage.items().filter(([key]) => !key.startsWith("ready ")).length,
  };
}

/** @param {[key: string, value: unknown][]} entries */
function sorted(entries) {
  return entries.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** @param {any} error */
function isQuota(error) {
  return error.code === "quota" || error.name === "QuotaExceededError";
}

const { port1, port2 } = new MessageChannel();

/** Lets everything else run that is ready to, without the pause of a timer. */
function soon() {
  return new Promise((resolve) => {
    port1.onmessage = resolve;
    port2.postMessage(undefined);
  });
}
