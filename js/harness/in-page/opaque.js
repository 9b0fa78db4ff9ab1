// What runs where there is no storage, in a frame of an opaque origin and in a
// worker: whoever made it gets the outcome as a message.

/** @type {typeof import("../../src/index.js")} */
const { SessionError, open } = await import(
  new URL("./dist/index.js", import.meta.url).href
);

const refused = await Promise.all(
  /** @type {const} */ (["local", "session"]).map((storage) =>
    open("cart", { storage }).then(
      () => undefined,
      (error) => error instanceof SessionError && error.code,
    ),
  ),
);
const sessions = await Promise.all([
  open("cart", { fallback: "memory" }),
  open("cart", { storage: "session", fallback: "memory" }),
  open("cart", { storage: "memory" }),
]);
const told = new Promise((resolve) => sessions[1].subscribe(resolve));
sessions[0].save({ a: 1 });
const outcome = {
  refused,
  kept: sessions.map((session) => ({
    active: session.active,
    persistent: session.persistent,
    loaded: session.load(),
  })),
  told: await told,
};
(globalThis.window?.parent ?? globalThis).postMessage(outcome, {
  targetOrigin: "*",
});
