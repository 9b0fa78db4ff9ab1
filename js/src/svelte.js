/**
 * Sessions in Svelte.
 *
 * @module session-writer/svelte
 */
import { onMount } from "svelte";
import { createSubscriber } from "svelte/reactivity";
import { memberOf } from "./json.js";

/** @typedef {import("./api.js").Session<any>} AnySession */

/** @type {typeof import("./api-svelte.js").sessionStore} */
export function sessionStore(session) {
  return store(session, (shown) => shown);
}

/** @type {typeof import("./api-svelte.js").entryStore} */
export function entryStore(session, key) {
  const set = (/** @type {any} */ value) => session.save([[key, value]]);
  return {
    ...store(session, (shown) => memberOf(shown, key)),
    set,
    update: (change) => set(change(session.get(key))),
  };
}

/**
 * @template T
 * @param {AnySession} session
 * @param {(shown: any) => T} select
 */
function store(session, select) {
  const { shown, subscribe } = following(session);
  return {
    /** @param {(value: T) => void} run */
    subscribe(run) {
      let value = select(shown());
      run(value);
      return subscribe(() => {
        const before = value;
        value = select(shown());
        if (value !== before) run(value);
      });
    },
  };
}

/** @type {typeof import("./api-svelte.js").useSession} */
export function useSession(session) {
  const { shown, subscribe } = following(session);
  const follow = createSubscriber(subscribe);
  return {
    get current() {
      follow();
      return shown();
    },
  };
}

/** @type {typeof import("./api-svelte.js").useEntry} */
export function useEntry(session, key) {
  const all = useSession(session);
  return {
    get current() {
      return memberOf(all.current, key);
    },
    set current(value) {
      session.save([[key, /** @type {any} */ (value)]]);
    },
  };
}

/**
 * Returns what a component shows of a session. What a server renders, the component that
 * takes that over renders until it is mounted.
 *
 * @template {object} T
 * @param {import("./api.js").Session<T>} session
 */
function following(session) {
  /** @type {Set<() => void>} */
  const followers = new Set();
  let mounted = false;
  try {
    onMount(() => {
      mounted = true;
      for (const changed of followers) changed();
    });
  } catch {
    mounted = true; // it is in no component
  }
  return {
    shown: () => (mounted ? session.snapshot() : session.initial),
    /** @param {() => void} changed */
    subscribe(changed) {
      followers.add(changed);
      const end = session.subscribe(changed);
      return () => {
        followers.delete(changed);
        end();
      };
    },
  };
}
