import { persist } from "zustand/middleware";
import { createStore } from "zustand/vanilla";
import { openSync } from "session-writer";
import { zustandStorage } from "session-writer/storage";

const defaults = { ready: true };
const session = openSync("state", { defaults });
const storage = zustandStorage(session);
const store = createStore(persist(() => defaults, { name: "state", storage }));
storage.subscribe(() => store.persist.rehydrate());

export const set = (/** @type {object} */ members) => store.setState(members);
export const get = () => store.getState();
