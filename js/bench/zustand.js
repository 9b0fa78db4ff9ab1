// What a page with a persisted store of zustand runs until it has what was stored.
import { persist } from "zustand/middleware";
import { createStore } from "zustand/vanilla";

export const hydrate = () =>
  createStore(persist(() => /** @type {object} */ ({}), { name: "state" }));
