// Everything in the README that can be run is run as it stands there.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { repository, withModule } from "../harness/go.js";
import { inBrowser } from "./in-browser.js";
import { dist } from "../harness/server.js";
import { startNative } from "../harness/sessions-server.js";

const readme = await readFile(join(repository, "README.md"), "utf8");

const snippets = [...readme.matchAll(/^```(\w*)\n([^]*?)^```$/gm)].map(
  ([, language, text]) => ({ language, text }),
);

/** @param {string} language */
const of = (language) =>
  snippets
    .filter((snippet) => snippet.language === language)
    .map(({ text }) => text);

test("each snippet is of a kind that is run here", () => {
  const kinds = new Set(snippets.map(({ language }) => language));
  // What nginx is to do is tried by web/server.
  const known = ["go", "html", "js", "json", "nginx", "sh"];
  assert.deepEqual([...kinds].sort(), known);
  assert.equal(of("html").length, 1);
  assert.equal(of("nginx").length, 1);
  assert.equal(of("json").length, 1);
  assert.equal(of("go").length, 3);
});

test("the commands are there", () => {
  for (const command of of("sh").join("").trim().split("\n")) {
    const [make, ...args] = command.split(" ");
    assert.equal(make, "make");
    // What they do is what CI does, and the other tests.
    execFileSync("make", ["--dry-run", ...args], { cwd: repository });
  }
});

inBrowser("the page works when pasted", async ({ newPage, site }) => {
  const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  try {
    await writeFile(join(folder, "index.html"), of("html")[0]);
    await cp(dist, join(folder, "session-writer"), { recursive: true });
    site.serve("/pasted/", folder, null);

    /** @param {import("../harness/browser.js").Page} page @param {string} start */
    const shows = (page, start) =>
      page.evaluate(async (start) => {
        const output = document.querySelector("output");
        while (!output?.textContent?.startsWith(start)) {
          await new Promise((resolve) => setTimeout(resolve));
        }
      }, start);
    const page = await newPage(site.url("/pasted/index.html"));
    await shows(page, "visit 1, 20");
    await page.reload();
    await shows(page, "visit 2, 20");
    await shows(await newPage(site.url("/pasted/index.html")), "visit 3, 20");
    await shows(page, "visit 3, 20"); // as it is told of the other tab's
  } finally {
    await rm(folder, { recursive: true });
  }
});

of("js").forEach((text, i) => {
  inBrowser(
    `JavaScript snippet ${i + 1} does what it says`,
    async ({ page, site, t }) => {
      if (text.includes(".sync(")) {
        const server = await startNative();
        t.after(server.close);
        site.forward("/sessions/", server.origin);
      }
      let claims = 0;
      const checked = text
        .replaceAll('"session-writer"', '"/dist/index.js"')
        .replace(/^( *)(.+); \/\/ => (.+)$/gm, (_, margin, got, want) => {
          claims++;
          return `${margin}same(${JSON.stringify(got)}, ${got}, ${want});`;
        });
      assert.ok(claims > 0, "it says nothing");
      const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
      try {
        await writeFile(
          join(folder, "snippet.js"),
          `export let made = 0;
           ${checked}
           /** Throws unless got is want. */
           function same(text, got, want) {
             const [a, b] = [got, want].map((value) => JSON.stringify(value, sorted));
             if (a !== b) throw new Error(\`\${text} is \${a}, not \${b}\`);
             made++;
           }
           /** Sorts the members of an object, whose order counts for nothing. */
           function sorted(_, value) {
             return Object.getPrototypeOf(value ?? 0) === Object.prototype
               ? Object.fromEntries(Object.entries(value).sort())
               : value;
           }`,
        );
        site.serve("/snippet/", folder);
        const made = await page.evaluate(
          async (url) => (await import(url)).made,
          site.url("/snippet/snippet.js"),
        );
        assert.equal(made, claims);
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  );
});

test("the program for pages is the one that go-program.test.js runs", async () => {
  assert.equal(
    of("go")[0],
    await readFile(join(repository, "wasm", "example", "main.go"), "utf8"),
  );
});

test("the Go program prints what it says", async () => {
  const want = /\/\/ Output: (.+)/.exec(of("go")[1])?.[1];
  await withModule({ "main.go": of("go")[1] }, async (_, go) => {
    assert.equal(await go(["run", "."]), `${want}\n`);
  });
});

test("the Go test passes", async () => {
  const name = /func (Test\w+)/.exec(of("go")[2])?.[1];
  await withModule({ "mine_test.go": of("go")[2] }, async (_, go) => {
    assert.match(
      await go(["test", "-v", "."]),
      new RegExp(`--- PASS: ${name} `),
    );
  });
});

inBrowser("the item is one", async ({ page }) => {
  const key = /`(cart\/\d{13}-\w+-\w+)`:\n\n```json/.exec(readme)?.[1];
  assert.ok(key, "it has no key");
  const { loaded, corrupt } = await page.evaluate(
    async (key, text) => {
      inPage.writeItem("cart", 0, { theme: "dark", kept: true });
      localStorage.setItem(key, text);
      const cart = await inPage.open("cart");
      return { loaded: cart.load(), corrupt: cart.stats().corrupt };
    },
    key,
    of("json")[0],
  );
  assert.deepEqual(loaded, {
    kept: true,
    user: { name: "Ada" },
    items: [1, 2],
  });
  assert.equal(corrupt, 0);
});
