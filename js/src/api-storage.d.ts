// The API of session-writer/storage, which storage.js implements: build.js makes
// dist/storage.d.ts of it.
import type { Session } from "./api.js";

/** What libraries use of a storage, and a way to hear of changes. */
export interface FollowedStorage {
  getItem(key: string): string | null;
  setItem(key: string, text: string): void;
  removeItem(key: string): void;
  /**
   * Calls the listener with an item's text, or null, whenever it was changed otherwise than
   * through this storage: in another tab, on another device, or in the session itself.
   * Returns a function that ends this.
   */
  subscribe(key: string, listener: (text: string | null) => void): () => void;
}

/**
 * Returns a storage that has each item in an entry of the session. The text of a JSON
 * object or array is kept as that value, so that `session.get` returns it.
 *
 * For what keeps each value under a key of its own, such as jotai's atomWithStorage. The
 * session's defaults are no items.
 */
export function webStorage(session: Session<any>): FollowedStorage & {
  clear(): void;
  key(index: number): string | null;
  readonly length: number;
};

/**
 * Returns a storage for a library that keeps its state, an object, as JSON under one key,
 * such as pinia-plugin-persistedstate. Each member of the state is an entry of the session.
 * `setItem` saves the members that differ from what was read or written here last, so tabs
 * and devices do not lose each other's, and a state that is the same writes nothing. It
 * removes members that were read or written and are gone from the state, in a batch after
 * that of those that changed.
 *
 * Give the session its option `defaults`, the state that a new user has. Otherwise what a
 * new device writes first, which is all of that, would count as saved.
 *
 * @throws {SessionError} `config` if another key is used: each needs a session of its own;
 * `value` if the text is no JSON object, or is that of zustand, whose state is in a member
 * `state` beside `version`. Writing also throws what `save` throws.
 */
export function stateStorage(
  session: Session<any>,
  options?: {
    /**
     * Whether the library persists a part of its state, as pinia's plugin does with `pick`.
     * Then only members that it has written before are removed.
     */
    partial?: boolean | undefined;
  },
): FollowedStorage;

/**
 * Returns the option `storage` of zustand's `persist`, which does what stateStorage does,
 * with `partial`, as there may be a `partialize`: to remove a member, set it to undefined.
 * The version of the state is an entry beside its members, `NAME/version`.
 */
export function zustandStorage(session: Session<any>): {
  getItem(name: string): { state: any; version?: number } | null;
  setItem(name: string, value: { state: any; version?: number }): void;
  removeItem(name: string): void;
  /**
   * Calls the listener when the store should be read again, by `persist.rehydrate()`: not
   * for what another version of the store has written.
   */
  subscribe(listener: () => void): () => void;
};

/**
 * Returns what redux-persist's configuration needs beside `key`, to do what stateStorage
 * does, with `partial`. Not for a configuration with transforms, which `subscribe` does not
 * know.
 */
export function reduxStorage(session: Session<any>): {
  storage: {
    getItem(key: string): Promise<any>;
    setItem(key: string, state: any): Promise<void>;
    removeItem(key: string): Promise<void>;
  };
  serialize: false;
  deserialize: false;
  /**
   * Calls the listener with members that changed: the payload of an action REHYDRATE. One
   * that is gone has its default, or is undefined. What another version of the state has
   * is not given.
   */
  subscribe(listener: (members: object) => void): () => void;
};

/** What is used of the state that TanStack Query's `dehydrate` returns. */
interface DehydratedState {
  mutations: any[];
  queries: any[];
}

/**
 * Returns a persister for TanStack Query's `persistQueryClient`. Each query is an entry of
 * the session, saved when it has new data, and removed when a tab that had it drops it.
 */
export function queryPersister(session: Session<any>): {
  persistClient(client: {
    timestamp: number;
    buster: string;
    clientState: DehydratedState;
  }): void;
  restoreClient():
    | { timestamp: number; buster: string; clientState: DehydratedState }
    | undefined;
  removeClient(): void;
  /** Calls the listener with a state for `hydrate`, when another tab has new data. */
  subscribe(listener: (clientState: DehydratedState) => void): () => void;
};

/** A storage that VueUse's useStorage is told of. */
export type VueUseStorage = Pick<
  FollowedStorage,
  "getItem" | "setItem" | "removeItem"
>;

/**
 * Returns the storage in the form in which VueUse's useStorage follows it, until the session
 * is closed.
 */
export function vueUse(storage: FollowedStorage): VueUseStorage;
