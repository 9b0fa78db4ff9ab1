import { createStore } from "jotai";
import { atomWithStorage, createJSONStorage } from "jotai/utils";
import { openSync } from "session-writer";
import { webStorage } from "session-writer/storage";

const session = openSync("state");
const storage = createJSONStorage(() => webStorage(session));
const store = createStore();
/** @type {Map<string, ReturnType<typeof atomWithStorage>>} */
const atoms = new Map();
/** @param {string} key */
function atomOf(key) {
  const made = atoms.get(key) ?? atomWithStorage(key, null, storage);
  if (!atoms.has(key)) {
    atoms.set(key, made);
    store.sub(made, () => {});
  }
  return made;
}

export function set(/** @type {object} */ members) {
  for (const [key, value] of Object.entries(members)) {
    store.set(atomOf(key), value);
  }
}
export const get = () =>
  Object.fromEntries([
    ["ready", true],
    ...session.keys().map((key) => [key, store.get(atomOf(key))]),
  ]);
