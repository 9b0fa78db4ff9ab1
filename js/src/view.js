import { encodeEntries } from "./entries.js";
import { SessionError } from "./error.js";
import { equal, freeze, memberOf, membersOf } from "./json.js";

/** @typedef {Omit<import("./api.js").Change, "remote">} Change */

/**
 * What a session shows: its entries, and defaults where there are none. All of it is
 * frozen. An entry that is saved with an equal value stays the same object.
 */
export class View {
  #defaults;
  /** @type {Map<string, unknown>} */
  #entries = new Map();
  /** @type {Readonly<Record<string, unknown>> | undefined} */
  #snapshot;

  /**
   * @param {object} [defaults]
   * @param {Iterable<[string, unknown]>} [initial] the entries that a server has shown
   */
  constructor(defaults = {}, initial = []) {
    try {
      // A store's initial state has functions, too, and members that are not set.
      const values = Object.entries(defaults).filter(
        ([, value]) => value !== undefined && typeof value !== "function",
      );
      this.#defaults = encodeEntries(values).text;
    } catch (cause) {
      const { key, message } = /** @type {SessionError} */ (cause);
      throw new SessionError("config", `the option defaults: ${message}`, {
        ...{ key, cause },
      });
    }
    /** What is shown when nothing is stored, as on a server. */
    this.defaults = freeze(assignable(JSON.parse(this.#defaults)));
    /** What a server has shown, which the page takes over. */
    this.initial = freeze(
      assignable(Object.fromEntries([...membersOf(this.defaults), ...initial])),
    );
  }

  get snapshot() {
    return (this.#snapshot ??= Object.freeze(
      assignable(
        Object.fromEntries([...membersOf(this.defaults), ...this.#entries]),
      ),
    ));
  }

  /**
   * Returns entries, and the defaults for others, in objects of the caller's own.
   *
   * @param {string} text the entries as a JSON object
   */
  complete(text) {
    // Of two members with the same key, JSON.parse takes the last.
    const both = [this.#defaults, text].map((object) => object.slice(1, -1));
    return assignable(JSON.parse(`{${both.filter(Boolean).join()}}`));
  }

  /**
   * Returns the default of a key, if there is one, for the caller to keep.
   *
   * @param {string} key
   */
  default(key) {
    return memberOf(JSON.parse(this.#defaults), key);
  }

  /**
   * Takes a change, and returns what of it changes a value that is shown.
   *
   * @param {Change} change
   * @returns {Change | undefined}
   */
  take({ set, removed, cleared }) {
    const gone = removed.filter((key) => this.#entries.delete(key));
    const shown = [];
    let changed = gone.length > 0;
    for (const [key, value] of membersOf(set)) {
      const there = this.#entries.has(key);
      const had = there ? this.#entries.get(key) : memberOf(this.defaults, key);
      const same = equal(had, value);
      const kept = same ? had : freeze(value);
      this.#entries.set(key, kept);
      if (!same) this.#snapshot = undefined;
      if (!same || !there || cleared) shown.push([key, kept]);
      changed ||= !same || !there;
    }
    if (!changed) return;
    if (gone.length > 0) this.#snapshot = undefined;
    set = assignable(Object.fromEntries(shown));
    return freeze({ set, removed: gone, cleared });
  }

  /**
   * Takes all that is stored.
   *
   * @param {Record<string, unknown>} entries
   */
  takeAll(entries) {
    const removed = [...this.#entries.keys()].filter(
      (key) => !Object.hasOwn(entries, key),
    );
    this.take({ set: entries, removed, cleared: false });
  }
}

/**
 * Hides an entry `__proto__` from Object.assign, which would set the prototype
 * of its target.
 *
 * @param {Record<string, unknown>} entries
 */
function assignable(entries) {
  if (Object.hasOwn(entries, "__proto__")) {
    Object.defineProperty(entries, "__proto__", { enumerable: false });
  }
  return entries;
}
