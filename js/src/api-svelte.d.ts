// The API of session-writer/svelte, which svelte.js implements: build.js makes
// dist/svelte.d.ts of it.
import type { Readable, Writable } from "svelte/store";
import type { Key, Session } from "./api.js";

/** Returns the session's snapshot as a store. */
export function sessionStore<T extends object>(
  session: Session<T>,
): Readable<Readonly<Partial<T>>>;

/**
 * Returns one entry as a store, for `bind:value={$entry}` as well: what is set is saved. The
 * value itself is frozen. Setting throws what `save` throws.
 */
export function entryStore<T extends object, K extends Key<T>>(
  session: Session<T>,
  key: K,
): Writable<T[K] | undefined>;

/** Returns the session's snapshot, which is read as a rune is. */
export function useSession<T extends object>(
  session: Session<T>,
): { readonly current: Readonly<Partial<T>> };

/**
 * Returns one entry, which is read and set as a rune is. What is set is saved, and throws
 * what `save` throws.
 */
export function useEntry<T extends object, K extends Key<T>>(
  session: Session<T>,
  key: K,
): { current: T[K] | undefined };
