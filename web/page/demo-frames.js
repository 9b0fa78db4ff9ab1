import { startAgain } from "./demo-data.js";
import { byId } from "./dom.js";
import { codeOf, messageOf, withCode } from "./error.js";

/** Has the button below the two frames empty their forms. */
export function setUpDemo() {
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
