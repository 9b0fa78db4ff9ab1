// Has a session, in memory as workers have no storage, and tells the page what is in it.
import { openSync } from "./node_modules/session-writer/dist/index.js";

const session = openSync("cart", { fallback: "memory" });
const show = () => postMessage(session.load());
session.subscribe(show);
onmessage = ({ data }) => {
  session.save(data);
  show();
};
