// What tests of the page that make run serves have in common.
import { startSessions } from "../harness/sessions-server.js";

/** @typedef {import("../harness/browser.js").Page} Page */

/**
 * Starts a server that nobody has used, and returns the address of its page.
 *
 * @param {import("./in-browser.js").Visit} visit
 */
export async function startServer({ t }) {
  const server = await startSessions();
  t.after(() => server.close());
  return `${server.origin}/`;
}

/**
 * Waits until a condition holds in the page.
 *
 * @template {unknown[]} A
 * @param {Page} page
 * @param {(...args: A) => unknown} condition
 * @param {A} args
 */
export async function until(page, condition, ...args) {
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
 * Clicks the button of that name.
 *
 * @param {Page} page
 * @param {string} name
 */
export const click = (page, name) =>
  page.evaluate((name) => {
    const button = [...document.querySelectorAll("button")].find(
      (button) =>
        button.checkVisibility() &&
        (button.ariaLabel ?? button.textContent?.trim()) === name,
    );
    if (!button) throw new Error(`there is no button ${name}`);
    button.click();
  }, name);

/** @param {Page} page @param {string} selector */
export const text = (page, selector) =>
  page.evaluate(
    (selector) =>
      [...document.querySelectorAll(selector)]
        .map((element) => element.textContent?.trim())
        .join("\n"),
    selector,
  );
