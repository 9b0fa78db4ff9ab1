import { byId, create, formatKey, formatTime, shorten } from "./dom.js";
import { jsonOf, pairsOf } from "./json.js";

/** @typedef {import("./session-writer/index.js").Change} Change */

/** How many changes the log keeps. */
const LOG_LIMIT = 200;

/** How many keys of a change the log shows. */
const LOG_KEYS = 8;

/** How many keys of a change screen readers read out. */
const ANNOUNCED_KEYS = 3;

/** How long changes are gathered into one announcement, in milliseconds. */
const GATHER_TIME = 250;

/** The list of changes, the latest first. */
export class ChangeLog {
  #list = byId("log", HTMLElement);

  /** @param {Change} change */
  add(change) {
    const now = Date.now();
    const time = create("time", {}, formatTime(now).slice(11));
    time.dateTime = new Date(now).toISOString();
    this.#list.prepend(
      create(
        "li",
        {},
        time,
        " ",
        create(
          "strong",
          { className: change.remote ? "remote" : "local" },
          origin(change),
        ),
        create("ul", {}, ...lines(change)),
      ),
    );
    while (this.#list.childElementCount > LOG_LIMIT) {
      this.#list.lastElementChild?.remove();
    }
    byId("log-region", HTMLElement).hidden = false;
    byId("log-empty", HTMLElement).hidden = true;
  }
}

/** Tells screen readers of changes, in one short sentence. */
export class Announcer {
  #status = byId("announcement", HTMLElement);
  #waiting = 0;
  #latest = "";

  /** @param {Change} change */
  announce(change) {
    this.#latest = sentence(change);
    this.#waiting++;
    if (this.#waiting > 1) {
      return;
    }
    setTimeout(() => {
      this.#status.textContent =
        this.#waiting === 1
          ? this.#latest
          : `${this.#waiting} changes. The latest: ${this.#latest}`;
      this.#waiting = 0;
    }, GATHER_TIME);
  }
}

/** @param {Change} change */
function origin(change) {
  return change.remote ? "Another tab or device" : "This tab";
}

/** @param {Change} change */
function sentence(change) {
  const done = [];
  if (change.cleared) {
    done.push("cleared the session");
  } else if (change.removed.length > 0) {
    done.push(`removed ${enumerate(change.removed)}`);
  }
  const set = pairsOf(change.set).map(([key]) => key);
  if (set.length > 0) {
    done.push(`set ${enumerate(set)}`);
  }
  return `${origin(change)} ${done.join(" and ")}.`;
}

/** @param {readonly string[]} keys */
function enumerate(keys) {
  const named = keys
    .slice(0, ANNOUNCED_KEYS)
    .map((key) => shorten(formatKey(key), 40));
  const others = keys.length - named.length;
  return new Intl.ListFormat("en").format(
    others > 0 ? [...named, `${others} more`] : named,
  );
}

/** @param {Change} change */
function lines(change) {
  const done = [
    ...change.removed.map((key) => ["removed ", code(key)]),
    ...pairsOf(change.set).map(([key, value]) => [
      "set ",
      code(key),
      " to ",
      create("code", {}, shorten(jsonOf(value), 80)),
    ]),
  ];
  if (change.cleared) {
    done.unshift(["cleared the session"]);
  }
  const others = done.length - LOG_KEYS;
  if (others > 0) {
    done.splice(LOG_KEYS, others, [`and ${others} more`]);
  }
  return done.map((line) => create("li", {}, ...line));
}

/** @param {string} key */
function code(key) {
  return create("code", {}, shorten(formatKey(key), 80));
}
