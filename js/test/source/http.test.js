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
  const { answered, owner, heir, cursor, item, complete, age } = answer;
  const { latest, newest, reason } = answer;
  /** @type {Record<string, unknown>} */
  const details = {
    merged: { owner, cursor, item, complete, age },
    unknown: { owner, ...(heir && { heir }) },
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

const good = { "Session-Cursor": "", "Session-Owner": owner };

/** @type {Record<string, () => any>} What a page's own fetch may return. */
const odd = {
  nothing: () => undefined,
  "a response without headers": () => ({ status: 200 }),
  "headers that only get": () => ({
    ...{ ok: true, status: 204, body: null, text: async () => "" },
    headers: { get: () => owner },
  }),
  "a body that was read": async () => {
    const response = new Response("{}", { headers: good });
    await response.text();
    return response;
  },
  "a reader that throws": () => {
    const response = new Response("{}", { headers: good });
    Object.defineProperty(response, "body", {
      value: {
        getReader() {
          throw new DOMException("full", "QuotaExceededError");
        },
      },
    });
    return response;
  },
  "a reader that cannot be cancelled": () => {
    const response = new Response("{}", { headers: good });
    const read = () => Promise.reject(new Error("cut"));
    Object.defineProperty(response, "body", {
      value: { getReader: () => ({ read }) },
    });
    return response;
  },
  "a text that is none": () => ({
    ...{ ok: true, status: 200, headers: new Headers(good) },
    text: async () => ({}),
  }),
};

for (const [what, returned] of Object.entries(odd)) {
  test(`a fetch that returns ${what} is an error of sync`, async () => {
    const client = new Client("http://server.example/", async () => returned());
    const asked = { owner, cursor: "", items: "", timed: false };
    const codes = [];
    for (const call of [
      client.exchange({ name: "cart", maxAge: 0 }, asked),
      client.pair(),
      client.join("code"), // which needs no more than a header
    ]) {
      codes.push(
        await call.then(
          () => "",
          ({ code, message }) => code ?? message,
        ),
      );
    }
    assert.deepEqual(codes.slice(0, 2), [
      // The module tells what is no item.
      what === "a text that is none" ? "" : "sync",
      "sync",
    ]);
    assert.match(codes[2], /^(sync)?$/);
  });
}

test("the server's URL is relative to the page, or to the worker", () => {
  const any = /** @type {any} */ (globalThis);
  const urlOf = () => new Client("sessions?a#b", fetch).url;
  try {
    any.location = { href: "https://example.com/app/worker.js" };
    assert.equal(urlOf(), "https://example.com/app/sessions/");
    any.document = { baseURI: "https://example.org/" };
    assert.equal(urlOf(), "https://example.org/sessions/");
  } finally {
    delete any.location;
    delete any.document;
  }
  assert.throws(urlOf, { code: "config" });
});
