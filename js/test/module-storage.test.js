// The storage that the module imports, under the suite that every Storage in Go
// must pass: a test program of Go's, run in a page with our imports.
import assert from "node:assert/strict";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { buildTests, runtimeOfGo } from "../harness/go.js";
import { inBrowser } from "./in-browser.js";

const src = join(dirname(fileURLToPath(import.meta.url)), "..", "src");

inBrowser(
  "what the module imports is a Storage as package session demands",
  async ({ page, site, t }) => {
    const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
    t.after(() => rm(folder, { recursive: true }));
    await buildTests("wasm", ["page"], join(folder, "tests.wasm"));
    await cp(await runtimeOfGo(), join(folder, "wasm_exec.js"));
    await build({
      entryPoints: ["engine.js", "areas.js"].map((file) => join(src, file)),
      bundle: true,
      splitting: true,
      format: "esm",
      outdir: folder,
      logLevel: "warning",
    });
    site.serve("/go/", folder);
    const { code, output } = await page.evaluate(async () => {
      const at = (/** @type {string} */ file) => `/go/${file}`;
      await import(at("wasm_exec.js"));
      /** @type {typeof import("../src/engine.js")} */
      const { StorageAreas } = await import(at("engine.js"));
      /** @type {typeof import("../src/areas.js")} */
      const { MemoryArea } = await import(at("areas.js"));
      const areas = new StorageAreas();
      Object.assign(globalThis, {
        openArea: (
          /** @type {"localStorage" | "sessionStorage" | "memory"} */ name,
        ) =>
          areas.open(name === "memory" ? new MemoryArea() : globalThis[name])
            .handle,
      });
      const { Go, fs } = /** @type {any} */ (globalThis);
      let output = "";
      const decoder = new TextDecoder();
      fs.writeSync = (
        /** @type {number} */ _,
        /** @type {Uint8Array} */ bytes,
      ) => {
        output += decoder.decode(bytes);
        return bytes.length;
      };
      const go = new Go();
      go.argv = ["tests", "-test.v"];
      const { instance } = await WebAssembly.instantiateStreaming(
        fetch(at("tests.wasm")),
        { ...go.importObject, session: areas.imports },
      );
      areas.memory = /** @type {WebAssembly.Memory} */ (instance.exports.mem);
      let code = -1;
      go.exit = (/** @type {number} */ exitCode) => {
        code = exitCode;
      };
      await go.run(instance);
      // What Go's runtime file has put off (the test's own limit of time) would
      // throw in the page once its program has ended.
      for (const timer of go._scheduledTimeouts.values()) clearTimeout(timer);
      return { code, output };
    });
    assert.equal(code, 0, output);
    assert.match(output, /--- PASS: TestStorage\/localStorage/);
  },
);
