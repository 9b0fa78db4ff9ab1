import { describe, own, say } from "./describe.js";
import { SessionError } from "./error.js";
import { notCompiled, start } from "./start.js";

/** @typedef {import("./api-streaming.js").WasmSource} WasmSource */

/** @typedef {import("./engine.js").Module} Module */

/** @type {Promise<Module> | undefined} */
let loading;

/**
 * Returns the module. It is loaded once for all callers. After a failure the next
 * call tries again.
 *
 * @param {WasmSource} [source]
 * @returns {Promise<Module>}
 */
export function loadModule(source) {
  loading ??= load(source).catch((error) => {
    loading = undefined;
    throw own(error, "load", "the option wasm");
  });
  return loading;
}

/**
 * @param {unknown} source
 * @returns {source is WasmSource}
 */
export function isWasmSource(source) {
  return (
    typeof source === "string" ||
    source instanceof URL ||
    source instanceof Response ||
    source instanceof WebAssembly.Module ||
    isBytes(source)
  );
}

/**
 * @param {unknown} source
 * @returns {source is BufferSource}
 */
function isBytes(source) {
  return source instanceof ArrayBuffer || ArrayBuffer.isView(source);
}

/**
 * @param {WasmSource} [source]
 * @returns {Promise<Module>}
 */
async function load(source) {
  const from =
    source === undefined
      ? beside()
      : typeof source === "string"
        ? resolve(source)
        : source;
  return start(await compile(from), nameOf(from));
}

/** The URL of the module beside this file, in the form that bundlers recognize. */
function beside() {
  try {
    return new URL("./session.wasm", import.meta.url);
  } catch (cause) {
    throw new SessionError(
      "load",
      "this is no ES module: give the option wasm",
      { cause },
    );
  }
}

/** @param {string} url */
function resolve(url) {
  try {
    return new URL(url, globalThis.document?.baseURI ?? import.meta.url);
  } catch (cause) {
    throw new SessionError(
      "load",
      `the wasm URL ${describe(url)} is not a URL`,
      { cause },
    );
  }
}

/** @param {Exclude<WasmSource, string>} source */
function nameOf(source) {
  if (source instanceof Response) return source.url || "the given Response";
  if (isBytes(source)) return "the given array of bytes";
  if (source instanceof WebAssembly.Module) return "the given module";
  return String(source);
}

/**
 * @param {Exclude<WasmSource, string>} source
 * @returns {Promise<WebAssembly.Module>}
 */
async function compile(source) {
  if (source instanceof WebAssembly.Module) return source;
  if (isBytes(source)) return compileBytes(source, nameOf(source));
  if (source instanceof Response) return compileResponse(source);
  return compileURL(source);
}

/**
 * @param {URL} url
 * @returns {Promise<WebAssembly.Module>}
 */
async function compileURL(url) {
  if (url.protocol === "file:" && "process" in globalThis) {
    // Node's fetch does not read files.
    const { readFile } = process.getBuiltinModule("node:fs/promises");
    return compileBytes(
      await readFile(url).catch((cause) => {
        throw notLoaded(url, cause);
      }),
      url.href,
    );
  }
  return compileResponse(
    await fetch(url).catch((cause) => {
      throw notLoaded(url, cause);
    }),
    url.href,
  );
}

/**
 * @param {URL | string} url
 * @param {unknown} cause
 */
function notLoaded(url, cause) {
  return new SessionError("load", `${url} cannot be loaded: ${say(cause)}`, {
    cause,
  });
}

/**
 * @param {Response} response
 * @param {string} [url]
 * @returns {Promise<WebAssembly.Module>}
 */
async function compileResponse(response, url = nameOf(response)) {
  if (!response.ok) {
    throw new SessionError(
      "load",
      `${url} cannot be loaded: the server answers ${response.status} ${response.statusText}`.trimEnd(),
    );
  }
  const type = response.headers.get("Content-Type") ?? "";
  try {
    // WebAssembly.compileStreaming accepts no other type (WebAssembly Web API,
    // "compile a potential WebAssembly response").
    if (type.trim().toLowerCase() === "application/wasm") {
      return await WebAssembly.compileStreaming(response);
    }
    return await compileBytes(
      await response.arrayBuffer(),
      `${url}, which is of type ${type || "none"},`,
    );
  } catch (cause) {
    if (cause instanceof SessionError) throw cause;
    throw notCompiled(url, cause);
  }
}

/**
 * @param {BufferSource} bytes
 * @param {string} name
 * @returns {Promise<WebAssembly.Module>}
 */
async function compileBytes(bytes, name) {
  try {
    // Chromium accepts no DataView.
    return await WebAssembly.compile(
      ArrayBuffer.isView(bytes)
        ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        : bytes,
    );
  } catch (cause) {
    throw notCompiled(name, cause);
  }
}
