// Gives a D1 database what the Worker needs, and moves there what earlier versions
// kept in other tables:
//
//   node migrate.js DATABASE [OPTION]...
//
// The options are those of wrangler d1 execute. It may be run any number of times,
// also at once.
import { spawnSync } from "node:child_process";
import { readFileSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** @param {string} path */
const readFile = (path) => readFileSync(new URL(path, import.meta.url), "utf8");

/** @param {string} file */
const read = (file) => readFile(`../sqlstore/schema/${file}`);

/**
 * @param {(sql: string) => Promise<{ results: unknown[] }[]>} execute runs
 *   statements in one transaction, as D1 does with a batch, and returns what
 *   each gives
 */
export async function migrate(execute) {
  for (let failed; ;) {
    const plan = await execute(readFile("live.sql") + read("plan.sql"));
    const [{ files }] = /** @type {{ files: string | null }[]} */ (
      plan[plan.length - 1].results
    );
    if (files === "") return;
    if (files === null) {
      throw new Error("the database is of a later version of this program");
    }
    if (failed !== undefined) throw failed;
    try {
      await execute(files.split(" ").map(read).join("\n"));
    } catch (error) {
      failed = error; // unless somebody else has done it meanwhile
    }
  }
}

/** @param {string[]} options */
const withWrangler = (options) => async (/** @type {string} */ sql) => {
  const wrangler = new URL(import.meta.resolve("wrangler/package.json"));
  const { status, stdout } = spawnSync(
    process.execPath,
    [
      fileURLToPath(new URL("bin/wrangler.js", wrangler)),
      ...["d1", "execute", ...options, "--json", `--command=${sql}`],
    ],
    // As a file, Wrangler would import it, and close the database meanwhile.
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] },
  );
  if (status !== 0) throw new Error(stdout.trim());
  return JSON.parse(stdout);
};

if (process.argv[1] && realpathSync(process.argv[1]) === import.meta.filename) {
  try {
    await migrate(withWrangler(process.argv.slice(2)));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
