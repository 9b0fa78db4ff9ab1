import { describe, own, say, SessionError } from "./error.js";
import { StorageAreas } from "./storage.js";

/**
 * What can be given for the WebAssembly module.
 *
 * @typedef {string | URL | Response | BufferSource | WebAssembly.Module} WasmSource
 */

// The same as in wasm/main.go.
const protocol = 3;

/**
 * What a storage's failure means, by its code in the module. Any other is the
 * module's own.
 *
 * @type {Readonly<Record<number, [code: import("./error.js").SessionErrorCode, meaning: string]>>}
 */
const failures = {
  [-1]: ["disabled", "the storage is not available"],
  [-2]: ["quota", "the storage is full"],
  [-3]: ["internal", "the storage threw"],
};

/** The code of a text of others that is no item. */
const unreadable = -6;

/**
 * Keeps a batch that no browser's storage could ever take from using up the
 * memory that all sessions of the page live in, when it is loaded.
 */
const maxText = 64 * 2 ** 20;

/** @type {Promise<Module> | undefined} */
let loading;

/**
 * Returns the module, which is loaded once for all callers. After a failure
 * the next call tries again.
 *
 * @param {WasmSource} [source]
 * @returns {Promise<Module>}
 */
export function loadModule(source) {
  loading ??= start(source).catch((error) => {
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
async function start(source) {
  const from =
    source === undefined
      ? beside()
      : typeof source === "string"
        ? resolve(source)
        : source;
  const [module, Go] = await Promise.all([compile(from), loadRuntime()]);
  const go = new Go();
  const areas = new StorageAreas();
  let instance;
  try {
    instance = await WebAssembly.instantiate(module, {
      ...go.importObject,
      session: areas.imports,
    });
  } catch (cause) {
    throw new SessionError(
      "load",
      `${nameOf(from)} cannot be linked (${say(cause)}): use the session.wasm that came with this index.js`,
      { cause },
    );
  }
  // Another program is not even started.
  const started = instance.exports.protocol && new Module(go, instance, areas);
  if (started?.protocol !== protocol) {
    throw new SessionError(
      "load",
      `${nameOf(from)} is not this version of session-writer's module: use the session.wasm that came with this index.js`,
    );
  }
  return started;
}

/** The module beside this file, in the form that bundlers know. */
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

async function loadRuntime() {
  try {
    return (await import("./wasm_exec.js")).Go;
  } catch (cause) {
    throw new SessionError(
      "load",
      `wasm_exec.js cannot be loaded (${say(cause)}): keep it beside index.js`,
      { cause },
    );
  }
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
export function notLoaded(url, cause) {
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
    // The only type that WebAssembly.compileStreaming accepts (WebAssembly Web
    // API, "compile a potential WebAssembly response").
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
    // Chromium takes no DataView.
    return await WebAssembly.compile(
      ArrayBuffer.isView(bytes)
        ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        : bytes,
    );
  } catch (cause) {
    throw notCompiled(name, cause);
  }
}

/**
 * @param {string} name
 * @param {unknown} cause
 */
function notCompiled(name, cause) {
  return new SessionError(
    "load",
    `${name} is not a complete WebAssembly module (${say(cause)}); a page with a Content-Security-Policy needs 'wasm-unsafe-eval' in its script-src`,
    { cause },
  );
}

/**
 * The exports of wasm/main.go.
 *
 * @typedef {object} Exports
 * @property {WebAssembly.Memory} [mem] Go's name for the memory
 * @property {WebAssembly.Memory} [memory] TinyGo's
 * @property {() => number} protocol
 * @property {(size: number) => number} buffer
 * @property {() => number} message
 * @property {(where: number, length: number, maxAge: number) => number} open
 * @property {(handle: number) => void} close
 * @property {(handle: number, size: number, now: number) => number} save
 * @property {(handle: number, length: number, now: number) => number} remove
 * @property {(handle: number, now: number) => number} clear
 * @property {(handle: number, now: number) => number} tidy
 * @property {(handle: number, now: number) => number} load
 * @property {(handle: number, length: number, now: number) => number} get
 * @property {(handle: number, now: number) => number} stats
 * @property {(handle: number, on: number, now: number) => number} watch
 * @property {(handle: number, length: number) => void} see
 * @property {(handle: number, now: number) => number} refresh
 * @property {(handle: number, now: number) => void} prepare
 * @property {(handle: number, now: number) => number} alive
 * @property {(handle: number, length: number, now: number) => number} stamp
 * @property {(handle: number, length: number, now: number) => number} divide
 * @property {(handle: number, now: number) => void} compact
 * @property {(handle: number, latest: number, now: number) => void} restamp
 * @property {(handle: number, now: number) => number} unsent
 * @property {(handle: number) => void} forget
 */

/** The Go program that is running in this page. */
export class Module {
  #exports;
  #memory;
  #areas;
  #stopped = false;
  #encoder = new TextEncoder();
  // A text may begin with U+FEFF, which is no byte order mark there.
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  /**
   * @param {any} go
   * @param {WebAssembly.Instance} instance
   * @param {StorageAreas} areas
   */
  constructor(go, instance, areas) {
    this.#exports = /** @type {Exports} */ (
      /** @type {unknown} */ (instance.exports)
    );
    this.#areas = areas;
    this.#memory = areas.memory = /** @type {WebAssembly.Memory} */ (
      this.#exports.mem ?? this.#exports.memory
    );
    const stop = () => {
      this.#stopped = true;
    };
    go.exit = stop;
    go.run(instance).catch(stop);
  }

  /** The protocol that the module speaks. */
  get protocol() {
    return this.#exports.protocol();
  }

  /**
   * The storage area of a place where a session is.
   *
   * @param {import("./storage.js").Place} place
   */
  area(place) {
    return this.#areas.opened[place];
  }

  /**
   * Calls an export that replies with a number.
   *
   * @param {(exports: Exports) => number | void} call
   * @returns {number}
   */
  number(call) {
    let result;
    try {
      result = this.#stopped ? 0 : (call(this.#exports) ?? 0);
    } catch (cause) {
      this.#stopped = true;
      throw stopped(cause);
    }
    if (this.#stopped) throw stopped();
    if (result < 0) throw this.#failure(result);
    return result;
  }

  /** @param {number} code */
  #failure(code) {
    if (code === unreadable) {
      return new SessionError("sync", "what the server sent is no item");
    }
    if (!Object.hasOwn(failures, code)) {
      return new SessionError("internal", this.#read(this.#exports.message()));
    }
    const [meaning, sentence] = failures[code];
    return new SessionError(meaning, `${sentence}: ${this.#areas.say()}`, {
      cause: this.#areas.thrown,
    });
  }

  /**
   * Calls f, in which the storage is given a text.
   *
   * @template T
   * @param {string} text
   * @param {() => T} f
   * @returns {T}
   */
  give(text, f) {
    if (text.length > maxText) throw tooLong(text);
    // A page's own wrapper of its storage may save, too, in the middle of f.
    const outer = this.#areas.given;
    this.#areas.given = text;
    try {
      return f();
    } finally {
      this.#areas.given = outer;
    }
  }

  /**
   * Calls an export that writes, and returns what it changed as text, which is
   * empty when nobody is to be told, and whether the session is to be tidied:
   * 1 for sometime, 2 for now.
   *
   * @param {(exports: Exports) => number} call
   * @returns {[change: string, tidy: number]}
   */
  write(call) {
    const result = this.number(call);
    return [this.#read(result >> 2), result & 3];
  }

  /**
   * Calls an export that replies with text, which may be empty.
   *
   * @param {(exports: Exports) => number} call
   * @returns {string}
   */
  text(call) {
    return this.#read(this.number(call));
  }

  /**
   * Writes an argument for the next call, and returns its length.
   *
   * @param {string} text
   * @returns {number}
   */
  pass(text) {
    // Three bytes are the most that a UTF-16 code unit takes.
    const size = text.length * 3;
    const start = size > 0x7fffffff ? 0 : this.#exports.buffer(size);
    if (start === 0) throw tooLong(text);
    return this.#encoder.encodeInto(text, this.#bytes(start, size)).written;
  }

  /** @param {number} length */
  #read(length) {
    if (length === 0) return "";
    return this.#decoder.decode(this.#bytes(this.#exports.buffer(0), length));
  }

  /**
   * @param {number} start
   * @param {number} length
   */
  #bytes(start, length) {
    // Read anew each time: the memory's buffer is another after it has grown.
    return new Uint8Array(this.#memory.buffer, start, length);
  }
}

/** @param {string} text */
function tooLong(text) {
  return new SessionError(
    "quota",
    `${text.length} characters are more than any storage takes`,
  );
}

/** @param {unknown} [cause] */
function stopped(cause) {
  return new SessionError(
    "internal",
    "the WebAssembly module has stopped, the console says why; reload the page",
    { cause },
  );
}
