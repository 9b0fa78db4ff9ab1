// With the wrapper of a WebSocket that its documentation advises: otherwise it does not
// connect again.
import ReconnectingWebSocket from "reconnecting-websocket";
import { createMergeableStore } from "tinybase/mergeable-store";
import { createWsSynchronizer } from "tinybase/synchronizers/synchronizer-ws-client";

/** @returns {Promise<import("./participant.js").Shared>} */
export async function open() {
  const store = createMergeableStore();
  // Its types do not say that it is a module.
  const Reconnecting = /** @type {new (url: string) => WebSocket} */ (
    /** @type {unknown} */ (ReconnectingWebSocket)
  );
  const socket = new Reconnecting(
    `${location.origin.replace("http", "ws")}/cart${location.hash.slice(1)}`,
  );
  const synchronizer = await createWsSynchronizer(store, socket);
  await synchronizer.startSync();
  return {
    save: (key, value) => store.setValue(key, value),
    load: () => /** @type {any} */ (store.getValues()),
    subscribe: (told) =>
      store.addValueListener(null, (_, _key, value) =>
        told(/** @type {any} */ (value)),
      ),
  };
}
