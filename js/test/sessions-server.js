import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/**
 * A server that keeps copies of sessions, and has none yet.
 *
 * @typedef {object} SessionsServer
 * @property {string | URL} origin
 * @property {() => Promise<void>} [restart] kills it and starts it again, on
 *   the same database
 * @property {() => Promise<unknown>} close
 */

/** Which server the tests run against: native, or edge for the Worker. */
export const serverName = process.env.SERVER || "native";

/** @type {Record<string, () => Promise<SessionsServer>>} */
const servers = { native: startNative, edge: startEdge };

/** Starts the server that the tests run against. */
export function startSessions() {
  if (!Object.hasOwn(servers, serverName)) {
    throw new Error(
      `the server is ${JSON.stringify(serverName)}: use ${Object.keys(servers).join(", ")}`,
    );
  }
  return servers[serverName]();
}

async function startNative() {
  const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  const start = async () => {
    const child = spawn(
      join(root, ".tools", "web"),
      [
        ...["-addr", "127.0.0.1:0", "-site", join(root, "web", "dist")],
        ...["-db", join(folder, "sessions.db")],
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const [line] = await once(createInterface(child.stdout), "line");
    return { child, origin: String(line).replace("session-writer: ", "") };
  };
  let { child, origin } = await start();
  const kill = async () => {
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  };
  return {
    get origin() {
      return origin;
    },
    restart: async () => {
      await kill();
      ({ child, origin } = await start());
    },
    close: async () => {
      await kill();
      await rm(folder, { recursive: true });
    },
  };
}

async function startEdge() {
  // Its types need more than is installed here.
  const local = new URL("../../web/worker/local.js", import.meta.url);
  const { startWorker } = await import(local.href);
  const { url, miniflare } = await startWorker();
  return { origin: url, close: () => miniflare.dispose() };
}
