import { describeDevices } from "./devices.js";
import { byId, showError } from "./dom.js";
import { codeOf, messageOf, reasonOf, withCode } from "./error.js";
import { keepsNoCopies } from "./sync.js";

/** @typedef {import("./session-writer/index.js").Sync} Sync */

/** The fragment of a pairing link begins with this. */
const FRAGMENT = "#pair=";

/**
 * Returns the code in the address, if any, and removes it from there. So the code
 * is neither in the history nor in a copied address.
 */
export function takeCode() {
  if (!location.hash.startsWith(FRAGMENT)) {
    return "";
  }
  const code = location.hash.slice(FRAGMENT.length);
  history.replaceState(history.state, "", location.pathname + location.search);
  return code;
}

/**
 * Lets another device join this one's sessions.
 *
 * @param {Sync} sync
 */
export function setUpPair(sync) {
  const dialog = byId("pair-dialog", HTMLDialogElement);
  const offer = byId("pair-offer", HTMLElement);
  const link = byId("pair-link", HTMLInputElement);
  const code = byId("pair-code", HTMLElement);
  const picture = byId("pair-picture", HTMLElement);
  const note = byId("pair-note", HTMLElement);
  const failure = byId("pair-error", HTMLElement);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let expiry;
  /** The number of the latest request for a code. Only its code is shown. */
  let latest = 0;

  const clear = () => {
    clearTimeout(expiry);
    latest++;
    offer.hidden = true;
    link.value = "";
    code.textContent = "";
    picture.replaceChildren();
    note.textContent = "";
    failure.textContent = "";
  };

  const ask = async () => {
    clear();
    const asked = latest;
    note.textContent = "Asking the server for a code…";
    try {
      const { drawQRCode } = await import("./qr-code.js");
      const pairing = await sync.pair();
      if (asked !== latest) {
        return;
      }
      const url = location.href.replace(/#.*/, "") + FRAGMENT + pairing.code;
      const left = pairing.expiresIn * 1000;
      const end = new Date(Date.now() + left);
      link.value = url;
      code.textContent = pairing.code;
      picture.replaceChildren(drawQRCode(url, "QR code of the link"));
      offer.hidden = false;
      note.textContent = `Good for one device, until ${end.toLocaleTimeString("en", { timeStyle: "short", hourCycle: "h23" })}.`;
      expiry = setTimeout(() => {
        clear();
        note.textContent = "The code is no longer good. Make a new one.";
      }, left);
    } catch (error) {
      if (asked === latest) {
        note.textContent = "";
        failure.textContent = withCode(codeOf(error), messageOf(error));
      }
    }
  };

  const open = byId("pair", HTMLButtonElement);
  open.addEventListener("click", () => {
    dialog.showModal();
    void ask();
  });
  open.disabled = false;
  byId("pair-again", HTMLButtonElement).addEventListener("click", ask);
  byId("pair-copy", HTMLButtonElement).addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(link.value);
      note.textContent = "The link is copied.";
    } catch {
      link.select();
      note.textContent = "Copy the link that is selected now.";
    }
  });
  dialog.addEventListener("close", clear);
}

/**
 * Lets this device join another's sessions with a code.
 *
 * @param {Sync} sync
 * @param {string} linked the code of the link that opened the page, if any
 */
export function setUpJoin(sync, linked) {
  const dialog = byId("join-dialog", HTMLDialogElement);
  const form = byId("join-form", HTMLFormElement);
  const code = byId("join-code", HTMLInputElement);
  const own = byId("join-own", HTMLInputElement);
  const button = byId("join-button", HTMLButtonElement);
  const note = byId("join-note", HTMLElement);

  const devices = byId("join-devices", HTMLElement);
  const offer = byId("join-offer", HTMLElement);

  /** The code and its devices that are shown. Nothing else is joined. */
  let shown = "";
  let busy = false;

  // Anybody may have made the link, and its dialog may open under the pointer or
  // while Enter is pressed. A disabled button cannot be pressed by accident.
  const enable = () => {
    button.disabled = busy || (shown !== "" && !own.checked);
  };
  own.addEventListener("change", enable);

  /**
   * @param {string} which the code and its devices, or nothing
   * @param {HTMLElement[]} lines
   */
  const show = (which, ...lines) => {
    shown = which;
    devices.replaceChildren(...lines);
    offer.hidden = !which;
    own.checked = false;
    button.textContent = which ? "Join these devices" : "Show its devices";
    enable();
  };
  code.addEventListener("input", () => show(""));

  // The number of the dialog's latest question. A link may bring a second question
  // while the first code is tried, and the answer to the first must not close it.
  let asked = 0;

  /** @param {string} given the code of a link */
  const ask = (given) => {
    asked++;
    byId("join-text", HTMLElement).textContent =
      `Join the session of the device that ${given ? "made this link" : "shows the code"}? ` +
      "See first which devices share it.";
    code.value = given;
    show("");
    showError(code, "");
    note.textContent = "";
    if (!dialog.open) {
      dialog.showModal();
    }
    (given ? byId("join-cancel", HTMLButtonElement) : code).focus();
  };

  const open = byId("join", HTMLButtonElement);
  open.addEventListener("click", () => ask(""));
  open.disabled = false;
  byId("join-cancel", HTMLButtonElement).addEventListener("click", () =>
    dialog.close(),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    showError(code, "");
    busy = true;
    enable();
    const answered = asked;
    const given = code.value;
    let joined = false;
    try {
      joined = await sync.join(given, (found) => {
        const known = found.map(({ id, name }) => [id, name]);
        const which = JSON.stringify([given, known]);
        if (which === shown) return true;
        if (asked === answered) show(which, ...describeDevices(found));
        return false;
      });
    } catch (error) {
      if (asked === answered) {
        show("");
        showError(code, refusal(error));
        code.focus();
      }
      return;
    } finally {
      busy = false;
      enable();
    }
    if (!joined) {
      if (asked === answered) own.focus();
      return;
    }
    if (asked === answered) dialog.close();
    note.textContent = "This device has joined the other.";
  });
  // A link that opens in this tab changes only the fragment.
  addEventListener("hashchange", () => {
    const given = takeCode();
    if (given) {
      byId("pair-dialog", HTMLDialogElement).close();
      ask(given);
    }
  });
  if (linked) {
    ask(linked);
  }
}

/**
 * Says why this device could not join.
 *
 * @param {unknown} error
 */
function refusal(error) {
  if (keepsNoCopies(error)) {
    return "This server keeps no copies: there is nothing to join.";
  }
  return reasonOf(error) === "pairing"
    ? "This code is not good: it is mistyped, used or too old. Make a new one on the other device."
    : withCode(codeOf(error), messageOf(error));
}
