import { createPinia, defineStore } from "pinia";
import { createPersistedState } from "pinia-plugin-persistedstate";
import { createApp } from "vue";
import { openSync } from "session-writer";
import { stateStorage } from "session-writer/storage";

const defaults = { ready: true };
const storage = stateStorage(openSync("state", { defaults }));
const useStore = defineStore("state", {
  state: () => ({ ...defaults }),
  persist: { storage },
});
const pinia = createPinia().use(createPersistedState());
createApp({}).use(pinia);
const store = useStore();
storage.subscribe("state", (text) =>
  store.$patch((state) => {
    Object.assign(state, JSON.parse(text ?? "{}"));
  }),
);

export const set = (/** @type {object} */ members) => store.$patch(members);
export const get = () => store.$state;
