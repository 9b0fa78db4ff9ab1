// The type of session-writer/session.wasm: build.js makes dist/session.wasm.d.ts of it.
import type { WasmSource } from "./api-streaming.js";

/** The module, or its URL, as a bundler has it of such a file. */
declare const wasm: WasmSource;
export default wasm;
