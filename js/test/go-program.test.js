// A Go program of somebody else's, compiled to WebAssembly, without our JavaScript.
import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { repository, runtimeOfGo, withModule } from "../harness/go.js";
import { inBrowser } from "./in-browser.js";

const example = await readFile(
  join(repository, "wasm", "example", "main.go"),
  "utf8",
);

inBrowser(
  "a Go program compiled to WebAssembly saves without our JavaScript",
  async ({ newPage, site }) => {
    await withModule({ "main.go": example }, async (folder, go) => {
      await go(["build", "-o", "main.wasm", "."], {
        GOOS: "js",
        GOARCH: "wasm",
      });
      await cp(await runtimeOfGo(), join(folder, "wasm_exec.js"));
      await writeFile(
        join(folder, "start.js"),
        `const go = new Go();
         WebAssembly.instantiateStreaming(fetch("main.wasm"), go.importObject)
           .then(({ instance }) => go.run(instance));`,
      );
      await writeFile(
        join(folder, "index.html"),
        `<!doctype html><title>Visits</title><body>
         <script src="wasm_exec.js"></script><script src="start.js"></script>`,
      );
      site.serve("/go/", folder);

      const page = await newPage(site.url("/go/index.html"));
      const visit = () =>
        page.evaluate(async () => {
          while (!document.body.textContent?.trim()) {
            await new Promise((resolve) => setTimeout(resolve));
          }
          return document.body.textContent.trim();
        });
      assert.equal(await visit(), "visit 1");
      await page.reload();
      assert.equal(await visit(), "visit 2");

      // What it has saved is a session like any other.
      await page.goto(site.url("/"));
      const { count, last } = await page.evaluate(async () => {
        const visits = await inPage.open("visits");
        return visits.load();
      });
      assert.equal(count, 2);
      assert.ok(Date.parse(String(last)) > 0, String(last));
    });
  },
);
