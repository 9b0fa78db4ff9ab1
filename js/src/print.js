import { utf8 } from "./utf8.js";

/**
 * Returns a function that takes what the module prints. It prints there why it has
 * to stop.
 */
export function printer() {
  const decoder = new (utf8().TextDecoder)();
  let line = "";
  return (/** @type {Uint8Array} */ bytes) => {
    const lines = (line + decoder.decode(bytes, { stream: true })).split("\n");
    line = lines.pop() ?? "";
    if (lines.length > 0) console.error(lines.join("\n"));
  };
}
