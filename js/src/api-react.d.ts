// The API of session-writer/react, which react.js implements: build.js makes
// dist/react.d.ts of it.
import type { Key, Session } from "./api.js";

/**
 * Returns the session's snapshot, and renders again when it changes. On a server, and in
 * the first rendering of what a server has rendered, it is `session.initial`.
 */
export function useSession<T extends object>(
  session: Session<T>,
): Readonly<Partial<T>>;

/**
 * Returns the value of one entry, as useState does, and a function that saves it. The
 * component renders again only when that value changes. The function takes a value, or a
 * function that makes it of the present one, and throws what `save` throws.
 */
export function useEntry<T extends object, K extends Key<T>>(
  session: Session<T>,
  key: K,
): [
  value: T[K] | undefined,
  save: (next: T[K] | ((present: T[K] | undefined) => T[K])) => void,
];
