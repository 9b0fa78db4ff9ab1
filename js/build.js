// Builds the publishable package in dist/ out of src/ and the module there.
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { build } from "esbuild";
import { withModule } from "./build-options.js";

// Nothing stays that an earlier version has built.
for (const name of await readdir("dist")) {
  if (name !== "session.wasm") await rm(`dist/${name}`);
}

const entries = ["index", "streaming", "storage", "react", "vue", "svelte"];

/** @type {import("esbuild").BuildOptions} */
const options = {
  ...withModule("dist/session.wasm"),
  entryPoints: entries.map((entry) => `src/${entry}.js`),
  outdir: "dist",
  sourcemap: true,
  // The frameworks are the user's own.
  external: ["react", "vue", "svelte"],
};
await build(options);
await build({
  ...options,
  format: "cjs",
  // Where the file itself is, is not known there.
  define: { "import.meta.url": "undefined" },
  outExtension: { ".js": ".cjs" },
});

for (const entry of [...entries, "session.wasm"]) {
  const source = entry === "index" ? "api" : `api-${entry}`;
  const text = await readFile(`src/${source}.d.ts`, "utf8");
  // Without the comment on what this does.
  const declarations = text.replace(/^(\/\/.*\n)+\n?/, "");
  for (const [module, types] of [
    ["js", "d.ts"],
    ["cjs", "d.cts"],
  ]) {
    await writeFile(
      `dist/${entry}.${types}`,
      declarations
        .replaceAll('"./api.js"', `"./index.${module}"`)
        .replaceAll('"./api-streaming.js"', `"./streaming.${module}"`),
    );
  }
}
