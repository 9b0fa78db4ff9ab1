// Runs tests that open a browser: those that are named, with --module those of the module,
// or all. It runs several files in one process, which share its browser: that takes longer
// to start than most of them take. Those in node/ need only the module, and those in source/ nothing that
// is built.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** How many processes there are at a time. */
const atOnce = 2;

/** How many there are in all, so that none ends long before the other. */
const most = 6;

/** Of what is built upon the package: which compiler built the module is no matter. */
const upon =
  "axe demo frameworks inspector libraries live live-bench readme".split(" ");

const here = new URL(".", import.meta.url);
const all = (await readdir(here)).filter((name) => name.endsWith(".test.js"));
const ofModule = all.filter((name) => !upon.includes(name.split(".")[0]));
const args = process.argv.slice(2);
const files =
  args[0] === "--module" ? ofModule : args.length > 0 ? args : all.sort();

/** @type {string[][]} */
const groups = Array.from({ length: Math.min(most, files.length) }, () => []);
files.forEach((file, i) => groups[i % groups.length].push(file));

const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
try {
  const entries = await Promise.all(
    groups.map(async (group, i) => {
      const entry = join(folder, `group-${i + 1}.test.mjs`);
      const imports = group.map(
        (file) => `import ${JSON.stringify(new URL(file, here).href)};\n`,
      );
      await writeFile(entry, imports.join(""));
      return entry;
    }),
  );
  const child = spawn(
    process.execPath,
    ["--test", `--test-concurrency=${atOnce}`, ...entries],
    { stdio: "inherit", cwd: fileURLToPath(new URL("..", here)) },
  );
  const [code] = await once(child, "exit");
  process.exitCode = code ?? 1;
} finally {
  await rm(folder, { recursive: true });
}
