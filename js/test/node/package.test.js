// What checkers of packages say of this one.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { dist } from "../../harness/server.js";

const run = promisify(execFile);
const root = join(dist, "..");
const bin = join(root, "node_modules", ".bin");

test("publint finds nothing", async () => {
  const { stdout } = await run(join(bin, "publint"), ["--strict"], {
    cwd: root,
  });
  assert.match(stdout, /All good!/);
});

test("every kind of TypeScript project finds the types", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  t.after(() => rm(folder, { recursive: true }));
  const pack = ["pack", "--silent", "--pack-destination", folder];
  const { stdout } = await run("npm", pack, { cwd: root });
  const found = await run(join(bin, "attw"), [
    join(folder, stdout.trim()),
    ...["--format", "json"],
  ]);
  const { analysis, problems } = JSON.parse(found.stdout);
  assert.deepEqual(problems ?? {}, {});
  assert.equal(analysis.types.kind, "included");
});

test("everybody may read what is packed", async () => {
  const { stdout } = await run("npm", ["pack", "--dry-run", "--json"], {
    cwd: root,
  });
  const [{ files }] = JSON.parse(stdout);
  for (const { path, mode } of files) assert.equal(mode, 0o644, path);
});

test("each file has a source map with its sources", async () => {
  const files = (await readdir(dist)).filter((name) => /\.c?js$/.test(name));
  assert.ok(files.length > 1);
  for (const file of files) {
    const code = await readFile(join(dist, file), "utf8");
    assert.ok(code.endsWith(`\n//# sourceMappingURL=${file}.map\n`), file);
    const map = JSON.parse(await readFile(join(dist, `${file}.map`), "utf8"));
    assert.equal(map.sources.length, map.sourcesContent.length);
    for (const text of map.sourcesContent) assert.ok(text.length > 0, file);
  }
});

test("an error of any of its files is a SessionError in all", async () => {
  const names = ["index.js", "index.cjs", "streaming.js"];
  const classes = [];
  const errors = [];
  for (const name of names) {
    const { open, SessionError } = name.endsWith(".cjs")
      ? createRequire(import.meta.url)(join(dist, name))
      : await import(pathToFileURL(join(dist, name)).href);
    classes.push(SessionError);
    errors.push(await open("").catch((/** @type {unknown} */ e) => e));
  }
  const { stateStorage } = await import(
    pathToFileURL(join(dist, "storage.js")).href
  );
  try {
    stateStorage({}).setItem("a", "1");
  } catch (error) {
    errors.push(error);
  }
  assert.equal(errors.length, 4);
  for (const SessionError of classes) {
    assert.equal(SessionError.name, "SessionError");
    class Own extends SessionError {}
    const own = new /** @type {any} */ (Own)("config", "");
    assert.ok(own instanceof Own && own instanceof SessionError);
    assert.ok(!(errors[0] instanceof Own));
    for (const error of errors) assert.ok(error instanceof SessionError);
    for (const other of [new Error(), null, undefined, "", {}, classes[0]]) {
      assert.ok(!(other instanceof SessionError));
    }
  }
});
