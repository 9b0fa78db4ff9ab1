import assert from "node:assert/strict";
import { test } from "node:test";
import { startSite } from "../../harness/server.js";

test("no site has the origin of an earlier one, whose storage a browser still has", async () => {
  const origins = new Set();
  for (let n = 1; n <= 800; n++) {
    const site = await startSite();
    origins.add(site.url("/"));
    await site.close();
    assert.equal(origins.size, n);
  }
});
