// What dist/wasm_exec.js exports, which the build makes of runtime.js.
export const Go: any;
