// Builds the publishable package in dist/ out of src/ and the module there.
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { build } from "esbuild";
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

/** @type {[source: string, built: string][]} */
const types = [
  ["api", "index.d.ts"],
  ["api", "index.d.cts"],
  ["api-streaming", "streaming.d.ts"],
];
for (const [source, built] of types) {
  const text = await readFile(`src/${source}.d.ts`, "utf8");
  // Without the comment on what this does.
  const declarations = text.replace(/^(\/\/.*\n)+\n?/, "");
  await writeFile(
    `dist/${built}`,
    declarations.replaceAll('"./api.js"', '"./index.js"'),
  );
}
