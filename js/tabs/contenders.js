// What people save a session with, each used as its documentation says. It
// runs in the page.
import { store2Cart, zustandCart } from "../harness/in-page/peers.js";

/** @typedef {Record<string, unknown>} Entries */

/**
 * A session as a contender gives it to a tab.
 *
 * @typedef {object} Store
 * @property {(entries: Entries) => unknown} save what it returns is awaited
 * @property {() => Entries} load
 * @property {(listener: (change: import("../src/index.js").Change) => void) => unknown} [subscribe]
 */

/** @typedef {keyof typeof contenders} Contender */

export const contenders = {
  /** @returns {Promise<Store>} */
  "session-writer": () => inPage.open("cart"),

  /** @returns {Store} */
  "a setItem for each entry": () => ({
    save: (entries) => {
      for (const [key, value] of Object.entries(entries)) {
        localStorage.setItem(`cart.${key}`, JSON.stringify(value));
      }
    },
    load: () =>
      Object.fromEntries(
        inPage
          .items()
          .filter(([key]) => key.startsWith("cart."))
          .map(([key, text]) => [key.slice("cart.".length), JSON.parse(text)]),
      ),
  }),

  /** @returns {Store} */
  "one item of JSON": () => oneItem,

  /** @returns {Store} */
  "one item of JSON, in navigator.locks": () => ({
    save: (entries) =>
      navigator.locks.request("cart", () => oneItem.save(entries)),
    load: oneItem.load,
  }),

  /** @returns {Store} */
  store2: () => {
    const cart = store2Cart();
    return {
      save: (entries) => cart.setAll(entries),
      load: () => cart.getAll(),
    };
  },

  /** @returns {Store} */
  "zustand persist": () => {
    const cart = zustandCart();
    // As its documentation says for several tabs.
    addEventListener("storage", ({ key }) => {
      if (key === "cart") cart.persist.rehydrate();
    });
    return {
      save: (entries) => cart.setState(entries),
      load: () => cart.getState(),
    };
  },
};

/** @type {Store} */
const oneItem = {
  save: (entries) =>
    localStorage.setItem(
      "cart",
      JSON.stringify({ ...oneItem.load(), ...entries }),
    ),
  load: () => JSON.parse(localStorage.getItem("cart") ?? "{}"),
};
