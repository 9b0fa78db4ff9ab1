import { keysOf, reals } from "./areas.js";
import { codeOf, quota } from "./codes.js";
import { attempt, say } from "./describe.js";
import { SessionError } from "./error.js";
import {
  ledgerKey,
  ledgerText,
  millisText,
  readKey,
  readLedger,
  watermarkKey,
} from "./item.js";

/** @typedef {import("./areas.js").Area} Area */

/** The database of IndexedDB that has the items of all sessions. */
const database = "session-writer";
const store = "items";

/**
 * How long a browser takes at most to write what is in localStorage, in milliseconds.
 * Chromium takes a minute, but writes no more than 10 MB an hour: with 4 MB it took six
 * minutes.
 */
const unwritten = 60 * 60_000;

/** A time that is further ahead, in milliseconds, is of a wrong clock. */
const ahead = 24 * 60 * 60_000;

/**
 * How long a page has to be there in which that time is over, in milliseconds: the clock may
 * have been set, or the machine have slept.
 */
const settled = 10 * 60_000;

/** How long a page waits for IndexedDB, in milliseconds: it has been seen to never answer. */
export const patience = 5_000;

/**
 * localStorage as a session uses it that has a mirror: its items in IndexedDB, where they
 * survive a kill of the browser. internal/engine/mirror.go says what is put back from there,
 * and why it does no harm if the mirror is behind localStorage, or ahead of it.
 *
 * @implements {Area}
 */
export class MirroredArea {
  /** Whether what was lost is back, so that what removed something may be forgotten. */
  restored = false;
  #name;
  /** The watermark's key. */
  #key;
  #told;
  #compact;
  /** @type {IDBDatabase | undefined} */
  #db;
  /**
   * Settles when it has begun, or failed.
   *
   * @type {Promise<void> | undefined}
   */
  #beginning;
  #cleared = false;
  /**
   * What is to be put there, or removed if it is undefined.
   *
   * @type {Map<string, string | undefined>}
   */
  #pending = new Map();
  #underWay = { count: 0 };
  #since = performance.now();
  /**
   * Settles when all that is under way is there.
   *
   * @type {Promise<void> | undefined}
   */
  #written;
  /** @type {unknown} */
  #fault;

  /**
   * @param {Area} real localStorage
   * @param {string} name the session's
   * @param {(keys: string[]) => void} told is called with keys that others have set, as it
   *   were: those of what was put back
   * @param {() => void} compact compacts the session
   */
  constructor(real, name, told, compact) {
    this.real = real;
    reals.set(this, real);
    this.#name = name;
    this.#key = watermarkKey(name);
    this.#told = told;
    this.#compact = compact;
    this.hear();
    this.begin();
  }

  /** Has stamps come after what the watermark says was forgotten. */
  hear() {
    const [forgotten] = readWatermark(this.#watermark());
    if (forgotten) this.#told([keyAt(this.#name, forgotten)]);
  }

  /** @param {string} key */
  getItem(key) {
    return this.real.getItem(key);
  }

  /**
   * @param {string} key
   * @param {string} text
   */
  setItem(key, text) {
    if (key === this.#key && !this.restored) {
      throw new Error("what was lost is not back");
    }
    this.real.setItem(key, text);
    this.#note(key, text);
    if (key === this.#key) queueMicrotask(() => this.hear());
  }

  /** @param {string} key */
  removeItem(key) {
    this.real.removeItem(key);
    this.#note(key);
  }

  /** Has nothing come back, as all that is there is about to be forgotten. */
  forget() {
    this.restored = true;
    if (!this.#watermark()) {
      const now = Date.now();
      this.setItem(this.#key, watermarkText(now, now));
    }
  }

  /** Notes that the page may be going, so that it cannot wait for anything. */
  leave() {
    attempt(() => {
      if (!this.#db || this.#watermark()) return;
      // Somebody in this page has cleared localStorage, of which there was no event.
      const transaction = this.#db.transaction(store, "readwrite");
      transaction.objectStore(store).delete(rangeOf(this.#name));
      transaction.commit?.();
    });
  }

  /** @returns {import("./api.js").Session["durable"]} */
  get state() {
    if (this.#fault || (this.#db && this.#db !== current)) return "failed";
    return this.#db && !this.#underWay.count && !this.#pending.size
      ? "on"
      : "pending";
  }

  /**
   * @param {string} key
   * @param {string} [text]
   */
  #note(key, text) {
    // What is noted in one task goes there in one transaction.
    if (!this.#pending.size) queueMicrotask(() => this.#write());
    this.#pending.set(key, text);
  }

  /**
   * Resolves when all that was noted survives a kill of the browser, and with "strict" a
   * power cut, as far as the disk keeps its word.
   *
   * @param {IDBTransactionDurability} durability
   */
  async flush(durability) {
    try {
      let db;
      do {
        if (this.state === "failed") this.begin();
        await this.#beginning;
        db = this.#db;
        if (!this.#fault) {
          // So that there is a transaction with this durability, after all others. What is
          // put there by an earlier one is not written to disk by it in Chromium, if large.
          const keys =
            durability === "strict" ? keysOf(this.real, `${this.#name}/`) : [];
          for (const key of keys)
            this.#note(key, this.getItem(key) ?? undefined);
          this.#note(this.#key, this.#watermark());
          await this.#write(durability);
        }
        if (this.#fault) throw this.#fault;
      } while (this.#db !== db); // it began anew meanwhile
    } catch (cause) {
      throw new SessionError(
        codeOf(cause) === quota ? "quota" : "disabled",
        `it cannot be made durable by IndexedDB: ${say(cause)}`,
        { cause },
      );
    }
  }

  /**
   * Opens the mirror, and puts back what localStorage has lost. `state` says if it failed.
   *
   * @param {boolean} [cleared] whether somebody has cleared localStorage
   */
  begin(cleared = false) {
    this.#cleared ||= cleared;
    this.#db = this.#written = undefined;
    this.#underWay = { count: 0 }; // what is under way there counts no more
    this.#beginning ??= this.#restore().catch((fault) => this.#fail(fault));
  }

  #watermark() {
    return this.getItem(this.#key) ?? undefined;
  }

  async #restore() {
    const db = await open();
    const there = await readAll(db, this.#name);
    /** @type {string[]} */
    const back = [];
    const put = () => {
      for (const key of this.#pending.keys()) {
        // What is not here any more was removed, or cleared, and not lost.
        if (this.getItem(key) === null) {
          there.delete(key);
          this.#pending.set(key, undefined);
        }
      }
      restore(
        this.#name,
        this.real,
        there,
        Date.now(),
        this.#cleared,
        this.#pending,
        back,
      );
    };
    try {
      try {
        put();
      } catch (error) {
        if (codeOf(error) !== quota) throw error;
        // What is back may replace what is here.
        this.#told(back);
        this.#compact();
        put();
      }
    } finally {
      this.#told(back); // also if there is no room for more
    }
    this.restored = true;
    this.#cleared = false;
    this.#fault = this.#beginning = undefined;
    this.#db = db;
    this.#write();
  }

  /**
   * Writes what is to be written.
   *
   * @param {IDBTransactionDurability} [durability] whether it must not wait
   */
  async #write(durability) {
    const db = this.#db;
    if (this.state === "failed") {
      this.begin(); // it copies all that is there, if it has not begun
    } else if (
      db &&
      this.#pending.size &&
      (durability || !this.#underWay.count)
    ) {
      const underWay = this.#underWay;
      underWay.count++;
      try {
        const text = this.#watermark();
        if (!text) return this.begin(true);
        const [forgotten, begun] = readWatermark(text);
        if (
          begun &&
          Date.now() > begun + unwritten &&
          performance.now() > this.#since + settled
        ) {
          this.setItem(this.#key, watermarkText(forgotten, 0));
        }
        const transaction = db.transaction(store, "readwrite", {
          durability: durability ?? "relaxed",
        });
        const items = transaction.objectStore(store);
        for (const item of this.#pending) {
          const key = [this.#name, item[0]];
          if (item[1] === undefined) items.delete(key);
          else items.put(item, key);
        }
        this.#pending.clear();
        transaction.commit?.();
        // WebKit tells of them in any order.
        const before = this.#written;
        this.#written = result(transaction).then(() => before);
        await this.#written;
      } catch (fault) {
        if (db === this.#db) this.#fail(fault);
      } finally {
        underWay.count--;
        if (this.#pending.size) this.#write();
      }
    }
  }

  /**
   * Gives up, until something is saved again.
   *
   * @param {unknown} fault
   */
  #fail(fault) {
    this.#fault = fault || "aborted";
    if (codeOf(fault) !== quota) {
      current?.close(); // it may be what is broken
      current = opening = undefined;
    }
    this.#db = this.#beginning = undefined;
    this.#pending.clear();
  }
}

/**
 * Puts back what a session's storage has lost and its mirror has, and has the mirror follow
 * in the rest.
 *
 * @param {string} name the session's
 * @param {Area} area
 * @param {Map<string, string>} there the mirror's items
 * @param {number} now
 * @param {boolean} cleared whether somebody has cleared the storage
 * @param {Map<string, string | undefined>} pending gets what is to be put into the mirror,
 *   or removed if it is undefined
 * @param {string[]} back gets the keys of what was put back, and one that stamps must come
 *   after
 */
export function restore(name, area, there, now, cleared, pending, back) {
  const watermark = watermarkKey(name);
  let [forgotten = 0, begun = NaN] = readWatermark(area.getItem(watermark));
  const here = keysOf(area, `${name}/`).filter(timeOf);
  for (const key of here) {
    if (!there.has(key)) pending.set(key, area.getItem(key) ?? "");
  }
  if (forgotten > now + ahead) forgotten = 0;
  // The latest first: without room for all, what removed something comes before that.
  const lost = [...there]
    .filter(([key]) => timeOf(key) && area.getItem(key) === null)
    .sort(([a], [b]) => (stampOf(a) < stampOf(b) ? 1 : -1));
  if (begun >= 0) {
    cleared = false; // or what another tab has saved since would go
  } else {
    cleared ||= readWatermark(there.get(watermark))[1] === 0;
    begun = now;
    // Other tabs must not take it for lost, once there is a watermark.
    if (cleared) {
      forgotten = 1 + Math.max(now, ...lost.map(([key]) => timeOf(key)));
    }
  }
  for (const [key, text] of lost) {
    if (cleared || timeOf(key) < forgotten) {
      pending.set(key, undefined);
    } else {
      area.setItem(key, text);
      pending.set(key, text); // it may be gone there by now
      back.push(key);
    }
  }

  const key = ledgerKey(name);
  const ledger = readLedger(there.get(key) ?? "");
  const isOwners = (/** @type {string} */ key) =>
    readKey(key)?.owner === ledger?.owner;
  if (
    ledger &&
    area.getItem(key) === null &&
    [...here, ...back].some(isOwners)
  ) {
    // It must not say what the server has, for that may not all be here.
    const generation = "0".repeat(12);
    area.setItem(
      key,
      ledgerText({ ...ledger, generation, cursor: "", stamps: new Set() }),
    );
    back.push(key);
  }
  pending.set(key, area.getItem(key) ?? undefined);

  const text = watermarkText(forgotten, begun);
  pending.set(watermark, text);
  area.setItem(watermark, text);
  back.push(keyAt(name, forgotten));
}

/** @param {string} key an item's */
const stampOf = (key) => key.slice(-31);

/**
 * Returns a key as that of an item of that time.
 *
 * @param {string} name
 * @param {number} time
 */
function keyAt(name, time) {
  return `${name}/${millisText(time)}-0000-000000000000`;
}

/**
 * Returns the time in an item's key, or 0 if it is another key.
 *
 * @param {string} key
 */
function timeOf(key) {
  return readKey(key)?.milliseconds ?? 0;
}

/**
 * Returns the text of a watermark.
 *
 * @param {number} forgotten before when nothing is put back
 * @param {number} begun when the mirror was begun, or 0 if the browser has written that
 */
function watermarkText(forgotten, begun) {
  return `${millisText(forgotten)} ${millisText(begun)}`;
}

/**
 * Returns what a watermark says, as watermarkText takes it.
 *
 * @param {string | null} [text]
 * @returns {number[]} none if there is no watermark
 */
function readWatermark(text) {
  return /^\d{13} \d{13}$/.test(text ?? "")
    ? String(text).split(" ").map(Number)
    : [];
}

/**
 * The database, as long as it is open.
 *
 * @type {IDBDatabase | undefined}
 */
let current;

/** @type {Promise<IDBDatabase> | undefined} */
let opening;

function open() {
  return (opening ??= connect().catch((error) => {
    opening = undefined;
    throw error;
  }));
}

/** @returns {Promise<IDBDatabase>} */
async function connect() {
  const request = indexedDB.open(database, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(store);
  let isLate = false;
  const opened = result(request).then((db) => {
    if (isLate) db.close();
    const close = () => {
      db.close();
      current = opening = undefined;
    };
    // So that a newer version of ours can go on, or whoever deletes it.
    db.onversionchange = close;
    // Browsers close it if the disk fails, or the user deletes what a site stores. Then they
    // tell nothing of what is under way.
    db.onclose = () => {
      close();
      for (const reject of [...waiting]) reject();
    };
    return db;
  });
  const late = new Promise((_, reject) =>
    setTimeout(() => {
      isLate = true;
      reject(new Error("IndexedDB does not answer"));
    }, patience),
  );
  return (current = await Promise.race([opened, late]));
}

/**
 * Gives up what waits for the database.
 *
 * @type {Set<() => void>}
 */
const waiting = new Set();

/**
 * The range of a session's keys in the store: a name and the key of an item.
 *
 * @param {string} name
 */
function rangeOf(name) {
  return IDBKeyRange.bound([name], [name, []]); // an array comes after all texts
}

/**
 * Reads what the mirror has of a session.
 *
 * @param {IDBDatabase} db
 * @param {string} name
 * @returns {Promise<Map<string, string>>}
 */
async function readAll(db, name) {
  const items = db.transaction(store).objectStore(store);
  return new Map(await result(items.getAll(rangeOf(name))));
}

/**
 * Returns what a request results in, or nothing of a transaction.
 *
 * @param {any} request
 * @returns {Promise<any>}
 */
function result(request) {
  return new Promise((resolve, reject) => {
    const lost = () =>
      settle(reject, new Error("the browser has closed IndexedDB"));
    /** @param {(value: any) => void} f @param {unknown} value */
    const settle = (f, value) => {
      waiting.delete(lost);
      f(value);
    };
    waiting.add(lost);
    request.onsuccess = request.oncomplete = () =>
      settle(resolve, request.result);
    // An error in a transaction is that of one of its requests.
    request.onerror = request.onabort = (/** @type {any} */ { target }) =>
      settle(reject, target.error);
  });
}

/**
 * Whether there is a mirror of a session, because it was opened as durable before, or
 * flushed.
 *
 * @param {string} name
 */
export async function hasMirror(name) {
  // To open a database would make it.
  const all = await indexedDB.databases();
  return (
    all.some((each) => each.name === database) &&
    (await readAll(await open(), name)).size > 0
  );
}
