// How the package is bundled: for build.js, and for the benchmark that starts an empty
// program in the same way.
import { readFile } from "node:fs/promises";
import { encode } from "./src/text.js";

/**
 * Returns options of esbuild for a file that has a module in it, as text. What runs the
 * module depends on the compiler that has built it: for Go it is the runtime file that
 * comes with Go, wasm_exec.js, which ../Makefile puts here.
 *
 * @param {string} wasm the module
 * @returns {import("esbuild").BuildOptions}
 */
export function withModule(wasm) {
  const go = process.env.COMPILER === "go";
  return {
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "warning",
    minify: true, // each visitor pays for it
    plugins: [
      {
        name: "the module",
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /\/wasm-text\.js$/ }, () => ({
            path: wasm,
            namespace: "text",
          }));
          onLoad({ filter: /./, namespace: "text" }, async ({ path }) => ({
            contents: `export const text = ${JSON.stringify(encode(await readFile(path)))};`,
          }));
          if (!go) return;
          onResolve({ filter: /\/runtime-tinygo\.js$/ }, () => ({
            path: fileOf("src/runtime-go.js"),
            sideEffects: true,
          }));
        },
      },
    ],
    ...(go && {
      alias: { wasm_exec: fileOf("wasm_exec.js") },
      // package.json has no side effects for users; in here, setting globals is one.
      ignoreAnnotations: true,
      // What the module prints goes through our fs, not a global.
      inject: [fileOf("src/fs.js")],
    }),
  };
}

/** @param {string} name */
function fileOf(name) {
  return new URL(name, import.meta.url).pathname;
}
