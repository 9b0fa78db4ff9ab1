// The Worker on this machine's workerd, as wrangler.jsonc has it, for tests.
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import {
  unstable_getMiniflareWorkerOptions,
  unstable_splitSqlQuery,
} from "wrangler";

const config = fileURLToPath(new URL("wrangler.jsonc", import.meta.url));
const schema = new URL("../sqlstore/schema.sql", import.meta.url);

/**
 * Starts the Worker as make build leaves it, with a D1 database of its own
 * that has the schema and nothing else, on a port that is free. Dispose of the
 * Miniflare to stop it.
 *
 * @returns {Promise<{ url: URL, miniflare: Miniflare }>}
 */
export async function startWorker() {
  const { workerOptions, main } = unstable_getMiniflareWorkerOptions(config);
  if (main === undefined) {
    throw new Error("wrangler.jsonc has no main");
  }
  const miniflare = new Miniflare({
    ...workerOptions,
    modules: true,
    scriptPath: main,
    modulesRoot: dirname(main),
    host: "127.0.0.1",
    port: 0,
    cf: false,
  });
  try {
    const url = await miniflare.ready;
    const db = await miniflare.getD1Database("DB");
    await db.batch(
      unstable_splitSqlQuery(readFileSync(schema, "utf8")).map((statement) =>
        db.prepare(statement),
      ),
    );
    return { url, miniflare };
  } catch (error) {
    await miniflare.dispose();
    throw error;
  }
}
