import { absent, codeOf, disabled, errorOf, internal } from "./codes.js";
import { SessionError } from "./error.js";
import { areaOf, keysOf, realOf } from "./areas.js";
import { utf8 } from "./utf8.js";

/** @typedef {import("./areas.js").Area} Area */

/** @typedef {import("./api.js").Stats} Stats */

/**
 * The result of a save, removal or clearing.
 *
 * @typedef {object} Written
 * @property {string} change What it changed, as JSON. Empty when nothing changed
 *   or the session is not watched.
 * @property {boolean} due Whether `tidy` has something to do.
 */

/**
 * How long a text may be that is given to the module or the storage, in UTF-16 code
 * units. All sessions of the page share the module's memory, and a batch that no
 * browser's storage takes must not use it up.
 */
const maxText = 64 * 2 ** 20;

/** Stands for the given text, as engine.Given does in the module. */
const givenSign = "\0";

// What a call that writes returns in its two lowest bits, beside the length of
// the change: whether a compaction is due, and whether it can wait.
const canWait = 1;
const cannotWait = 2;

/**
 * The exports of wasm/main.go.
 *
 * @typedef {object} Exports
 * @property {() => number} protocol
 * @property {(size: number) => number} buffer
 * @property {() => number} message
 */

/**
 * The exports about sessions. Their arguments are a handle, the time, the length
 * of a text, and a number. Each takes as many of these as it needs.
 *
 * @typedef {"open" | "close" | "save" | "remove" | "clear" | "tidy" | "load"
 *   | "get" | "stats" | "watch" | "see" | "refresh" | "prepare" | "alive"
 *   | "stamp" | "divide" | "compact" | "restamp" | "unsent" | "forget"} Call
 */

/**
 * The storage areas of the page, which the module imports. What an area throws is
 * caught here, because nothing may be thrown through the module's stack.
 */
export class StorageAreas {
  /**
   * The numbers by which the module tells areas apart.
   *
   * @type {WeakMap<Area, number>}
   */
  #places = new WeakMap();
  #lastPlace = 0;
  #encoder = new (utf8().TextEncoder)();
  // A U+FEFF at the beginning belongs to the text, and is no byte order mark.
  #decoder = new (utf8().TextDecoder)("utf-8", { ignoreBOM: true });
  /** @type {string[]} */
  #keys = [];
  /**
   * The area of each open session, by the session's number, and the texts that the
   * session has read there.
   *
   * @type {Map<number, { area: Area, texts: Map<string, string> }>}
   */
  #sessions = new Map();
  #last = 0;
  #lent = new Uint8Array();
  // Allocated once for all but the longest texts, because an allocation costs
  // more than a copy.
  #room = new Uint8Array(64 * 2 ** 10);
  #bytes = new Uint8Array();

  /**
   * The module's memory, once there is one.
   * @type {WebAssembly.Memory | undefined}
   */
  memory;

  /**
   * The entries of a save, as JSON, while it lasts.
   * @type {string | undefined}
   */
  given;

  /**
   * What an area threw last.
   * @type {unknown}
   */
  thrown;

  /** What the module imports. */
  imports = {
    getItem: this.#named(({ area, texts }, key) => {
      const text = area.getItem(key) ?? null; // a page's own may have undefined
      if (text === null) {
        texts.delete(key);
        return absent;
      }
      texts.set(key, text);
      return this.#lend(text);
    }),

    setItem: this.#named(({ area }, key, text, textLength) => {
      let whole = this.read(text, textLength);
      const at = whole.indexOf(givenSign);
      if (this.given !== undefined && at >= 0) {
        whole = whole.slice(0, at) + this.given + whole.slice(at + 1);
      }
      area.setItem(key, whole);
      return 0;
    }),

    removeItem: this.#named(({ area, texts }, key) => {
      texts.delete(key);
      area.removeItem(key);
      return 0;
    }),

    keys: this.#named(({ area, texts }, prefix) => {
      this.#keys = keysOf(area, prefix);
      const listed = new Set(this.#keys);
      for (const key of texts.keys()) {
        if (key.startsWith(prefix) && !listed.has(key)) texts.delete(key);
      }
      return this.#keys.length;
    }),

    // After an error the module reads the item, and gets the error again.
    same: this.#named(({ area, texts }, key) => {
      const text = texts.get(key);
      // If they are the same, browsers mostly compare two pointers.
      return Number(text !== undefined && text === area.getItem(key));
    }),

    listed: (/** @type {number} */ i) => this.#lend(this.#keys[i]),

    take: (/** @type {number} */ at) => this.#memoryBytes().set(this.#lent, at),
  };

  /**
   * Opens an area for a session, and returns the session's number with those of the area.
   *
   * @param {import("./areas.js").Where} where
   */
  open(where) {
    try {
      const area = typeof where === "string" ? areaOf(where) : where;
      const real = realOf(area);
      const place = this.#places.get(real) ?? ++this.#lastPlace;
      this.#places.set(real, place);
      this.#sessions.set(++this.#last, { area, texts: new Map() });
      return { handle: this.#last, area, place };
    } catch (error) {
      throw errorOf(disabled, error);
    }
  }

  /**
   * Has a session use another area that has the same items.
   *
   * @param {number} session its number
   * @param {Area} area
   */
  setArea(session, area) {
    const of = this.#sessions.get(session);
    if (of) of.area = area;
  }

  /**
   * Forgets what a session has read.
   *
   * @param {number} session its number
   */
  close(session) {
    this.#sessions.delete(session);
  }

  /**
   * Returns f in the form that the module calls. The module passes a session's
   * number, and the address and length of a text. It gets a code when f throws.
   *
   * @param {(session: { area: Area, texts: Map<string, string> }, name: string, at: number, length: number) => number} f
   */
  #named(f) {
    return (
      /** @type {number} */ session,
      /** @type {number} */ name,
      /** @type {number} */ nameLength,
      /** @type {number} */ at,
      /** @type {number} */ length,
    ) => {
      try {
        const of = this.#sessions.get(session);
        if (!of) throw new Error("the session is not open");
        return f(of, this.read(name, nameLength), at, length);
      } catch (error) {
        this.thrown = error;
        return codeOf(error);
      }
    };
  }

  /** @param {string} text */
  #lend(text) {
    // Three bytes are the most that a UTF-16 code unit takes.
    this.#lent =
      text.length * 3 > this.#room.length
        ? this.#encoder.encode(text)
        : this.#room.subarray(
            0,
            this.#encoder.encodeInto(text, this.#room).written,
          );
    return this.#lent.length;
  }

  /**
   * Reads a text in the module's memory.
   *
   * @param {number} at
   * @param {number} length
   */
  read(at, length) {
    return this.#decoder.decode(this.#memoryBytes().subarray(at, at + length));
  }

  /**
   * Writes a text into the module's memory, and returns its length there.
   *
   * @param {string} text
   * @param {number} at
   */
  write(text, at) {
    return this.#encoder.encodeInto(text, this.#memoryBytes().subarray(at))
      .written;
  }

  #memoryBytes() {
    const { buffer } = /** @type {WebAssembly.Memory} */ (this.memory);
    // The memory has a new buffer after it has grown.
    if (this.#bytes.buffer !== buffer) this.#bytes = new Uint8Array(buffer);
    return this.#bytes;
  }
}

/** The Go program that is running in this page. */
export class Module {
  #exports;
  #stopped = false;

  /**
   * @param {import("./runtime-tinygo.js").Program} program
   * @param {StorageAreas} areas what it imports
   */
  constructor({ exports, memory, run }, areas) {
    this.#exports =
      /** @type {Exports & Record<Call, (...args: (number | undefined)[]) => number | void>} */ (
        /** @type {unknown} */ (exports)
      );
    this.areas = areas;
    areas.memory = memory;
    run(() => {
      this.#stopped = true;
    });
  }

  /** The protocol that the module speaks. */
  get protocol() {
    return this.#exports.protocol();
  }

  /**
   * Calls an export about sessions.
   *
   * @param {Call} name
   * @param {number} first
   * @param {number} second
   * @param {number} third
   * @param {number} [fourth]
   * @returns {number}
   */
  call(name, first, second, third, fourth) {
    let result;
    try {
      result = this.#stopped
        ? 0
        : (this.#exports[name](first, second, third, fourth) ?? 0);
    } catch (cause) {
      this.#stopped = true;
      throw stopped(cause);
    }
    if (this.#stopped) throw stopped();
    if (result < 0) throw this.#failure(result);
    return result;
  }

  /** @param {number} code */
  #failure(code) {
    return code === internal
      ? new SessionError("internal", this.read(this.#exports.message()))
      : errorOf(code, this.areas.thrown);
  }

  /**
   * Writes an argument for the next call, and returns its length.
   *
   * @param {string} text
   * @returns {number}
   */
  pass(text) {
    check(text);
    // Three bytes are the most that a UTF-16 code unit takes.
    return this.areas.write(text, this.#exports.buffer(text.length * 3));
  }

  /**
   * Reads the reply of the last call.
   *
   * @param {number} length
   */
  read(length) {
    return length === 0 ? "" : this.areas.read(this.#exports.buffer(0), length);
  }
}

/** Closes in the module what nobody has any more. */
const lost = new FinalizationRegistry(
  (/** @type {{ module: Module, handle: number }} */ { module, handle }) => {
    try {
      close(module, handle);
    } catch {
      // If the module had to stop, the next call says so.
    }
  },
);

/**
 * @param {Module} module
 * @param {number} handle a session's
 */
function close(module, handle) {
  module.areas.close(handle);
  module.call("close", handle, 0, 0);
}

/** A session in the module. */
export class Engine {
  #module;
  /**
   * The session's number in the module, while it is open.
   * @type {number | undefined}
   */
  #handle;
  #where;
  /** @type {Area | undefined} */
  #area;
  #watched = false;
  /** The reply to the last load, which the module does not repeat. */
  #loaded = "";

  /**
   * Whether the session is in localStorage or sessionStorage by name.
   *
   * @readonly
   */
  isNamed;

  /**
   * @param {Module} module
   * @param {import("./areas.js").Where} where
   * @param {string} name
   * @param {number} maxAge in milliseconds, 0 for none
   */
  constructor(module, where, name, maxAge) {
    this.#module = module;
    this.#where = where;
    this.isNamed = typeof where === "string";
    this.name = name;
    this.maxAge = maxAge;
    const handle = (this.#handle = this.#open());
    lost.register(this, { module, handle }, this);
  }

  /** The storage area where the session is. */
  get area() {
    return /** @type {Area} */ (this.#area);
  }

  /**
   * The keys in the area that begin with a text.
   *
   * @param {string} begin
   */
  keys(begin) {
    return keysOf(this.area, begin);
  }

  /** @param {Engine} other compared by area and name */
  isSame({ area, name }) {
    return realOf(area) === realOf(this.area) && name === this.name;
  }

  /**
   * Has the session use another area that has the same items.
   *
   * @param {Area} area
   */
  setArea(area) {
    this.#where = this.#area = area;
    if (this.#handle) this.#module.areas.setArea(this.#handle, area);
  }

  /** Whether the session is open. Otherwise each call opens and closes it. */
  get isOpen() {
    return this.#handle !== undefined;
  }

  /**
   * @param {string} text a JSON object
   * @param {string[]} keys its keys
   */
  save(text, keys) {
    check(text);
    const { areas } = this.#module;
    // A page's own wrapper of its storage may save while this saves.
    const outer = areas.given;
    areas.given = text;
    try {
      const told = this.#watched && keys.length > 0;
      const written = this.#write(
        "save",
        told ? JSON.stringify(keys) : undefined,
        text.length,
      );
      if (told && !written.change) {
        written.change = `{"set":${text},"removed":[],"cleared":false}`;
      }
      return written;
    } finally {
      areas.given = outer;
    }
  }

  /** @param {string} keys as a JSON array */
  remove(keys) {
    return this.#write("remove", keys);
  }

  clear() {
    return this.#write("clear");
  }

  /** Compacts the session if that is due. */
  tidy() {
    this.#call("tidy");
  }

  /** Returns all entries, as a JSON object. */
  load() {
    // A page's own wrapper of its storage may close the session in the middle of it.
    const loaded = this.#loaded;
    const length = this.#call("load", undefined, loaded ? 0 : 1);
    if (length === 0) return loaded;
    const text = this.#module.read(length);
    this.#loaded = this.isOpen ? text : "";
    return text;
  }

  /**
   * @param {string} key
   * @returns {unknown}
   */
  get(key) {
    const text = this.#text("get", key);
    return text === "" ? undefined : JSON.parse(text);
  }

  /** @returns {Stats} */
  stats() {
    const [entries, items, bytes, corrupt] = JSON.parse(this.#text("stats"));
    return { entries, items, bytes, corrupt };
  }

  /**
   * Begins to keep the state that `refresh` compares with, and returns its entries.
   *
   * @returns {Record<string, unknown>}
   */
  watch() {
    const text = this.#module.read(this.#call("watch", undefined, 1));
    this.#watched = true;
    return JSON.parse(text);
  }

  unwatch() {
    this.#call("watch", undefined, 0);
    this.#watched = false;
  }

  /**
   * Notes that another tab set or removed an item, so that later saves are
   * stamped after it. Reports whether it is an item of the session.
   *
   * @param {string} key
   */
  see(key) {
    return this.#call("see", key) > 0;
  }

  /**
   * Reads what others did. Returns the change as JSON, or an empty text when
   * nothing changed or the session is not watched.
   */
  refresh() {
    return this.#text("refresh");
  }

  /**
   * Returns how many entries and removals the server may not have, and the stamps
   * of the items that hold them. The item to be sent first comes last.
   */
  unsent() {
    const [count, ...stamps] = this.#text("unsent").split(" ");
    return { count: Number(count), stamps };
  }

  /** Gives the owner what is nobody's yet, so that it can be sent. */
  prepare() {
    this.#call("prepare");
  }

  /** Returns the text of an item that holds all entries, or an empty text. */
  alive() {
    return this.#text("alive");
  }

  /**
   * Returns a stamp under which an item of others' can be stored here.
   *
   * @param {string} text
   */
  stamp(text) {
    return this.#text("stamp", text);
  }

  /**
   * Replaces an item by two that are smaller, and reports whether it could.
   *
   * @param {string} stamp
   */
  divide(stamp) {
    return this.#call("divide", stamp) > 0;
  }

  /** Merges all items. */
  compact() {
    this.#call("compact");
  }

  /**
   * Gives new stamps to what is unsent and stamped later than a time.
   *
   * @param {number} latest in milliseconds since 1970
   */
  restamp(latest) {
    this.#call("restamp", undefined, latest);
  }

  /** Removes what is stored here of the session, and nothing on the server. */
  forget() {
    this.#call("forget");
  }

  close() {
    const handle = this.#handle;
    this.#handle = undefined;
    this.#watched = false;
    this.#loaded = "";
    lost.unregister(this);
    if (handle !== undefined) close(this.#module, handle);
  }

  #open() {
    const { areas } = this.#module;
    const { handle, area, place } = areas.open(this.#where);
    this.#area = area;
    try {
      const length = this.#module.pass(this.name);
      this.#module.call("open", handle, place, length, this.maxAge);
      return handle;
    } catch (error) {
      areas.close(handle);
      throw error;
    }
  }

  /**
   * Calls an export with a text and a number.
   *
   * @param {Call} name
   * @param {string} [text]
   * @param {number} [number]
   */
  #call(name, text, number) {
    return this.#opened((handle) => this.#callOn(handle, name, text, number));
  }

  /**
   * Calls f with the session's handle. A closed session is opened for the call.
   *
   * @template T
   * @param {(handle: number) => T} f
   * @returns {T}
   */
  #opened(f) {
    const handle = this.#handle ?? this.#open();
    try {
      return f(handle);
    } finally {
      // This keeps the reply in the buffer.
      if (handle !== this.#handle) close(this.#module, handle);
    }
  }

  /**
   * @param {number} handle
   * @param {Call} name
   * @param {string} [text]
   * @param {number} [number]
   */
  #callOn(handle, name, text, number) {
    const length = text === undefined ? 0 : this.#module.pass(text);
    return this.#module.call(name, handle, Date.now(), length, number);
  }

  /**
   * Calls an export that replies with text, which may be empty.
   *
   * @param {Call} name
   * @param {string} [argument]
   */
  #text(name, argument) {
    return this.#module.read(this.#call(name, argument));
  }

  /**
   * Calls an export that writes.
   *
   * @param {Call} name
   * @param {string} [argument]
   * @param {number} [size]
   * @returns {Written}
   */
  #write(name, argument, size) {
    return this.#opened((handle) => {
      const result = this.#callOn(handle, name, argument, size);
      const change = this.#module.read(result >> 2);
      const due = result & 3;
      if (due === cannotWait) {
        try {
          this.#callOn(handle, "tidy");
        } catch {
          // The save has succeeded. If the module had to stop, the next call says
          // so.
        }
      }
      return { change, due: due === canWait };
    });
  }
}

/** @param {string} text */
function check(text) {
  if (text.length > maxText) {
    throw new SessionError(
      "quota",
      `${text.length} characters are more than can be saved at once`,
    );
  }
}

/** @param {unknown} [cause] */
function stopped(cause) {
  return new SessionError(
    "internal",
    "the WebAssembly module has stopped, the console says why; reload the page",
    { cause },
  );
}
