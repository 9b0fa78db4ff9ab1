import { useStorage } from "@vueuse/core";
import { openSync } from "session-writer";
import { stateStorage, vueUse } from "session-writer/storage";

const defaults = { ready: true };
const session = openSync("state", { defaults });
const state = useStorage("state", defaults, vueUse(stateStorage(session)));

export const set = (/** @type {object} */ members) =>
  Object.assign(state.value, members);
export const get = () => state.value;
