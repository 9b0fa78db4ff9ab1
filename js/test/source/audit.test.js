// What CI says of known vulnerabilities, by tools that are played here.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { repository } from "../../harness/go.js";

/**
 * @typedef {object} Tool
 * @property {string} says
 * @property {number} status
 */

/**
 * What each of the two tools comes to, and whether it knows of vulnerabilities.
 *
 * @type {Record<string, { govulncheck: Tool, npm: Tool, status: number, says: RegExp[] }>}
 */
const cases = {
  "nothing is known": {
    govulncheck: { says: "No vulnerabilities found.", status: 0 },
    npm: { says: '{"auditReportVersion": 2}', status: 0 },
    status: 0,
    says: [
      /^govulncheck for js\/wasm: no known/m,
      /^npm audit in web\/worker: no known/m,
    ],
  },
  "nobody answers": {
    govulncheck: { says: "fetching: no such host", status: 1 },
    npm: { says: '{\n  "message": "405 Method Not Allowed"\n}', status: 1 },
    status: 0,
    says: [
      /^govulncheck for js\/wasm: NOT CHECKED, .*: fetching: no such host$/m,
      /^npm audit in js: NOT CHECKED, .*405 Method Not Allowed/m,
    ],
  },
  "nobody answers in time": {
    govulncheck: { says: "", status: 124 },
    npm: {
      says: '{"message": "request to https://a failed, reason: getaddrinfo ENOTFOUND a"}',
      status: 1,
    },
    status: 0,
    says: [
      /^govulncheck for js\/wasm: NOT CHECKED, /m,
      /^npm audit in js: NOT CHECKED, .*ENOTFOUND/m,
    ],
  },
  "govulncheck is missing": {
    govulncheck: { says: "govulncheck: command not found", status: 127 },
    npm: { says: '{"auditReportVersion": 2}', status: 0 },
    status: 1,
    says: [/^govulncheck for js\/wasm: FAILED \(127\)/m, /not found/],
  },
  "nothing compiles": {
    govulncheck: { says: "main.go:405:1: expected Error", status: 1 },
    npm: { says: '{"auditReportVersion": 2}', status: 0 },
    status: 1,
    says: [/^govulncheck for js\/wasm: FAILED \(1\)/m, /main\.go:405:1/],
  },
  "a lockfile is broken": {
    govulncheck: { says: "No vulnerabilities found.", status: 0 },
    npm: {
      says: '{"error": {"code": "ENOLOCK", "summary": "This command requires an existing lockfile."}}',
      status: 1,
    },
    status: 1,
    says: [/^npm audit in js: FAILED \(1\)/m, /ENOLOCK/],
  },
  "npm says nothing": {
    govulncheck: { says: "No vulnerabilities found.", status: 0 },
    npm: { says: "", status: 127 },
    status: 1,
    says: [/^npm audit in js: FAILED \(127\)/m],
  },
  "Go has one": {
    govulncheck: { says: "Vulnerability #1: GO-2026-0001", status: 3 },
    npm: { says: '{"auditReportVersion": 2}', status: 0 },
    status: 1,
    says: [/GO-2026-0001/, /^govulncheck for js\/wasm: there are/m],
  },
  "npm has one": {
    govulncheck: { says: "No vulnerabilities found.", status: 0 },
    npm: { says: '{"auditReportVersion": 2, "via": "GHSA-1"}', status: 1 },
    status: 1,
    says: [/GHSA-1/, /^npm audit in js: there are/m],
  },
};

for (const [name, { status, says, ...tools }] of Object.entries(cases)) {
  test(`an audit in which ${name}`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
    t.after(() => rm(folder, { recursive: true }));
    for (const [tool, { says, status }] of Object.entries(tools)) {
      await writeFile(
        join(folder, tool),
        `#!/bin/sh\ncat <<'END'\n${says}\nEND\nexit ${status}\n`,
      );
      await chmod(join(folder, tool), 0o755);
    }
    const audit = spawnSync(join(repository, ".ci", "audit"), {
      encoding: "utf8",
      env: {
        ...process.env,
        PATH: `${folder}${delimiter}${process.env.PATH}`,
      },
    });
    assert.equal(audit.status, status, audit.stdout + audit.stderr);
    for (const said of says) assert.match(audit.stdout, said);
  });
}
