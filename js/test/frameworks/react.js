import { createElement as h, StrictMode } from "react";
import { createRoot, hydrateRoot } from "react-dom/client";
import { openSync } from "session-writer";
import { useEntry, useSession } from "session-writer/react";
import { sessionOptions } from "./session.js";

/** @type {import("session-writer").Session<import("./session.js").Form>} */
const session = openSync("form", sessionOptions);
let renderings = 0;

function Field() {
  const [text, save] = useEntry(session, "text");
  renderings++;
  return h("input", {
    value: text,
    onChange: ({ target }) => save(target.value),
  });
}

function Counter() {
  const [count, save] = useEntry(session, "count");
  const increase = () => save((present = 0) => present + 1);
  return h("button", { onClick: increase }, String(count));
}

function All() {
  return h("output", null, JSON.stringify(useSession(session)));
}

export const App = () => h(StrictMode, null, h(Field), h(Counter), h(All));

/** @param {Element} root */
export function start(root) {
  if (root.hasChildNodes()) hydrateRoot(root, h(App));
  else createRoot(root).render(h(App));
  return { session, renderings: () => renderings };
}
