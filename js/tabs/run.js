// Measures what each contender loses when several tabs save at once, in the
// browsers that the environment variable BROWSERS names.
import { browserOf, launch } from "../harness/browser.js";
import { publish, table } from "../harness/publish.js";
import { startSite } from "../harness/server.js";
import { contenders } from "./contenders.js";
import { measure } from "./measure.js";

const batches = 200;

/**
 * How many tabs. More would have Firefox refuse writes: see README.md.
 *
 * @type {Record<string, number>}
 */
const tabsIn = { chromium: 4, firefox: 2, webkit: 3 };

const parts = [];
for (const name of (process.env.BROWSERS || "chromium").split(" ")) {
  const browser = await launch(name);
  try {
    parts.push(await run(browser, tabsIn[name]));
  } finally {
    await browser.close();
  }
}
await publish(
  new URL("README.md", import.meta.url),
  "tabs",
  parts.join("\n\n"),
);

/**
 * @param {import("../harness/browser.js").Browser} browser
 * @param {number} tabs
 */
async function run(browser, tabs) {
  let version = "";
  const rows = [];
  for (const contender of /** @type {import("./contenders.js").Contender[]} */ (
    Object.keys(contenders)
  )) {
    const site = await startSite();
    const context = await browser.newContext();
    try {
      const newPage = async () => {
        const page = await context.newPage();
        await page.goto(site.url("/"));
        version ||= await browserOf(page);
        return page;
      };
      const measured = await measure({
        newPage,
        site,
        contender,
        tabs,
        batches,
      });
      if (contender === "session-writer" && !measured.told) {
        throw new Error(
          "a subscriber was told of something else than it loads",
        );
      }
      rows.push([
        contender,
        `${measured.lost.length} of ${measured.saved}`,
        `${measured.torn} of ${measured.reads}`,
        measured.agree ? "yes" : "no",
        measured.items,
      ]);
    } finally {
      await context.close();
      await site.close();
    }
  }
  return `${version}, ${tabs} tabs, ${batches} batches each:\n\n${table([
    ["", "batches lost", "torn reads", "tabs agree", "items left"],
    ...rows,
  ])}`;
}
