import {
  byId,
  create,
  createText,
  formatKey,
  formatNumber,
  formatTime,
} from "./dom.js";
import { indent } from "./json.js";
import {
  markForm,
  readItem,
  readKey,
  readLedger,
} from "./session-writer/item.js";

/** @typedef {import("./session-writer/index.js").Session} Session */

/** How long changes are gathered before the storage is read, in milliseconds. */
const GATHER_TIME = 100;

/** Shows the session's items in the storage, and how much room they take. */
export class StoredItems {
  /** @type {Map<string, { text: string, owner: string, element: HTMLElement }>} */
  #shown = new Map();
  /** The tag of the owner whose session is shown. Empty if nobody owns it yet. */
  #owner = "";
  #refreshing = false;

  #session;
  #area;
  #list = byId("items", HTMLElement);

  /**
   * @param {Session} session
   * @param {Storage} area where the session is stored
   */
  constructor(session, area) {
    this.#session = session;
    this.#area = area;
  }

  /** Reads the storage again soon. Calls until then cost one reading. */
  refreshSoon() {
    if (this.#refreshing) {
      return;
    }
    this.#refreshing = true;
    setTimeout(() => {
      this.#refreshing = false;
      this.refresh();
    }, GATHER_TIME);
  }

  refresh() {
    const { name } = this.#session;
    const prefix = `${name}/`;
    const ledger = readLedger(this.#area.getItem(`/${name}`) ?? "");
    this.#owner = ledger?.owner ?? "";
    /** @type {Map<string, string>} */
    const items = new Map();
    const names = new Set();
    let units = 0;
    for (let i = 0; i < this.#area.length; i++) {
      const key = this.#area.key(i);
      const text = key === null ? null : this.#area.getItem(key);
      if (key === null || text === null) {
        continue;
      }
      units += key.length + text.length;
      const name = readKey(key)?.name;
      if (name !== undefined) {
        names.add(name);
      }
      const marks = markForm.test(key.slice(key.lastIndexOf("/") + 1));
      if (key.startsWith(prefix) && !(marks && text === "")) {
        items.set(key, text);
      }
    }
    this.#showItems(items);
    this.#showUsage(units);
    byId("session-names", HTMLDataListElement).replaceChildren(
      ...[...names].sort().map((name) => new Option("", name)),
    );
  }

  /** @param {Map<string, string>} items */
  #showItems(items) {
    for (const [key, { text, owner, element }] of this.#shown) {
      if (items.get(key) !== text || owner !== this.#owner) {
        element.remove();
        this.#shown.delete(key);
      }
    }
    let previous = null;
    for (const key of [...items.keys()].sort()) {
      let element = this.#shown.get(key)?.element;
      if (!element) {
        const text = /** @type {string} */ (items.get(key));
        element = describeItem(key, text, this.#owner);
        this.#shown.set(key, { text, owner: this.#owner, element });
        if (previous) {
          previous.after(element);
        } else {
          this.#list.prepend(element);
        }
      }
      previous = element;
    }
    byId("item-count", HTMLElement).textContent = formatNumber(items.size);
  }

  /** @param {number} units how much the whole storage area takes */
  #showUsage(units) {
    const stats = this.#session.stats();
    showMeter("origin-usage", units);
    showMeter("session-usage", stats.bytes);
    byId("corrupt", HTMLElement).textContent =
      stats.corrupt > 0
        ? `${count(stats.corrupt, "item")} cannot be read and ${stats.corrupt === 1 ? "is" : "are"} left out of the session.`
        : "";
  }
}

/**
 * @param {string} id
 * @param {number} units
 */
function showMeter(id, units) {
  const meter = byId(id, HTMLMeterElement);
  meter.value = units;
  const share = (units / meter.max).toLocaleString("en", {
    style: "percent",
    maximumSignificantDigits: 2,
  });
  byId(`${id}-text`, HTMLElement).textContent =
    `${formatNumber(units)} (${share})`;
}

/**
 * Returns the list item for a stored item. Its text may be long, so it is laid
 * out only when somebody opens the item.
 *
 * @param {string} key
 * @param {string} text
 * @param {string} owner the tag of the owner whose session is shown
 */
function describeItem(key, text, owner) {
  const named = readKey(key);
  const { contents, fault } = named
    ? examine(text)
    : { contents: "", fault: "foreign: its key ends in no stamp" };

  const summary = create("summary", {});
  if (named) {
    const time = create("time", {}, formatTime(named.milliseconds));
    time.dateTime = new Date(named.milliseconds).toISOString();
    summary.append(time);
  } else {
    summary.append(create("code", {}, formatKey(key)));
  }
  const size = `${formatNumber(key.length + text.length)} units`;
  const kept =
    named?.owner && named.owner !== owner ? "kept for another owner" : "";
  summary.append(
    create(
      "span",
      { className: "hint" },
      [kept, contents, size].filter(Boolean).join(" · "),
    ),
  );
  if (fault) {
    summary.append(create("strong", { className: "fault" }, fault));
  }

  const pre = createText();
  const details = create(
    "details",
    {},
    summary,
    create("p", { className: "key" }, create("code", {}, formatKey(key))),
  );
  if (named) {
    const { counter, writer, owner } = named;
    const whose = owner ? `, owner ${owner}` : "";
    details.append(
      create(
        "p",
        { className: "hint" },
        `counter ${parseInt(counter, 16)}, writer ${writer}${whose}`,
      ),
    );
  }
  details.append(pre);
  details.addEventListener("toggle", () => {
    if (details.open && !pre.firstChild) {
      pre.append(indent(text));
    }
  });
  return create("li", {}, details);
}

/**
 * Says what an item's text holds, or what is wrong with it.
 *
 * @param {string} text
 * @returns {{ contents: string, fault: string }}
 */
function examine(text) {
  const item = readItem(text);
  if ("fault" in item) {
    return {
      contents: "",
      fault:
        item.fault === "format"
          ? "of another version: its format is not 1"
          : "damaged",
    };
  }
  let set = 0;
  let removed = 0;
  let cleared = false;
  for (const batch of item.batches) {
    set += Object.keys(batch.set).length;
    removed += batch.remove.length;
    cleared ||= batch.clear;
  }
  const contents = [
    count(item.batches.length, "batch", "batches"),
    set > 0 && `${formatNumber(set)} set`,
    removed > 0 && `${formatNumber(removed)} removed`,
    cleared && "clears",
  ];
  return { contents: contents.filter(Boolean).join(", "), fault: "" };
}

/**
 * @param {number} n
 * @param {string} one
 * @param {string} many
 */
function count(n, one, many = `${one}s`) {
  return `${formatNumber(n)} ${n === 1 ? one : many}`;
}
