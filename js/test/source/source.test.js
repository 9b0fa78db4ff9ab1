// What the files of the package are to each other.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { repository } from "../../harness/go.js";
import * as codes from "../../src/codes.js";
import * as limits from "../../src/limits.js";

const src = join(repository, "js", "src");

test("no file is imported by what it imports, not even for a type", async () => {
  /** @type {Map<string, string[]>} */
  const imports = new Map();
  for (const name of await readdir(src)) {
    const text = await readFile(join(src, name), "utf8");
    const found = text.matchAll(/(?:from|import|import\()\s*"\.\/([^"]+)"/g);
    imports.set(
      name,
      Array.from(found, ([, imported]) => imported),
    );
  }
  assert.ok(imports.get("session.js")?.includes("sync.js"));
  /** @type {(name: string, path: string[]) => void} */
  const follow = (name, path) => {
    assert.ok(!path.includes(name), [...path, name].join(" imports "));
    for (const next of imports.get(name) ?? []) follow(next, [...path, name]);
  };
  for (const name of imports.keys()) follow(name, []);
});

test("the codes of failures are those of the module", async () => {
  const file = join(repository, "wasm", "main.go");
  const found = (await readFile(file, "utf8")).matchAll(/code(\w+) += (-\d+)/g);
  assert.deepEqual(
    Object.fromEntries(
      Array.from(found, ([, name, code]) => [name.toLowerCase(), Number(code)]),
    ),
    Object.fromEntries(
      Object.entries(codes).filter(([, code]) => typeof code === "number"),
    ),
  );
});

test("the limits are those of Go", async () => {
  const folder = join(repository, "internal", "engine");
  const texts = await Promise.all(
    ["exchange.go", "stamp.go"].map((name) =>
      readFile(join(folder, name), "utf8"),
    ),
  );
  const found = Array.from(
    texts.join("").matchAll(/^\s*(?:var )?(\w+) += ([\d_]+)(?: << (\d+))?$/gm),
    ([, name, number, bits]) => [
      name[0].toLowerCase() + name.slice(1),
      Number(number.replaceAll("_", "")) * 2 ** Number(bits ?? 0),
    ],
  ).filter(([name]) => name in limits);
  assert.deepEqual(Object.fromEntries(found), { ...limits });
});
