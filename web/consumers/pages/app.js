import { openSync } from "/session-writer/dist/index.js";

const session = openSync("cart", {
  initial: document.getElementById("session-cart")?.textContent,
});
const output = document.querySelector("output");
const show = () => {
  output.textContent = JSON.stringify(session.snapshot());
};
// What the server has rendered, and what the page would render in its place.
const rendered = [output.textContent, JSON.stringify(session.snapshot())];
session.subscribe(show);
const sync = await session.sync("/sessions/");
Object.assign(globalThis, { rendered, session, sync });
