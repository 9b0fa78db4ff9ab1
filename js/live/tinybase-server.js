// TinyBase's server, with its persister that keeps a store in a file.
import { createMergeableStore } from "tinybase/mergeable-store";
import { createFilePersister } from "tinybase/persisters/persister-file";
import { createWsServer } from "tinybase/synchronizers/synchronizer-ws-server";
import { WebSocketServer } from "ws";

const { HOST, PORT, YPERSISTENCE } = process.env;
const listening = new WebSocketServer({ host: HOST, port: Number(PORT) });
listening.once("listening", () => console.log(`running at port ${PORT}`));
createWsServer(listening, (path) =>
  createFilePersister(createMergeableStore(), `${YPERSISTENCE}-${path}`),
);
