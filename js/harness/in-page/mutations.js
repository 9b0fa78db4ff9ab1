// Damage to stored items. It runs in the page.
import { generator } from "./random.js";

/** @typedef {ReturnType<typeof chooser>} Chooser */

/** No text gets longer by more, so that the storage has room for several. */
const most = 1 << 16;

/**
 * What can happen to the text of an item.
 *
 * @type {Record<string, (text: string, choose: Chooser) => string>}
 */
const mutations = {
  "a bit that flipped": (text, { index }) => {
    const at = index(text.length);
    const unit = text.charCodeAt(at) ^ (1 << index(16));
    return text.slice(0, at) + String.fromCharCode(unit) + text.slice(at + 1);
  },

  "an end that is missing": (text, { index }) =>
    text.slice(0, index(text.length)),

  "a beginning that is missing": (text, { index }) =>
    text.slice(1 + index(text.length - 1)),

  "members of the item in another order": (text, { shuffle }) =>
    objectOf(shuffle(Object.entries(JSON.parse(text)))),

  "members of the batch in another order": (text, { shuffle }) =>
    withBatch(text, (members) => shuffle(members)),

  "a member of the item twice": (text, { twice }) =>
    objectOf(twice(Object.entries(JSON.parse(text)))),

  "a member of the batch twice": (text, { twice }) =>
    withBatch(text, (members) => twice(members)),

  "a number out of range": (text, { pick, index }) => {
    const digits = "9".repeat(1 + index(400));
    const number = pick([digits, `-${digits}`, `1e${digits}`, `1e-${digits}`]);
    return pick([
      () => text.replace('"format":1', `"format":${number}`),
      () => text.replace('"number":1', `"number":${number}`),
      () => text.replace(/"stamp":"\d+/, `"stamp":"${digits}`),
      () => text.replace(/"stamp":"[^"]*"/, `"stamp":${number}`),
    ])();
  },

  "arrays without end": (text, { index, length }) => {
    const at = index(text.length);
    return text.slice(0, at) + "[".repeat(length()) + text.slice(at);
  },

  "arrays in arrays": (text, { length, pick }) => {
    const depth = length();
    return text.replace(
      pick(['"number":1', '"format":1', '"set":']),
      (found) =>
        `${found.split(":")[0]}:${"[".repeat(depth)}${"]".repeat(depth)}`,
    );
  },

  "a long string": (text, { index, length }) => {
    const at = index(text.length);
    return text.slice(0, at) + "x".repeat(length()) + text.slice(at);
  },

  "another text": (_, { pick }) =>
    pick(["", "null", "0", '"', "[]", "{}", "\0", "\uFFFD", '{"format":1}']),
};

/**
 * Damages items of a session, some at a time, while it saves and compacts, and
 * returns what went wrong, and how many of the items could be read none the
 * less, and how many not.
 *
 * @param {number} seed
 * @param {number} count
 */
export async function damage(seed, count) {
  const choose = chooser(generator(seed));
  /** @type {string[]} */
  const wrong = [];
  let readable = 0;
  let damaged = 0;
  const kinds = Object.keys(mutations);

  while (readable + damaged < count) {
    localStorage.clear();
    const session = await inPage.open();
    /** @type {Record<string, unknown>} */
    const intact = {};
    /** @type {Set<string>} */
    const others = new Set();
    /** @type {Map<string, string>} */
    const left = new Map();
    let when = "";

    const save = () => {
      const entries = {
        [`intact ${choose.index(7)}`]: [
          choose.index(1e6),
          "\u00e9\ud83d\ude00",
        ],
        [`intact ${choose.index(7)}`]: null,
      };
      session.save(entries);
      Object.assign(intact, entries);
    };
    const check = () => {
      /** @type {Record<string, unknown>} */
      let loaded = {};
      try {
        loaded = session.load();
      } catch (error) {
        wrong.push(`${when}: load threw ${error}`);
      }
      for (const [key, value] of Object.entries(intact)) {
        if (JSON.stringify(loaded[key]) !== JSON.stringify(value)) {
          wrong.push(`${when}: ${key} is another`);
        }
      }
      const expected = [...Object.keys(intact), ...others].sort().join();
      const keys = Object.keys(loaded).sort().join();
      if (keys !== expected) {
        wrong.push(`${when}: there is ${keys} instead of ${expected}`);
      }
      const { corrupt } = session.stats();
      if (corrupt !== left.size) {
        wrong.push(`${when}: ${corrupt} are corrupt instead of ${left.size}`);
      }
      for (const [key, text] of left) {
        if (localStorage.getItem(key) !== text) {
          wrong.push(`${when}: ${key} is not what it was`);
        }
      }
    };

    for (let i = 0; i < 5; i++) save();
    for (const kind of kinds) {
      const number = readable + damaged;
      const stamp = inPage.stamp(Date.now() - 1000 + number);
      const text = JSON.stringify({
        format: 1,
        batches: [
          {
            stamp,
            set: {
              [`victim ${number}`]: { number: 1, text: '"\u00e9\ud83d\ude00' },
            },
            remove: [`gone ${number}`],
          },
        ],
      });
      const mutated = mutations[kind](text, choose);
      localStorage.setItem(`cart/${stamp}`, mutated);
      const keys = keysIn(mutated);
      if (keys) {
        readable++;
        for (const key of keys) others.add(key);
      } else {
        damaged++;
        left.set(`cart/${stamp}`, mutated);
      }
      when = `${number}, ${kind}: ${JSON.stringify(mutated.slice(0, 200))}`;
      check();
    }

    when = `after ${readable + damaged}, and more saves`;
    for (let i = 0; i < 40; i++) save();
    check();
    when += ", and compaction";
    await inPage.until(() => session.stats().items < 20);
    check();
    session.close();
  }
  return { wrong: wrong.slice(0, 10), readable, damaged };
}

/**
 * Returns the keys that an item of that text sets, and undefined when
 * internal/engine/README.md does not let an item have that text.
 *
 * @param {string} text
 * @returns {string[] | undefined}
 */
function keysIn(text) {
  // What JSON.parse does not show: a member that is there twice. These two
  // come first, and so once.
  const twice = (/** @type {string} */ part, /** @type {string} */ name) =>
    part.split(name).length > 2;
  const parts = text.split('"batches":');
  if (twice(text, '"format":')) return undefined;
  if (parts.some((part) => twice(part, '"stamp":'))) return undefined;
  try {
    const { format, batches, ...others } = JSON.parse(text);
    const inOrder = Object.keys(JSON.parse(text))[0] === "format";
    if (!inOrder || format !== 1 || Object.keys(others).length > 0) {
      return undefined;
    }
    if (!Array.isArray(batches) || batches.length === 0) return undefined;
    return batches.every(isBatch)
      ? batches.flatMap(({ set = {} }) => Object.keys(set))
      : undefined;
  } catch {
    return undefined;
  }
}

/** @param {any} batch */
function isBatch(batch) {
  if (!isObject(batch)) return false;
  const { stamp, set = {}, remove = [], ...others } = batch;
  return (
    Object.keys(batch)[0] === "stamp" &&
    /^[0-8]\d{12}-[\da-f]{4}-[\da-f]{12}$/.test(stamp) &&
    isObject(set) &&
    Array.isArray(remove) &&
    [...Object.keys(set), ...remove].every(
      (key) => typeof key === "string" && key !== "",
    ) &&
    Object.keys(others).length === 0
  );
}

/** @param {unknown} value */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Returns the text of an object with those members, in that order, be they
 * there twice.
 *
 * @param {[name: string, value: unknown][]} members
 */
function objectOf(members) {
  const texts = members.map((member) => member.map((it) => JSON.stringify(it)));
  return `{${texts.map((member) => member.join(":"))}}`;
}

/**
 * Returns the text of an item whose batch has other members.
 *
 * @param {string} text
 * @param {(members: [string, unknown][]) => [string, unknown][]} f
 */
function withBatch(text, f) {
  const [batch] = JSON.parse(text).batches;
  return `{"format":1,"batches":[${objectOf(f(Object.entries(batch)))}]}`;
}

/** @param {() => number} random */
function chooser(random) {
  const index = (/** @type {number} */ below) => Math.floor(random() * below);
  return {
    index,

    /** @template T @param {T[]} list */
    pick: (list) => list[index(list.length)],

    /** Returns a length, which is as likely to be small as large. */
    length: () => Math.floor(most ** random()),

    /** @template T @param {T[]} list */
    shuffle: (list) =>
      list
        .map((it) => /** @type {const} */ ([random(), it]))
        .sort(([a], [b]) => a - b)
        .map(([, it]) => it),

    /** @template T @param {T[]} list */
    twice: (list) =>
      list.toSpliced(index(list.length + 1), 0, list[index(list.length)]),
  };
}
