/** How many levels are indented: at all of 20,000 there would be 800 MB. */
const INDENTED_LEVELS = 50;

/**
 * Returns entries as pairs, also that of the key `__proto__`, which is not
 * enumerable.
 *
 * @param {Record<string, unknown>} entries
 * @returns {[key: string, value: unknown][]}
 */
export function pairsOf(entries) {
  return Object.getOwnPropertyNames(entries).map((key) => [key, entries[key]]);
}

/**
 * Returns a value as JSON, or says that this browser cannot: some have a limit
 * to the levels that a value has, and other programs may save one beyond it.
 *
 * @param {unknown} value
 */
export function jsonOf(value) {
  try {
    return JSON.stringify(value);
  } catch (error) {
    return `[this browser cannot show it: ${error}]`;
  }
}

/**
 * Lays out JSON over several lines, token by token: through JSON.parse, large
 * numbers and the order of the keys would not come out as they are stored, and
 * JSON.stringify does not indent what has thousands of levels. Other text is
 * returned as it is.
 *
 * @param {string} text
 */
export function indent(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  const tokens =
    text.match(
      /"[^"\\]*(?:\\.[^"\\]*)*"|\{\s*\}|\[\s*\]|[{}[\],:]|[^\s{}[\],:"]+/g,
    ) ?? [];
  let level = 0;
  const margin = () => "\n" + "  ".repeat(Math.min(level, INDENTED_LEVELS));
  return tokens
    .map((token) => {
      switch (token) {
        case "{":
        case "[":
          level++;
          return token + margin();
        case "}":
        case "]":
          level--;
          return margin() + token;
        case ",":
          return token + margin();
        case ":":
          return ": ";
        default:
          return token;
      }
    })
    .join("");
}
