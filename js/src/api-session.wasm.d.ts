// The type of session-writer/session.wasm: build.js makes dist/session.wasm.d.ts of it.

/** The module's URL, where a bundler imports such a file as that. */
declare const url: string;
export default url;
