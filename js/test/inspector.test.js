// The page that make run serves, in two tabs at once.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before } from "node:test";
import { repository } from "./go.js";
import { inBrowser } from "./in-browser.js";

/** @type {import("node:child_process").ChildProcess} */
let server;
/** @type {string} */
let url;

before(async () => {
  server = spawn("make", ["--silent", "run", "ADDR=127.0.0.1:0"], {
    cwd: repository,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({
    input: /** @type {import("node:stream").Readable} */ (server.stdout),
  });
  for await (const line of lines) {
    const said = /^session-writer: (http:\S+)$/.exec(line);
    if (said) {
      url = said[1];
      return;
    }
  }
  throw new Error("make run ended without an address");
});

after(async () => {
  const ended = once(server, "exit");
  server.kill("SIGTERM");
  await ended;
});

/** @typedef {import("./browser.js").Page} Page */

/**
 * Waits until a condition holds in the page.
 *
 * @template {unknown[]} A
 * @param {Page} page
 * @param {(...args: A) => unknown} condition
 * @param {A} args
 */
async function until(page, condition, ...args) {
  await page.evaluate(
    async (condition, ...args) => {
      const end = Date.now() + 20_000;
      while (!condition(...args)) {
        if (Date.now() > end) {
          throw new Error(
            `waited in vain for ${condition}: ${document.body.innerText}`,
          );
        }
        await new Promise((resolve) => setTimeout(resolve));
      }
    },
    condition,
    ...args,
  );
}

/**
 * Opens the inspector in some tabs, of an origin that has nothing stored.
 *
 * @param {import("./in-browser.js").Visit} visit
 * @param {number} [count]
 * @param {string} [query]
 */
async function inspect({ newPage }, count = 1, query = "") {
  // All tests use one server.
  const first = await newPage(`${url}/${query}`);
  await first.evaluate(() => {
    localStorage.clear();
    sessionStorage.clear();
  });
  await first.reload();
  const pages = [first];
  while (pages.length < count) pages.push(await newPage(`${url}/${query}`));
  for (const page of pages) {
    await until(
      page,
      () => document.getElementById("inspector")?.checkVisibility() === true,
    );
  }
  return pages;
}

/**
 * Waits until the table shows exactly these entries, in the order of the keys.
 *
 * @param {Page} page
 * @param {[key: string, value: string][]} entries
 */
const shows = (page, ...entries) =>
  until(
    page,
    (wanted) =>
      JSON.stringify(
        [...document.querySelectorAll("#entries tbody tr")].map((row) => [
          row.querySelector("th")?.textContent,
          row.querySelector(".value")?.textContent,
        ]),
      ) === JSON.stringify(wanted),
    entries,
  );

/**
 * Fills in a form and submits it.
 *
 * @param {Page} page
 * @param {string} form
 * @param {Record<string, string>} fields
 */
const submit = (page, form, fields) =>
  page.evaluate(
    (form, fields) => {
      for (const [id, value] of Object.entries(fields)) {
        /** @type {HTMLInputElement} */ (document.getElementById(id)).value =
          value;
      }
      /** @type {HTMLFormElement} */ (
        document.getElementById(form)
      ).requestSubmit();
    },
    form,
    fields,
  );

/**
 * Clicks the button of that name.
 *
 * @param {Page} page
 * @param {string} name
 */
const click = (page, name) =>
  page.evaluate((name) => {
    const button = [...document.querySelectorAll("button")].find(
      (button) => (button.ariaLabel ?? button.textContent?.trim()) === name,
    );
    if (!button) throw new Error(`there is no button ${name}`);
    button.click();
  }, name);

/** @param {Page} page @param {string} selector */
const text = (page, selector) =>
  page.evaluate(
    (selector) =>
      [...document.querySelectorAll(selector)]
        .map((element) => element.textContent?.trim())
        .join("\n"),
    selector,
  );

inBrowser("an entry saved in one tab turns up in another", async (visit) => {
  const [a, b] = await inspect(visit, 2);
  await submit(a, "entry-form", {
    "entry-key": "user",
    "entry-value": '"ada"',
  });
  await shows(a, ["user", '"ada"']);
  await shows(b, ["user", '"ada"']);
  assert.match(await text(a, "#log > li"), /This tab\s*set user to "ada"/);
  assert.match(await text(b, "#log > li"), /Another tab\s*set user to "ada"/);
  await b.reload();
  await shows(b, ["user", '"ada"']);
});

inBrowser("a pasted object is saved as one batch", async (visit) => {
  const [a, b] = await inspect(visit, 2);
  await submit(a, "batch-form", { batch: '{"a": 1, "b": [true], "c": null}' });
  await shows(b, ["a", "1"], ["b", "[true]"], ["c", "null"]);
  await until(
    a,
    () => document.getElementById("item-count")?.textContent === "1",
  );
  await until(
    b,
    () => document.getElementById("item-count")?.textContent === "1",
  );
  assert.match(await text(a, "#items summary"), /1 batch, 3 set/);
});

inBrowser("entries are edited, removed and cleared", async (visit) => {
  const [a, b] = await inspect(visit, 2);
  await submit(a, "batch-form", { batch: '{"a": 1, "b": 2, "c": 3}' });
  await shows(b, ["a", "1"], ["b", "2"], ["c", "3"]);

  await click(b, "Edit: b");
  await submit(b, "entry-form", { "entry-value": "22" });
  await shows(a, ["a", "1"], ["b", "22"], ["c", "3"]);

  await click(b, "Remove: a");
  await shows(a, ["b", "22"], ["c", "3"]);

  await click(a, "Clear all…");
  await click(a, "Cancel");
  await shows(a, ["b", "22"], ["c", "3"]);
  await click(a, "Clear all…");
  await click(a, "Clear all");
  await shows(b);
  assert.match(await text(b, "#log > li"), /Another tab\s*cleared the session/);
});

inBrowser("what is wrong is said beside its field", async (visit) => {
  const [page] = await inspect(visit);
  for (const { form, fields, error, says } of [
    {
      form: "entry-form",
      fields: { "entry-key": "a", "entry-value": "12.5.1" },
      error: "#entry-value-error",
      says: /^This is not JSON/,
    },
    {
      form: "entry-form",
      fields: { "entry-key": "", "entry-value": "1" },
      error: "#entry-key-error",
      says: /^key: session "demo": save: the key "" is empty/,
    },
    {
      form: "batch-form",
      fields: { batch: "[1]" },
      error: "#batch-error",
      says: /^A batch is a JSON object/,
    },
    {
      form: "batch-form",
      fields: { batch: '{"a": 1, "": 2}' },
      error: "#batch-error",
      says: /^key: /,
    },
  ]) {
    await submit(page, form, fields);
    assert.match(await text(page, error), says);
    const kept = await page.evaluate(
      (ids) =>
        Object.fromEntries(
          ids.map((id) => [
            id,
            /** @type {HTMLInputElement} */ (document.getElementById(id)).value,
          ]),
        ),
      Object.keys(fields),
    );
    assert.deepEqual(kept, fields, "nothing is lost from the fields");
  }
  await shows(page);
});

inBrowser("damaged items are marked", async (visit) => {
  const [page] = await inspect(visit);
  await submit(page, "batch-form", { batch: '{"a": 1}' });
  await page.evaluate(() => {
    localStorage.setItem("demo/notes", "not ours");
    localStorage.setItem("demo/1795373052123-0000-3f9a2c7e1b40", '{"format":1');
  });
  await page.reload();
  await shows(page, ["a", "1"]);
  assert.match(await text(page, "#corrupt"), /^2 items cannot be read/);
  assert.match(await text(page, ".fault"), /damaged/);
  assert.match(await text(page, ".fault"), /foreign/);
});

inBrowser("a session of another name and storage is shown", async (visit) => {
  const [page] = await inspect(visit, 1, "?session=cart&storage=session");
  await submit(page, "entry-form", { "entry-key": "a", "entry-value": "1" });
  await shows(page, ["a", "1"]);
  const counts = await page.evaluate(() => [
    localStorage.length,
    sessionStorage.length,
  ]);
  assert.deepEqual(counts, [0, 1]);
});
