// The compiler's runtime file sets globals. This module leaves none behind: modules
// are evaluated in the order of their imports and without a pause, so no other code
// sees the globals.
import { restoreGlobals } from "./globals.js";
import "wasm_exec";

/** The class that runs a module which the same compiler built. */
export const Go = /** @type {any} */ (globalThis).Go;

restoreGlobals();
