import { printer } from "./print.js";

/** @type {ReturnType<typeof printer> | undefined} */
let print;

/**
 * Takes the place of the global fs in Go's runtime file, as build.js says. The
 * module prints there.
 */
export const fs = {
  /**
   * @param {number} _fd
   * @param {Uint8Array} bytes
   */
  writeSync(_fd, bytes) {
    print ??= printer();
    print(bytes);
    return bytes.length;
  },
};
