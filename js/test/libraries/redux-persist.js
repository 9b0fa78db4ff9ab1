import { legacy_createStore as createStore } from "redux";
import { persistReducer, persistStore, REHYDRATE } from "redux-persist";
import { openSync } from "session-writer";
import { reduxStorage } from "session-writer/storage";

const defaults = { ready: true };
const { subscribe, ...storage } = reduxStorage(openSync("state", { defaults }));
/** @type {any} */
const store = createStore(
  persistReducer(
    { key: "root", ...storage },
    (/** @type {any} */ state = defaults, /** @type {any} */ action) =>
      action.type === "set" ? { ...state, ...action.members } : state,
  ),
);
await new Promise((resolve) => persistStore(store, null, () => resolve(0)));
subscribe((payload) =>
  store.dispatch({ type: REHYDRATE, key: "root", payload }),
);

export const set = (/** @type {object} */ members) =>
  store.dispatch({ type: "set", members });
export const get = () => {
  const { _persist, ...members } = store.getState();
  return members;
};
