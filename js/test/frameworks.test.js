// Sessions in React, Vue and Svelte: the same small form in each.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { bundling, svelte } from "./bundling.js";
import { inBrowser } from "./in-browser.js";

/** @typedef {import("./in-browser.js").Page} Page */

const sources = join(dirname(fileURLToPath(import.meta.url)), "frameworks");

/**
 * How each renders its app on a server.
 *
 * @type {Record<string, string>}
 */
const renderers = {
  react: `
    import { createElement } from "react";
    import { renderToString } from "react-dom/server";
    export const render = (App) => renderToString(createElement(App));`,
  vue: `
    import { createSSRApp } from "vue";
    import { renderToString } from "vue/server-renderer";
    export const render = (App) => renderToString(createSSRApp(App));`,
  "svelte-runes": `
    import { render as rendered } from "svelte/server";
    export const render = (App) => rendered(App).body;`,
};
renderers["svelte-stores"] = renderers["svelte-runes"];
const names = Object.keys(renderers);

let folder = "";
/** @type {Record<string, string>} */
const rendered = {};

/** What the server knows of the session that it renders. */
const initial = {
  owner: "0123456789abcdef",
  cursor: "c0ffee-1",
  item: '{"format":1,"batches":[{"stamp":"1700000000000-0000-0123456789ab","set":{"count":3}}]}',
};

before(async () => {
  Object.assign(globalThis, { initial });
  folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  const options = bundling("development");
  await build({
    ...options,
    entryPoints: names.map((name) => join(sources, `${name}.js`)),
    outdir: join(folder, "apps"),
    conditions: ["browser", "development"],
    plugins: [svelte("client")],
  });
  for (const name of names) {
    const outfile = join(folder, "server", `${name}.mjs`);
    await build({
      ...options,
      stdin: {
        contents: `${renderers[name]}
          export { App } from "./${name}.js";`,
        resolveDir: sources,
      },
      outfile,
      platform: "node",
      // React's renderer requires modules of Node's.
      banner: {
        js: `import { createRequire } from "node:module";
             const require = createRequire(import.meta.url);`,
      },
      plugins: [svelte("server")],
    });
    const { App, render } = await import(pathToFileURL(outfile).href);
    rendered[name] = await render(App);
    for (const [page, content] of [
      ["fresh", ""],
      ["rendered", rendered[name]],
    ]) {
      await writeFile(
        join(folder, "apps", `${name}-${page}.html`),
        `<!doctype html><title>${name}</title><main>${content}</main>
        ${content && `<script>var initial = ${JSON.stringify(initial)}</script>`}`,
      );
    }
  }
});
after(() => {
  Object.assign(globalThis, { initial: undefined });
  return rm(folder, { recursive: true });
});

for (const name of names) {
  inBrowser(`a form of ${name} follows the session`, async (visit) => {
    const { newPage, site } = visit;
    site.serve("/apps/", join(folder, "apps"), null);
    const open = async () => {
      const page = await newPage(site.url(`/apps/${name}-fresh.html`));
      await start(page, name);
      return page;
    };
    const [here, there] = [await open(), await open()];
    await shows(here, { text: "", count: 0 });

    // As somebody types it, who then inserts a letter.
    const typed = await here.evaluate(async () => {
      const input = /** @type {HTMLInputElement} */ (
        document.querySelector("input")
      );
      input.focus();
      for (const letter of "abde")
        document.execCommand("insertText", false, letter);
      input.setSelectionRange(2, 2);
      document.execCommand("insertText", false, "c");
      // A framework that moves the caret does so later.
      await new Promise((resolve) => setTimeout(resolve));
      await new Promise((resolve) => requestAnimationFrame(resolve));
      return [input.value, input.selectionStart];
    });
    assert.deepEqual(typed, ["abcde", 3]);
    for (const page of [here, there]) {
      await shows(page, { text: "abcde", count: 0 });
    }
    for (const [i, page] of [there, here, there].entries()) {
      await page.evaluate(() => document.querySelector("button")?.click());
      for (const each of [here, there]) {
        await shows(each, { text: "abcde", count: i + 1 });
      }
    }
    await here.reload();
    await start(here, name);
    await shows(here, { text: "abcde", count: 3 });
  });

  inBrowser(
    `what ${name} has rendered on a server is taken over`,
    async (visit) => {
      const { page, newPage, site } = visit;
      assert.match(rendered[name], /<button>3<\/button>/);
      site.serve("/apps/", join(folder, "apps"), null);
      await page.evaluate(async () => {
        (await inPage.open("form")).save({ text: "kept", count: 7 });
      });
      const form = await newPage(site.url(`/apps/${name}-rendered.html`));
      await start(form, name);
      await shows(form, { text: "kept", count: 7 });
      // That its console is silent, inBrowser sees.
    },
  );
}

inBrowser("in React, an entry is rendered when it changes", async (visit) => {
  const { newPage, site } = visit;
  site.serve("/apps/", join(folder, "apps"), null);
  const page = await newPage(site.url("/apps/react-fresh.html"));
  await start(page, "react");
  await shows(page, { text: "", count: 0 });
  const counts = await page.evaluate(async () => {
    const { session, renderings } = /** @type {any} */ (globalThis).app;
    const shown = async (/** @type {number} */ count) => {
      while (document.querySelector("button")?.textContent !== String(count)) {
        await new Promise((resolve) => setTimeout(resolve));
      }
    };
    const before = renderings();
    session.save({ count: 1 });
    await shown(1);
    const other = renderings();
    session.save({ text: "a", count: 2 });
    await shown(2);
    return [other - before, renderings() > other];
  });
  assert.deepEqual(counts, [0, true]);
});

/** @param {Page} page @param {string} name */
function start(page, name) {
  return page.evaluate(async (name) => {
    const { start } = await import(`/apps/${name}.js`);
    const app = start(document.querySelector("main"));
    Object.assign(globalThis, { app });
  }, name);
}

/** @param {Page} page @param {{ text: string, count: number }} entries */
function shows(page, { text, count }) {
  const wanted = JSON.stringify([text, String(count), { text, count }]);
  return page.evaluate(async (wanted) => {
    for (const end = Date.now() + 20_000; ;) {
      const { text, count } = JSON.parse(
        document.querySelector("output")?.textContent || "{}",
      );
      const shown = JSON.stringify([
        document.querySelector("input")?.value,
        document.querySelector("button")?.textContent,
        { text, count },
      ]);
      if (shown === wanted) return;
      if (Date.now() > end) throw new Error(`it shows ${shown}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }, wanted);
}
