// The compiler's runtime file, which sets globals, as a module that leaves
// none behind: modules are evaluated in the order of their imports, without a
// pause, so that nobody ever sees them.
import { restoreGlobals } from "./globals.js";
import "wasm_exec";

/** The class that runs a module of the same compiler. */
export const Go = /** @type {any} */ (globalThis).Go;

restoreGlobals();
