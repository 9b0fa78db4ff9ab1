import { hydrate, mount } from "svelte";
import App from "./Stores.svelte";

export { App };

/** @param {Element} target */
export function start(target) {
  (target.hasChildNodes() ? hydrate : mount)(App, { target });
  return {};
}
