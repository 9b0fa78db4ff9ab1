// A tab of the demonstration: the same form twice, on one JSON text and on a session.
import {
  SESSION,
  STATE,
  fields,
  forms,
  lastEdit,
  recordEdit,
  startAgain,
} from "./demo-data.js";
import { byId, shorten } from "./dom.js";
import { codeOf, messageOf, withCode } from "./error.js";

/** @typedef {import("./demo-data.js").Field} Field */
/** @typedef {import("./demo-data.js").Form} Form */
/** @typedef {import("./demo-data.js").Values} Values */

/**
 * How a form keeps what is typed into it.
 *
 * @typedef {object} Keeper
 * @property {string} title
 * @property {() => Values} values what the form shows
 * @property {(field: Field, value: string) => void} save
 * @property {() => Values | undefined} stored what the storage has, if anything
 */

/**
 * How long news from other tabs are gathered, in milliseconds. What was typed and what
 * is stored come one after the other, and between them something would seem to be lost.
 */
const GATHER_TIME = 50;

const tab = location.hash === "#B" ? "Tab B" : "Tab A";

start();

async function start() {
  setUpTab();
  try {
    // Imported here and not at the top, so that the page can tell when it is missing.
    const { openSync } = await import("./session-writer/index.js");
    const session = openSync(SESSION);
    const load = () => /** @type {Values} */ (session.load());
    /** @type {Record<Form, Keeper>} */
    const keepers = {
      json: oneText(),
      writer: {
        title: "session-writer",
        values: load,
        save: (field, value) => session.save({ [field]: value }),
        stored: () => (session.keys().length > 0 ? load() : undefined),
      },
    };
    const show = () => {
      for (const form of forms) {
        showValues(form, keepers[form]);
        showVerdict(form, keepers[form]);
      }
    };
    session.subscribe(() => showValues("writer", keepers.writer));
    follow(() => attempt(show));
    for (const form of forms) setUpForm(form, keepers[form]);
    byId("start-again", HTMLButtonElement).addEventListener("click", () =>
      startAgain().then(show).catch(fail),
    );
    show();
    byId("forms", HTMLElement).hidden = false;
  } catch (error) {
    fail(error);
  }
}

/** Says which tab it is, and fits the frame that it may be in. */
function setUpTab() {
  const heading = byId("tab", HTMLElement);
  heading.textContent = tab;
  document.title = `${tab} – session-writer`;
  const other = tab === "Tab A" ? "Tab B" : "Tab A";
  const link = byId("other", HTMLAnchorElement);
  link.hash = other.slice(-1);
  link.textContent = `Open ${other}`;
  addEventListener("hashchange", () => location.reload());

  const frame = /** @type {HTMLElement | null} */ (window.frameElement);
  if (!frame) {
    heading.className = "";
    byId("around", HTMLElement).hidden = false;
    return;
  }
  const page = document.documentElement;
  page.classList.add("framed");
  new ResizeObserver(() => {
    // With its border, which is one pixel on each side.
    frame.style.height = `${page.offsetHeight + 2}px`;
  }).observe(page);
}

/**
 * Keeps the state as persist libraries do: it is read once, and each edit writes all of
 * it.
 *
 * @returns {Keeper}
 */
function oneText() {
  const stored = () => {
    const text = localStorage.getItem(STATE);
    return text === null ? undefined : JSON.parse(text);
  };
  const initial = () => ({ name: "", city: "" });
  let state = { ...initial(), ...stored() };
  return {
    title: "One JSON text",
    values: () => {
      // Only the button to start again removes it.
      if (stored() === undefined) state = initial();
      return state;
    },
    save: (field, value) => {
      state = { ...state, [field]: value };
      localStorage.setItem(STATE, JSON.stringify(state));
    },
    stored,
  };
}

/**
 * Calls show soon after other tabs have stored something.
 *
 * @param {() => void} show
 */
function follow(show) {
  let waiting = false;
  addEventListener("storage", () => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      show();
    }, GATHER_TIME);
  });
  // In the back/forward cache there are no storage events.
  addEventListener("pageshow", show);
}

/**
 * @param {Form} form
 * @param {Keeper} keeper
 */
function setUpForm(form, keeper) {
  for (const field of fields) {
    const input = inputOf(form, field);
    input.addEventListener("input", () => {
      byId("failure", HTMLElement).textContent = "";
      attempt(() => {
        const { value } = input;
        recordEdit(form, field, { value, tab });
        keeper.save(field, value);
      });
      attempt(() => showVerdict(form, keeper));
    });
    input.addEventListener("blur", () =>
      attempt(() => showValues(form, keeper)),
    );
  }
}

/**
 * @param {Form} form
 * @param {Keeper} keeper
 */
function showValues(form, keeper) {
  const values = keeper.values();
  for (const field of fields) {
    const input = inputOf(form, field);
    const value = values[field] ?? "";
    // To set the value of the input that somebody types in would move the caret.
    const typing = document.hasFocus() && document.activeElement === input;
    if (!typing && input.value !== value) input.value = value;
  }
}

/**
 * Says what is stored, and which edits are not.
 *
 * @param {Form} form
 * @param {Keeper} keeper
 */
function showVerdict(form, keeper) {
  const stored = keeper.stored();
  byId(`${form}-stored`, HTMLElement).textContent = stored
    ? JSON.stringify(stored, [...fields])
    : "nothing";

  const edits = fields.flatMap((field) => {
    const edit = lastEdit(form, field);
    return edit ? [{ field, ...edit }] : [];
  });
  const lost = edits.filter(
    ({ field, value }) => (stored?.[field] ?? "") !== value,
  );
  const verdict = byId(`${form}-verdict`, HTMLElement);
  const text =
    lost.length > 0
      ? `Lost: ${new Intl.ListFormat("en").format(lost.map(describe))}.`
      : edits.length > 0
        ? "Nothing is lost."
        : "Nothing was typed yet.";
  const before = verdict.textContent;
  if (text === before) return;
  verdict.textContent = text;
  verdict.className =
    lost.length > 0 ? "lost" : edits.length > 0 ? "kept" : "hint";
  // The other tab shows the same: screen readers read out that of one.
  if (before && document.hasFocus()) {
    byId("demo-announcement", HTMLElement).textContent =
      `${keeper.title}: ${text}`;
  }
}

/** @param {{ field: Field, value: string, tab: string }} edit */
function describe({ field, value, tab }) {
  return value === ""
    ? `that the ${field} was emptied in ${tab}`
    : `the ${field} “${shorten(value, 40)}” from ${tab}`;
}

/**
 * @param {Form} form
 * @param {Field} field
 */
function inputOf(form, field) {
  return byId(`${form}-${field}`, HTMLInputElement);
}

/** @param {() => void} action */
function attempt(action) {
  try {
    action();
  } catch (error) {
    fail(error);
  }
}

/** @param {unknown} error */
function fail(error) {
  byId("failure", HTMLElement).textContent = withCode(
    codeOf(error),
    messageOf(error),
  );
}
