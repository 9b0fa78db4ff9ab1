// Has a session, in memory as workers have no storage, and tells all pages what is in it.
import { openSync } from "./node_modules/session-writer/dist/index.js";

const session = openSync("cart", { fallback: "memory" });
const show = async () => {
  const pages = await self.clients.matchAll({ includeUncontrolled: true });
  for (const page of pages) page.postMessage(session.load());
};
session.subscribe(show);
onmessage = ({ data }) => {
  session.save(data);
  show();
};
