const decoder = new TextDecoder();
let line = "";

/**
 * Takes the place of the global fs in the compiler's runtime file, as build.js
 * says. The module prints there why it has to stop.
 */
export const fs = {
  /**
   * @param {number} _fd
   * @param {Uint8Array} bytes
   */
  writeSync(_fd, bytes) {
    const lines = (line + decoder.decode(bytes, { stream: true })).split("\n");
    line = lines.pop() ?? "";
    if (lines.length > 0) console.error(lines.join("\n"));
    return bytes.length;
  },
};
