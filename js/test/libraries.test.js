// State libraries on the adapters of session-writer/storage: each the real one, in two
// real tabs.
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { bundling } from "./bundling.js";
import { inBrowser } from "./in-browser.js";

/** @typedef {import("./in-browser.js").Page} Page */
/** @typedef {{ set: (members: object) => void, get: () => object }} Library */

const sources = join(dirname(fileURLToPath(import.meta.url)), "libraries");
const names = (await readdir(sources)).map((file) => file.slice(0, -3));

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  await build({
    ...bundling("production"),
    entryPoints: names.map((name) => join(sources, `${name}.js`)),
    outdir: folder,
  });
  await writeFile(join(folder, "index.html"), "<!doctype html><title>Library");
});
after(() => rm(folder, { recursive: true }));

const updates = 200;

for (const name of names) {
  inBrowser(`${name} loses no member in two tabs`, async (visit) => {
    const { newPage, site } = visit;
    site.serve("/libraries/", folder);
    const open = async () => {
      const page = await newPage(site.url("/libraries/index.html"));
      await start(page, name);
      return page;
    };
    const tabs = await Promise.all([open(), open()]);

    await Promise.all(tabs.map((tab, i) => update(tab, "ab"[i])));
    /** @type {Record<string, unknown>} */
    const expected = { ready: true, a: updates, b: updates };
    for (let i = 0; i < updates; i++) expected[`a${i}`] = expected[`b${i}`] = i;
    for (const tab of tabs) await shows(tab, expected);

    // Nothing answers what the other tab has saved, for ever.
    assert.deepEqual(await writesIn(tabs), []);

    // A member that was saved by the other is not what this one goes on with.
    await tabs[0].evaluate(() => inLibrary.set({ both: "a" }));
    await shows(tabs[1], { ...expected, both: "a" });
    await tabs[1].evaluate(() => inLibrary.set({ both: "b", list: [1] }));
    await shows(tabs[0], { ...expected, both: "b", list: [1] });
    await tabs[0].evaluate(() => inLibrary.set({ last: null }));
    expected.both = "b";
    expected.list = [1];
    expected.last = null;
    await shows(tabs[1], expected);
    assert.deepEqual(await writesIn(tabs), []);

    const later = await open();
    await shows(later, expected);
  });
}

/** What start makes of a library's file in the page. */
const inLibrary = /** @type {Library} */ (/** @type {unknown} */ (undefined));

/** @param {Page} page @param {string} name */
function start(page, name) {
  return page.evaluate(async (name) => {
    const inLibrary = await import(`/libraries/${name}.js`);
    Object.assign(globalThis, { inLibrary });
  }, name);
}

/**
 * Has a tab update members of its own, and one more, with pauses in which it hears of
 * others.
 *
 * @param {Page} page
 * @param {string} tab
 */
function update(page, tab) {
  return page.evaluate(
    async ({ tab, updates }) => {
      // WebKit's driver runs this in no task of the page, after which the page would do
      // what it has put off. VueUse drops what it has put off when it hears of another tab.
      await new Promise((resolve) => setTimeout(resolve));
      for (let i = 0; i < updates; i++) {
        inLibrary.set({ [`${tab}${i}`]: i, [tab]: i + 1 });
        if (i % 3 === 0) await new Promise((resolve) => setTimeout(resolve));
      }
    },
    { tab, updates },
  );
}

/** @param {Page} page @param {object} expected */
async function shows(page, expected) {
  const shown = await page.evaluate(async (expected) => {
    const sorted = (/** @type {object} */ state) =>
      JSON.stringify(Object.entries(state).sort());
    const wanted = sorted(expected);
    const end = Date.now() + 20_000;
    while (sorted(inLibrary.get()) !== wanted && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return inLibrary.get();
  }, expected);
  assert.deepEqual(shown, expected);
}

/**
 * Returns what two tabs write that nobody uses, while ten messages go from one to the other
 * and back in the storage.
 *
 * @param {Page[]} tabs
 */
async function writesIn(tabs) {
  const writes = await Promise.all(
    tabs.map((tab, i) =>
      tab.evaluate(async (i) => {
        /** @type {string[]} */
        const writes = [];
        const { setItem } = Storage.prototype;
        const say = (/** @type {number} */ n) =>
          setItem.call(localStorage, `ball ${i}`, String(n));
        Storage.prototype.setItem = function (
          /** @type {string} */ key,
          /** @type {string} */ text,
        ) {
          writes.push(key);
          setItem.call(this, key, text);
        };
        /** @type {(event: StorageEvent) => void} */
        let heard = () => {};
        await new Promise((resolve) => {
          heard = ({ key, newValue }) => {
            if (key !== `ball ${1 - i}` || !newValue) return;
            const n = Number(newValue);
            setTimeout(() => {
              if (n < 20) say(n + 1);
              if (n >= 19) resolve(0);
            });
          };
          addEventListener("storage", heard);
          say(0);
        });
        removeEventListener("storage", heard);
        Storage.prototype.setItem = setItem;
        localStorage.removeItem(`ball ${i}`);
        return writes;
      }, i),
    ),
  );
  return writes.flat();
}
