// The API of session-writer/vue, which vue.js implements: build.js makes dist/vue.d.ts of
// it.
import type { ShallowRef, WritableComputedRef } from "vue";
import type { Key, Session } from "./api.js";

/**
 * Returns the session's snapshot as a ref. It ends with the component or scope that it is
 * called in. While a component takes over what a server has rendered, it is
 * `session.initial`.
 */
export function useSession<T extends object>(
  session: Session<T>,
): Readonly<ShallowRef<Readonly<Partial<T>>>>;

/**
 * Returns one entry as a ref, for `v-model` as well: what is set is saved. The value itself
 * is frozen. Setting throws what `save` throws.
 */
export function useEntry<T extends object, K extends Key<T>>(
  session: Session<T>,
  key: K,
): WritableComputedRef<T[K] | undefined>;
