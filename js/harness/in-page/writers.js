// Several writers that save into one session until they are stopped or killed. It runs
// in the page.
import { batch } from "./batches.js";

/**
 * The number of each writer's last batch whose save has returned.
 *
 * @type {Record<string, number>}
 */
export const saved = {};

let stopped = false;

/** Ends the saving. */
export function stop() {
  stopped = true;
}

/**
 * Opens the session once for each writer, and has it save a batch every now
 * and then.
 *
 * @param {string[]} names of the writers
 * @param {number} [pause] in milliseconds
 * @param {boolean} [durable]
 */
export async function start(names, pause = 0, durable = false) {
  for (const name of names) {
    const session = await inPage.open("cart", { durable });
    let number = 0;
    const save = () => {
      if (stopped) return;
      session.save(batch(name, number));
      saved[name] = number++;
      setTimeout(save, pause);
    };
    save();
  }
}
