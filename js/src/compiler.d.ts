/** The compiler's own runtime file, which sets globals: see build.js. */
declare module "wasm_exec";
