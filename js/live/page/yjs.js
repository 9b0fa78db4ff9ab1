import { WebsocketProvider } from "y-websocket";
import { Doc } from "yjs";

/** @returns {Promise<import("./participant.js").Shared>} */
export async function open() {
  const doc = new Doc();
  const map = doc.getMap("cart");
  const provider = new WebsocketProvider(
    location.origin.replace("http", "ws"),
    `cart${location.hash.slice(1)}`,
    doc,
  );
  await new Promise((resolve) => provider.once("sync", resolve));
  return {
    save: (key, value) => map.set(key, value),
    load: () => map.toJSON(),
    subscribe: (told) =>
      map.observe(({ keysChanged }) => {
        for (const key of keysChanged) told(map.get(key));
      }),
  };
}
