// Everything in a README that can be run is run as it stands there.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import {
  cp,
  mkdtemp,
  readFile,
  readdir,
  rm,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { build } from "esbuild";
import { repository, withModule } from "../harness/go.js";
import { bundling, svelte, vue } from "./bundling.js";
import { inBrowser } from "./in-browser.js";
import { dist } from "../harness/server.js";
import { startNative } from "../harness/sessions-server.js";

const run = promisify(execFile);

/** Folders of what was built or installed. */
const made = /^(\..*|dist|node_modules)$/;

/**
 * Yields the paths of the READMEs in a folder of the repository.
 *
 * @param {string} folder
 * @returns {AsyncGenerator<string>}
 */
async function* readmes(folder) {
  for (const entry of await readdir(join(repository, folder), {
    withFileTypes: true,
  })) {
    const path = join(folder, entry.name);
    if (entry.name === "README.md") yield path;
    else if (entry.isDirectory() && !made.test(entry.name)) {
      yield* readmes(path);
    }
  }
}

/** @type {Record<string, string>} */
const texts = {};
for await (const name of readmes(".")) {
  texts[name] = await readFile(join(repository, name), "utf8");
}

const snippets = Object.entries(texts).flatMap(([name, readme]) =>
  [...readme.matchAll(/^```(\w*)\n([^]*?)^```$/gm)].map(
    ([, language, text], i) => ({ name: `${name}, ${i + 1}`, language, text }),
  ),
);

/** @param {string} language */
const of = (language) =>
  snippets.filter((snippet) => snippet.language === language);

test("each snippet is of a kind that is run", () => {
  const kinds = new Set(snippets.map(({ language }) => language));
  // What a proxy is to do is tried by web/server, and what root is to do by
  // web/session-server.
  const known = ["caddy", "go", "html", "js", "json", "nginx", "sh", "shell"];
  known.push("svelte", "ts", "tsx", "vue");
  assert.deepEqual([...kinds].sort(), known.sort());
  for (const [language, where] of Object.entries({
    caddy: "web/README.md",
    html: "README.md",
    json: "internal/engine/README.md",
    nginx: "web/README.md",
  })) {
    assert.deepEqual(
      of(language).map(({ name }) => name.split(",")[0]),
      [where],
    );
  }
  assert.ok(of("shell").every(({ name }) => name.startsWith("web/README.md")));
});

test("the README is one screen, and links", () => {
  const lines = texts["README.md"].trimEnd().split("\n").length;
  assert.ok(lines <= 200, `it has ${lines} lines`);
});

test("what a README links to is there", () => {
  for (const [name, readme] of Object.entries(texts)) {
    for (const [, target] of readme.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      if (target.startsWith("#")) {
        const heading = target.slice(1).replaceAll("-", " ");
        assert.match(readme, new RegExp(`^#+ ${heading}$`, "im"));
        continue;
      }
      // The npm page knows nothing of the repository.
      assert.notEqual(name, "js/README.md", `it links to ${target}`);
      const file = join(repository, dirname(name), target);
      assert.ok(existsSync(file), `${name} links to ${target}`);
    }
  }
});

test("what is measured has a place", () => {
  for (const [name, mark] of [
    ["js/bench/README.md", "bench"],
    ["js/kills/README.md", "survival"],
    ["js/tabs/README.md", "tabs"],
    ["web/README.md", "contestants"],
    ["web/README.md", "owners"],
    ["web/README.md", "entries"],
  ]) {
    const [start, end] = [`<!-- ${mark} -->\n`, `<!-- /${mark} -->\n`].map(
      (text) => texts[name].indexOf(text),
    );
    assert.ok(start >= 0 && start < end, `${name} has no place for ${mark}`);
  }
});

/**
 * How a command is tried, by its first word: make in the repository, the others in
 * a project of a user's.
 *
 * @type {Record<string, (command: string) => Promise<unknown>>}
 */
const tries = {
  make: async (command) => {
    const [make, ...args] = words(command);
    // What they do is what CI does, and the other tests.
    await run(make, ["--dry-run", ...args], { cwd: repository });
  },
  npm: async (command) => {
    const project = await mkdtemp(join(tmpdir(), "session-writer-"));
    try {
      let source = join(repository, "js");
      if (!command.includes("../session-writer/js")) {
        // It is what is published.
        const { stdout } = await run(
          "npm",
          ["pack", "--json", "--pack-destination", project],
          { cwd: source },
        );
        source = join(project, JSON.parse(stdout)[0].filename);
      }
      await writeFile(join(project, "package.json"), '{ "type": "module" }');
      const [npm, install, named, ...more] = words(command);
      assert.deepEqual([install, more], ["install", []]);
      assert.match(named, /^(\.\.\/session-writer\/js|session-writer)$/);
      await run(npm, [install, "--offline", "--ignore-scripts", source], {
        cwd: project,
      });
      await writeFile(
        join(project, "main.js"),
        `import { open } from "session-writer";
         const session = await open("cart", { storage: "memory" });
         session.save({ a: 1 });
         console.log(JSON.stringify(session.load()));`,
      );
      const { stdout } = await run(process.execPath, ["main.js"], {
        cwd: project,
      });
      assert.equal(stdout, '{"a":1}\n');
    } finally {
      await rm(project, { recursive: true });
    }
  },
  go: async (command) => {
    const project = await mkdtemp(join(tmpdir(), "session-writer-"));
    try {
      /** @param {string[]} args */
      const go = async (args) => {
        const { stdout } = await run("go", args, {
          cwd: project,
          env: { ...process.env, GOWORK: "", GOFLAGS: "" },
        });
        return stdout;
      };
      await go(["mod", "init", "example.com/mine"]);
      await writeFile(join(project, "main.go"), goProgram);
      await go(
        words(command)
          .slice(1)
          .map((word) => (word === "../session-writer" ? repository : word)),
      );
      assert.equal(await go(["run", "."]), printed(goProgram));
    } finally {
      await rm(project, { recursive: true });
    }
  },
};

/** @param {string} command */
const words = (command) =>
  [...command.matchAll(/(?:"[^"]*"|[^\s"])+/g)].map(([word]) =>
    word.replaceAll('"', ""),
  );

const goProgram =
  of("go").find(({ name }) => name.startsWith("README.md"))?.text ??
  assert.fail("the README has no program");

/**
 * Returns what a program says that it prints.
 *
 * @param {string} program
 */
const printed = (program) =>
  `${/^\t\/\/ Output: (.+)$/m.exec(program)?.[1] ?? assert.fail("it says nothing")}\n`;

for (const { name, text } of of("sh")) {
  for (const command of text.trim().split("\n")) {
    test(`${name}: ${command}`, async () => {
      const first = words(command)[0];
      assert.ok(Object.hasOwn(tries, first), `nothing here runs ${first}`);
      await tries[first](command);
    });
  }
}

inBrowser("the page works when pasted", async ({ newPage, site }) => {
  const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  try {
    await writeFile(join(folder, "index.html"), of("html")[0].text);
    await cp(join(dist, "index.js"), join(folder, "session-writer.js"));
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

/**
 * Bundles a snippet as a user would, and serves it to a page.
 *
 * @param {import("./in-browser.js").Site} site
 * @param {string} text
 * @param {string} language
 */
async function bundle(site, text, language) {
  const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  const file = join(folder, `snippet.${language}`);
  await writeFile(file, text);
  await build({
    ...bundling("production"),
    entryPoints: [file],
    outdir: folder,
    allowOverwrite: true,
    conditions: ["browser"],
    plugins: [svelte("client"), vue()],
  });
  site.serve("/snippet/", folder);
  return { url: site.url("/snippet/snippet.js"), folder };
}

for (const language of ["js", "ts"]) {
  for (const { name, text } of of(language)) {
    inBrowser(`${name} does what it says`, async ({ page, site, t }) => {
      if (text.includes(".sync(")) {
        const server = await startNative();
        t.after(server.close);
        site.forward("/sessions/", server.origin);
      }
      let claims = 0;
      const checked = text.replace(
        /^( *)(.+); \/\/ => (.+)$/gm,
        (_, margin, got, want) => {
          claims++;
          return `${margin}same(${JSON.stringify(got)}, ${got}, ${want});`;
        },
      );
      assert.ok(claims > 0, "it says nothing");
      const { url, folder } = await bundle(
        site,
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
        language,
      );
      try {
        const made = await page.evaluate(
          async (url) => (await import(url)).made,
          url,
        );
        assert.equal(made, claims);
      } finally {
        await rm(folder, { recursive: true });
      }
    });
  }
}

/**
 * How a framework shows what a snippet exports.
 *
 * @type {Record<string, string>}
 */
const mounts = {
  tsx: `import { createElement } from "react";
    import { createRoot } from "react-dom/client";
    createRoot(document.body).render(
      Object.values(parts).map((part, key) => createElement(part, { key })));`,
  vue: `import { createApp } from "vue";
    createApp(parts.default).mount(document.body);`,
  svelte: `import { mount } from "svelte";
    mount(parts.default, { target: document.body });`,
};

for (const [language, mount] of Object.entries(mounts)) {
  for (const { name, text } of of(language)) {
    inBrowser(`${name} shows what is typed`, async ({ page, site }) => {
      const { folder } = await bundle(site, text, language);
      const { url, folder: mounted } = await bundle(
        site,
        `import * as parts from ${JSON.stringify(join(folder, `snippet.${language}`))};
         ${mount}`,
        "js",
      );
      try {
        const shown = await page.evaluate(async (url) => {
          await import(url);
          const input = () => document.querySelector("input");
          await inPage.until(() => input()?.value === "light");
          input()?.select();
          document.execCommand("insertText", false, "dark");
          const output = () => document.querySelector("output")?.textContent;
          await inPage.until(() => output()?.includes("dark"));
          return [input()?.value, JSON.parse(String(output())).theme];
        }, url);
        assert.deepEqual(shown, ["dark", "dark"]);
      } finally {
        await rm(folder, { recursive: true });
        await rm(mounted, { recursive: true });
      }
    });
  }
}

for (const { name, text } of of("go")) {
  test(`${name} prints what it says`, async () => {
    await withModule({ "main.go": text }, async (_, go) => {
      assert.equal(await go(["run", "."]), printed(text));
    });
  });
}

inBrowser("the item is one", async ({ page }) => {
  const key = /`(cart\/\d{13}-\w+-\w+)`:\n\n```json/.exec(
    texts["internal/engine/README.md"],
  )?.[1];
  assert.ok(key, "it has no key");
  const { loaded, corrupt } = await page.evaluate(
    async (key, text) => {
      inPage.writeItem("cart", 0, { theme: "dark", kept: true });
      localStorage.setItem(key, text);
      const cart = await inPage.open("cart");
      return { loaded: cart.load(), corrupt: cart.stats().corrupt };
    },
    key,
    of("json")[0].text,
  );
  assert.deepEqual(loaded, {
    kept: true,
    user: { name: "Ada" },
    items: [1, 2],
  });
  assert.equal(corrupt, 0);
});
