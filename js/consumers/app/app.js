// What each consumer builds: it shows a session, and saves on demand.
import { openSync } from "session-writer";

const session = openSync("cart");
const show = () => {
  const output = document.querySelector("output");
  if (output) output.textContent = JSON.stringify(session.load());
};
session.subscribe(show);
show();
Object.assign(globalThis, { session });
