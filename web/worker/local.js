// The Worker on this machine's workerd, as wrangler.jsonc has it, for tests.
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import {
  unstable_getMiniflareWorkerOptions,
  unstable_splitSqlQuery,
} from "wrangler";
import { migrate } from "./migrate.js";

const config = fileURLToPath(new URL("wrangler.jsonc", import.meta.url));

/**
 * Starts the Worker as make build leaves it, with a D1 database of its own, on a
 * port that is free. Dispose of the Miniflare to stop it.
 *
 * @param {string} [had] the statements that make what the database had before it
 *   was migrated; otherwise it was empty
 * @returns {Promise<{ url: URL, miniflare: Miniflare }>}
 */
export async function startWorker(had) {
  const { workerOptions, main } = unstable_getMiniflareWorkerOptions(config);
  if (main === undefined) {
    throw new Error("wrangler.jsonc has no main");
  }
  const miniflare = new Miniflare({
    ...workerOptions,
    modules: true,
    modulesRules: [
      ...(workerOptions.modulesRules ?? []),
      { type: "ESModule", include: ["**/*.js", "**/*.mjs"] },
    ],
    scriptPath: main,
    modulesRoot: dirname(main),
    host: "127.0.0.1",
    port: 0,
    cf: false,
  });
  try {
    const url = await miniflare.ready;
    const db = await miniflare.getD1Database("DB");
    const execute = (/** @type {string} */ sql) =>
      db.batch(
        unstable_splitSqlQuery(sql).map((statement) => db.prepare(statement)),
      );
    if (had !== undefined) await execute(had);
    // At once, as two may have been told to.
    await Promise.all([migrate(execute), migrate(execute)]);
    return { url, miniflare };
  } catch (error) {
    await miniflare.dispose();
    throw error;
  }
}
