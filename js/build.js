// Builds the publishable package in dist/ out of src/, the module there, and the types
// in .types, which the compiler of TypeScript makes.
import { readdir, rm } from "node:fs/promises";
import { build } from "esbuild";
import { rollup } from "rollup";
import { dts } from "rollup-plugin-dts";
import { withModule } from "./build-options.js";

// Nothing stays that an earlier version has built.
for (const name of await readdir("dist")) {
  if (name !== "session.wasm") await rm(`dist/${name}`);
}

const options = { ...withModule("dist/session.wasm"), outdir: "dist" };

await build({
  ...options,
  entryPoints: ["src/index.js", "src/streaming.js"],
});
await build({
  ...options,
  format: "cjs",
  entryPoints: ["src/index.js"],
  outExtension: { ".js": ".cjs" },
});

// One file of types for each entry, without those that only our files use.
for (const [entry, extensions] of /** @type {const} */ ([
  ["index", [".d.ts", ".d.cts"]],
  ["streaming", [".d.ts"]],
])) {
  const types = await rollup({
    input: `.types/${entry}.d.ts`,
    plugins: [dts()],
  });
  for (const extension of extensions) {
    await types.write({ file: `dist/${entry}${extension}` });
  }
}
