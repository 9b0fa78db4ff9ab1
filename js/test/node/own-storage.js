/** A storage of a page's own. */
export class OwnStorage {
  /** @type {Map<string, string>} */
  items = new Map();

  get length() {
    return this.items.size;
  }

  /** @param {number} i */
  key(i) {
    return [...this.items.keys()][i] ?? null;
  }

  /** @param {string} key @returns {any} as those of Web Storage do, or not quite */
  getItem(key) {
    return this.items.get(key);
  }

  /** @param {string} key @param {string} text */
  setItem(key, text) {
    if (this.items.size > 20) {
      throw Object.assign(new Error(), { name: "QuotaExceededError" });
    }
    this.items.set(key, text);
  }

  /** @param {string} key */
  removeItem(key) {
    this.items.delete(key);
  }
}
