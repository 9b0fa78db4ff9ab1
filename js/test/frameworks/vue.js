import { createApp, createSSRApp, h } from "vue";
import { openSync } from "session-writer";
import { useEntry, useSession } from "session-writer/vue";
import { sessionOptions } from "./session.js";

/** @type {import("session-writer").Session<import("./session.js").Form>} */
const session = openSync("form", sessionOptions);
let renderings = 0;

const Field = {
  setup() {
    const text = useEntry(session, "text");
    return () => {
      renderings++;
      return h("input", {
        value: text.value,
        onInput: (/** @type {any} */ { target }) => {
          text.value = target.value;
        },
      });
    };
  },
};

const Counter = {
  setup() {
    const count = useEntry(session, "count");
    const increase = () => (count.value = (count.value ?? 0) + 1);
    return () => h("button", { onClick: increase }, String(count.value));
  },
};

const All = {
  setup() {
    const all = useSession(session);
    return () => h("output", JSON.stringify(all.value));
  },
};

export const App = () => [h(Field), h(Counter), h(All)];

/** @param {Element} root */
export function start(root) {
  const app = root.hasChildNodes() ? createSSRApp(App) : createApp(App);
  app.mount(root);
  return { session, renderings: () => renderings };
}
