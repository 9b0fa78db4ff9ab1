import { notCompiled, start } from "./start.js";
import { decode } from "./text.js";
import { text } from "./wasm-text.js";

/** @type {import("./engine.js").Module | undefined} */
let module;

/** Returns the module that is in this file. It runs once for all callers. */
export function moduleInside() {
  return (module ??= start(compile(), "the module"));
}

function compile() {
  try {
    return new WebAssembly.Module(decode(text));
  } catch (cause) {
    throw notCompiled("the module", cause);
  }
}
