import { Announcer, ChangeLog } from "./changes.js";
import { setUpDemo } from "./demo-frames.js";
import { setUpDevices } from "./devices.js";
import { byId, formatKey, formatNumber, showError } from "./dom.js";
import { EntryTable } from "./entries.js";
import { codeOf, messageOf, withCode } from "./error.js";
import { StoredItems } from "./items.js";
import { indent } from "./json.js";
import { setUpJoin, setUpPair, takeCode } from "./pairing.js";
import { setUpSync } from "./sync.js";

/** @typedef {import("./session-writer/index.js").Session} Session */

setUpDemo();
start();

/** Opens the session that the address names. */
async function start() {
  const code = takeCode();
  const parameters = new URLSearchParams(location.search);
  const name = parameters.get("session") || "demo";
  const storage = parameters.get("storage") || "local";
  document.title = `${name} – session inspector`;
  byId("session-name", HTMLInputElement).value = name;
  byId("retry", HTMLButtonElement).addEventListener("click", () => {
    // To call open again is not enough. A failed import may stay failed until the
    // page is loaded again, and after a deployment the page needs the new paths.
    location.reload();
  });
  if (storage !== "local" && storage !== "session") {
    fail(
      "config",
      `storage ${JSON.stringify(storage)}: must be local or session`,
    );
    return;
  }
  byId("storage-area", HTMLSelectElement).value = storage;

  try {
    // Imported here and not at the top, so that the page can tell when it is
    // missing.
    const { open } = await import("./session-writer/index.js");
    const session = await open(name, { storage });
    const area = storage === "local" ? localStorage : sessionStorage;
    inspect(session, area);
    await connect(session, area, code);
  } catch (error) {
    fail(codeOf(error), messageOf(error));
  }
}

/**
 * Syncs the session with the server, and lets the user pair devices.
 *
 * @param {Session} session
 * @param {Storage} area where the session is stored
 * @param {string} code the code of the link that opened the page, if any
 */
async function connect(session, area, code) {
  const sync = await setUpSync(session);
  if (sync) {
    setUpDevices(sync, session, area);
    setUpPair(sync);
    setUpJoin(sync, code);
  }
}

/**
 * Says why there is no session to see.
 *
 * @param {string} code
 * @param {string} message
 */
function fail(code, message) {
  let heading = "The session could not be loaded";
  let advice = "";
  switch (code) {
    case "config":
      heading = "This session cannot be opened";
      advice = "Choose another name or storage above.";
      break;
    case "disabled":
      heading = "The storage is switched off";
      advice =
        "Allow this site to store data (browsers list it with the cookies), then try again.";
      break;
  }
  byId("failure-heading", HTMLElement).textContent = heading;
  byId("failure-message", HTMLElement).textContent = withCode(code, message);
  byId("failure-advice", HTMLElement).textContent = advice;
  byId("retry", HTMLElement).hidden = code === "config";
  byId("loading", HTMLElement).hidden = true;
  byId("inspector", HTMLElement).hidden = true;
  byId("failure", HTMLElement).hidden = false;
}

/**
 * Shows the session and keeps showing it as it changes.
 *
 * @param {Session} session
 * @param {Storage} area where the session is stored
 */
function inspect(session, area) {
  const entriesError = byId("entries-error", HTMLElement);
  /** @param {() => void} action what a button outside of a form does */
  const attempt = (action) => {
    entriesError.textContent = "";
    try {
      action();
    } catch (error) {
      entriesError.textContent = withCode(codeOf(error), messageOf(error));
    }
  };

  const entries = new EntryTable({
    edit: editEntry,
    remove: (key) => attempt(() => session.remove(key)),
  });
  const items = new StoredItems(session, area);
  const log = new ChangeLog();
  const announcer = new Announcer();

  session.subscribe((change) => {
    entries.apply(change);
    items.refreshSoon();
    log.add(change);
    announcer.announce(change);
  });
  // A compaction in another tab changes items but no entry, and so does what is
  // stored beside the session: subscribers are not told. In the back/forward cache
  // there are no storage events either.
  addEventListener("storage", (event) => {
    if (event.storageArea === area) {
      items.refreshSoon();
    }
  });
  addEventListener("pageshow", () => items.refreshSoon());

  entries.show(session.load());
  items.refresh();
  setUpEntryForm(session);
  setUpBatchForm(session);
  setUpClear(session, attempt);
  byId("loading", HTMLElement).hidden = true;
  byId("inspector", HTMLElement).hidden = false;
}

/**
 * Puts an entry into the form as JSON, because JSON can express every value.
 *
 * @param {string} key
 * @param {string} json
 */
function editEntry(key, json) {
  const form = byId("entry-form", HTMLFormElement);
  const value = byId("entry-value", HTMLTextAreaElement);
  form.reset();
  byId("entry-key", HTMLInputElement).value = key;
  value.value = indent(json);
  showError(byId("entry-key", HTMLInputElement), "");
  showError(value, "");
  byId("entry-note", HTMLElement).textContent = "";
  value.focus();
}

/** @param {Session} session */
function setUpEntryForm(session) {
  const form = byId("entry-form", HTMLFormElement);
  const key = byId("entry-key", HTMLInputElement);
  const value = byId("entry-value", HTMLTextAreaElement);
  const note = byId("entry-note", HTMLElement);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    showError(key, "");
    showError(value, "");
    note.textContent = "";
    const asText = new FormData(form).get("kind") === "text";
    try {
      session.save([
        [key.value, asText ? value.value : JSON.parse(value.value)],
      ]);
    } catch (error) {
      const field = codeOf(error) === "key" ? key : value;
      showError(field, fieldError(error));
      field.focus();
      return;
    }
    note.textContent = `Saved ${formatKey(key.value)}.`;
    key.value = "";
    value.value = "";
    key.focus();
  });
}

/** @param {Session} session */
function setUpBatchForm(session) {
  const form = byId("batch-form", HTMLFormElement);
  const batch = byId("batch", HTMLTextAreaElement);
  const note = byId("batch-note", HTMLElement);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    showError(batch, "");
    note.textContent = "";
    let size;
    try {
      const entries = JSON.parse(batch.value);
      if (
        typeof entries !== "object" ||
        entries === null ||
        Array.isArray(entries)
      ) {
        throw new TypeError('A batch is a JSON object: {"key": value, …}');
      }
      const pairs = Object.entries(entries);
      session.save(pairs);
      size = pairs.length;
    } catch (error) {
      showError(batch, fieldError(error));
      batch.focus();
      return;
    }
    if (size === 0) {
      note.textContent = "The batch is empty: nothing was saved.";
      return;
    }
    note.textContent = `Saved ${formatNumber(size)} ${size === 1 ? "entry" : "entries"} as one batch.`;
    batch.value = "";
  });
}

/**
 * @param {Session} session
 * @param {(action: () => void) => void} attempt
 */
function setUpClear(session, attempt) {
  const dialog = byId("clear-dialog", HTMLDialogElement);
  byId("clear", HTMLButtonElement).addEventListener("click", () => {
    const { entries } = session.stats();
    byId("clear-text", HTMLElement).textContent =
      `${formatNumber(entries)} ${entries === 1 ? "entry" : "entries"} of ${formatKey(session.name)} will be removed, in all tabs and on all devices that share it.`;
    // A dialog closed by Esc would keep the answer of the last time.
    dialog.returnValue = "";
    dialog.showModal();
  });
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "clear") {
      attempt(() => session.clear());
    }
  });
}

/** @param {unknown} error what reading or saving a field has thrown */
function fieldError(error) {
  return error instanceof SyntaxError
    ? `This is not JSON: ${error.message}`
    : withCode(codeOf(error), messageOf(error));
}
