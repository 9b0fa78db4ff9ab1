// Go's runtime file sets globals. This module leaves none behind: modules are
// evaluated in the order of their imports and without a pause, so no other code sees
// the globals.
import { restoreGlobals } from "./globals.js";
import "wasm_exec";

const Go = /** @type {any} */ (globalThis).Go;

restoreGlobals();

/**
 * Makes a module ready to run that Go built. build.js takes this file in the place
 * of runtime-tinygo.js for such a module.
 *
 * @type {typeof import("./runtime-tinygo.js").prepare}
 */
export function prepare(module, session) {
  const go = new Go();
  const instance = new WebAssembly.Instance(module, {
    ...go.importObject,
    session,
  });
  const { exports } = instance;
  return {
    exports,
    memory: /** @type {WebAssembly.Memory} */ (exports.mem),
    run(stop) {
      go.exit = stop;
      go.run(instance).catch(stop);
    },
  };
}
