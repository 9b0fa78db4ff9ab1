// What axe finds in the pages that make run serves: nothing.
import assert from "node:assert/strict";
import path from "node:path";
import { engine } from "../harness/browser.js";
import { repository } from "../harness/go.js";
import { startSessions } from "../harness/sessions-server.js";
import { inBrowser } from "./in-browser.js";
import { click, text, until } from "./served-page.js";

/** @typedef {import("../harness/browser.js").Page} Page */
/** @typedef {import("./in-browser.js").Visit} Visit */

/** @type {("light" | "dark")[]} */
const schemes = engine.prefersColorScheme ? ["light", "dark"] : ["light"];

/**
 * Serves the pages beside axe, as their policy lets scripts of their origin in only.
 *
 * @param {Visit} visit
 */
async function serveWithAxe({ site, t }) {
  const server = await startSessions();
  t.after(() => server.close());
  site.forward("/sessions/", server.origin);
  site.serve("/site/", path.join(repository, "web", "dist"), policy);
  const installed = path.join(repository, "js", "node_modules");
  site.serve("/axe-core/", path.join(installed, "axe-core"));
}

const policy =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'";

/**
 * Has axe look at the page and the frames in it.
 *
 * @param {Page} page
 * @param {string} what it looks at
 */
async function assertAccessible(page, what) {
  for (const scheme of schemes) {
    if (engine.prefersColorScheme) await page.prefer(scheme);
    const violations = await page.evaluate(async () => {
      // What fades would be looked at half faded.
      const fading = document.getAnimations();
      await Promise.allSettled(fading.map(({ finished }) => finished));
      const frames = Array.from(
        document.querySelectorAll("iframe"),
        ({ contentDocument }) => /** @type {Document} */ (contentDocument),
      );
      for (const each of [document, ...frames]) {
        if ("axe" in /** @type {object} */ (each.defaultView)) continue;
        await new Promise((resolve, reject) => {
          const script = each.createElement("script");
          script.src = "/axe-core/axe.js";
          script.onload = resolve;
          script.onerror = reject;
          each.head.append(script);
        });
      }
      const { axe } = /** @type {any} */ (globalThis);
      /** @type {import("axe-core").AxeResults} */
      const { violations, passes } = await axe.run();
      const looked = JSON.stringify(passes.map(({ nodes }) => nodes));
      if (frames.length > 0 && !looked.includes('["iframe')) {
        throw new Error("axe has not looked into the frames");
      }
      return violations.map(
        ({ id, nodes }) =>
          `${id}: ${nodes.map(({ target, failureSummary }) => `${target}: ${failureSummary}`)}`,
      );
    });
    assert.deepEqual(violations, [], `${what}, ${scheme}`);
  }
  if (engine.prefersColorScheme) await page.prefer("light");
}

/**
 * Types into the page, or into the frame of that title.
 *
 * @param {Page} page
 * @param {Record<string, string>} values by the ids of their fields
 * @param {string} [frame]
 */
const type = (page, values, frame = "") =>
  page.evaluate(
    (values, frame) => {
      const element = /** @type {HTMLIFrameElement | null} */ (
        frame && document.querySelector(`iframe[title="${frame}"]`)
      );
      for (const [id, value] of Object.entries(values)) {
        const input = /** @type {HTMLInputElement} */ (
          (element?.contentDocument ?? document).getElementById(id)
        );
        input.value = value;
        input.dispatchEvent(new Event("input", { bubbles: true }));
      }
    },
    values,
    frame,
  );

/** @param {Page} page */
const ready = (page) =>
  until(
    page,
    () =>
      document.querySelector("#join:enabled") &&
      [...document.querySelectorAll("iframe")].every((frame) =>
        frame.contentDocument?.getElementById("forms")?.checkVisibility(),
      ),
  );

inBrowser("axe finds nothing wrong in the page", async (visit) => {
  await serveWithAxe(visit);
  const page = await visit.newPage(visit.site.url("/site/index.html"));
  await ready(page);
  await assertAccessible(page, "the page as it begins");

  await type(page, { "json-name": "Ada" }, "Tab A");
  await type(page, { "json-city": "Paris", "writer-city": "Paris" }, "Tab B");
  await type(page, {
    batch: JSON.stringify({ a: 1, long: "x".repeat(1000) }),
  });
  await click(page, "Save batch");
  await page.evaluate(() =>
    localStorage.setItem("demo/1795373052123-0000-3f9a2c7e1b40", "{"),
  );
  await page.reload();
  await ready(page);
  await type(page, { batch: "[1]", "entry-key": "a", "entry-value": "x" });
  await click(page, "Save batch");
  await click(page, "Save entry");
  await click(page, "Remove: a");
  await until(
    page,
    () =>
      document.querySelector("#items .fault") &&
      document.querySelector("#log li"),
  );
  // Opened again where an exchange has meanwhile given an item its owner: then it is
  // another one.
  await until(page, () => {
    for (const details of document.querySelectorAll("details")) {
      details.open = true;
    }
    return [...document.querySelectorAll("#items pre")].every(
      ({ textContent }) => textContent,
    );
  });
  await assertAccessible(page, "the page in use");
});

inBrowser("axe finds nothing wrong in the dialogs", async (visit) => {
  await serveWithAxe(visit);
  const page = await visit.newPage(visit.site.url("/site/index.html"));
  await ready(page);
  await type(page, { batch: '{"a": 1}' });
  await click(page, "Save batch");
  await click(page, "Clear all…");
  await assertAccessible(page, "asking whether to clear");
  await click(page, "Cancel");
  await click(page, "Pair another device…");
  await until(page, () => document.querySelector("#pair-picture svg"));
  await assertAccessible(page, "pairing");
  await click(page, "Close");
  await click(page, "Enter a code…");
  await type(page, { "join-code": "0" });
  await click(page, "Show its devices");
  await until(
    page,
    () => document.getElementById("join-code-error")?.textContent,
  );
  await assertAccessible(page, "joining with a wrong code");
});

inBrowser("axe finds nothing wrong with devices", async (visit) => {
  await serveWithAxe(visit);
  const page = await visit.newPage(visit.site.url("/site/index.html"));
  await ready(page);
  await until(page, () =>
    document.getElementById("devices")?.checkVisibility(),
  );
  await assertAccessible(page, "nobody's devices");
  await type(page, { batch: '{"a": 1}' });
  await click(page, "Save batch");
  await until(page, () => document.querySelector("#device-list > li"));
  await click(page, "Pair another device…");
  await until(page, () => document.querySelector("#pair-picture svg"));
  const code = await text(page, "#pair-code");
  await click(page, "Close");

  const other = await visit.newDevice(visit.site.url("/site/index.html"));
  await ready(other);
  await click(other, "Enter a code…");
  await type(other, { "join-code": code });
  await click(other, "Show its devices");
  await until(other, () => document.activeElement?.id === "join-own");
  await assertAccessible(other, "whose devices a code is from");
  await other.evaluate(() => document.getElementById("join-own")?.click());
  await assertAccessible(other, "about to join");
  await click(other, "Join these devices");
  await until(other, () => document.querySelectorAll("#device-list > li")[1]);

  await page.show(); // nobody is told in a page that nobody sees
  await click(page, "Sync now");
  await until(page, () => document.querySelectorAll("#device-list > li")[1]);
  await assertAccessible(page, "two devices");
  const name = await page.evaluate(
    () => document.querySelector("#device-list strong")?.textContent,
  );
  await click(page, `Rename: ${name}`);
  await type(page, { "device-name": "" });
  await click(page, "Rename");
  await assertAccessible(page, "a device without a name");
  await click(page, "Cancel");
  await click(page, `Revoke: ${name}`);
  await assertAccessible(page, "asking whether to revoke");
});

inBrowser("axe finds nothing wrong where nothing opens", async (visit) => {
  await serveWithAxe(visit);
  const page = await visit.newPage(
    visit.site.url("/site/index.html?storage=none"),
  );
  await until(page, () =>
    document.getElementById("failure")?.checkVisibility(),
  );
  await assertAccessible(page, "the page without a session");
});

inBrowser("axe finds nothing wrong in a tab of its own", async (visit) => {
  await serveWithAxe(visit);
  const page = await visit.newPage(visit.site.url("/site/demo.html#B"));
  await until(page, () => document.getElementById("forms")?.checkVisibility());
  await assertAccessible(page, "the tab as it begins");
  await type(page, { "json-name": "Ada", "writer-city": "Paris" });
  await page.evaluate(() => localStorage.removeItem("profile-state"));
  await type(page, { "json-city": "" });
  await assertAccessible(page, "the tab in use");
});
