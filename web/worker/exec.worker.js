// The Worker of exec.js. It gives the program what worker.mjs gives the one
// that is deployed, except that the program ends by itself:
//
//   POST /run   runs it with the arguments in the body, and responds with its output
//   GET  /code  responds with its exit code
import "./wasm_exec.js";
import program from "./program.wasm";

// What it says until the program has ended, also when that is never, as with
// a deadlock.
let exitCode = 2;

/**
 * @param {Request} request
 * @param {unknown} env
 * @param {ExecutionContext} ctx
 */
async function run(request, env, ctx) {
  const { readable, writable } = new TransformStream();
  const writer = writable.getWriter();
  // Go writes to both of its outputs through this one.
  fs.writeSync = (_, bytes) => {
    void writer.write(bytes.slice());
    return bytes.length;
  };
  const go = new Go();
  go.argv = await request.json();
  go.exit = (/** @type {number} */ code) => {
    exitCode = code;
  };
  const instance = await WebAssembly.instantiate(program, {
    ...go.importObject,
    workers: { ready() {} },
  });
  const ended = go.run(instance, { env, ctx, binding: {} });
  ctx.waitUntil(ended.finally(() => writer.close()));
  return new Response(readable);
}

export default {
  /**
   * @param {Request} request
   * @param {unknown} env
   * @param {ExecutionContext} ctx
   */
  async fetch(request, env, ctx) {
    return new URL(request.url).pathname === "/run"
      ? run(request, env, ctx)
      : new Response(String(exitCode));
  },
};
