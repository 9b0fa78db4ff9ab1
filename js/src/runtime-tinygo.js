import { printer } from "./print.js";

/**
 * A module that is ready to run.
 *
 * @typedef {object} Program
 * @property {WebAssembly.Exports} exports
 * @property {WebAssembly.Memory} memory
 * @property {(stop: () => void) => void} run calls stop when the program has ended
 */

/**
 * Makes a module ready to run that TinyGo built. Of the runtime file that comes with
 * TinyGo the module needs two functions of WASI, version 0.1.
 *
 * @param {WebAssembly.Module} module
 * @param {WebAssembly.ModuleImports} session what the module imports of ours
 * @returns {Program}
 */
export function prepare(module, session) {
  const print = printer();
  /** @type {(at: number, length: number) => Uint8Array} */
  const bytes = (at, length) => new Uint8Array(memory.buffer, at, length);
  const instance = new WebAssembly.Instance(module, {
    session,
    wasi_snapshot_preview1: {
      random_get(/** @type {number} */ at, /** @type {number} */ length) {
        crypto.getRandomValues(bytes(at, length));
        return 0;
      },
      fd_write(
        /** @type {number} */ _fd,
        /** @type {number} */ parts,
        /** @type {number} */ count,
        /** @type {number} */ written,
      ) {
        const view = new DataView(memory.buffer);
        let sum = 0;
        for (let i = 0; i < count; i++) {
          const part = parts + 8 * i;
          const length = view.getUint32(part + 4, true);
          print(bytes(view.getUint32(part, true), length));
          sum += length;
        }
        view.setUint32(written, sum, true);
        return 0;
      },
    },
  });
  const { exports } = instance;
  const memory = /** @type {WebAssembly.Memory} */ (exports.memory);
  const initialize = /** @type {() => void} */ (exports._initialize);
  // It ends only where a call of an export traps, which throws.
  return { exports, memory, run: () => initialize() };
}
