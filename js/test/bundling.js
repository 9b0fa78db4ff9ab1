// How tests bundle what users write, in Svelte or Vue, too.
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { compile } from "svelte/compiler";
import { compileScript, parse } from "vue/compiler-sfc";
import { dist } from "../harness/server.js";

/**
 * Returns options of esbuild for a project in which the package is installed, and what it
 * is tried with.
 *
 * @param {"development" | "production"} mode in the first, frameworks warn
 * @returns {import("esbuild").BuildOptions}
 */
export function bundling(mode) {
  return {
    bundle: true,
    format: "esm",
    jsx: "automatic",
    logLevel: "warning",
    nodePaths: [join(dist, "..", "node_modules")],
    define: {
      "process.env.NODE_ENV": JSON.stringify(mode),
      __VUE_OPTIONS_API__: "true",
      __VUE_PROD_DEVTOOLS__: "false",
      __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: String(mode === "development"),
    },
    alias: {
      "session-writer": join(dist, "index.js"),
      ...Object.fromEntries(
        ["storage", "react", "vue", "svelte"].map((entry) => [
          `session-writer/${entry}`,
          join(dist, `${entry}.js`),
        ]),
      ),
    },
  };
}

/**
 * @param {"client" | "server"} generate
 * @returns {import("esbuild").Plugin}
 */
export function svelte(generate) {
  return loading("svelte", (source, filename) => {
    const dev = generate === "client"; // where it warns
    return compile(source, { generate, dev, filename }).js.code;
  });
}

/** @returns {import("esbuild").Plugin} */
export function vue() {
  return loading("vue", (source, id) => {
    const { descriptor } = parse(source);
    return compileScript(descriptor, { id, inlineTemplate: true }).content;
  });
}

/**
 * @param {string} name
 * @param {(source: string, file: string) => string} compile
 * @returns {import("esbuild").Plugin}
 */
function loading(name, compile) {
  return {
    name,
    setup({ onLoad }) {
      onLoad({ filter: new RegExp(`\\.${name}$`) }, async ({ path }) => ({
        contents: compile(await readFile(path, "utf8"), basename(path)),
        resolveDir: dirname(path),
      }));
    },
  };
}
