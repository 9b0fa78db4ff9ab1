import { byId, create, formatKey, formatTime, showError } from "./dom.js";
import { codeOf, messageOf, reasonOf, withCode } from "./error.js";
import { readLedger } from "./session-writer/item.js";

/** @typedef {import("./session-writer/index.js").Device} Device */
/** @typedef {import("./session-writer/index.js").Session} Session */
/** @typedef {import("./session-writer/index.js").Sync} Sync */

/**
 * @typedef {object} Row
 * @property {Device} device
 * @property {HTMLElement} element
 * @property {boolean} fresh whether it has joined since this page is open
 */

/** How exactly the server notes when a device was last here, in milliseconds. */
const HOUR = 3_600_000;

/** The largest size of a device's name, in bytes of UTF-8. */
const NAME_LIMIT = 100;

/**
 * Shows the devices that share the session, and lets the user rename and revoke them.
 *
 * @param {Sync} sync
 * @param {Session} session
 * @param {Storage} area where the session is stored
 */
export function setUpDevices(sync, session, area) {
  const list = new DeviceList(sync, () => {
    const ledger = readLedger(area.getItem(`/${session.name}`) ?? "");
    return ledger?.owner ?? "";
  });
  /** Whether there was an exchange since the list was compared with it. */
  let exchanged = false;
  sync.subscribe(({ status, newDevices }) => {
    exchanged ||= status === "syncing";
    if (exchanged && status === "idle" && !document.hidden) {
      exchanged = false;
      list.follow(newDevices === true);
    }
  });
  // Another tab may be told of a new device, and then this one's server has no news.
  // When a page is shown, it exchanges.
  document.addEventListener("visibilitychange", () => list.outdate());
}

/**
 * Returns lines that tell of devices.
 *
 * @param {Device[]} devices
 */
export function describeDevices(devices) {
  return devices.map(({ name, last }) =>
    create(
      "li",
      {},
      create("strong", {}, nameOf(name)),
      ", ",
      ...wordsOf("last", last),
    ),
  );
}

/** The list of devices. It keeps a row for each, so that the focus stays where it is. */
class DeviceList {
  #sync;
  #ownerOf;
  /** The tag of the owner whose devices are shown. */
  #owner = "";
  /** Whether to ask for the devices, even if the server has no news of them. */
  #outdated = true;
  #asking = false;
  /** @type {Map<string, Row>} */
  #rows = new Map();

  #section = byId("devices", HTMLElement);
  #count = byId("device-count", HTMLElement);
  #list = byId("device-list", HTMLElement);
  #note = byId("devices-note", HTMLElement);
  #failure = byId("devices-error", HTMLElement);

  /**
   * @param {Sync} sync
   * @param {() => string} ownerOf returns the tag of the session's owner, or nothing
   */
  constructor(sync, ownerOf) {
    this.#sync = sync;
    this.#ownerOf = ownerOf;
    const rename = setUpRename(async ({ id }, name) => {
      await sync.rename(id, name);
      this.#failure.textContent = "";
      this.#note.textContent = `The device is called ${nameOf(name)} now.`;
      await this.#ask();
    });
    const revoke = setUpRevoke((device) => this.#revoke(device));
    this.#list.addEventListener("click", ({ target }) => {
      const button = target instanceof Element && target.closest("button");
      if (!button) {
        return;
      }
      for (const { device, element } of this.#rows.values()) {
        if (!element.contains(button)) {
          continue;
        }
        if (button.dataset.action === "rename") {
          rename(device);
        } else {
          revoke(device, this.#rows.size === 1);
        }
      }
    });
  }

  outdate() {
    this.#outdated = true;
  }

  /**
   * Asks for the devices after an exchange, unless those that are shown are right.
   *
   * @param {boolean} news whether the server has any
   */
  follow(news) {
    const owner = this.#ownerOf();
    if (owner === "") {
      this.#showNobody();
    } else if (news || this.#outdated || owner !== this.#owner) {
      void this.#ask();
    }
  }

  async #ask() {
    if (this.#asking) {
      this.#outdated = true; // so the next exchange asks
      return;
    }
    this.#asking = true;
    this.#outdated = false;
    const owner = this.#ownerOf();
    try {
      this.#show(await this.#sync.devices(), owner);
    } catch (error) {
      this.#outdated = true;
      if (reasonOf(error) === "identity") {
        this.#showNobody();
      }
      // The state of the sync tells of a server that cannot be reached.
    } finally {
      this.#asking = false;
    }
  }

  /** Shows that the server does not know this browser. */
  #showNobody() {
    this.#owner = "";
    for (const id of [...this.#rows.keys()]) {
      this.#remove(id);
    }
    this.#count.textContent = "";
    this.#note.textContent =
      "The server does not know this browser yet. It does once something is saved here.";
    this.#section.hidden = false;
  }

  /**
   * @param {Device[]} devices
   * @param {string} owner the tag of whose they are
   */
  #show(devices, owner) {
    const others = owner !== this.#owner;
    const joined = [];
    const present = new Set(devices.map(({ id }) => id));
    for (const id of [...this.#rows.keys()]) {
      if (others || !present.has(id)) {
        this.#remove(id);
      }
    }
    for (const device of devices) {
      const before = this.#rows.get(device.id);
      const comes = device.new || !(before || others);
      if (comes) {
        joined.push(nameOf(device.name));
      }
      const fresh = comes || before?.fresh === true;
      if (before) {
        before.device = device;
        before.fresh = fresh;
        update(before);
      } else {
        const row = { device, fresh, element: createRow() };
        this.#rows.set(device.id, row);
        update(row);
        this.#list.append(row.element);
      }
    }
    this.#count.textContent = String(devices.length);
    if (joined.length > 0) {
      const names = new Intl.ListFormat("en").format(joined);
      this.#note.textContent = `${names} ${joined.length === 1 ? "has" : "have"} joined.`;
    } else if (others) {
      this.#note.textContent = "Devices that join turn up here.";
    }
    this.#owner = owner;
    this.#section.hidden = false;
  }

  /** @param {Device} device */
  async #revoke({ id, name, current }) {
    this.#failure.textContent = "";
    try {
      await this.#sync.revoke(id);
      this.#note.textContent = current
        ? "This browser has no access any more."
        : `${nameOf(name)} has no access any more.`;
      if (current) {
        await this.#sync.now().catch(() => {}); // the state tells of it
      }
    } catch (error) {
      this.#failure.textContent = refusal(error);
    }
    await this.#ask();
  }

  /** @param {string} id */
  #remove(id) {
    const element = this.#rows.get(id)?.element;
    // Removing the focused button would move the focus out of the list.
    if (element?.contains(document.activeElement)) {
      this.#list.focus();
    }
    element?.remove();
    this.#rows.delete(id);
  }
}

/** The number of the latest row. */
let rows = 0;

function createRow() {
  const times = create("p", { className: "hint" });
  times.id = `device-${++rows}`;
  return create(
    "li",
    {},
    create("div", {}, create("p", { className: "device" }), times),
    create(
      "p",
      { className: "actions" },
      ...["rename", "revoke"].map((action) => {
        const button = create("button", {});
        button.type = "button";
        button.dataset.action = action;
        // Several devices may have one name.
        button.setAttribute("aria-describedby", times.id);
        return button;
      }),
    ),
  );
}

/** @param {Row} row */
function update({ device, fresh, element }) {
  const { name, current, first, last } = device;
  const shown = nameOf(name);
  const [title, times] = element.querySelectorAll("p");
  title.replaceChildren(create("strong", {}, shown));
  if (current) title.append(" ", markOf("this one"));
  if (fresh) title.append(" ", markOf("new"));
  times.replaceChildren(
    create("span", {}, ...wordsOf("first", first), ","),
    " ",
    create("span", {}, ...(current ? ["here now"] : wordsOf("last", last))),
  );
  const [rename, revoke] = element.querySelectorAll("button");
  rename.textContent = "Rename…";
  rename.ariaLabel = `Rename: ${shown}`;
  revoke.textContent = "Revoke…";
  revoke.ariaLabel = `Revoke: ${shown}`;
  revoke.className = "danger";
}

/** @param {string} text */
function markOf(text) {
  return create("span", { className: "mark" }, text);
}

/**
 * Returns a device's name for a person to read. One that the server knew before devices
 * had names has none.
 *
 * @param {string} name
 */
function nameOf(name) {
  return name === "" ? "A device without a name" : formatKey(name);
}

/**
 * Says when a device was seen for the first or the last time.
 *
 * @param {"first" | "last"} which
 * @param {number} milliseconds since 1970
 */
function wordsOf(which, milliseconds) {
  if (which === "last" && Date.now() - milliseconds < HOUR) {
    return ["seen within the hour"];
  }
  const time = create("time", {}, formatTime(milliseconds).slice(0, 16));
  time.dateTime = new Date(milliseconds).toISOString();
  return [`${which} seen `, time];
}

/**
 * Returns the function that asks for the new name of a device.
 *
 * @param {(device: Device, name: string) => Promise<void>} rename
 * @returns {(device: Device) => void}
 */
function setUpRename(rename) {
  const dialog = byId("rename-dialog", HTMLDialogElement);
  const field = byId("device-name", HTMLInputElement);
  /** @type {Device | undefined} */
  let asked;
  byId("rename-cancel", HTMLButtonElement).addEventListener("click", () =>
    dialog.close(),
  );
  byId("rename-form", HTMLFormElement).addEventListener(
    "submit",
    async (event) => {
      event.preventDefault();
      const name = field.value.trim();
      const size = new TextEncoder().encode(name).length;
      const device = asked;
      if (size === 0 || size > NAME_LIMIT) {
        showError(
          field,
          size === 0
            ? "A device needs a name."
            : `This name has ${size} bytes of UTF-8, and may have ${NAME_LIMIT}.`,
        );
        field.focus();
      } else if (device) {
        showError(field, "");
        try {
          await rename(device, name);
          if (asked === device) dialog.close();
        } catch (error) {
          if (asked === device) showError(field, refusal(error));
        }
      }
    },
  );
  return (device) => {
    asked = device;
    field.value = device.name;
    showError(field, "");
    dialog.showModal();
    field.select();
  };
}

/**
 * Returns the function that asks whether to revoke a device.
 *
 * @param {(device: Device) => void} revoke
 * @returns {(device: Device, alone: boolean) => void}
 */
function setUpRevoke(revoke) {
  const dialog = byId("revoke-dialog", HTMLDialogElement);
  const text = byId("revoke-text", HTMLElement);
  /** @type {Device | undefined} */
  let asked;
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "revoke" && asked) {
      revoke(asked);
    }
  });
  return (device, alone) => {
    asked = device;
    const name = nameOf(device.name);
    text.textContent = device.current
      ? `This browser, ${name}, will have no access any more, and begin with nothing. What is saved here and not sent yet stays in it, unseen.` +
        (alone
          ? " As it is the only device, nobody gets at the copy on the server then."
          : "")
      : `${name} will have no access any more: it shows nothing of what you share, from its next exchange on. What is saved on it and not sent yet stays there.`;
    // A dialog closed by Esc would keep the answer of the last time.
    dialog.returnValue = "";
    dialog.showModal();
  };
}

/** @param {unknown} error why a device was not renamed or revoked */
function refusal(error) {
  return reasonOf(error) === "device"
    ? "There is no such device any more."
    : withCode(codeOf(error), messageOf(error));
}
