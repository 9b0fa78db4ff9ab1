import { execFile } from "node:child_process";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const repository = fileURLToPath(new URL("../..", import.meta.url));

const run = promisify(execFile);

/**
 * Compiles a package of Go to WebAssembly with the flags that Go compiles the
 * module with.
 *
 * @param {string} folder of the package
 * @param {string} wasm the file to be made
 */
export async function buildWasm(folder, wasm) {
  await run("go", ["build", ...wasmFlags(), "-o", wasm, "."], {
    cwd: folder,
    env: { ...process.env, GOOS: "js", GOARCH: "wasm" },
  });
}

/**
 * Compiles the tests of one of our packages to WebAssembly.
 *
 * @param {string} folder of the package, in the repository
 * @param {string[]} tags
 * @param {string} wasm the file to be made
 */
export async function buildTests(folder, tags, wasm) {
  await run("go", ["test", "-c", `-tags=${tags}`, "-o", wasm, `./${folder}`], {
    cwd: repository,
    env: { ...process.env, GOOS: "js", GOARCH: "wasm" },
  });
}

/** Returns the file with which Go's own programs are run. */
export async function runtimeOfGo() {
  const { stdout } = await run("go", ["env", "GOROOT"]);
  return join(stdout.trim(), "lib", "wasm", "wasm_exec.js");
}

/**
 * Compiles a program that does nothing, as the module is compiled.
 *
 * @param {string} wasm the file to be made
 */
export async function buildEmptyProgram(wasm) {
  const folder = await mkdtemp(join(tmpdir(), "session-writer-"));
  try {
    await writeFile(join(folder, "go.mod"), "module empty\n\ngo 1.26\n");
    await writeFile(
      join(folder, "main.go"),
      "package main\n\nfunc main() { select {} }\n",
    );
    if (fromMakefile("COMPILER") === "go") {
      await buildWasm(folder, wasm);
    } else {
      const flags = fromMakefile("TINYGO_WASM_FLAGS").split(" ");
      await run("tinygo", ["build", ...flags, "-o", wasm, "."], {
        cwd: folder,
      });
      const smaller = fromMakefile("WASM_OPT_FLAGS").split(" ");
      await run("wasm-opt", [...smaller, wasm, "-o", wasm]);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Returns the flags that Go builds the module with. */
function wasmFlags() {
  // As a shell splits it: a space after a backslash does not count.
  return (fromMakefile("GO_WASM_FLAGS").match(/(?:\\.|[^\\\s])+/g) ?? []).map(
    (flag) => flag.replaceAll(/\\(.)/g, "$1"),
  );
}

/**
 * Returns a variable of the Makefile.
 *
 * @param {string} name
 */
export function fromMakefile(name) {
  const value = process.env[name];
  if (!value) {
    throw new Error(
      `${name} is not set: run this with make, which says how the module was built`,
    );
  }
  return value;
}

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
