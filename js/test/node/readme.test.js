// That the examples in READMEs are right in TypeScript, too. What they do, another test
// tries in a page.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { dist } from "../../harness/server.js";

const run = promisify(execFile);
const root = join(dist, "..");

test("every example compiles under strict", async (t) => {
  // In the package's folder, where it is found by its name.
  await mkdir(join(root, ".readme"), { recursive: true });
  const folder = await mkdtemp(join(root, ".readme", "examples-"));
  t.after(() => rm(folder, { recursive: true }));
  let examples = 0;
  for (const readme of ["../README.md", "README.md"]) {
    const text = await readFile(join(root, readme), "utf8");
    for (const [, language, snippet] of text.matchAll(
      /^```(html|js|tsx?)\n([^]*?)^```$/gm,
    )) {
      const script =
        language === "html"
          ? snippet
              .replace(/^[^]*<script type="module">|<\/script>[^]*$/g, "")
              .replace('"./session-writer.js"', '"session-writer"')
          : snippet;
      const kind = language === "html" ? "js" : language;
      await writeFile(join(folder, `${++examples}.${kind}`), script);
    }
  }
  assert.ok(examples > 8);
  await writeFile(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        ...{ strict: true, allowJs: true, checkJs: true, noEmit: true },
        ...{ target: "es2022", module: "preserve", jsx: "react-jsx" },
        lib: ["es2023", "dom", "dom.iterable"],
        skipLibCheck: true, // of the libraries that are shown
        types: [],
      },
    }),
  );
  const tsc = join(root, "node_modules", ".bin", "tsc");
  await run(tsc, ["-p", folder]).catch(({ stdout }) => assert.fail(stdout));
});
