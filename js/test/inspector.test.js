// The page that make run serves, in two tabs and on two devices at once.
import assert from "node:assert/strict";
import path from "node:path";
import decodeQRCode from "qr/decode.js";
import { repository } from "../harness/go.js";
import { inBrowser } from "./in-browser.js";
import { click, startServer, text, until } from "./served-page.js";

/** @typedef {import("../harness/browser.js").Page} Page */

/**
 * Waits until the inspector shows the session and can sync it.
 *
 * @param {Page} page
 */
const ready = (page) =>
  until(
    page,
    () =>
      document.getElementById("inspector")?.checkVisibility() === true &&
      document.querySelector("#join:enabled"),
  );

/**
 * Opens the inspector in some tabs, on a server that nobody has used.
 *
 * @param {import("./in-browser.js").Visit} visit
 * @param {number} [count]
 * @param {string} [query]
 */
async function inspect(visit, count = 1, query = "") {
  const url = await startServer(visit);
  const pages = [];
  while (pages.length < count) pages.push(await visit.newPage(url + query));
  for (const page of pages) await ready(page);
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

inBrowser("an entry saved in one tab turns up in another", async (visit) => {
  const [a, b] = await inspect(visit, 2);
  await submit(a, "entry-form", {
    "entry-key": "user",
    "entry-value": '"ada"',
  });
  await shows(a, ["user", '"ada"']);
  await shows(b, ["user", '"ada"']);
  assert.match(await text(a, "#log > li"), /This tab\s*set user to "ada"/);
  assert.match(
    await text(b, "#log > li"),
    /Another tab or device\s*set user to "ada"/,
  );
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
  assert.match(
    await text(b, "#log > li"),
    /Another tab or device\s*cleared the session/,
  );
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

inBrowser(
  "what is kept for another owner is listed as that, and not as damaged",
  async (visit) => {
    const [page] = await inspect(visit);
    await submit(page, "batch-form", { batch: '{"a": 1}' });
    await says(page, synced);
    await page.evaluate(() => {
      const stamp = "1795373052123-0000-3f9a2c7e1b40";
      const batches = [{ stamp, set: { secret: 1, other: 2 } }];
      localStorage.setItem(
        `demo/0123456789abcdef/${stamp}`,
        JSON.stringify({ format: 1, batches }),
      );
      localStorage.setItem("demo/0123456789abcdef/3f9a2c7e1b40", "");
    });
    await page.reload();
    await shows(page, ["a", "1"]);
    const items = await page.evaluate(() =>
      [...document.querySelectorAll("#items summary")].map(
        ({ textContent }) => textContent ?? "",
      ),
    );
    const [kept, ...others] = items.filter((text) => text.includes("owner"));
    assert.match(kept, /kept for another owner · 1 batch, 2 set · /);
    assert.deepEqual(others, [], "the owner's own are nothing special");
    assert.equal(await text(page, "#corrupt"), "");
    assert.equal(
      await page.evaluate(() => document.querySelector(".fault")),
      null,
    );
  },
);

inBrowser(
  "values of 20,000 levels are shown, edited and laid out",
  async (visit) => {
    const [page] = await inspect(visit);
    const levels = 20_000;
    const json = "[".repeat(levels) + "1" + "]".repeat(levels);
    await page.evaluate((json) => {
      const stamp = "1795373052123-0000-3f9a2c7e1b40";
      localStorage.setItem(
        `demo/${stamp}`,
        `{"format":1,"batches":[{"stamp":"${stamp}","set":{"deep":${json}}}]}`,
      );
    }, json);
    await page.reload();
    await ready(page);
    await until(
      page,
      () => document.querySelectorAll("#entries tbody tr").length === 1,
    );

    // Where the browser cannot make JSON of it, it says so.
    const shown = await text(page, "#entries .value");
    if (!shown.includes("this browser cannot show it")) {
      await click(page, "Show all 40,001 characters: deep");
      assert.equal(
        (await text(page, "#entries .value pre")).replace(/\s/g, ""),
        json,
      );
      await click(page, "Edit: deep");
      assert.equal(
        await page.evaluate(() =>
          /** @type {HTMLTextAreaElement} */ (
            document.getElementById("entry-value")
          ).value.replace(/\s/g, ""),
        ),
        json,
      );
    }
    // Opened again where an exchange has meanwhile given the item an owner: then it is
    // another one.
    await until(
      page,
      (json) => {
        const details = document.querySelector("#items details");
        /** @type {HTMLDetailsElement} */ (details).open = true;
        const shown = document.querySelector("#items pre")?.textContent ?? "";
        return shown.replace(/\s/g, "").includes(json);
      },
      json,
    );
  },
);

inBrowser("an entry of the key __proto__ is shown", async (visit) => {
  const [page] = await inspect(visit);
  await submit(page, "batch-form", { batch: '{"__proto__": {"a": 1}}' });
  await shows(page, ["__proto__", '{"a":1}']);
  assert.match(await text(page, "#log > li"), /set __proto__ to \{"a":1\}/);
  await page.reload();
  await shows(page, ["__proto__", '{"a":1}']);
});

inBrowser("a session of another name and storage is shown", async (visit) => {
  const [page] = await inspect(visit, 1, "?session=cart&storage=session");
  await submit(page, "entry-form", { "entry-key": "a", "entry-value": "1" });
  await shows(page, ["a", "1"]);
  const used = await page.evaluate(() =>
    [localStorage, sessionStorage].map((area) =>
      Object.keys(area).some((key) => key.startsWith("cart/")),
    ),
  );
  assert.deepEqual(used, [false, true]);
});

/**
 * Waits until the page says so of the session and its copy.
 *
 * @param {Page} page
 * @param {string} beginning
 */
const says = (page, beginning) =>
  until(
    page,
    (beginning) =>
      document.getElementById("sync-text")?.textContent?.startsWith(beginning),
    beginning,
  );

const synced = "Saved here and on the server.";

/**
 * Has the page ask the server for what is new, and waits until it has.
 *
 * @param {Page} page
 */
async function sync(page) {
  await page.evaluate(() => {
    const announced = document.getElementById("sync-announcement");
    if (announced) announced.textContent = "";
  });
  await click(page, "Sync now");
  await until(
    page,
    (synced) =>
      document.getElementById("sync-announcement")?.textContent === synced,
    synced,
  );
}

/**
 * Has the page make a link for another device.
 *
 * @param {Page} page
 */
async function makeLink(page) {
  await click(page, "Pair another device…");
  await until(page, () => document.querySelector("#pair-picture svg"));
  return page.evaluate(
    () =>
      /** @type {HTMLInputElement} */ (document.getElementById("pair-link"))
        .value,
  );
}

/** @param {Page} page */
const asksToJoin = (page) =>
  until(page, () => document.querySelector("#join-dialog[open]"));

/**
 * Has the dialog show whose devices a code is from.
 *
 * @param {Page} page
 * @param {string} [code] what is typed in; without it, that of the link
 */
async function showDevices(page, code) {
  await page.evaluate((code) => {
    const field = document.getElementById("join-code");
    if (code) /** @type {HTMLInputElement} */ (field).value = code;
  }, code);
  await click(page, "Show its devices");
}

/**
 * Joins as the dialog asks for it.
 *
 * @param {Page} page
 * @param {string} [code] what is typed in; without it, that of the link
 */
async function join(page, code) {
  await showDevices(page, code);
  await until(page, () => document.activeElement?.id === "join-own");
  await page.evaluate(() => document.getElementById("join-own")?.click());
  await click(page, "Join these devices");
}

/**
 * Keeps what the policy forbids from now on, for violations.
 *
 * @param {Page} page
 */
const watchPolicy = (page) =>
  page.evaluate(() => {
    /** @type {any} */ (globalThis).violations = [];
    addEventListener("securitypolicyviolation", (event) =>
      /** @type {any} */ (globalThis).violations.push(event.violatedDirective),
    );
  });

/** @param {Page} page */
const violations = (page) =>
  page.evaluate(() => /** @type {any} */ (globalThis).violations);

inBrowser(
  "two devices share a session after one opens a link",
  async (visit) => {
    const url = await startServer(visit);
    const a = await visit.newPage(url);
    await ready(a);
    await watchPolicy(a);
    await submit(a, "batch-form", { batch: '{"a": 1}' });
    await says(a, synced);
    const link = await makeLink(a);
    assert.match(link, /#pair=[0-9A-Z]{4}(-[0-9A-Z]{4}){3}$/);
    assert.match(await text(a, "#pair-note"), /^Good for one device, until /);
    await click(a, "Close");

    const b = await visit.newDevice(url);
    await ready(b);
    await watchPolicy(b);
    await submit(b, "batch-form", { batch: '{"b": 2}' });
    await says(b, synced);
    await b.evaluate((link) => {
      location.href = link; // only its fragment differs
    }, link);
    await asksToJoin(b);
    await join(b);
    await shows(b, ["a", "1"], ["b", "2"]);
    await until(b, () => !document.querySelector("#join-dialog[open]"));
    assert.equal(
      await text(b, "#join-note"),
      "This device has joined the other.",
    );
    assert.match(
      await text(b, "#log > li"),
      /Another tab or device\s*set a to 1/,
    );

    // By themselves, once they are shown: some browsers hide one behind the other.
    const told = async (/** @type {Page} */ page) => {
      await page.show();
      await until(page, () =>
        document.getElementById("sync-live")?.textContent?.startsWith("Live:"),
      );
    };
    await told(a);
    await shows(a, ["a", "1"], ["b", "2"]);
    await told(b);
    await submit(b, "entry-form", { "entry-key": "c", "entry-value": "3" });
    await says(b, synced);
    await told(a);
    await shows(a, ["a", "1"], ["b", "2"], ["c", "3"]);
    await click(a, "Remove: b");
    await says(a, synced);
    await told(b);
    await shows(b, ["a", "1"], ["c", "3"]);
    assert.deepEqual(await violations(a), []);
    assert.deepEqual(await violations(b), []);
  },
);

inBrowser(
  "a link that comes while another is joined is asked about",
  async (visit) => {
    const url = await startServer(visit);
    const links = [];
    for (let i = 0; i < 2; i++) {
      const a = await visit.newDevice(url);
      await ready(a);
      links.push(await makeLink(a));
    }
    const b = await visit.newDevice(url);
    await ready(b);
    await b.evaluate(() => {
      const own = globalThis.fetch;
      /** @type {(value?: unknown) => void} */
      let release = () => {};
      const released = new Promise((resolve) => (release = resolve));
      Object.assign(globalThis, {
        release,
        fetch: async (/** @type {Parameters<typeof fetch>} */ ...args) => {
          const answer = await own(...args);
          if (
            String(args[0]).endsWith("/join") &&
            !String(args[1]?.body).includes("ask")
          ) {
            Object.assign(globalThis, { joined: true });
            await released;
          }
          return answer;
        },
      });
    });
    const follow = (/** @type {string} */ link) =>
      b.evaluate((link) => {
        location.href = link;
      }, link);
    await follow(links[0]);
    await asksToJoin(b);
    await join(b);
    await until(b, () => /** @type {any} */ (globalThis).joined);
    await follow(links[1]);
    const code = links[1].slice(links[1].indexOf("=") + 1);
    const field = () =>
      /** @type {HTMLInputElement} */ (document.getElementById("join-code"))
        .value;
    await until(
      b,
      (code) =>
        [...document.querySelectorAll("input")].some(
          ({ id, value }) => id === "join-code" && value === code,
        ),
      code,
    );
    await b.evaluate(() => /** @type {any} */ (globalThis).release());
    await until(
      b,
      () =>
        document.getElementById("join-note")?.textContent ===
        "This device has joined the other.",
    );
    assert.equal(await b.evaluate(field), code);
    await asksToJoin(b);
  },
);

inBrowser("nobody joins by a link alone", async (visit) => {
  const url = await startServer(visit);
  const a = await visit.newPage(url);
  await ready(a);
  await submit(a, "batch-form", { batch: '{"a": 1}' });
  await says(a, synced);
  const link = await makeLink(a);

  const b = await visit.newDevice(link);
  await asksToJoin(b);
  assert.deepEqual(
    await b.evaluate(() => [location.href, document.activeElement?.id]),
    [url, "join-cancel"],
  );
  // Nor by clicks, or by Enter, which clicks the same button: they may have been
  // meant for what was there before the dialog.
  await showDevices(b);
  await until(b, () => document.activeElement?.id === "join-own");
  await click(b, "Join these devices");
  await submit(b, "batch-form", { batch: '{"b": 2}' });
  await sync(b);
  await shows(b, ["b", "2"]);
  await click(b, "Cancel");
  await sync(b);
  await shows(b, ["b", "2"]);
  await b.reload();
  await ready(b);
  assert.equal(
    await b.evaluate(() => document.querySelector("dialog[open]")?.id),
    undefined,
  );
  await sync(a);
  await shows(a, ["a", "1"]);

  // It could have: the code is still good.
  const c = await visit.newDevice(link);
  await asksToJoin(c);
  await join(c);
  await shows(c, ["a", "1"]);
});

/**
 * The lines of a list of devices.
 *
 * @param {Page} page
 */
const devices = (page, list = "#device-list") =>
  page.evaluate(
    (list) =>
      [...document.querySelectorAll(`${list} > li`)].map(({ textContent }) =>
        textContent?.replace(/\d{4}-\d\d-\d\d \d\d:\d\d/, "TIME"),
      ),
    list,
  );

/**
 * Waits until the page says that of devices.
 *
 * @param {Page} page
 * @param {string} note
 */
const notes = (page, note) =>
  until(
    page,
    (note) => document.getElementById("devices-note")?.textContent === note,
    note,
  );

/**
 * Names a device, as its dialog asks for it.
 *
 * @param {Page} page
 * @param {string} former
 * @param {string} name
 */
async function rename(page, former, name) {
  await click(page, `Rename: ${former}`);
  await submit(page, "rename-form", { "device-name": name });
}

inBrowser(
  "devices are shown, told of a join, renamed and revoked",
  async (visit) => {
    const url = await startServer(visit);
    const a = await visit.newPage(url);
    await ready(a);
    await notes(
      a,
      "The server does not know this browser yet. It does once something is saved here.",
    );
    await watchPolicy(a);
    await submit(a, "batch-form", { batch: '{"a": 1}' });
    await says(a, synced);
    await notes(a, "Devices that join turn up here.");
    const agent = await text(a, "#device-list strong");
    assert.deepEqual(await devices(a), [
      `${agent} this onefirst seen TIME, here nowRename…Revoke…`,
    ]);

    const markup = "<b>Ada's</b> laptop";
    await rename(a, agent, "x".repeat(101));
    assert.match(await text(a, "#device-name-error"), /^This name has 101 /);
    await submit(a, "rename-form", { "device-name": " " });
    assert.equal(await text(a, "#device-name-error"), "A device needs a name.");
    await submit(a, "rename-form", { "device-name": markup });
    await notes(a, `The device is called ${markup} now.`);
    await until(
      a,
      (name) =>
        document.querySelector("#device-list strong")?.textContent === name,
      markup,
    );

    const link = await makeLink(a);
    const b = await visit.newDevice(url);
    await ready(b);
    await watchPolicy(b);
    await submit(b, "batch-form", { batch: '{"b": 2}' });
    await says(b, synced);
    const [, code] = link.split("=");
    await click(b, "Enter a code…");
    await showDevices(b, code);
    await until(b, () => document.activeElement?.id === "join-own");
    assert.deepEqual(await devices(b, "#join-devices"), [
      `${markup}, seen within the hour`,
    ]);
    // Another code would be another's.
    await b.evaluate(() => {
      document.getElementById("join-own")?.click();
      const field = document.getElementById("join-code");
      /** @type {HTMLInputElement} */ (field).value = "0000-0000-0000-0000";
    });
    await click(b, "Join these devices");
    await until(
      b,
      () => document.getElementById("join-code-error")?.textContent,
    );
    assert.deepEqual(await devices(b, "#join-devices"), []);
    await join(b, code);
    await shows(b, ["a", "1"], ["b", "2"]);
    await until(b, () => document.querySelectorAll("#device-list > li")[1]);
    assert.deepEqual(await devices(b), [
      `${markup}first seen TIME, seen within the hourRename…Revoke…`,
      `${agent} this onefirst seen TIME, here nowRename…Revoke…`,
    ]);

    await a.show(); // nobody is told in a page that nobody sees
    await click(a, "Close");
    await sync(a);
    await notes(a, `${agent} has joined.`);
    assert.deepEqual(await devices(a), [
      `${markup} this onefirst seen TIME, here nowRename…Revoke…`,
      `${agent} newfirst seen TIME, seen within the hourRename…Revoke…`,
    ]);

    await click(a, `Revoke: ${agent}`);
    assert.match(await text(a, "#revoke-text"), /will have no access any more/);
    await click(a, "Cancel");
    await sync(a);
    assert.equal((await devices(a)).length, 2);
    await a.evaluate(() => {
      const [, last] = document.querySelectorAll('[data-action="revoke"]');
      /** @type {HTMLElement} */ (last).focus(); // as a press does
    });
    await click(a, `Revoke: ${agent}`);
    await click(a, "Revoke");
    await until(a, () => !document.querySelectorAll("#device-list > li")[1]);
    assert.equal(
      await text(a, "#devices-note"),
      `${agent} has no access any more.`,
    );
    assert.equal(
      await a.evaluate(() => document.activeElement?.id),
      "device-list",
    );

    await b.show();
    await sync(b);
    await shows(b);
    await notes(
      b,
      "The server does not know this browser yet. It does once something is saved here.",
    );
    assert.deepEqual(await devices(b), []);
    await shows(a, ["a", "1"], ["b", "2"]);

    await click(a, `Revoke: ${markup}`);
    assert.match(await text(a, "#revoke-text"), /the only device/);
    await click(a, "Revoke");
    await shows(a);
    assert.deepEqual(await violations(a), []);
    assert.deepEqual(await violations(b), []);
  },
);

inBrowser("a code that is used or wrong is refused in words", async (visit) => {
  const url = await startServer(visit);
  const a = await visit.newPage(url);
  await ready(a);
  await submit(a, "batch-form", { batch: '{"a": 1}' });
  const link = await makeLink(a);
  const code = await text(a, "#pair-code");

  const b = await visit.newDevice(url);
  await ready(b);
  await click(b, "Enter a code…");
  await showDevices(b, "0000-0000-0000-0000");
  await until(b, () => document.getElementById("join-code-error")?.textContent);
  assert.match(await text(b, "#join-code-error"), /^This code is not good/);
  await join(b, code.toLowerCase());
  await shows(b, ["a", "1"]);

  const c = await visit.newDevice(link);
  await asksToJoin(c);
  await showDevices(c);
  await until(c, () => document.getElementById("join-code-error")?.textContent);
  assert.match(await text(c, "#join-code-error"), /^This code is not good/);
  await shows(c);
});

inBrowser("a code that has expired is shown no longer", async (visit) => {
  const [page] = await inspect(visit);
  await page.evaluate(() => {
    const { fetch } = globalThis;
    globalThis.fetch = async (...request) => {
      const response = await fetch(...request);
      if (!response.url.endsWith("/pair")) return response;
      const pairing = await response.json();
      return Response.json({ ...pairing, expiresIn: 0 });
    };
  });
  await click(page, "Pair another device…");
  await until(page, () =>
    document
      .getElementById("pair-note")
      ?.textContent?.startsWith("The code is no longer good"),
  );
  assert.deepEqual(
    await page.evaluate(() => [
      document.getElementById("pair-code")?.textContent,
      document.getElementById("pair-picture")?.childElementCount,
    ]),
    ["", 0],
  );
});

inBrowser("the QR code is that of the link", async (visit) => {
  const [page] = await inspect(visit);
  const link = await makeLink(page);
  const picture = await page.evaluate(async () => {
    const svg = document.querySelector("#pair-picture svg");
    if (!svg) throw new Error("there is no picture");
    const image = new Image(400, 400);
    const copy = /** @type {Element} */ (svg.cloneNode(true));
    copy.setAttribute("width", "400");
    copy.setAttribute("height", "400");
    image.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 400;
    const context = canvas.getContext("2d");
    context?.drawImage(image, 0, 0, 400, 400);
    return {
      name: svg.getAttribute("aria-label"),
      data: [...(context?.getImageData(0, 0, 400, 400).data ?? [])],
    };
  });
  assert.equal(picture.name, "QR code of the link");
  assert.equal(
    decodeQRCode({
      width: 400,
      height: 400,
      data: Uint8Array.from(picture.data),
    }),
    link,
  );
});

inBrowser(
  "what is saved without a network is sent when it is back",
  async (visit) => {
    const origin = await startServer(visit);
    const network = visit.site.forward("/", origin);
    const page = await visit.newPage();
    await ready(page);
    await says(page, synced);
    network.passes = "nothing";
    await submit(page, "batch-form", { batch: '{"a": 1, "b": 2}' });
    await says(page, "Saved here; 2 entries wait for the network.");
    assert.equal(
      await text(page, "#sync-announcement"),
      "Saved here; 2 entries wait for the network.",
    );
    network.passes = "both";
    await sync(page);
    await says(page, synced);
  },
);

inBrowser("what the server refuses is said", async (visit) => {
  const [page] = await inspect(visit);
  await submit(page, "entry-form", {
    "entry-key": "k".repeat(16_385),
    "entry-value": "1",
  });
  await says(page, "Saved here; 1 entry waits. sync: ");
  assert.match(await text(page, "#sync-text"), /16,?384/);
  assert.equal(await text(page, "#entry-count"), "1");
});

inBrowser(
  "a server of files serves the page, and keeps no copies",
  async (visit) => {
    visit.site.serve(
      "/inspector/",
      path.join(repository, "web", "dist"),
      "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; connect-src 'self'",
    );
    const page = await visit.newPage(
      visit.site.url("/inspector/index.html#pair=0000-0000-0000-0000"),
    );
    await asksToJoin(page);
    await showDevices(page);
    await until(
      page,
      () => document.getElementById("join-code-error")?.textContent,
    );
    assert.match(await text(page, "#join-code-error"), /keeps no copies/);
    await click(page, "Cancel");
    await says(page, "This server keeps no copies.");
    assert.ok(
      await page.evaluate(() => document.querySelector("#devices[hidden]")),
    );
    await submit(page, "entry-form", { "entry-key": "a", "entry-value": "1" });
    await shows(page, ["a", "1"]);
    await page.reload();
    await shows(page, ["a", "1"]);
  },
);
