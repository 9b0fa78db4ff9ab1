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
 * @property {string} origin
 * @property {() => Promise<void>} [kill]
 * @property {() => Promise<void>} [restart] after kill, where it was and with
 *   what it had
 * @property {() => Promise<unknown>} close
 */

/** Which server the tests run against: native, or edge for the Worker. */
export const serverName = process.env.SERVER || "native";

/** @type {Record<string, () => Promise<SessionsServer>>} */
const servers = { native: () => startNative(), edge: startEdge };

/** Starts the server that the tests run against. */
export function startSessions() {
  if (!Object.hasOwn(servers, serverName)) {
    throw new Error(
      `the server is ${JSON.stringify(serverName)}: use ${Object.keys(servers).join(", ")}`,
    );
  }
  return servers[serverName]();
}

/**
 * Starts a server that is a process, and keeps what it has in a folder.
 *
 * @param {(folder: string, host?: string) => Promise<{ child: import("node:child_process").ChildProcess, origin: string }>} start
 *   starts it on the host, if it had one before, and resolves when it listens
 * @returns {Promise<SessionsServer & Required<Pick<SessionsServer, "kill" | "restart">>>}
 */
export async function startProcess(start) {
  const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  let { child, origin } = await start(folder);
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  };
  return {
    origin,
    kill,
    restart: async () => {
      ({ child } = await start(folder, new URL(origin).host));
    },
    close: async () => {
      await kill();
      await rm(folder, { recursive: true });
    },
  };
}

/**
 * Starts the server that make run runs, with the page.
 *
 * @param {string} [first] the host where it is to listen
 */
export function startNative(first = "127.0.0.1:0") {
  return startProcess(async (folder, host = first) => {
    const child = spawn(
      join(root, ".tools", "session-server"),
      [
        ...["-addr", host, "-site", join(root, "web", "dist")],
        ...["-db", join(folder, "sessions.db")],
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    for await (const line of createInterface(child.stdout)) {
      const origin = /^session-writer: (http:\S+)$/.exec(line)?.[1];
      if (origin) return { child, origin };
    }
    throw new Error("the server ended without an address");
  });
}

/** Starts the Worker on this machine. */
export async function startEdge() {
  // Its types need more than is installed here.
  const local = new URL("../../web/worker/local.js", import.meta.url);
  const { startWorker } = await import(local.href);
  const { url, miniflare } = await startWorker();
  return { origin: url.origin, close: () => miniflare.dispose() };
}
