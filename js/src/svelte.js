/**
 * Sessions in Svelte.
 *
 * @module session-writer/svelte
 */
import { createSubscriber } from "svelte/reactivity";
import { memberOf } from "./json.js";

/** @type {typeof import("./api-svelte.js").sessionStore} */
export function sessionStore(session) {
  return store(session, session.snapshot);
}

/** @type {typeof import("./api-svelte.js").entryStore} */
export function entryStore(session, key) {
  const set = (/** @type {any} */ value) => session.save([[key, value]]);
  return {
    ...store(session, () => memberOf(session.snapshot(), key)),
    set,
    update: (change) => set(change(session.get(key))),
  };
}

/**
 * @template T
 * @param {import("./api.js").Session<any>} session
 * @param {() => T} get
 */
function store({ subscribe }, get) {
  return {
    /** @param {(value: T) => void} run */
    subscribe(run) {
      let shown = get();
      run(shown);
      return subscribe(() => {
        const before = shown;
        shown = get();
        if (shown !== before) run(shown);
      });
    },
  };
}

/** @type {typeof import("./api-svelte.js").useSession} */
export function useSession(session) {
  const follow = createSubscriber(session.subscribe);
  return {
    get current() {
      follow();
      return session.snapshot();
    },
  };
}

/** @type {typeof import("./api-svelte.js").useEntry} */
export function useEntry(session, key) {
  const shown = useSession(session);
  return {
    get current() {
      return memberOf(shown.current, key);
    },
    set current(value) {
      session.save([[key, /** @type {any} */ (value)]]);
    },
  };
}
