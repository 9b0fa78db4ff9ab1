/**
 * Sessions in React.
 *
 * @module session-writer/react
 */
import { useCallback, useSyncExternalStore } from "react";
import { memberOf } from "./json.js";

/** @type {typeof import("./api-react.js").useSession} */
export function useSession(session) {
  return useSyncExternalStore(
    session.subscribe,
    session.snapshot,
    () => session.initial,
  );
}

/** @type {typeof import("./api-react.js").useEntry} */
export function useEntry(session, key) {
  const value = useSyncExternalStore(
    session.subscribe,
    () => memberOf(session.snapshot(), key),
    () => memberOf(session.initial, key),
  );
  const save = useCallback(
    (/** @type {any} */ next) => {
      const value = typeof next === "function" ? next(session.get(key)) : next;
      session.save([[key, value]]);
    },
    [session, key],
  );
  return [value, save];
}
