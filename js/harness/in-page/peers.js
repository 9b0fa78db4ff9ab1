// Libraries that session-writer is compared with in bench/ and in tabs/, each set up
// as its documentation says.
import store2 from "store2";
import { persist } from "zustand/middleware";
import { createStore } from "zustand/vanilla";

export function store2Cart() {
  // It is CommonJS, which its types do not say.
  const store = /** @type {import("store2").StoreType} */ (
    /** @type {unknown} */ (store2)
  );
  return store.namespace("cart");
}

export function zustandCart() {
  /** @type {() => Record<string, unknown>} */
  const empty = () => ({});
  return createStore()(persist(empty, { name: "cart" }));
}
