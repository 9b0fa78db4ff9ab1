// A program of the same compiler that does nothing, in a file that starts it as
// session-writer starts its module.
import { prepare } from "../src/runtime-tinygo.js";
import { decode } from "../src/text.js";
import { text } from "../src/wasm-text.js";

export function start() {
  prepare(new WebAssembly.Module(decode(text)), {}).run(() => {});
}
