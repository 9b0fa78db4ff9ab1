import { openSync } from "session-writer";

/** @returns {Promise<import("./participant.js").Shared>} */
export async function open() {
  /** @type {import("session-writer").Session<any>} */
  const session = openSync("cart");
  const sync = await session.sync("/sessions/");
  const live = () =>
    /** @type {Promise<void>} */ (
      new Promise((resolve) => {
        const end = sync.subscribe(look);
        function look() {
          if (!sync.state.live) return;
          end();
          resolve();
        }
        look();
      })
    );
  await live();
  return {
    save: (key, value) => session.save({ [key]: value }),
    load: () => session.load(),
    subscribe: (told) =>
      session.subscribe(({ set }) => {
        for (const value of Object.values(set)) told(value);
      }),
    invite: async () => (await sync.pair()).code,
    join: async (code) => {
      await sync.join(code);
      await live();
    },
    forget: () => session.forget(),
  };
}
