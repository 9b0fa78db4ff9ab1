// What the answers of a server mean, with a fetch of ours.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { Client } from "../../src/http.js";

const owner = "0123456789abcdef";

const examples = JSON.parse(
  await readFile(
    new URL("../../../testdata/answers.json", import.meta.url),
    "utf8",
  ),
);

/**
 * Returns what an answer means, in the form of an example.
 *
 * @param {import("../../src/http.js").Answer} answer
 */
function meaningOf(answer) {
  const { answered, owner, cursor, item, complete, age } = answer;
  const { latest, newest, reason } = answer;
  /** @type {Record<string, unknown>} */
  const details = {
    merged: { owner, cursor, item, complete, age },
    unknown: { owner },
    tooLate: { latest, newest },
  };
  return {
    [answered]: details[answered] ?? true,
    ...(reason && { code: reason }),
  };
}

for (const { name, status, headers, body, means } of examples) {
  test(`an answer with ${name} means what the example says`, async () => {
    const client = new Client(
      "http://server.example/",
      async () => new Response(body || null, { status, headers }),
    );
    const answer = client.exchange(
      { name: "cart", maxAge: 0 },
      { owner, cursor: "c-1", items: "", timed: false },
    );
    if (means) assert.deepEqual(meaningOf(await answer), means);
    else await assert.rejects(answer, { code: "sync", reason: "no-server" });
  });
}
