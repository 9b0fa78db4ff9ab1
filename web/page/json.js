/** How many levels are indented. 20,000 of them would take 800 MB. */
const INDENTED_LEVELS = 50;

/**
 * Returns entries as pairs. It includes that of the key `__proto__`, which is not
 * enumerable.
 *
 * @param {Record<string, unknown>} entries
 * @returns {[key: string, value: unknown][]}
 */
export function pairsOf(entries) {
  return Object.getOwnPropertyNames(entries).map((key) => [key, entries[key]]);
}

/**
 * Returns a value as JSON, or says that this browser cannot. Some browsers limit
 * how many levels a value has, and other programs may save a deeper one.
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
 * Lays out JSON over several lines. It works token by token, because JSON.parse
 * changes large numbers and the order of keys, and JSON.stringify does not indent
 * thousands of levels. Text that is no JSON is returned as it is.
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
