// What is measured, for the page and for what drives it.

/** @typedef {"save" | "load" | "get"} Operation */

/**
 * What a contender writes for a save.
 *
 * @typedef {"batch" | "entry" | "session"} Writes
 */

/**
 * @typedef {object} Way
 * @property {Writes} writes
 * @property {boolean} [merges] whether what was saved before stays
 * @property {number} [most] the largest session that it can be given in the
 *   time there is
 * @property {number} [compactEvery] how many saves there are from one compaction
 *   to the next: so many are made without a pause, and share it evenly. Others
 *   are made a few at a time, and then the page is left alone until nobody has
 *   anything to do, as pages mostly are.
 * @property {string} [go] the program in go/ that it is
 */

const all = /** @satisfies {Record<string, Way>} */ ({
  "session-writer": { writes: "batch" },
  "session-writer, without a pause": { writes: "batch", compactEvery: 32 },
  "session-writer, durable": { writes: "batch" },
  "session-writer, flushed": { writes: "batch" },
  "session-writer from Go": {
    writes: "batch",
    compactEvery: 16,
    go: "session-writer",
  },
  "one setItem of the batch": { writes: "batch", merges: false },
  "a setItem for each entry": { writes: "entry" },
  store2: { writes: "entry" },
  lscache: { writes: "entry" },
  "localForage, localStorage": { writes: "entry" },
  "localForage, IndexedDB": { writes: "entry", most: 1_000 },
  "idb-keyval setMany": { writes: "batch" },
  "zustand persist": { writes: "session" },
  "redux-persist, flushed": { writes: "session" },
  "go-app BrowserStorage": { writes: "entry", go: "go-app" },
});

/** @typedef {keyof typeof all} Contender */

/** @type {Readonly<Record<Contender, Way>>} */
export const contenders = all;

export const names = /** @type {Contender[]} */ (Object.keys(all));

/**
 * Which contender reads, in JavaScript, what a Go program has saved.
 *
 * @type {Partial<Record<Contender, Contender>>}
 */
export const readers = {
  "session-writer from Go": "session-writer",
  "go-app BrowserStorage": "a setItem for each entry",
};

/** What is session-writer, but for the first, which all are compared with. */
export const others = /** @type {Contender[]} */ ([
  "session-writer, without a pause",
  "session-writer, durable",
  "session-writer, flushed",
  "session-writer from Go",
]);

/** The one that the others are compared with. */
export const raw = "a setItem for each entry";

/** What no save can be faster than, for it merges nothing. */
export const limit = "one setItem of the batch";

/**
 * @typedef {object} Case
 * @property {Operation} operation
 * @property {number} entries how many are saved or loaded at once
 * @property {number} session how many the session has at the least
 */

/**
 * In the order in which they are measured on a session, which the saves of
 * more entries than it has make larger.
 *
 * @type {Case[]}
 */
export const cases = [
  { session: 10, operation: "save", entries: 1 },
  { session: 10, operation: "save", entries: 5 },
  { session: 10, operation: "save", entries: 20 },
  { session: 10, operation: "load", entries: 20 },
  { session: 10, operation: "save", entries: 100 },
  { session: 1_000, operation: "save", entries: 1 },
  { session: 1_000, operation: "save", entries: 5 },
  { session: 1_000, operation: "save", entries: 20 },
  { session: 1_000, operation: "save", entries: 100 },
  { session: 1_000, operation: "load", entries: 1_000 },
  { session: 1_000, operation: "get", entries: 1 },
  { session: 10_000, operation: "save", entries: 1 },
  { session: 10_000, operation: "save", entries: 5 },
  { session: 10_000, operation: "save", entries: 20 },
  { session: 10_000, operation: "save", entries: 100 },
];

export const sessions = [...new Set(cases.map(({ session }) => session))];

/**
 * @param {Contender} contender
 * @param {Case} that
 */
export function takesPart(contender, { operation, session }) {
  const { merges = true, most = Infinity } = contenders[contender];
  return session <= most && (merges || operation === "save");
}

/** @param {Case} that */
export function titleOf({ operation, entries, session }) {
  switch (operation) {
    case "save":
      return `save ${count(entries)} into ${count(session)}`;
    case "load":
      return `load ${count(entries)}`;
    case "get":
      return "get";
  }
}

/** @param {number} number */
export function count(number) {
  return number.toLocaleString("en");
}

/** What an entry says of its save before the first that is timed. */
export const unsaved = -1;

/**
 * Returns a batch of the first entries of a session. The same is in
 * go/timed/timed.go.
 *
 * @param {number} entries
 * @param {number} saved which batch it is: no two in a row are alike
 */
export function batch(entries, saved) {
  return Object.fromEntries(
    Array.from({ length: entries }, (_, id) => [
      `key ${id}`,
      { id, name: `entry ${id}`, saved },
    ]),
  );
}
