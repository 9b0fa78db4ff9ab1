import assert from "node:assert/strict";
import { measure } from "../tabs/measure.js";
import { engine } from "../harness/browser.js";
import { inBrowser } from "./in-browser.js";

inBrowser(
  "tabs that save without a pause lose nothing, see whole batches, agree, and are told of everything",
  async ({ newPage, site, t }) => {
    const tabs = 4;
    const batches = 100;
    const { entries, ...rest } = await measure({
      newPage,
      site,
      contender: "session-writer",
      tabs,
      batches,
    });
    t.diagnostic(JSON.stringify(rest));

    const { saved, refused, lost, reads, torn, agree, told, items } = rest;
    if (engine.keepsUpWithTabs) assert.equal(refused, 0);
    assert.equal(saved + refused, tabs * batches);
    assert.deepEqual(lost, []);
    assert.ok(reads > 0);
    assert.equal(torn, 0);
    assert.ok(agree, "the tabs load different states");
    assert.ok(told, "a tab was told of something else than it loads");

    // A key for each batch, and those that the last one of some tab set.
    const shared = Object.entries(entries).filter(
      ([key, value]) => key !== value,
    );
    assert.equal(Object.keys(entries).length, saved + shared.length);
    assert.equal(shared.length, 5);
    const last = new Set(shared.map(([, value]) => value));
    assert.equal(last.size, 1);
    if (refused === 0) {
      assert.match([...last].join(), new RegExp(`^tab \\d ${batches - 1}$`));
    }

    // What four tabs have saved since they last compacted, and some more.
    assert.ok(items < tabs * 40, `${items} items are left`);
  },
);
