// What CI says of changes of the Go API, by an apidiff that is played here.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { repository } from "../../harness/go.js";

/** @type {Record<string, { released?: string, next: string, changes?: string, status: number, says: RegExp }>} */
const cases = {
  "nothing was released": {
    next: "0.1.0",
    changes: "- Open: removed",
    status: 0,
    says: /^apidiff: NOT COMPARED, as there is no release yet\n$/,
  },
  "nothing breaks": {
    released: "v0.1.0",
    next: "0.1.1",
    status: 0,
    says: /^apidiff: the Go API is compatible with v0.1.0\n$/,
  },
  "something breaks with a patch": {
    released: "v0.1.0",
    next: "0.1.1",
    changes: "- Open: removed",
    status: 1,
    says: /^- Open: removed\napidiff: these changes since v0.1.0 need another version than 0.1.1/,
  },
  "something breaks with a minor version of version 0": {
    released: "v0.1.0",
    next: "0.2.0",
    changes: "- Open: removed",
    status: 0,
    says: /^- Open: removed\napidiff: these are changes from v0.1.0 to 0.2.0\n$/,
  },
  "something breaks with a minor version": {
    released: "v1.1.0",
    next: "1.2.0",
    changes: "- Open: removed",
    status: 1,
    says: /need another version than 1.2.0/,
  },
  "something breaks with a major version": {
    released: "v1.1.0",
    next: "2.0.0",
    changes: "- Open: removed",
    status: 0,
    says: /from v1.1.0 to 2.0.0/,
  },
};

for (const [
  name,
  { released, next, changes = "", status, says },
] of Object.entries(cases)) {
  test(`a release in which ${name}`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
    t.after(() => rm(folder, { recursive: true }));
    const project = join(folder, "project");
    await mkdir(join(project, ".ci"), { recursive: true });
    await mkdir(join(project, "js"));
    await cp(join(repository, ".ci", "semver"), join(project, ".ci", "semver"));
    await writeFile(join(project, "go.mod"), "module example.com/mine\n");
    // As npm writes it.
    const manifest = JSON.parse(
      await readFile(join(repository, "js", "package.json"), "utf8"),
    );
    await writeFile(
      join(project, "js", "package.json"),
      JSON.stringify({ ...manifest, version: next }, null, 2),
    );
    const apidiff = join(folder, "apidiff");
    await writeFile(
      apidiff,
      `#!/bin/sh\ncase "$*" in *-incompatible*) printf '%s' "$CHANGES" ;; esac\n`,
    );
    await chmod(apidiff, 0o755);

    /** @param {string[]} args */
    const git = (...args) => execFileSync("git", args, { cwd: project });
    git("init", "--quiet");
    git("add", "--all");
    const author = ["-c", "user.name=a", "-c", "user.email=a@a.example"];
    git(...author, "commit", "--quiet", "--message", "a");
    if (released) git("tag", released);

    const done = spawnSync(join(project, ".ci", "semver"), {
      env: {
        ...process.env,
        PATH: `${folder}${delimiter}${process.env.PATH}`,
        CHANGES: changes,
      },
      encoding: "utf8",
    });
    assert.match(done.stdout, says);
    assert.equal(done.status, status, done.stderr);
  });
}
