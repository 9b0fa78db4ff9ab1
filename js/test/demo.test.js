// The demonstration with which the page that make run serves begins: one form in two
// tabs, which are frames of the page or tabs of the browser.
import assert from "node:assert/strict";
import { inBrowser } from "./in-browser.js";
import { click, startServer, until } from "./served-page.js";

/** @typedef {import("../harness/browser.js").Page} Page */
/** @typedef {import("./in-browser.js").Visit} Visit */

/**
 * A tab of the demonstration: a page, or the frame of that title in it.
 *
 * @typedef {{ page: Page, frame?: string }} Tab
 */

/**
 * Calls a function with the document of a tab.
 *
 * @template {unknown[]} A
 * @template R
 * @param {Tab} tab
 * @param {(document: Document, ...args: A) => R} f
 * @param {A} args
 * @returns {Promise<R>}
 */
const inTab = ({ page, frame }, f, ...args) =>
  page.evaluate(
    (frame, f, args) => {
      const element = /** @type {HTMLIFrameElement | null} */ (
        frame && document.querySelector(`iframe[title="${frame}"]`)
      );
      return f(element?.contentDocument ?? document, ...args);
    },
    frame ?? "",
    f,
    args,
  );

/**
 * Waits until a condition holds in a tab.
 *
 * @template {unknown[]} A
 * @param {Tab} tab
 * @param {(document: Document, ...args: A) => unknown} condition
 * @param {A} args
 */
const untilInTab = ({ page, frame }, condition, ...args) =>
  until(
    page,
    (frame, condition, args) => {
      const element = /** @type {HTMLIFrameElement | null} */ (
        frame && document.querySelector(`iframe[title="${frame}"]`)
      );
      return condition(element?.contentDocument ?? document, ...args);
    },
    frame ?? "",
    condition,
    args,
  );

/**
 * Waits until the forms of a tab can be used, and has it keep its errors from then on.
 *
 * @param {Tab} tab
 */
async function ready(tab) {
  await untilInTab(tab, (document) =>
    document.getElementById("forms")?.checkVisibility(),
  );
  await keepErrors(tab);
}

/** @param {Tab} tab */
async function keepErrors(tab) {
  await inTab(tab, ({ defaultView: window }) => {
    /** @type {string[]} */
    const errors = [];
    Object.assign(/** @type {Window} */ (window), { errors });
    window?.addEventListener("error", ({ message }) => errors.push(message));
    window?.addEventListener("unhandledrejection", ({ reason }) =>
      errors.push(String(reason)),
    );
    window?.addEventListener("securitypolicyviolation", (event) =>
      errors.push(event.violatedDirective),
    );
    /** @type {any} */ (window).console.error = (/** @type {any} */ ...args) =>
      errors.push(args.join(" "));
  });
}

/** @param {Tab[]} tabs */
async function assertNoErrors(...tabs) {
  for (const tab of tabs) {
    const errors = await inTab(
      tab,
      (document) => /** @type {any} */ (document.defaultView).errors,
    );
    assert.deepEqual(errors, []);
  }
}

/**
 * Opens the page, whose two frames are tabs.
 *
 * @param {Visit} visit
 * @returns {Promise<[a: Tab, b: Tab]>}
 */
async function openFrames(visit) {
  const page = await visit.newPage(await startServer(visit));
  /** @type {[a: Tab, b: Tab]} */
  const tabs = [
    { page, frame: "Tab A" },
    { page, frame: "Tab B" },
  ];
  await keepErrors({ page });
  for (const tab of tabs) await ready(tab);
  return tabs;
}

/**
 * Opens the two tabs that the page opens: in its own place, and one more.
 *
 * @param {Visit} visit
 * @returns {Promise<[a: Tab, b: Tab]>}
 */
async function openTabs(visit) {
  const page = await visit.newPage(await startServer(visit));
  await until(page, () =>
    document.getElementById("inspector")?.checkVisibility(),
  );
  const urls = await page.evaluate(() => {
    /** @type {string[]} */
    const urls = [];
    // No driver here tells of a tab that a page opens.
    window.open = (url) => {
      urls.push(new URL(String(url), document.baseURI).href);
      return null;
    };
    addEventListener("click", (event) => {
      urls.unshift(/** @type {HTMLAnchorElement} */ (event.target).href);
      event.preventDefault();
    });
    document.getElementById("demo-tabs")?.click();
    return urls;
  });
  assert.deepEqual(
    urls.map((url) => url.split("/").pop()),
    ["demo.html#A", "demo.html#B"],
  );
  await page.goto(urls[0]);
  const [a, b] = [{ page }, { page: await visit.newPage(urls[1]) }];
  await ready(a);
  await ready(b);
  return [a, b];
}

/**
 * Types into a field, in place of what was there.
 *
 * @param {Tab} tab
 * @param {string} id
 * @param {string} value
 */
const type = (tab, id, value) =>
  inTab(
    tab,
    (document, id, value) => {
      const input = /** @type {HTMLInputElement} */ (
        document.getElementById(id)
      );
      for (let length = 1; length <= (value.length || 1); length++) {
        input.value = value.slice(0, length);
        input.dispatchEvent(new Event("input", { bubbles: true }));
      }
    },
    id,
    value,
  );

/**
 * Waits until a form of a tab shows exactly this.
 *
 * @param {Tab} tab
 * @param {"json" | "writer"} form
 * @param {{ name: string, city: string, stored: string, verdict: string }} wanted
 */
const shows = (tab, form, wanted) =>
  untilInTab(
    tab,
    (document, form, wanted) => {
      const input = (/** @type {string} */ field) =>
        /** @type {HTMLInputElement} */ (
          document.getElementById(`${form}-${field}`)
        ).value;
      const text = (/** @type {string} */ part) =>
        document.getElementById(`${form}-${part}`)?.textContent;
      return (
        JSON.stringify([input("name"), input("city")]) ===
          JSON.stringify([wanted.name, wanted.city]) &&
        text("stored") === wanted.stored &&
        text("verdict") === wanted.verdict
      );
    },
    form,
    wanted,
  );

const empty = {
  name: "",
  city: "",
  stored: "nothing",
  verdict: "Nothing was typed yet.",
};

const both = {
  name: "Ada",
  city: "Paris",
  stored: '{"name":"Ada","city":"Paris"}',
  verdict: "Nothing is lost.",
};

for (const [where, open] of /** @type {const} */ ([
  ["frames", openFrames],
  ["tabs", openTabs],
])) {
  inBrowser(
    `of what is typed in two ${where}, one JSON text loses some and session-writer nothing`,
    async (visit) => {
      const [a, b] = await open(visit);
      for (const tab of [a, b]) {
        await shows(tab, "json", empty);
        await shows(tab, "writer", empty);
      }
      for (const form of ["json", "writer"]) {
        await type(a, `${form}-name`, "Ada");
        await type(b, `${form}-city`, "Paris");
      }
      const lost = {
        stored: '{"name":"","city":"Paris"}',
        verdict: "Lost: the name “Ada” from Tab A.",
      };
      await shows(a, "json", { name: "Ada", city: "", ...lost });
      await shows(b, "json", { name: "", city: "Paris", ...lost });
      await shows(a, "writer", both);
      await shows(b, "writer", both);

      // The other way round.
      await type(a, "json-name", "Eva");
      await type(a, "writer-name", "Eva");
      const lostToo = {
        stored: '{"name":"Eva","city":""}',
        verdict: "Lost: the city “Paris” from Tab B.",
      };
      await shows(a, "json", { name: "Eva", city: "", ...lostToo });
      await shows(b, "json", { name: "", city: "Paris", ...lostToo });
      for (const tab of [a, b]) {
        await shows(tab, "writer", {
          ...{ ...both, name: "Eva" },
          stored: '{"name":"Eva","city":"Paris"}',
        });
      }
      await assertNoErrors(a, b);
    },
  );

  inBrowser(`${where} are emptied together`, async (visit) => {
    const [a, b] = await open(visit);
    for (const form of ["json", "writer"]) {
      await type(a, `${form}-name`, "Ada");
      await type(b, `${form}-city`, "Paris");
    }
    await click(a.page, "Start again");
    for (const tab of [a, b]) {
      await shows(tab, "json", empty);
      await shows(tab, "writer", empty);
    }
    // Neither tab has kept what it had.
    await type(b, "json-name", "Eva");
    await shows(b, "json", {
      name: "Eva",
      city: "",
      stored: '{"name":"Eva","city":""}',
      verdict: "Nothing is lost.",
    });
    await assertNoErrors(a, b);
  });
}

inBrowser("a tab begins with what is stored", async (visit) => {
  const [a, b] = await openTabs(visit);
  await type(a, "json-name", "Ada");
  await type(a, "writer-name", "Ada");
  await b.page.reload();
  await ready(b);
  await type(b, "json-city", "Paris");
  await type(b, "writer-city", "Paris");
  await shows(b, "json", both);
  await shows(b, "writer", both);

  await type(b, "json-name", "");
  await type(a, "json-city", "Rome");
  await shows(b, "json", {
    name: "",
    city: "Paris",
    stored: '{"name":"Ada","city":"Rome"}',
    verdict: "Lost: that the name was emptied in Tab B.",
  });
  await assertNoErrors(a, b);
});

inBrowser("what another tab saves moves no caret", async (visit) => {
  const [a, b] = await openFrames(visit);
  await type(a, "writer-name", "Ada");
  await shows(b, "writer", {
    name: "Ada",
    city: "",
    stored: '{"name":"Ada"}',
    verdict: "Nothing is lost.",
  });
  const caret = () =>
    inTab(b, (document) => {
      const input = /** @type {HTMLInputElement} */ (
        document.getElementById("writer-name")
      );
      return [input.value, input.selectionStart];
    });
  await inTab(b, (document) => {
    const input = /** @type {HTMLInputElement} */ (
      document.getElementById("writer-name")
    );
    input.focus();
    input.setSelectionRange(1, 1);
    // Behind other windows it would not have the focus, though nobody else has.
    document.hasFocus = () => true;
  });
  await type(a, "writer-name", "Eva");
  await untilInTab(
    b,
    (document) =>
      document.getElementById("writer-stored")?.textContent ===
      '{"name":"Eva"}',
  );
  assert.deepEqual(await caret(), ["Ada", 1]);
  await inTab(b, (document) =>
    /** @type {HTMLElement} */ (document.activeElement).blur(),
  );
  await shows(b, "writer", {
    name: "Eva",
    city: "",
    stored: '{"name":"Eva"}',
    verdict: "Nothing is lost.",
  });
  await assertNoErrors(a, b);
});

inBrowser("all of it is reached and used by keyboard", async (visit) => {
  const [a, b] = await openFrames(visit);
  const { page } = a;
  const focused = () =>
    page.evaluate(() => {
      /** @type {Element | null | undefined} */
      let element = document.activeElement;
      const path = [];
      // Not instanceof, which WebKit's driver takes of another world.
      while (element?.tagName === "IFRAME") {
        const frame = /** @type {HTMLIFrameElement} */ (element);
        path.push(frame.title);
        element = frame.contentDocument?.activeElement;
      }
      return [...path, element?.id || element?.textContent?.trim()].join(": ");
    });
  /** @param {string} wanted */
  const tabTo = async (wanted) => {
    // Some browsers stop at the frame itself before they go into it.
    for (let stops = 0; stops < 2; stops++) {
      await page.press("Tab");
      const now = await focused();
      if (now === wanted) return;
      assert.match(now, /^Tab [AB]: /);
    }
    assert.equal(await focused(), wanted);
  };
  const inputs = ["json-name", "json-city", "writer-name", "writer-city"];
  for (const { frame } of [a, b]) {
    for (const id of inputs) {
      await tabTo(`${frame}: ${id}`);
      if (id === (frame === "Tab A" ? "writer-name" : "writer-city")) {
        for (const key of frame === "Tab A" ? "Ada" : "Paris") {
          await page.press(key);
        }
      }
    }
  }
  await shows(a, "writer", both);
  await shows(b, "writer", both);
  await tabTo("demo-again");
  await page.press("Enter");
  await shows(a, "writer", empty);
  await tabTo("demo-tabs");
  await assertNoErrors({ page }, a, b);
});

inBrowser("who types hears what is lost", async (visit) => {
  const [a, b] = await openTabs(visit);
  /** @param {Tab} tab @param {boolean} focus */
  const setFocus = (tab, focus) =>
    inTab(
      tab,
      (document, focus) => {
        document.hasFocus = () => focus;
      },
      focus,
    );
  await setFocus(a, true);
  await setFocus(b, false);
  await type(a, "json-name", "Ada");
  const heard = (/** @type {Tab} */ tab) =>
    inTab(
      tab,
      (document) => document.getElementById("demo-announcement")?.textContent,
    );
  assert.equal(await heard(a), "One JSON text: Nothing is lost.");
  assert.equal(await heard(b), "");
  await shows(b, "json", {
    name: "",
    city: "",
    stored: '{"name":"Ada","city":""}',
    verdict: "Nothing is lost.",
  });
  await setFocus(a, false);
  await setFocus(b, true);
  await type(b, "json-city", "Paris");
  const lost = "One JSON text: Lost: the name “Ada” from Tab A.";
  assert.equal(await heard(b), lost);
  await shows(a, "json", {
    name: "Ada",
    city: "",
    stored: '{"name":"","city":"Paris"}',
    verdict: "Lost: the name “Ada” from Tab A.",
  });
  assert.notEqual(await heard(a), lost);
});

inBrowser(
  "what cannot be saved is said, and that it is lost",
  async (visit) => {
    const [a] = await openTabs(visit);
    await inTab(a, ({ defaultView: window }) => {
      const { Storage } = /** @type {any} */ (window);
      const { setItem } = Storage.prototype;
      Storage.prototype.setItem = function (
        /** @type {string} */ key,
        /** @type {string} */ value,
      ) {
        if (!key.startsWith("profile-typed-")) {
          throw new DOMException("full", "QuotaExceededError");
        }
        setItem.call(this, key, value);
      };
    });
    for (const [form, says] of /** @type {const} */ ([
      ["json", /^full$/],
      ["writer", /^quota: .*full/],
    ])) {
      await type(a, `${form}-name`, "A");
      await untilInTab(
        a,
        (document, form) =>
          document.getElementById(`${form}-verdict`)?.textContent ===
          "Lost: the name “A” from Tab A.",
        form,
      );
      const failure = await inTab(
        a,
        (document) => document.getElementById("failure")?.textContent,
      );
      assert.match(failure ?? "", says);
    }
  },
);
