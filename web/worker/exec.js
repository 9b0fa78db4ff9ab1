// Runs a program that Go built for js/wasm inside workerd, with an empty D1
// database bound as DB. It is for go test:
//
//   GOOS=js GOARCH=wasm go test -exec "node web/worker/exec.js" PACKAGE
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import { unstable_readConfig } from "wrangler";

const [program, ...args] = process.argv.slice(2);
if (program === undefined) {
  console.error("usage: node exec.js PROGRAM [ARGUMENT]...");
  process.exit(2);
}

/** @param {string} name */
const path = (name) => fileURLToPath(new URL(name, import.meta.url));

const config = unstable_readConfig({ config: path("wrangler.jsonc") });
const miniflare = new Miniflare({
  compatibilityDate: config.compatibility_date,
  modulesRoot: path("."),
  modules: [
    { type: "ESModule", path: path("exec.worker.js") },
    {
      type: "ESModule",
      path: path("wasm_exec.js"),
      contents: readFileSync(path("dist/worker/wasm_exec.js")),
    },
    {
      type: "CompiledWasm",
      path: path("program.wasm"),
      contents: readFileSync(program),
    },
  ],
  d1Databases: ["DB"],
  host: "127.0.0.1",
  port: 0,
  cf: false,
});
try {
  const output = await miniflare.dispatchFetch("http://worker/run", {
    method: "POST",
    body: JSON.stringify([program, ...args]),
  });
  for await (const chunk of output.body ?? []) {
    process.stdout.write(chunk);
  }
  const code = await miniflare.dispatchFetch("http://worker/code");
  process.exitCode = Number(await code.text());
} finally {
  await miniflare.dispose();
}
