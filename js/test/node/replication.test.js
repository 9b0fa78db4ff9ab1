// Random schedules: devices with two tabs each, on the package as it is built and
// the native server. SEED repeats one, SCHEDULES makes so many.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { generator } from "../../harness/in-page/random.js";
import { dist } from "../../harness/server.js";
import { startNative } from "../../harness/sessions-server.js";
import { long } from "../long.js";

/** @typedef {import("../../src/index.js").Session} Session */
/** @typedef {import("../../src/index.js").Sync} Sync */

/** How long schedules are made when nobody says how many, in milliseconds. */
const duration = long ? 10_000 : 2_000;

const hour = 3_600_000;
const users = ["ada", "ben"];

const any = /** @type {any} */ (globalThis);
const time = Date.now.bind(Date);

/** A device's localStorage. Other tabs hear of changes when it says so. */
class Area {
  /** @type {Map<string, string>} */
  items = new Map();
  /** @type {(string | null)[]} */
  unheard = [];

  get length() {
    return this.items.size;
  }
  key(/** @type {number} */ i) {
    return [...this.items.keys()][i] ?? null;
  }
  getItem(/** @type {string} */ key) {
    return this.items.get(key) ?? null;
  }
  setItem(/** @type {string} */ key, /** @type {string} */ text) {
    this.items.set(key, text);
    this.#changed(key);
  }
  removeItem(/** @type {string} */ key) {
    if (this.items.delete(key)) this.#changed(key);
  }
  clear() {
    this.items.clear();
    this.#changed(null);
  }

  #changed(/** @type {string | null} */ key) {
    this.unheard.push(key);
    // Whose session it is, every tab hears at once: this is no test of those
    // that do not.
    if (key === null || key.startsWith("/")) this.tell();
  }

  tell() {
    for (const key of this.unheard.splice(0)) {
      for (const hear of listeners) hear({ storageArea: this, key });
    }
  }
}

/** @type {Set<(event: object) => void>} */
const listeners = new Set();

class Device {
  area = new Area();
  cookie = "";
  ahead = 0;
  /** @type {"everything" | "requests" | "nothing"} */
  passes = "everything";
  /** @type {Tab[]} */
  tabs = [];

  fetch = async (/** @type {any} */ url, /** @type {any} */ init) => {
    if (this.passes === "nothing") throw new TypeError("offline");
    const { cookie } = this;
    const response = await fetch(url, {
      ...init,
      headers: { ...init.headers, ...(cookie && { cookie }) },
    });
    const [made] = response.headers.getSetCookie();
    const owner = response.headers.get("Session-Owner") ?? "";
    if (made) {
      this.cookie = made.replace(/;.*/, "");
      cookies.set(owner, this.cookie);
    }
    if (this.passes === "requests") throw new TypeError("the line is broken");
    const heir = heirs.get(new URL(url).searchParams.get("owner") ?? "");
    if (!heir || !owner || response.status !== 412) return response;
    const headers = new Headers(response.headers);
    headers.set("Session-Heir", heir);
    return new Response(response.body, { status: response.status, headers });
  };
}

/**
 * Has a visitor turn out to be a user: what the server has of the one becomes the other's,
 * too. Reports whether it takes that.
 *
 * @param {string} name the session's
 * @param {{ cookie: string, tag: string }} visitor
 * @param {{ cookie: string, tag: string }} user
 */
async function adopt(name, visitor, user) {
  const exchange = (
    /** @type {{ cookie: string, tag: string }} */ { cookie, tag },
    body = "",
  ) =>
    fetch(`${server.origin}/sessions/exchange?session=${name}&owner=${tag}`, {
      ...{ method: "POST", body },
      headers: { cookie, ...(body && { "Content-Type": "application/json" }) },
    });
  const text = await (await exchange(visitor)).text();
  // Like a page that joins: what he removed is not removed for the user.
  const batches = (text ? JSON.parse(text).batches : [])
    .filter((/** @type {any} */ { set }) => set)
    .map((/** @type {any} */ { stamp, set }) => ({ stamp, set }));
  if (batches.length > 0) {
    const items = JSON.stringify([{ format: 1, batches }]);
    if (!(await exchange(user, items)).ok) return false;
  }
  heirs.set(visitor.tag, user.tag);
  return true;
}

class Tab {
  device;
  /** @type {typeof import("../../src/index.js")["open"]} */
  #open;
  /** @type {Session} */
  session = any.undefined;
  /** @type {Sync} */
  sync = any.undefined;

  constructor(/** @type {Device} */ device, /** @type {any} */ open) {
    this.device = device;
    this.#open = open;
  }

  async open(/** @type {string} */ name) {
    this.session?.close();
    any.localStorage = this.device.area;
    this.session = await this.#open(name);
    this.session.subscribe(() => {});
    this.sync = await this.session.sync(`${server.origin}/sessions/`, {
      ...{ fetch: this.device.fetch, delay: 1e6, interval: Infinity },
    });
    await this.sync.now().catch(() => {});
  }

  /** Whose session it shows, if that is known. */
  owner() {
    const ledger = this.device.area.getItem(`/${this.session.name}`);
    return ledger?.split(" ")[0] ?? "";
  }
}

/** @type {import("../../harness/sessions-server.js").SessionsServer} */
let server;
/** @type {Device[]} */
const devices = [];
/** @type {Map<string, { cookie: string, tag: string }>} */
const known = new Map();
/** The tags of the users that visitors turned out to be. @type {Map<string, string>} */
const heirs = new Map();
/** The cookies that browsers were given, by the tags of their owners. @type {Map<string, string>} */
const cookies = new Map();

before(async () => {
  server = await startNative();
  any.window = globalThis;
  any.addEventListener = (/** @type {string} */ type, /** @type {any} */ f) => {
    if (type === "storage") listeners.add(f);
  };
  any.removeEventListener = (/** @type {string} */ _, /** @type {any} */ f) =>
    listeners.delete(f);
  // The last is the one on which it is seen what an owner has.
  for (let i = 0; i < 4; i++) {
    const device = new Device();
    for (let n = 0; n < 2; n++) {
      const index = pathToFileURL(join(dist, "index.js")).href;
      any.localStorage = device.area;
      const { open } = await import(`${index}?page=${i}.${n}`);
      device.tabs.push(new Tab(device, open));
    }
    devices.push(device);
  }
});

after(async () => {
  for (const { tabs } of devices) {
    for (const { session } of tabs) session?.close();
  }
  await server?.close();
});

/** Makes the users anew: an owner has a hundred sessions at most. */
async function makeUsers() {
  for (const user of users) {
    const response = await fetch(
      `${server.origin}/sessions/exchange?session=first`,
      {
        ...{ method: "POST", body: "[]" },
        headers: { "Content-Type": "application/json" },
      },
    );
    const [cookie] = response.headers.getSetCookie();
    known.set(user, {
      cookie: cookie.replace(/;.*/, ""),
      tag: String(response.headers.get("Session-Owner")),
    });
  }
}

/**
 * Makes a schedule, and checks what came of it.
 *
 * @param {number} seed
 */
async function schedule(seed) {
  const random = generator(seed);
  const below = (/** @type {number} */ n) => Math.floor(random() * n);
  const one = (/** @type {any[]} */ list) => list[below(list.length)];
  const name = `s${seed}`;
  const there = devices.slice(0, 2 + below(2));
  /** @type {string[]} */
  const log = [];
  /** The keys that an owner's server has, by his tag. @type {Map<string, Set<string>>} */
  const acknowledged = new Map();
  /** The keys that somebody removed. @type {Set<string>} */
  const gone = new Set();
  /** Whether something is cleared: what was saved at the same time may be, too. */
  const clears = random() < 0.3;
  let count = 0;

  const visit = async (/** @type {Device} */ device) => {
    at(device);
    for (const tab of device.tabs) await tab.open(name);
  };
  const at = (/** @type {Device} */ { ahead }) => {
    Date.now = () => time() + ahead;
  };
  const labelOf = (/** @type {Tab} */ tab) =>
    users.find((user) => known.get(user)?.tag === tab.owner()) ?? "guest";
  const exchange = async (/** @type {Tab} */ tab) => {
    const before = Object.keys(tab.session.load());
    const owner = tab.owner();
    const error = await tab.sync.now().then(
      () => undefined,
      (error) => error,
    );
    log.push(error ? `  ${error.message}` : "  done");
    if (error || owner === "") return;
    if ([owner, heirs.get(owner)].includes(tab.owner())) {
      acknowledge(tab.owner(), before);
    }
  };
  const acknowledge = (
    /** @type {string} */ owner,
    /** @type {Iterable<string>} */ keys,
  ) => {
    const has = acknowledged.get(owner) ?? new Set();
    acknowledged.set(owner, has);
    for (const key of keys) has.add(key);
  };

  await makeUsers();
  for (const device of there) {
    Object.assign(device, { cookie: "", ahead: 0, passes: "everything" });
    device.area.clear();
    if (random() < 0.5) {
      device.cookie = known.get(one(users))?.cookie ?? "";
    }
    await visit(device);
  }

  for (let steps = 15 + below(25); steps > 0; steps--) {
    const device = one(there);
    const tab = one(device.tabs);
    at(device);
    const who = `${there.indexOf(device)}.${device.tabs.indexOf(tab)}`;
    const step = below(100);
    if (step < 35) {
      const key = `${labelOf(tab)} ${++count}`;
      log.push(`${who} saves ${key}`);
      tab.session.save({ [key]: count, shared: count });
    } else if (step < 43) {
      const key = one(Object.keys(tab.session.load()));
      if (key && key !== "shared") {
        log.push(`${who} removes ${key}`);
        gone.add(key);
        tab.session.remove(key);
      }
    } else if (step < 46) {
      if (!clears) continue;
      log.push(`${who} clears`);
      tab.session.clear();
    } else if (step < 70) {
      log.push(`${who} exchanges`);
      await exchange(tab);
    } else if (step < 76) {
      log.push(`both tabs of ${who} exchange`);
      await Promise.all(device.tabs.map(exchange));
    } else if (step < 82) {
      device.passes = one(["everything", "requests", "nothing"]);
      log.push(`${who}: ${device.passes} passes`);
    } else if (step < 85) {
      log.push(`the storage of ${who} is cleared`);
      device.area.clear();
    } else if (step < 89) {
      device.ahead = one([0, 0, hour, 30 * 24 * hour, 365 * 24 * hour]);
      log.push(`the clock of ${who} is ahead by ${device.ahead / hour} h`);
    } else if (step < 94) {
      const user = one(users);
      log.push(`${user} signs in at ${who}`);
      const { cookie = "", tag = "" } = known.get(user) ?? {};
      const visitor = { cookie: device.cookie, tag: tab.owner() };
      if (
        labelOf(tab) === "guest" &&
        cookies.get(visitor.tag) === visitor.cookie &&
        random() < 0.7 &&
        (await adopt(name, visitor, { cookie, tag }))
      ) {
        log.push("  who was the visitor there");
        acknowledge(tag, acknowledged.get(visitor.tag) ?? []);
      }
      device.cookie = cookie;
    } else if (step < 97) {
      log.push(`${who} is opened again`);
      await visit(device);
    } else {
      log.push(`${who} hears`);
      device.area.tell();
    }
  }

  const fail = (/** @type {string} */ what) =>
    assert.fail(`SEED=${seed}: ${what}\n${log.join("\n")}`);
  for (const device of there) {
    Object.assign(device, { ahead: 0, passes: "everything" });
    device.area.tell();
  }
  for (const user of users) {
    const { cookie = "", tag = "" } = known.get(user) ?? {};
    // He signs in everywhere, so that everything that is kept for him is sent.
    const all = [...there, devices[devices.length - 1]];
    all[all.length - 1].area.clear();
    for (const device of all) {
      device.cookie = cookie;
      await visit(device);
    }
    for (let round = 0; round < 3; round++) {
      for (const device of all) {
        at(device);
        for (const { sync } of device.tabs) {
          await sync.now().catch(({ message }) => fail(message));
          device.area.tell();
        }
      }
    }
    const want = JSON.stringify(sorted(all[all.length - 1].tabs[0].session));
    for (const { tabs } of all) {
      for (const { session, sync } of tabs) {
        const has = JSON.stringify(sorted(session));
        if (has !== want) fail(`${user} has ${has} and ${want}`);
        const { status, unsent } = sync.state;
        if (status !== "idle" || unsent > 0) {
          fail(`${user} is ${status}, and ${unsent} are unsent`);
        }
        if (session.stats().corrupt > 0) fail("there is a damaged item");
      }
    }
    const keys = Object.keys(JSON.parse(want));
    for (const key of keys) {
      const [label] = key.split(" ");
      if (users.includes(label) && label !== user) fail(`${user} has ${key}`);
    }
    for (const key of (!clears && acknowledged.get(tag)) || []) {
      if (key !== "shared" && !gone.has(key) && !keys.includes(key)) {
        fail(`${user} has lost ${key}`);
      }
    }
  }
}

/** @param {Session} session */
function sorted(session) {
  return Object.fromEntries(Object.entries(session.load()).sort());
}

test("devices and their server agree, and nothing is lost", async (t) => {
  const { SEED, SCHEDULES } = process.env;
  const real = Date.now;
  t.after(() => {
    Date.now = real;
  });
  if (SEED) {
    await schedule(Number(SEED));
    return;
  }
  const first = Math.floor(Math.random() * 1e9);
  const end = time() + duration;
  let n = 0;
  while (SCHEDULES ? n < Number(SCHEDULES) : time() < end) {
    await schedule(first + n++);
  }
  t.diagnostic(`${n} schedules, from SEED=${first}`);
});
