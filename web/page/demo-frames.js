import { startAgain } from "./demo-data.js";
import { byId } from "./dom.js";
import { codeOf, messageOf, withCode } from "./error.js";

/** Has the buttons below the two frames empty their forms, and open them in real tabs. */
export function setUpDemo() {
  byId("demo-tabs", HTMLAnchorElement).addEventListener("click", () => {
    // Browsers open one tab for a click, so the link leads to the other in this one.
    window.open("./demo.html#B");
  });
  const note = byId("demo-note", HTMLElement);
  byId("demo-again", HTMLButtonElement).addEventListener("click", async () => {
    note.textContent = "";
    try {
      await startAgain();
      note.textContent = "The forms are empty again.";
    } catch (error) {
      note.textContent = withCode(codeOf(error), messageOf(error));
    }
  });
}
