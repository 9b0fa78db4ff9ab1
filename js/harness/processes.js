import { readFileSync, readdirSync } from "node:fs";

/**
 * @typedef {object} Process
 * @property {number} id
 * @property {number} group
 * @property {string} command with its arguments
 */

/**
 * Returns all processes that are running, as Linux lists them.
 *
 * @returns {Process[]}
 */
export function processes() {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "utf8");
        // After the name, which may have anything in it: state, parent, group.
        const [state, , group] = stat
          .slice(stat.lastIndexOf(")") + 2)
          .split(" ");
        if (state === "Z") return [];
        const command = readFileSync(`/proc/${name}/cmdline`, "utf8");
        return [{ id: Number(name), group: Number(group), command }];
      } catch {
        return []; // it has ended meanwhile
      }
    });
}

/**
 * Returns how much memory of its own a process has, in megabytes.
 *
 * @param {Process} process
 */
export function memoryOf({ id }) {
  const status = readFileSync(`/proc/${id}/status`, "utf8");
  return Number(/^RssAnon:\s*(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

/**
 * Waits until none of some things, such as processes, is left.
 *
 * @param {() => unknown[]} left
 */
export async function gone(left) {
  while (left().length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
