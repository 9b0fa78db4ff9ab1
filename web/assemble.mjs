// Puts the site together in web/dist: the page, the packages it imports, and
// the compressed forms of all, which the server hands out as they are.

import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { build } from "../js/node_modules/esbuild/lib/main.js";

const page = fileURLToPath(new URL("page", import.meta.url));
const site = fileURLToPath(new URL("dist", import.meta.url));
const built = fileURLToPath(new URL("../js/dist", import.meta.url));
const installed = fileURLToPath(new URL("../js/node_modules", import.meta.url));

const entry = join(built, "index.js");
if (!existsSync(entry)) {
  console.error("js/dist/index.js is missing: run make build");
  process.exit(1);
}

// The site is made beside its place and moved there when it is whole. The
// folder in between is called dist as well, so that git ignores it too.
const workshop = mkdtempSync(
  fileURLToPath(new URL(".assembling-", import.meta.url)),
);
try {
  const fresh = join(workshop, "dist");
  cpSync(page, fresh, { recursive: true });
  // The licence of the package in it goes wherever it goes.
  const licence = readFileSync(join(installed, "qr", "LICENSE-MIT"), "utf8");
  await build({
    entryPoints: [join(page, "qr-code.js")],
    outfile: join(fresh, "qr-code.js"),
    allowOverwrite: true,
    nodePaths: [installed],
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    banner: { js: `/*!\n${licence}*/` },
    logLevel: "warning",
  });
  const packageFolder = join(fresh, "session-writer");
  mkdirSync(packageFolder);
  // How sessions are stored, of which the package itself needs little.
  for (const name of ["item.js", "limits.js"]) {
    cpSync(
      fileURLToPath(new URL(`../js/src/${name}`, import.meta.url)),
      join(packageFolder, name),
    );
  }
  for (const name of ["index.js", "index.js.map"]) {
    cpSync(join(built, name), join(packageFolder, name));
  }

  const files = readdirSync(fresh, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  await Promise.all(files.map(compress));

  if (existsSync(site)) {
    renameSync(site, join(workshop, "old"));
  }
  renameSync(fresh, site);
} finally {
  rmSync(workshop, { recursive: true, force: true });
}

const packed = join(site, "session-writer", "index.js");
const [raw, zipped, brotli] = ["", ".gz", ".br"].map((suffix) =>
  readFileSync(packed + suffix).length.toLocaleString("en"),
);
console.log(
  `session-writer: ${raw} bytes, ${zipped} in gzip, ${brotli} in brotli`,
);

/** @param {string} file */
async function compress(file) {
  // The server changes the references in it, and compresses what comes out.
  if (file.endsWith(".html")) {
    return;
  }
  const content = readFileSync(file);
  const [zipped, brotli] = await Promise.all([
    promisify(gzip)(content, { level: 9 }),
    promisify(brotliCompress)(content, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: 11,
        [constants.BROTLI_PARAM_LGWIN]: 24,
        [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
      },
    }),
  ]);
  writeFileSync(file + ".gz", zipped);
  writeFileSync(file + ".br", brotli);
}
