// The API of the package, which src/ implements: build.js makes dist/index.d.ts of it.

declare global {
  interface SymbolConstructor {
    // As TypeScript has it from esnext.disposable on.
    readonly dispose: unique symbol;
  }
}

/** The keys of a session's entries. */
export type Key<T> = keyof T & string;

/**
 * What `save` takes: an object, or anything that yields pairs of a key and a value,
 * such as a Map, an array of pairs, a generator, FormData or URLSearchParams. Without
 * types of entries, an object may be of any type that is not iterable. Of a pair, the
 * value may have the type of any key.
 */
export type Entries<T extends object = Record<string, unknown>> =
  | Iterable<readonly [Key<T>, T[Key<T>]]>
  | (unknown extends T[Key<T>]
      ? Record<string, unknown> | (object & { [Symbol.iterator]?: never })
      : Partial<T>);

/** What happened to a session, frozen with all that is in it. */
export interface Change<T extends object = Record<string, unknown>> {
  /**
   * The entries that are new or have another value than before. After `cleared`, every
   * entry that is left. Their values are those of `snapshot`. See `load` for the key
   * `__proto__`.
   */
  readonly set: Readonly<Partial<T>>;
  /** The keys that are gone, for whatever reason. A default is shown in their place. */
  readonly removed: readonly Key<T>[];
  /** Whether the session was emptied. The entries in `set` came after that. */
  readonly cleared: boolean;
  /** False for what was done through this object, true for everything else. */
  readonly remote: boolean;
}

/** How much a session takes in its storage. */
export interface Stats {
  /** The number of keys that have a value. */
  entries: number;
  /** The number of storage items that hold the session. */
  items: number;
  /**
   * The size of all items under the session's name, keys and texts, in UTF-16 code
   * units. Browsers count their quota in these, and allow 5,242,880 for an origin.
   */
  bytes: number;
  /**
   * The number of items under the session's name that cannot be read: damaged, foreign,
   * or of a newer format.
   */
  corrupt: number;
}

/**
 * A session: a map of string keys to JSON values that outlives the page. T has the types
 * of the values by their keys, which nobody checks: what is stored may be of an earlier
 * version of a page.
 */
export interface Session<T extends object = Record<string, unknown>> {
  /** The name that the session was opened with. */
  readonly name: string;
  /**
   * Whether the session is open. An open session follows what other tabs save. A closed
   * session still saves and loads.
   */
  readonly active: boolean;
  /**
   * Whether the session outlives the page. It does not when kept in memory. Of an object
   * that was given as the storage, it is taken to be so.
   */
  readonly persistent: boolean;
  /**
   * Whether what was saved survives a kill of the browser: "on" if all of it does, "pending"
   * while some is being written, "failed" if IndexedDB cannot be used, and "off" if nobody
   * has asked for it, by the option `durable` or by `flush`, in this or an earlier page, or
   * if the session is in memory. After a failure the next save tries again.
   */
  readonly durable: "off" | "pending" | "on" | "failed";
  /**
   * What the browser has answered to the option `persist`: whether it keeps what the origin
   * stores until its user removes it. Undefined if it was not asked, or has not answered.
   */
  readonly persisted: boolean | undefined;
  /** The option `defaults`, frozen. */
  readonly defaults: Readonly<Partial<T>>;
  /**
   * What a server has shown, frozen: the entries of the option `initial`, and the defaults
   * of other keys. The first rendering of a page shows it, too.
   */
  readonly initial: Readonly<Partial<T>>;

  /**
   * Saves the entries, all of them or none, and leaves every other entry as it is. When
   * the call returns, the entries are in the storage.
   *
   * Values go through JSON.stringify. `save` refuses a value that JSON.stringify would
   * drop or turn into something else: undefined, a function, a symbol, a BigInt, NaN, an
   * infinity, a Map. It also refuses a value that has a cycle. Inside a value the rules of
   * JSON.stringify hold.
   *
   * @throws {SessionError} `key`, `value`, `quota`, `disabled`
   */
  save(entries: Entries<T>): void;

  /**
   * Returns all entries, and the defaults of other keys. An entry of the key `__proto__`
   * is not enumerable, so that Object.assign sets no prototype. Inside a value such a key
   * is an ordinary property, as JSON.parse makes it.
   *
   * @throws {SessionError} `disabled`
   */
  load(): Partial<T>;

  /**
   * Returns what `load` returns, frozen with all that is in it: the same object until
   * something changes, and in the next one the same value for a key that did not change.
   * A save of an equal value changes nothing. While there are subscriptions, it is what
   * they were told, and reads nothing: an end by `maxAge` shows with the next change.
   *
   * @throws {SessionError} `disabled`
   */
  snapshot(): Readonly<Partial<T>>;

  /**
   * Returns the value of a key. If it has none, returns its default, or undefined.
   *
   * @throws {SessionError} `key`, `disabled`
   */
  get<K extends Key<T>>(key: K): T[K] | undefined;

  /**
   * Returns whether a key has a value, which may be null. A default is none.
   *
   * @throws {SessionError} `key`, `disabled`
   */
  has(key: Key<T>): boolean;

  /**
   * Returns the keys that have a value. A default is none.
   *
   * @throws {SessionError} `disabled`
   */
  keys(): Key<T>[];

  /**
   * Resolves when all that was saved here before survives a kill of the browser. With
   * `strict` it survives a power cut, too, as far as the disk keeps its word. From then on
   * the session is durable, as with the option. It rejects with a SessionError: `config` if
   * the session is not in localStorage, `disabled`, `quota`.
   */
  flush(options?: { strict?: boolean | undefined }): Promise<void>;

  /**
   * Removes entries, all of them or none. A key without an entry is no error.
   *
   * @throws {SessionError} `key`, `quota`, `disabled`
   */
  remove(...keys: Key<T>[]): void;

  /**
   * Removes all entries that were saved before, even those of other devices that this one
   * has not heard of yet. What others save at the same moment or later stays.
   *
   * @throws {SessionError} `quota`, `disabled`
   */
  clear(): void;

  /**
   * Calls the listener with every change from now on. One that is made through this object
   * is told before `save`, `remove` or `clear` returns. One that is made elsewhere in the
   * page, in another tab or on another device is told soon after, and several in quick
   * succession may come as one. A save of values that are there already is no change.
   *
   * What a listener saves is told when all listeners have heard of what it is told of.
   * What a listener throws is reported as an uncaught error, and breaks nothing. Returns a
   * function that ends the subscription, as `close` does.
   *
   * @throws {SessionError} `closed`, `config`, `disabled`
   */
  subscribe(listener: (change: Change<T>) => void): () => void;

  /**
   * Keeps a copy of the session on a server, for the user's other devices. A save still
   * goes into the storage at once, also offline. Another call of `sync` ends the Sync
   * before it, and so does `close`. It rejects with a SessionError: `closed`, `config`.
   *
   * @param url Where a server answers as the Go package web/server does.
   */
  sync(url: string | URL, options?: SyncOptions): Promise<Sync>;

  /**
   * Removes what is stored here of the session, and ends its sync in this page. The copy
   * on the server stays, and so does what is kept here for other owners.
   *
   * Call it last at a logout. Call `await sync.now()` first, because what was not sent is
   * lost. Then have the server sign the user out, because another tab that still syncs as
   * the user would fetch the copy again.
   *
   * @throws {SessionError} `disabled`
   */
  forget(): void;

  /**
   * Returns how much the session takes in its storage.
   *
   * @throws {SessionError} `disabled`
   */
  stats(): Stats;

  /**
   * Ends every subscription and the sync, and no longer follows other tabs. A second call
   * does nothing.
   */
  close(): void;

  /** Does what `close` does, at the end of a block with `using`. */
  [Symbol.dispose](): void;
}

export interface SyncOptions {
  /**
   * How many seconds pass at least between exchanges that send something. A save is sent at
   * once if none was sent for so long, and otherwise together with what is saved meanwhile. By
   * default 1. With Infinity, a save waits for an exchange that something else causes.
   */
  delay?: number | undefined;
  /**
   * Whether to be told of other devices' changes at once, if the server can. One tab of the
   * browser has a WebSocket for that, while a page is visible or was in the last minute. By
   * default true.
   */
  live?: boolean | undefined;
  /**
   * How many seconds pass between exchanges while the page is visible and is not told of
   * changes: see SyncState.live. Other devices' changes arrive in exchanges. By default 30.
   */
  interval?: number | undefined;
  /** The function that makes the requests, by default the page's own. */
  fetch?: typeof fetch | undefined;
}

/** Whether a session and its copy on a server are the same. */
export interface SyncState {
  status: "idle" | "syncing" | "offline" | "error";
  /**
   * How many entries and removals may not be on the server yet, at most. A clearing counts
   * as one. An entry that was sent counts again when a compaction puts it into one item
   * with unsent ones.
   */
  unsent: number;
  /**
   * Whether this browser is told of other devices' changes at once. Otherwise it asks for
   * them: see SyncOptions.interval.
   */
  live: boolean;
  /** What went wrong, in the status `error`. The next exchange comes by itself. */
  error?: SessionError;
  /** True if a device has joined of which `devices` has not told this one yet. */
  newDevices?: boolean;
}

/** A browser, or another program, that has an owner's sessions. */
export interface Device {
  /** 16 hexadecimal digits, by which the server tells it apart. */
  readonly id: string;
  /**
   * "Firefox on Linux", or as it was renamed. Empty if the server knew it before devices
   * had names.
   */
  readonly name: string;
  /** When the server first and last saw it, in milliseconds since 1970. */
  readonly first: number;
  /** Up to an hour early. */
  readonly last: number;
  /** Whether it came after this device was last told of devices. */
  readonly new: boolean;
  /** Whether it is this one. */
  readonly current: boolean;
}

/** Keeps a session and its copy on a server the same. */
export interface Sync {
  /** Whether the session and its copy are the same. */
  readonly state: SyncState;

  /**
   * Calls the listener soon after the state may have changed. Returns a function that ends
   * the subscription, as `close` does.
   */
  subscribe(listener: (state: SyncState) => void): () => void;

  /**
   * Exchanges what is new. When it resolves, the server has what was saved before the
   * call, and what the server had then is here. It rejects with a SessionError: `sync`,
   * `closed`, `quota`, `disabled`.
   */
  now(): Promise<void>;

  /**
   * Has the server make a code, with which one other device can join the sessions of this
   * browser. The code is good for expiresIn seconds. It rejects with a SessionError:
   * `sync`, `closed`.
   */
  pair(): Promise<{ code: string; expiresIn: number }>;

  /**
   * Joins the sessions of the device that a code is from. What is saved here becomes part
   * of them. Anybody can make a link with a code, so the user has to be asked: `agree` is
   * called with the devices that would have what is saved here, and nothing is joined unless
   * it returns something true, or a promise of that. What it throws, `join` rejects with.
   * It resolves to whether this device has joined. The other devices are told: see
   * SyncState.newDevices.
   *
   * It resolves once this device has joined. What the other device saved is here by then,
   * unless the exchange after it failed. The state tells of that failure, and the next
   * exchange comes by itself.
   *
   * It rejects with a SessionError if nothing was joined: `closed`, `config`, or `sync`,
   * with the reason `pairing` for a code that is not good.
   */
  join(code: string, agree?: (devices: Device[]) => unknown): Promise<boolean>;

  /**
   * Lists the devices that have this owner's sessions, the first one first. From then on
   * they are not new to this one. Names are whatever their owner, or who joined, has chosen:
   * show them as text. It rejects with a SessionError: `closed`, or `sync`, with
   * the reason `identity` if the server does not know this browser.
   */
  devices(): Promise<Device[]>;

  /**
   * Gives a device a name of 1 to 100 bytes of UTF-8. It rejects with a SessionError:
   * `closed`, `config`, or `sync`, with the reason `device` if there is none of that id, and
   * `malformed` for another name.
   */
  rename(id: string, name: string): Promise<void>;

  /**
   * Ends the access of a device. Its pages show nothing of the owner's any more once they
   * exchange; what they had not sent stays in that browser. It rejects with a SessionError:
   * `closed`, `config`, or `sync`, with the reason `device` if there is none of that id.
   */
  revoke(id: string): Promise<void>;

  /** Ends the sync. What is unsent stays here for the next one. */
  close(): void;
}

/**
 * What went wrong:
 *
 * - `config`: the session name, an option, a listener, a code or the URL of a server is
 *   not acceptable.
 * - `load`: the WebAssembly module could not be loaded or compiled.
 * - `disabled`: the storage is switched off or forbidden, or there is none.
 * - `quota`: the storage is full.
 * - `key`: a key is not a non-empty string of well-formed Unicode.
 * - `value`: a value, or what was given for the entries, cannot be saved.
 * - `closed`: the session is closed, or the Sync is.
 * - `sync`: the server could not be reached, or refused.
 * - `internal`: session-writer itself has a fault.
 */
export type SessionErrorCode =
  | "config"
  | "load"
  | "disabled"
  | "quota"
  | "key"
  | "value"
  | "closed"
  | "sync"
  | "internal";

/**
 * Every error of this package is one. A `save`, `remove` or `clear` that throws one has
 * left the session as it was.
 */
export class SessionError extends Error {
  constructor(
    code: SessionErrorCode,
    message: string,
    more?: { key?: string; reason?: string; cause?: unknown },
  );
  /** What went wrong, for programs. */
  readonly code: SessionErrorCode;
  /** The key of the entry that was refused, if it was one. */
  readonly key: string | undefined;
  /**
   * The code of the server's refusal, if it refused: the Go package web/server lists the
   * codes. It is "no-server" if what answers knows nothing of sessions.
   */
  readonly reason: string | undefined;
}

/** What is used of Web Storage. */
export interface StorageLike {
  getItem(key: string): string | null;
  setItem(key: string, text: string): void;
  removeItem(key: string): void;
  key(index: number): string | null;
  readonly length: number;
}

/** A session as a server gives it: by `Embed`, or as the answer of `/sessions/initial`. */
export interface Initial {
  /** The tag of the session's owner. Empty if the server does not know the browser. */
  owner: string;
  /** Up to where the server's copy goes. Empty if there is none. */
  cursor: string;
  /** What is in the copy. */
  item: string;
}

export interface Options<T extends object = Record<string, unknown>> {
  /**
   * Where the session is kept: in localStorage, in sessionStorage, in memory until the
   * page goes, or in an object that has the methods of these. The default is localStorage.
   */
  storage?: "local" | "session" | "memory" | StorageLike | undefined;
  /**
   * In seconds. A session is over when no tab or device has saved or removed anything for
   * so long. `load` then returns no entries, and the next `save` begins a new session. By
   * default a session never ends.
   */
  maxAge?: number | undefined;
  /**
   * Where to keep the session when the storage cannot be used, for whatever reason, or
   * there is none, as on a server. By default nothing is opened then.
   */
  fallback?: "memory" | undefined;
  /**
   * Whether what is saved is also kept in IndexedDB, which browsers write to disk at once,
   * and is put back from there if a killed browser has lost it. For localStorage only.
   * `open` waits until it is back. After `openSync` it is told as a change of others.
   */
  durable?: boolean | undefined;
  /**
   * Whether to ask the browser to keep what the origin stores, even where space runs out:
   * `navigator.storage.persist()`. Firefox asks its user. `session.persisted` has the answer.
   */
  persist?: boolean | undefined;
  /**
   * What the server's `Embed` has put into the page, as a text or an object: the session as
   * the server has it. It is merged as if it came from the server now, so that what the page
   * shows at first is what the server has rendered. A save made meanwhile wins by its stamp.
   * Nothing is taken of another owner's session, of one that is older than what is here, or
   * after `forget` in this page. It may be missing: undefined or null.
   */
  initial?: string | Initial | null | undefined;
  /**
   * Values to show for keys that have none. They are never stored, so they replace nothing
   * that was saved, here or on another device. Functions are left out, and what is undefined.
   */
  defaults?: Partial<NoInfer<T>> | undefined;
}

/**
 * Opens a session. The storage need not have it yet.
 *
 * @param name Not empty, and without a slash.
 * @throws {SessionError} `config`, `load`, `disabled`
 */
export function openSync<T extends object = Record<string, unknown>>(
  name: string,
  options?: Options<T>,
): Session<T>;

/**
 * Does what openSync does, as a promise. It rejects with a SessionError: `config`, `load`,
 * `disabled`.
 *
 * @param name Not empty, and without a slash.
 */
export function open<T extends object = Record<string, unknown>>(
  name: string,
  options?: Options<T>,
): Promise<Session<T>>;
