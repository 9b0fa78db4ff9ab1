import {
  byId,
  create,
  createText,
  formatKey,
  formatNumber,
  shorten,
} from "./dom.js";
import { indent, jsonOf, pairsOf } from "./json.js";

/** @typedef {import("./session-writer/index.js").Change} Change */

/**
 * @typedef {object} Row
 * @property {string} key
 * @property {string} json the value as JSON
 * @property {HTMLTableRowElement} element
 * @property {HTMLElement} value where the value is shown
 * @property {boolean} expanded whether all of a long value is shown
 * @property {number} mark the number of the change that marked the row last
 */

/** How much of a value is shown at first, in UTF-16 code units. */
const VALUE_LIMIT = 240;

/** How long a changed row stays marked, in milliseconds. */
const MARK_TIME = 2500;

/**
 * The table of entries. It keeps a row for each key and changes only the rows of a
 * change, so that a change costs the same however many entries there are.
 */
export class EntryTable {
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** The keys of the rows, in the order of the table. @type {string[]} */
  #keys = [];
  #marks = 0;

  #body = byId("entries", HTMLTableElement).tBodies[0];
  #region = byId("entries-region", HTMLElement);
  #tools = byId("entries-tools", HTMLElement);
  #empty = byId("empty", HTMLElement);
  #count = byId("entry-count", HTMLElement);
  #filter = byId("filter", HTMLInputElement);

  /**
   * @param {object} actions
   * @param {(key: string, json: string) => void} actions.edit
   * @param {(key: string) => void} actions.remove
   */
  constructor({ edit, remove }) {
    this.#body.addEventListener("click", ({ target }) => {
      const button = target instanceof Element && target.closest("button");
      const row = button && this.#rowOf(button);
      if (!row) {
        return;
      }
      switch (button.dataset.action) {
        case "expand":
          row.expanded = !row.expanded;
          this.#showValue(row);
          row.value.querySelector("button")?.focus();
          break;
        case "edit":
          edit(row.key, row.json);
          break;
        case "remove":
          remove(row.key);
          break;
      }
    });
    this.#filter.addEventListener("input", () => {
      for (const row of this.#rows.values()) {
        this.#applyFilter(row);
      }
      this.#showCount();
    });
  }

  /**
   * Makes the table show exactly these entries.
   *
   * @param {Record<string, unknown>} entries
   */
  show(entries) {
    const pairs = pairsOf(entries);
    const present = new Set(pairs.map(([key]) => key));
    for (const key of [...this.#rows.keys()]) {
      if (!present.has(key)) {
        this.#remove(key);
      }
    }
    for (const [key, value] of pairs) {
      this.#set(key, value);
    }
    this.#showCount();
  }

  /** @param {Change} change */
  apply(change) {
    for (const key of change.removed) {
      this.#remove(key);
    }
    const mark = ++this.#marks;
    const rows = pairsOf(change.set).map(([key, value]) =>
      this.#set(key, value),
    );
    for (const row of rows) {
      row.mark = mark;
      row.element.classList.add("changed");
    }
    setTimeout(() => {
      for (const row of rows) {
        if (row.mark === mark) {
          row.element.classList.remove("changed");
        }
      }
    }, MARK_TIME);
    this.#showCount();
  }

  /**
   * @param {string} key
   * @param {unknown} value
   */
  #set(key, value) {
    const json = jsonOf(value);
    let row = this.#rows.get(key);
    if (!row) {
      row = this.#insert(key);
    } else if (row.json === json) {
      return row;
    }
    row.json = json;
    this.#showValue(row);
    this.#applyFilter(row);
    return row;
  }

  /** @param {string} key */
  #insert(key) {
    const shown = formatKey(key);
    const value = create("td", { className: "value", role: "cell" });
    const element = create(
      "tr",
      { role: "row" },
      create("th", { className: "key", role: "rowheader" }, shown),
      value,
      create(
        "td",
        { className: "actions", role: "cell" },
        actionButton("edit", "Edit", shown),
        actionButton("remove", "Remove", shown),
      ),
    );
    element.cells[0].scope = "row";

    const place = this.#find(key);
    const next = this.#rows.get(this.#keys[place]);
    this.#body.insertBefore(element, next?.element ?? null);
    this.#keys.splice(place, 0, key);
    /** @type {Row} */
    const row = { key, json: "", element, value, expanded: false, mark: 0 };
    this.#rows.set(key, row);
    return row;
  }

  /** @param {string} key */
  #remove(key) {
    const row = this.#rows.get(key);
    if (!row) {
      return;
    }
    // Removing the focused button would move the focus out of the table.
    if (row.element.contains(document.activeElement)) {
      const visible = [...this.#body.rows].filter((other) => !other.hidden);
      const place = visible.indexOf(row.element);
      const neighbour = visible[place + 1] ?? visible[place - 1];
      const button = neighbour?.querySelector('[data-action="remove"]');
      if (button instanceof HTMLElement) {
        button.focus();
      } else {
        this.#region.focus();
      }
    }
    row.element.remove();
    this.#rows.delete(key);
    this.#keys.splice(this.#find(key), 1);
  }

  /**
   * Returns the index of the first key that is not below this one.
   *
   * @param {string} key
   */
  #find(key) {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#keys[middle] < key) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /** @param {Element} inside */
  #rowOf(inside) {
    const element = inside.closest("tr");
    const index = element ? element.sectionRowIndex : -1;
    return this.#rows.get(this.#keys[index]);
  }

  /** @param {Row} row */
  #showValue(row) {
    const { json, value } = row;
    if (json.length <= VALUE_LIMIT) {
      value.replaceChildren(create("code", {}, json));
      return;
    }
    const button = actionButton(
      "expand",
      row.expanded
        ? "Show less"
        : `Show all ${formatNumber(json.length)} characters`,
      formatKey(row.key),
    );
    button.setAttribute("aria-expanded", String(row.expanded));
    button.className = "link";
    value.replaceChildren(
      row.expanded
        ? createText(indent(json))
        : create("code", {}, shorten(json, VALUE_LIMIT)),
      button,
    );
  }

  /** @param {Row} row */
  #applyFilter(row) {
    const wanted = this.#filter.value.toLowerCase();
    row.element.hidden =
      wanted !== "" &&
      !row.key.toLowerCase().includes(wanted) &&
      !row.json.toLowerCase().includes(wanted);
  }

  #showCount() {
    const all = this.#rows.size;
    const shown = this.#filter.value
      ? [...this.#rows.values()].filter((row) => !row.element.hidden).length
      : all;
    this.#count.textContent =
      shown === all
        ? formatNumber(all)
        : `${formatNumber(shown)} of ${formatNumber(all)}`;

    const empty = all === 0;
    const focused = document.activeElement;
    if (
      empty &&
      (this.#region.contains(focused) || this.#tools.contains(focused))
    ) {
      byId("entry-key", HTMLElement).focus();
    }
    this.#empty.hidden = !empty;
    this.#region.hidden = empty;
    this.#tools.hidden = empty;
  }
}

/**
 * @param {string} action
 * @param {string} label
 * @param {string} key of the entry, so that each button has a name of its own
 */
function actionButton(action, label, key) {
  const button = create("button", {}, label);
  button.type = "button";
  button.dataset.action = action;
  button.setAttribute("aria-label", `${label}: ${key}`);
  return button;
}
