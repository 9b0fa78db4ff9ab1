import { Module, StorageAreas } from "./engine.js";
import { say } from "./describe.js";
import { SessionError } from "./error.js";
import { prepare } from "./runtime-tinygo.js";

// wasm/main.go has the same.
const protocol = 6;

/**
 * Runs a compiled module.
 *
 * @param {WebAssembly.Module} compiled
 * @param {string} name what errors call it
 */
export function start(compiled, name) {
  const areas = new StorageAreas();
  let program;
  try {
    program = prepare(compiled, areas.imports);
  } catch (cause) {
    throw (
      forbidden(cause) ?? // in WebKit compiling is not
      new SessionError(
        "load",
        `${name} cannot be linked (${say(cause)}): ${advice}`,
        { cause },
      )
    );
  }
  // A module without this export is another program, which must not run.
  const module = program.exports.protocol && new Module(program, areas);
  if (module?.protocol !== protocol) {
    throw new SessionError(
      "load",
      `${name} is not this version of session-writer's module: ${advice}`,
    );
  }
  return module;
}

const advice = "use the session.wasm that came with this file";

/**
 * Returns the error for bytes that cannot be compiled.
 *
 * @param {string} name
 * @param {unknown} cause
 */
export function notCompiled(name, cause) {
  return (
    forbidden(cause) ??
    new SessionError(
      "load",
      `${name} is not a complete WebAssembly module: ${say(cause)}`,
      { cause },
    )
  );
}

/**
 * Returns the error for a page that forbids WebAssembly, or a browser without it.
 * Undefined if something else is wrong.
 *
 * @param {unknown} cause
 */
function forbidden(cause) {
  const why = say(cause);
  if (!globalThis.WebAssembly) {
    return new SessionError("load", "there is no WebAssembly here", { cause });
  }
  // As Chromium, Firefox and WebKit say it.
  if (/unsafe-eval|wasm-eval|\bCSP\b|Content.Security.Policy/i.test(why)) {
    return new SessionError(
      "load",
      `the page's Content-Security-Policy forbids WebAssembly: it needs 'wasm-unsafe-eval' in its script-src (${why})`,
      { cause },
    );
  }
  return undefined;
}
