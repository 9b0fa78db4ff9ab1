// An exchange as internal/engine/exchange.go makes it.
import { noServer, SessionError } from "./error.js";
import { readCursor } from "./initial.js";
import {
  heirKey,
  itemWithoutEntries,
  ledgerKey,
  ledgerText,
  markForm,
  prefixOf,
  readItem,
  readLedger,
  stampForm,
} from "./item.js";
import { maxBegun, maxHeirs, partSize } from "./limits.js";

/** @typedef {import("./http.js").Answer} Answer */
/** @typedef {import("./http.js").Sent} Sent */
/** @typedef {import("./item.js").Ledger} Ledger */

/**
 * The copy of a session in this browser.
 *
 * @typedef {object} Local
 * @property {import("./engine.js").Engine} engine
 * @property {() => void} changed is called after items or their owner changed
 */

/**
 * The items that a server has no room for.
 *
 * @typedef {object} Refused
 * @property {string[]} stamps The stamps of the items.
 * @property {string} key The key of the largest entry.
 * @property {number} size The size of that entry, key and value, in characters.
 * @property {string} why
 * @property {string} [reason]
 */

/** One exchange of a session with the server that keeps a copy of it. */
export class Exchange {
  #local;
  #engine;
  #send;
  #skip;
  #ended;
  /**
   * The owner that the server no longer knows. His items will be those of the
   * owner that the server tells.
   */
  #heir = "";
  #knewNobody = false;
  /**
   * Whether something got new stamps. These do not tell when it was saved.
   */
  #restamped = false;
  /** Whether each item is sent by itself. */
  #single = false;
  /** @type {Refused | undefined} */
  #refused;

  /**
   * @param {Local} local
   * @param {(sent: Sent) => Promise<Answer>} send
   * @param {Set<string>} skip the stamps of items to hold back
   * @param {() => boolean} ended whether the sync is closed: then nothing is
   *   stored any more
   */
  constructor(local, send, skip, ended) {
    this.#local = local;
    this.#engine = local.engine;
    this.#send = send;
    this.#skip = skip;
    this.#ended = ended;
  }

  /**
   * Makes the exchange.
   *
   * @returns {Promise<Refused | undefined>} what the server had no room for
   */
  async run() {
    for (let begun = 0; begun < maxBegun; begun++) {
      if (await this.#attempt()) return this.#refused;
    }
    throw failure("whose session this is changes all the time");
  }

  /**
   * Shows what the server has put into the page, as if it had answered that now. But a page
   * may be an old one: it changes nothing about whose session is shown.
   *
   * @param {import("./initial.js").Initial} initial
   */
  show({ owner, cursor, item, entries }) {
    let ledger = this.#read();
    if (ledger && ledger.owner !== owner) return;
    if (item && !entries) throw noServer();
    ledger ??= this.#begin(owner);
    if (!cursor) return; // if the copy is lost, the next exchange notices
    const shown = readCursor(cursor);
    const had = readCursor(ledger.cursor);
    const same = shown.copy === had.copy;
    // It may have what was removed since, and forgotten.
    if (same && shown.version <= had.version) return;
    // What the server had may be in another copy only.
    if (!same || !this.#stands(ledger)) {
      ledger = this.#begin(owner, ledger.active);
    }
    this.#take(ledger, [], { owner, cursor, item, complete: true, age: -1 }, 0);
  }

  /** Reports whether the exchange is done. Otherwise it has to begin again. */
  async #attempt() {
    let ledger = this.#read();
    // By now another owner's session may be shown.
    if (this.#heir !== ledger?.owner) this.#heir = "";
    const asks = !ledger || this.#heir !== "";
    if (ledger && !asks) ledger = this.#prepare(ledger);
    let items = ledger && !asks ? this.#unsent(ledger) : [];
    for (let merged = false; !merged || items.length > 0;) {
      const part = takePart(items, this.#single);
      const keeps = this.#heir !== "" || this.#own(undefined).length > 0;
      const asked = Date.now();
      const answer = await this.#send({
        owner: (!asks && ledger?.owner) || "",
        cursor: (!asks && ledger?.cursor) || "",
        timed: !this.#restamped,
        items:
          part.length > 0
            ? `[${part.map(({ text }) => text)}]`
            : asks && keeps
              ? "[]"
              : "",
      });
      if (this.#ended()) return true;
      if (answer.answered !== "merged" && !asks && !this.#is(ledger)) {
        return this.#read() === undefined; // the answer is for another ledger
      }
      switch (answer.answered) {
        case "merged":
          if (asks) return this.#meet(ledger, answer.owner, keeps);
          if (
            !this.#take(/** @type {Ledger} */ (ledger), part, answer, asked)
          ) {
            // Without a ledger the session was forgotten. Otherwise others have
            // exchanged, or a compaction has merged what was received.
            return this.#read() === undefined;
          }
          ledger = this.#read();
          merged = true;
          break;
        case "unknown":
          if (asks || !ledger) throw noServer();
          if (answer.heir === ledger.owner) throw noServer();
          if (answer.owner !== ledger.owner) this.#turn(ledger, answer);
          else if (answer.heir) throw noServer();
          else this.#begin(ledger.owner, ledger.active); // the copy is lost
          return false;
        case "noRoom":
          if (part.length > 1) {
            this.#single = true; // to find out which of them is too large
            items.push(...part.reverse());
          } else if (part.length === 0 || !ledger) {
            throw failure(answer.why, answer.reason);
          } else if (part[0].stamp === "") {
            // Nor has it room for what was sent in the place of another.
          } else if (this.#engine.divide(part[0].stamp)) {
            items = this.#unsent(ledger);
          } else {
            const text = this.#refuse(part[0], answer);
            if (this.#engine.maxAge > 0) items.push({ stamp: "", text });
          }
          break;
        case "tooLate":
          // A strange server must not cause stamps that are older than those of
          // earlier saves.
          if (
            !ledger ||
            answer.latest === 0 ||
            answer.latest < this.#latest(ledger) ||
            timeOf(answer.newest) > answer.latest
          ) {
            throw noServer();
          }
          // Others have exchanged since.
          if (this.#read()?.cursor !== ledger.cursor) return false;
          // Listed as if the server had this item, so that new stamps are later.
          if (answer.newest) {
            ledger.stamps.add(answer.newest);
            this.#write(ledger);
          }
          this.#engine.restamp(answer.latest);
          // Now a removal or clearing may be older than what it removed, and that
          // may be gone from here. So everything has to come again.
          this.#begin(ledger.owner, Date.now());
          this.#restamped = true;
          return false;
        default:
          throw failure(answer.why, answer.reason);
      }
    }
    return true;
  }

  /** Makes what is unsent ready to be sent. @param {Ledger} ledger */
  #prepare(ledger) {
    if (!this.#stands(ledger))
      ledger = this.#begin(ledger.owner, ledger.active);
    this.#engine.prepare();
    const size = this.#unsent(ledger).reduce(
      (sum, { text }) => sum + text.length,
      0,
    );
    if (size > partSize) {
      // A compaction drops what is superseded. But its item is sent whole, with
      // what the server has.
      if (size > 2 * this.#engine.alive().length) this.#engine.compact();
      // Divides as far as there is room. An item that stays large is sent whole.
      for (let divided = true; divided;) {
        divided = this.#unsent(ledger).some(
          ({ stamp, text }) =>
            text.length > partSize && this.#engine.divide(stamp),
        );
      }
    }
    this.#local.changed();
    return ledger;
  }

  /**
   * Returns the items to be sent. The first comes last.
   *
   * @param {Ledger} ledger
   */
  #unsent(ledger) {
    return unsent(this.#engine, ledger).filter(
      ({ stamp }) =>
        !this.#skip.has(stamp) && !this.#refused?.stamps.includes(stamp),
    );
  }

  /**
   * Returns the latest time of a stamp that the server is known to have.
   *
   * @param {Ledger} ledger
   */
  #latest({ owner, stamps }) {
    const times = [...stamps].flatMap((stamp) => {
      const text = this.#engine.area.getItem(this.#key(owner, stamp));
      return text === null
        ? []
        : batchesOf(text).map(({ stamp }) => timeOf(stamp));
    });
    return times.reduce((a, b) => Math.max(a, b), 0);
  }

  /**
   * Returns the stamps of an owner's items. Without a ledger, those of the items
   * that nobody owns yet.
   *
   * @param {Ledger | undefined} ledger
   */
  #own(ledger) {
    const begin = this.#key(ledger?.owner, "");
    return this.#engine
      .keys(begin)
      .map((key) => key.slice(begin.length))
      .filter((name) => stampForm.test(name));
  }

  /**
   * @param {string | undefined} owner
   * @param {string} name
   */
  #key(owner, name) {
    return prefixOf(this.#engine.name, owner) + name;
  }

  /**
   * Whether the stored ledger still has this owner and generation.
   *
   * @param {Ledger | undefined} ledger
   */
  #is(ledger) {
    const now = this.#read();
    return (
      now?.owner === ledger?.owner && now?.generation === ledger?.generation
    );
  }

  /** @returns {Ledger | undefined} */
  #read() {
    return ledgerOf(this.#engine);
  }

  /** @param {Ledger} ledger */
  #write(ledger) {
    this.#engine.area.setItem(ledgerKey(this.#engine.name), ledgerText(ledger));
    this.#local.changed();
  }

  /**
   * Whether the generation's mark is there. Without it somebody has cleared the
   * storage before the ledger was written, so the ledger may list items that are
   * gone.
   *
   * @param {Ledger} ledger
   */
  #stands({ owner, generation }) {
    return this.#engine.area.getItem(this.#key(owner, generation)) !== null;
  }

  /**
   * Begins a new generation of an owner's session and shows it. Its ledger knows
   * of no exchange, and only when somebody saved last.
   *
   * @param {string} owner
   * @param {number} [active] when somebody saved last
   * @returns {Ledger}
   */
  #begin(owner, active = 0) {
    const bytes = crypto.getRandomValues(new Uint8Array(6));
    const generation = [...bytes]
      .map((n) => n.toString(16).padStart(2, "0"))
      .join("");
    const ledger = { owner, generation, active, cursor: "", stamps: new Set() };
    this.#engine.area.setItem(this.#key(owner, generation), "");
    this.#write(ledger);
    this.#unmark(owner, generation);
    return ledger;
  }

  /**
   * Removes the marks of an owner's generations.
   *
   * @param {string} owner
   * @param {string} [generation] keeps its mark
   */
  #unmark(owner, generation) {
    const begin = this.#key(owner, "");
    for (const key of this.#engine.keys(begin)) {
      const name = key.slice(begin.length);
      if (markForm.test(name) && name !== generation) {
        this.#engine.area.removeItem(key);
      }
    }
  }

  /**
   * Takes the owner that the server told. Reports whether the exchange is done.
   *
   * @param {Ledger | undefined} before
   * @param {string} owner
   * @param {boolean} keeps whether something here needs an owner
   */
  #meet(before, owner, keeps) {
    const ledger = this.#read();
    if (ledger?.owner !== before?.owner) return false;
    if (owner === "" && !keeps) return true;
    if (owner === "") throw noServer();
    if (!ledger) this.#begin(owner);
    else if (owner !== ledger.owner) this.#give(ledger, owner);
    this.#heir = "";
    return false;
  }

  /**
   * Follows a server that answers for another owner.
   *
   * @param {Ledger} before
   * @param {Answer} answer
   */
  #turn(before, { owner, heir }) {
    const ledger = this.#read();
    if (ledger?.owner !== before.owner) return;
    if (owner === "") {
      if (heir) throw noServer();
      // The server gave this browser an owner in this exchange, and has forgotten
      // it.
      if (this.#knewNobody) {
        throw failure(
          "the server does not know this browser again: it must keep cookies",
        );
      }
      this.#knewNobody = true;
      this.#heir = ledger.owner;
      return;
    }
    if (heir) this.#engine.area.setItem(heirKey(ledger.owner), heir);
    let last = ledger.owner;
    for (let i = 0; i < maxHeirs && last && last !== owner; i++) {
      last = this.#engine.area.getItem(heirKey(last)) ?? "";
    }
    if (last === owner) this.#give(ledger, owner);
    else this.#leave(ledger, owner);
  }

  /**
   * Notes that another owner is the heir, and gives him what is alive here. Removals
   * and clearings do not go along, because whoever made them had not seen the other
   * owner's entries.
   *
   * @param {Ledger} ledger
   * @param {string} owner
   */
  #give(ledger, owner) {
    const { area } = this.#engine;
    const had = this.#own(ledger);
    const text = this.#engine.alive();
    const copied = text && this.#key(owner, this.#engine.stamp(text));
    // First, for a tab that saves for the former owner meanwhile.
    area.setItem(heirKey(ledger.owner), owner);
    if (copied) area.setItem(copied, text);
    try {
      this.#begin(owner, ledger.active);
    } catch (error) {
      if (copied) area.removeItem(copied); // the owner may be shown another day
      throw error;
    }
    for (const stamp of had.sort()) {
      const key = this.#key(ledger.owner, stamp);
      // An item that cannot be read stays.
      if (!("fault" in readItem(area.getItem(key) ?? ""))) area.removeItem(key);
    }
    this.#unmark(ledger.owner);
    this.#local.changed();
  }

  /**
   * Shows another owner's session. What the server does not have of the former
   * owner's stays here for him.
   *
   * @param {Ledger} ledger
   * @param {string} owner
   */
  #leave(ledger, owner) {
    // Without its mark the ledger no longer lists what is here.
    this.#unmark(ledger.owner);
    this.#begin(owner); // first, so that nobody is shown half of the former's
    for (const stamp of this.#own(ledger).sort()) {
      if (ledger.stamps.has(stamp)) {
        this.#engine.area.removeItem(this.#key(ledger.owner, stamp));
      }
    }
  }

  /**
   * Stores what the server answered after it has merged a part. Reports whether
   * the exchange can go on.
   *
   * @param {Ledger} before
   * @param {{ stamp: string }[]} part
   * @param {Pick<Answer, "owner" | "cursor" | "item" | "complete" | "age">} answer
   * @param {number} asked when the request was made, as the answer may have waited
   */
  #take(before, part, { owner, cursor, item, complete, age }, asked) {
    if (
      owner !== before.owner ||
      (cursor === "" && (item !== "" || complete))
    ) {
      throw noServer();
    }
    const { area } = this.#engine;
    const stamp = item && this.#engine.stamp(item);
    const ledger = this.#read();
    if (
      ledger?.owner !== owner ||
      ledger.generation !== before.generation ||
      // Others have exchanged meanwhile. A complete answer may lack what they
      // sent: it may be older, or the server may have lost everything.
      (ledger.cursor !== before.cursor && (complete || before.cursor === "")) ||
      !this.#stands(ledger)
    ) {
      return false;
    }
    const there = new Set(this.#own(ledger));
    const has = [...ledger.stamps, ...part.map(({ stamp }) => stamp)].filter(
      (stamp) => there.has(stamp),
    );
    // Without a cursor nobody would notice that the server has lost them.
    const next = { ...ledger, stamps: new Set(ledger.cursor ? has : []) };
    if (age >= 0) {
      next.active = Math.max(0, Math.min(asked, Date.now()) - age);
    }
    const old = complete ? has.sort() : [];
    const dropOld = () => {
      for (const stamp of old) area.removeItem(this.#key(owner, stamp));
    };
    if (stamp) {
      const key = this.#key(owner, stamp);
      const add = () => {
        area.setItem(key, item);
        const stamps = complete ? [stamp] : [...has, stamp];
        this.#write({ ...next, cursor, stamps: new Set(stamps) });
      };
      // The server has the part that was sent, even if there is no room here for
      // what it answered.
      let full = next;
      try {
        try {
          add();
        } catch (error) {
          const texts = old.map((old) => area.getItem(this.#key(owner, old)));
          if (texts.join("").length < item.length) throw error;
          // If this is interrupted, the server has to send everything again.
          full = { ...next, cursor: "", stamps: new Set() };
          this.#write(full);
          dropOld();
          add();
        }
      } catch (error) {
        area.removeItem(key);
        this.#write(full);
        throw error;
      }
      dropOld();
      if (!batchesOf(item).some(({ clear }) => clear)) return true;
      // A clearing removes the texts from the storage, too. The compaction may
      // put what is left into a new item, which has to be sent.
      this.#engine.compact();
      return area.getItem(key) !== null;
    }
    const stamps = complete || !cursor ? [] : has;
    this.#write({ ...next, cursor, stamps: new Set(stamps) });
    dropOld();
    return true;
  }

  /**
   * Notes an item that the server has no room for. Returns an item without its
   * entries, which tells the server when something was saved.
   *
   * @param {{ stamp: string, text: string }} item
   * @param {Answer} answer
   */
  #refuse({ stamp, text }, { why, reason }) {
    this.#refused ??= { stamps: [], key: "", size: 0, why, reason };
    this.#refused.stamps.push(stamp);
    let newest = "";
    let first = "";
    for (const { stamp, set, remove } of batchesOf(text)) {
      if (stamp > newest) newest = stamp;
      for (const key of [...Object.keys(set), ...remove]) {
        if (!first || stamp < first) first = stamp;
        const size = sizeOf(key, set[key]);
        if (size > this.#refused.size) {
          Object.assign(this.#refused, { key, size });
        }
      }
    }
    const item = readItem(text);
    const since = ("since" in item && item.since) || first.slice(0, 13);
    return itemWithoutEntries(since, newest);
  }
}

/**
 * @param {import("./engine.js").Engine} engine
 * @returns {Ledger | undefined}
 */
export function ledgerOf({ area, name }) {
  return readLedger(area.getItem(ledgerKey(name)) ?? "");
}

/**
 * Joins another owner's sessions, and notes that from now on he is the heir of this
 * browser's own owner. There is room for that before anything is joined, or else the
 * storage throws.
 *
 * @param {import("./engine.js").Engine} engine
 * @param {() => Promise<string>} ask returns the tag of the owner whom it has joined
 */
export async function join(engine, ask) {
  const own = ledgerOf(engine)?.owner;
  const room = own === undefined ? "" : `${heirKey(own)}?`;
  if (room) engine.area.setItem(room, own ?? "");
  let owner;
  try {
    owner = await ask();
  } finally {
    if (room) engine.area.removeItem(room);
  }
  const before = ledgerOf(engine)?.owner;
  if (before !== undefined && before !== owner) {
    engine.area.setItem(heirKey(before), owner);
  }
}

/**
 * Returns the request that a page makes when it is about to go, and cannot wait
 * for an answer. Undefined if there is nothing to send, or too much.
 *
 * @param {import("./engine.js").Engine} engine
 * @param {Set<string>} skip the stamps of items to hold back
 * @param {number} limit the size of the items, in UTF-16 code units
 * @returns {Sent | undefined}
 */
export function draft(engine, skip, limit) {
  const ledger = ledgerOf(engine);
  if (!ledger) return undefined;
  const texts = unsent(engine, ledger)
    .filter(({ stamp }) => !skip.has(stamp))
    .map(({ text }) => text);
  const items = `[${texts}]`;
  if (texts.length === 0 || items.length > limit) return undefined;
  return { owner: ledger.owner, cursor: ledger.cursor, items, timed: true };
}

/**
 * Takes items from the end of a list, up to the size of a part.
 *
 * @param {{ stamp: string, text: string }[]} items
 * @param {boolean} single
 */
function takePart(items, single) {
  const part = [];
  for (let size = 0; items.length > 0;) {
    size += items[items.length - 1].text.length;
    if (part.length > 0 && (single || size > partSize)) break;
    part.push(/** @type {{ stamp: string, text: string }} */ (items.pop()));
  }
  return part;
}

/**
 * Returns the items that hold something which the server may not have. The item
 * to be sent first comes last.
 *
 * @param {import("./engine.js").Engine} engine
 * @param {Ledger} ledger
 */
function unsent(engine, { owner }) {
  return engine.unsent().stamps.flatMap((stamp) => {
    const text = engine.area.getItem(prefixOf(engine.name, owner) + stamp);
    return text === null ? [] : [{ stamp, text }];
  });
}

/**
 * Returns the batches of an item. A damaged one has none.
 *
 * @param {string} text
 * @returns {import("./item.js").Batch[]}
 */
function batchesOf(text) {
  const item = readItem(text);
  return "batches" in item ? item.batches : [];
}

/** @param {string} stamp */
function timeOf(stamp) {
  return Number(stamp.slice(0, 13));
}

/**
 * Returns the size of an entry, key and value as JSON, in characters. A removal
 * has no value.
 *
 * @param {string} key
 * @param {unknown} value
 */
export function sizeOf(key, value) {
  return key.length + (value === undefined ? 0 : JSON.stringify(value).length);
}

/**
 * @param {string} why
 * @param {string} [reason] the server's code, if it refused
 */
function failure(why, reason) {
  return new SessionError("sync", why, { reason });
}
