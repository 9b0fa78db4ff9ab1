// What session-writer is compared with: what a page loads, and a server, each set up as
// its documentation says, with what it has to keep sessions.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";
import { build } from "esbuild";
import { freePort } from "../harness/server.js";
import {
  startEdge,
  startNative,
  startProcess,
} from "../harness/sessions-server.js";

/** @typedef {import("../harness/sessions-server.js").SessionsServer} Server */

/**
 * @typedef {object} Contender
 * @property {string} page what a page loads, in page/
 * @property {() => Promise<Server>} start
 */

/** @type {Record<string, Contender>} */
export const contenders = {
  "session-writer": { page: "session-writer.js", start: () => startNative() },
  "session-writer, a Worker": { page: "session-writer.js", start: startEdge },
  "Yjs, y-websocket": {
    page: "yjs.js",
    start: () => {
      const require = createRequire(import.meta.url);
      const utils = require.resolve("@y/websocket-server/utils");
      return startNode(join(dirname(utils), "..", "src", "server.js"));
    },
  },
  "TinyBase, WsServer": {
    page: "tinybase.js",
    start: () => startNode(fileOf("tinybase-server.js")),
  },
};

/**
 * Starts a program of Node's that says when it listens.
 *
 * @param {string} program
 * @returns {Promise<Server>}
 */
async function startNode(program) {
  const port = await freePort();
  return startProcess(async (folder) => {
    const child = spawn(process.execPath, [program], {
      env: {
        ...{ PATH: process.env.PATH, HOST: "127.0.0.1", PORT: String(port) },
        YPERSISTENCE: join(folder, "sessions"), // as y-websocket's server calls it
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface(child.stdout)) {
      if (line.startsWith("running at")) {
        return { child, origin: `http://127.0.0.1:${port}` };
      }
    }
    throw new Error(`${program} ended without listening`);
  });
}

/**
 * Builds what a page loads.
 *
 * @param {Contender} contender
 */
export async function scriptsOf({ page }) {
  return {
    "contender.js": await bundle(page),
    "participant.js": await bundle("participant.js"),
  };
}

/**
 * Returns how many bytes a page loads of a contender, compressed.
 *
 * @param {Contender} contender
 */
export async function sizeOf({ page }) {
  return brotliCompressSync(await bundle(page)).length;
}

/** @param {string} file */
async function bundle(file) {
  const { outputFiles } = await build({
    entryPoints: [fileOf(join("page", file))],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    define: { "process.env.NODE_ENV": '"production"' },
    logLevel: "warning",
  });
  return outputFiles[0].text;
}

/** @param {string} name */
function fileOf(name) {
  return fileURLToPath(new URL(name, import.meta.url));
}
