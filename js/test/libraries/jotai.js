import { createStore } from "jotai";
import { atomWithStorage, createJSONStorage } from "jotai/utils";
import { openSync } from "session-writer";
import { stateStorage } from "session-writer/storage";

const defaults = { ready: true };
const session = openSync("state", { defaults });
const atom = atomWithStorage(
  "state",
  defaults,
  createJSONStorage(() => stateStorage(session)),
  { getOnInit: true },
);
const store = createStore();
store.sub(atom, () => {});

export const set = (/** @type {object} */ members) =>
  store.set(atom, (before) => ({ ...before, ...members }));
export const get = () => store.get(atom);
