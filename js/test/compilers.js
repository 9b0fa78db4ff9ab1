// What is written in Svelte or Vue, for esbuild.
import { readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { compile } from "svelte/compiler";
import { compileScript, parse } from "vue/compiler-sfc";

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
