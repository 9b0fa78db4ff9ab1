import { SessionError } from "./error.js";
import {
  heirKey,
  latestTime,
  ledgerKey,
  markForm,
  noCursor,
  prefixOf,
  readItem,
  readLedger,
  stampForm,
  tagForm,
} from "./item.js";

/** @typedef {import("./item.js").Ledger} Ledger */

/**
 * The copy of a session that is here. Items are texts for an exchange: what they
 * say is for the engine to read.
 *
 * @typedef {object} Local
 * @property {import("./engine.js").Engine} engine
 * @property {() => void} changed is told that items, or whose they are, changed
 */

/**
 * What is sent to a server in one request.
 *
 * @typedef {object} Sent
 * @property {string} owner The tag of whose session it is; empty to be told.
 * @property {string} cursor
 * @property {string} items A JSON array, or empty.
 * @property {boolean} timed Whether this clock tells when what is new was saved.
 */

/**
 * What a server answers.
 *
 * @typedef {object} Answer
 * @property {number} status
 * @property {string} owner The tag of whose session it has; empty for nobody's.
 * @property {string} cursor
 * @property {string} item
 * @property {boolean} complete Whether the item has all that there is, what was
 *   sent included: what else is here, and known to be there, is not to be shown.
 * @property {number} age How long ago somebody saved, in milliseconds; less
 *   than 0 when nobody did.
 * @property {number} latest The time up to which it takes stamps.
 * @property {string} newest The greatest stamp that it has, with a refusal of one.
 * @property {string} why What it says of a refusal.
 * @property {string} [reason] The code of that.
 */

/**
 * What a server has no room for.
 *
 * @typedef {object} Refused
 * @property {string[]} stamps Those of the items.
 * @property {string} key That of the largest entry.
 * @property {number} size Its, key and value, in characters.
 * @property {string} why
 * @property {string} [reason]
 */

/** The size from which what is sent is sent in parts, in UTF-16 code units. */
const partSize = 256 * 1024;

/** How often an exchange begins again because others changed what it is about. */
const maxBegun = 6;

/** How often a browser is followed that became another's, and then another's. */
const maxHeirs = 16;

/** One exchange of a session with the server that keeps a copy of it. */
export class Exchange {
  #local;
  #engine;
  #send;
  #skip;
  #ended;
  /**
   * The owner whom the server does not know any more: what is his becomes that
   * of whoever the server takes this browser for.
   */
  #heir = "";
  #knewNobody = false;
  /**
   * Whether something was stamped anew: from the time at which the server takes
   * it, and not by this clock.
   */
  #restamped = false;
  /** Whether each item is sent by itself. */
  #single = false;
  /** @type {Refused | undefined} */
  #refused;

  /**
   * @param {Local} local
   * @param {(sent: Sent) => Promise<Answer>} send
   * @param {Set<string>} skip the stamps of items that are not to be sent
   * @param {() => boolean} ended whether nothing is to be stored any more
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
   * @returns {Promise<Refused | undefined>} what the server has no room for
   */
  async run() {
    for (let begun = 0; begun < maxBegun; begun++) {
      if (await this.#attempt()) return this.#refused;
    }
    throw failure("whose session this is changes all the time");
  }

  /** Reports whether nothing changed that it is about. */
  async #attempt() {
    let ledger = this.#read();
    // Another's session may be shown by now.
    if (this.#heir !== ledger?.owner) this.#heir = "";
    const asks = !ledger || this.#heir !== "";
    if (ledger && !asks) ledger = this.#prepare(ledger);
    let items = ledger && !asks ? this.#unsent(ledger) : [];
    for (let answered = false; !answered || items.length > 0;) {
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
      const merged = answer.status === 200 || answer.status === 204;
      if (!merged && !asks && !this.#is(ledger)) {
        return this.#read() === undefined; // it is not for this one
      }
      switch (answer.status) {
        case 200:
        case 204:
          if (asks) return this.#meet(ledger, answer.owner, keeps);
          if (
            !this.#take(/** @type {Ledger} */ (ledger), part, answer, asked)
          ) {
            // It was forgotten, or begins again: others have exchanged, or merged
            // what was received.
            return this.#read() === undefined;
          }
          ledger = this.#read();
          answered = true;
          break;
        case 412:
          if (asks || !ledger) throw stranger();
          if (answer.owner !== ledger.owner) this.#turn(ledger, answer.owner);
          else this.#begin(ledger.owner, ledger.active); // it has lost all
          return false;
        case 413:
          if (part.length > 1) {
            this.#single = true; // for which of them has it no room?
            items.push(...part.reverse());
          } else if (part.length === 0 || !ledger) {
            throw new SessionError("sync", answer.why, {
              reason: answer.reason,
            });
          } else if (this.#engine.divide(part[0].stamp)) {
            items = this.#unsent(ledger);
          } else {
            const text = this.#refuse(part[0], answer);
            if (this.#engine.maxAge > 0) items.push({ stamp: "", text });
          }
          break;
        case 422:
          // Or what is here would be stamped as older than what it was saved
          // after.
          if (
            !ledger ||
            !(answer.latest > 0 && answer.latest >= this.#latest(ledger)) ||
            !(answer.newest === "" || stampForm.test(answer.newest)) ||
            !(timeOf(answer.newest) <= answer.latest)
          ) {
            throw stranger();
          }
          // Others have exchanged since.
          if (this.#read()?.cursor !== ledger.cursor) return false;
          // As if of an item that the server has: what is stamped anew is later.
          if (answer.newest) {
            ledger.stamps.add(answer.newest);
            this.#write(ledger);
          }
          this.#engine.restamp(answer.latest);
          // A removal or clearing may be older now than what it was made after,
          // and what that is may be gone from here.
          this.#begin(ledger.owner, Date.now());
          this.#restamped = true;
          return false;
        default:
          throw new SessionError("sync", answer.why, {
            reason: answer.reason,
          });
      }
    }
    return true;
  }

  /** Makes what is unsent ready. @param {Ledger} ledger */
  #prepare(ledger) {
    if (!this.#stands(ledger))
      ledger = this.#begin(ledger.owner, ledger.active);
    this.#engine.prepare();
    const size = this.#unsent(ledger).reduce(
      (sum, { text }) => sum + text.length,
      0,
    );
    if (size > partSize) {
      // What is superseded need not be sent. But of what is compacted all is
      // sent, also what the server has.
      if (size > 2 * this.#engine.alive().length) this.#engine.compact();
      // As far as there is room: otherwise it is sent as it is.
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
   * What is to be sent, the first last.
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
   * The latest time that the server has something from.
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
   * The stamps of an owner's items, or of those that are nobody's yet.
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
   * Whether it is still the ledger, but for what was exchanged.
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
  #write({ owner, generation, active, cursor, stamps }) {
    const time = String(Math.min(active, latestTime - 1)).padStart(13, "0");
    const fields = [owner, generation, time, cursor || noCursor, ...stamps];
    this.#engine.area.setItem(ledgerKey(this.#engine.name), fields.join(" "));
    this.#local.changed();
  }

  /**
   * Whether what the ledger says of the items is true: it may have been written
   * after somebody cleared the storage.
   *
   * @param {Ledger} ledger
   */
  #stands({ owner, generation }) {
    return this.#engine.area.getItem(this.#key(owner, generation)) !== null;
  }

  /**
   * Begins a generation of an owner's session, in which nothing is known to have
   * been exchanged but when somebody saved last, and shows that.
   *
   * @param {string} owner
   * @param {number} [active]
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
   * @param {string} owner
   * @param {string} [generation] the one that stays
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
   * Gets to know whose session the server has. Reports whether there is nothing
   * more to be done.
   *
   * @param {Ledger | undefined} before
   * @param {string} owner
   * @param {boolean} keeps whether there is something to be kept
   */
  #meet(before, owner, keeps) {
    const ledger = this.#read();
    if (ledger?.owner !== before?.owner) return false;
    if (owner === "" && !keeps) return true;
    if (!tagForm.test(owner)) throw stranger();
    if (!ledger) this.#begin(owner);
    else if (owner !== ledger.owner) {
      this.#engine.area.setItem(heirKey(ledger.owner), owner);
      this.#give(ledger, owner);
    }
    this.#heir = "";
    return false;
  }

  /**
   * Follows a server that has the session of another owner.
   *
   * @param {Ledger} before
   * @param {string} owner
   */
  #turn(before, owner) {
    const ledger = this.#read();
    if (ledger?.owner !== before.owner) return;
    if (owner === "") {
      // Who has just been told who he is does not know it any more.
      if (this.#knewNobody) {
        throw failure(
          "the server does not know this browser again: it must keep cookies",
        );
      }
      this.#knewNobody = true;
      this.#heir = ledger.owner;
      return;
    }
    if (!tagForm.test(owner)) throw stranger();
    let heir = ledger.owner;
    for (let i = 0; i < maxHeirs && heir && heir !== owner; i++) {
      heir = this.#engine.area.getItem(heirKey(heir)) ?? "";
    }
    if (heir === owner) this.#give(ledger, owner);
    else this.#leave(ledger, owner);
  }

  /**
   * Makes what is alive here another owner's. What was removed or cleared was so
   * without having seen what that one has.
   *
   * @param {Ledger} ledger
   * @param {string} owner
   */
  #give(ledger, owner) {
    const { area } = this.#engine;
    const had = this.#own(ledger);
    const text = this.#engine.alive();
    const copied = text && this.#key(owner, this.#engine.stamp(text));
    if (copied) area.setItem(copied, text);
    try {
      this.#begin(owner, ledger.active);
    } catch (error) {
      if (copied) area.removeItem(copied); // or it would be merged some day
      throw error;
    }
    for (const stamp of had.sort()) {
      const key = this.#key(ledger.owner, stamp);
      // What cannot be read stays as it is.
      if (!("fault" in readItem(area.getItem(key) ?? ""))) area.removeItem(key);
    }
    this.#unmark(ledger.owner);
    this.#local.changed();
  }

  /**
   * Shows another owner's session, and keeps for the former what the server does
   * not have of his.
   *
   * @param {Ledger} ledger
   * @param {string} owner
   */
  #leave(ledger, owner) {
    // From now on the ledger says nothing of what is here.
    this.#unmark(ledger.owner);
    this.#begin(owner); // before anybody sees a part of it
    for (const stamp of this.#own(ledger).sort()) {
      if (ledger.stamps.has(stamp)) {
        this.#engine.area.removeItem(this.#key(ledger.owner, stamp));
      }
    }
  }

  /**
   * Takes what a server sent back that has merged a part. Reports whether the
   * exchange can go on.
   *
   * @param {Ledger} before
   * @param {{ stamp: string }[]} part
   * @param {Answer} answer
   * @param {number} asked when it was asked for: the answer may have waited here
   */
  #take(before, part, { owner, cursor, item, complete, age }, asked) {
    if (
      owner !== before.owner ||
      !/^[^ \n]*$/.test(cursor) ||
      cursor === noCursor ||
      (cursor === "" && (item !== "" || complete))
    ) {
      throw stranger();
    }
    const { area } = this.#engine;
    const stamp = item && this.#engine.stamp(item);
    const ledger = this.#read();
    if (
      ledger?.owner !== owner ||
      ledger.generation !== before.generation ||
      // Others have exchanged meanwhile, and all that there is need not have what
      // they sent: it is older, or of a server that has lost all.
      (ledger.cursor !== before.cursor && (complete || before.cursor === "")) ||
      !this.#stands(ledger)
    ) {
      return false;
    }
    const there = new Set(this.#own(ledger));
    const has = [...ledger.stamps, ...part.map(({ stamp }) => stamp)].filter(
      (stamp) => there.has(stamp),
    );
    // Without a cursor nobody could tell that the server has lost them.
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
      // What the server has now counts, whether there is room for more or not.
      let full = next;
      try {
        try {
          add();
        } catch (error) {
          const texts = old.map((old) => area.getItem(this.#key(owner, old)));
          if (texts.join("").length < item.length) throw error;
          // Until it is there, the server has to give all of it again.
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
      // What was cleared is to be gone from the storage, too. What is left may
      // be in an item of its own then, and is to be sent once more.
      this.#engine.compact();
      return area.getItem(key) !== null;
    }
    const stamps = complete || !cursor ? [] : has;
    this.#write({ ...next, cursor, stamps: new Set(stamps) });
    dropOld();
    return true;
  }

  /**
   * Takes note of what the server has no room for, and returns an item that says
   * when something was saved, and nothing else.
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
    return `{"format":1,"since":"${since}","batches":[{"stamp":"${newest}"}]}`;
  }
}

/**
 * @param {import("./engine.js").Engine} engine
 * @returns {Ledger | undefined}
 */
function ledgerOf({ area, name }) {
  return readLedger(area.getItem(ledgerKey(name)) ?? "");
}

/**
 * Takes note that what is this browser's is from now on that owner's whose
 * sessions it has joined.
 *
 * @param {import("./engine.js").Engine} engine
 * @param {string} owner his tag
 */
export function joined(engine, owner) {
  if (!tagForm.test(owner)) throw stranger();
  const before = ledgerOf(engine)?.owner;
  if (before !== undefined && before !== owner) {
    engine.area.setItem(heirKey(before), owner);
  }
}

/**
 * What a page that is about to go can send without waiting for an answer, if
 * there is something.
 *
 * @param {import("./engine.js").Engine} engine
 * @param {Set<string>} skip the stamps of items that are not to be sent
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
 * The items of whose words the server may not have all, those to be sent first
 * last.
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
 * The batches of an item; none of one that is damaged.
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
 * The size of an entry, key and value as JSON, in characters; or of what removes
 * it.
 *
 * @param {string} key
 * @param {unknown} value
 */
export function sizeOf(key, value) {
  return key.length + (value === undefined ? 0 : JSON.stringify(value).length);
}

function stranger() {
  return failure("what answers is no server for sessions");
}

/** @param {string} why */
function failure(why) {
  return new SessionError("sync", why);
}
