/**
 * Sessions in Vue.
 *
 * @module session-writer/vue
 */
import {
  computed,
  getCurrentInstance,
  getCurrentScope,
  onMounted,
  onScopeDispose,
  shallowReadonly,
  shallowRef,
} from "vue";
import { memberOf } from "./json.js";

/** @type {typeof import("./api-vue.js").useSession} */
export function useSession(session) {
  // What a server renders, the page that takes that over renders at first.
  const hydrates = Boolean(getCurrentInstance()?.vnode.el);
  const shown = shallowRef(
    hydrates || !globalThis.window ? session.initial : session.snapshot(),
  );
  const show = () => {
    shown.value = session.snapshot();
  };
  if (hydrates) onMounted(show);
  if (globalThis.window) {
    const end = session.subscribe(show);
    if (getCurrentScope()) onScopeDispose(end);
  }
  return /** @type {any} */ (shallowReadonly(shown));
}

/** @type {typeof import("./api-vue.js").useEntry} */
export function useEntry(session, key) {
  const shown = useSession(session);
  return computed({
    get: () => memberOf(shown.value, key),
    set: (value) => session.save([[key, /** @type {any} */ (value)]]),
  });
}
