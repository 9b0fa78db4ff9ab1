import { openSync } from "session-writer";

/** @returns {Promise<import("./participant.js").Shared>} */
export async function open() {
  /** @type {import("session-writer").Session<any>} */
  const session = openSync("cart");
  const sync = await session.sync("/sessions/");
  await sync.now();
  return {
    save: (key, value) => session.save({ [key]: value }),
    load: () => session.load(),
    subscribe: (told) =>
      session.subscribe(({ set }) => {
        for (const value of Object.values(set)) told(value);
      }),
    invite: async () => {
      const { code } = await sync.pair();
      await live(sync);
      return code;
    },
    join: async (code) => {
      await sync.join(code);
      await live(sync);
    },
    forget: () => session.forget(),
  };
}

/**
 * Resolves when a page is told of changes, which it is once the server knows whose they are.
 *
 * @param {import("session-writer").Sync} sync
 */
async function live(sync) {
  await new Promise((resolve) => {
    const end = sync.subscribe(look);
    function look() {
      if (!sync.state.live) return;
      end();
      resolve(undefined);
    }
    look();
  });
}
