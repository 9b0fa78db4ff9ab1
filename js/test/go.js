import { execFile } from "node:child_process";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const repository = fileURLToPath(new URL("../..", import.meta.url));

const run = promisify(execFile);

/**
 * Makes a module that is not ours and uses ours, of some files, and calls f
 * with its folder and a function that runs the go command in it.
 *
 * @param {Record<string, string>} files
 * @param {(folder: string, go: (args: string[], env?: Record<string, string>) => Promise<string>) => Promise<unknown>} f
 */
export async function withModule(files, f) {
  const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  try {
    await cp(join(repository, "go.sum"), join(folder, "go.sum"));
    await writeFile(
      join(folder, "go.mod"),
      `module example.com/mine

go 1.26

require github.com/session-interop/session-writer v0.0.0

replace github.com/session-interop/session-writer => ${JSON.stringify(repository)}
`,
    );
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(folder, name), text);
    }
    await f(folder, async (args, env) => {
      const { stdout } = await run("go", args, {
        cwd: folder,
        env: { ...process.env, GOFLAGS: "-mod=mod", ...env },
      });
      return stdout;
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}
