// Builds the publishable package in dist/ out of src/ and the runtime file of
// the compiler that built the module: wasm_exec.js, which ../Makefile puts here.
import { build } from "esbuild";

const common = /** @type {const} */ ({
  bundle: true,
  format: "esm",
  target: "es2022",
  outdir: "dist",
  logLevel: "warning",
});

await build({
  ...common,
  entryPoints: ["src/index.js"],
  external: ["./wasm_exec.js", "./sync.js"],
  minify: true, // each visitor pays for it
});

// A file of its own, for those who call sync. The class of its errors is the one
// that pages know.
await build({
  ...common,
  entryPoints: ["src/sync.js"],
  plugins: [
    {
      name: "errors of index.js",
      setup: ({ onResolve }) =>
        onResolve({ filter: /^\.\/error\.js$/ }, () => ({
          path: "./index.js",
          external: true,
        })),
    },
  ],
  minify: true,
});

await build({
  ...common,
  entryPoints: { wasm_exec: "src/runtime.js" },
  alias: { wasm_exec: "./wasm_exec.js" },
  // package.json has no side effects for users; in here, setting globals is one.
  ignoreAnnotations: true,
  // What the module prints goes through our fs, not a global.
  inject: ["src/fs.js"],
  // TinyGo's file looks for Node's, and would take a page's own for them; the
  // first one it would set, too, and use when it is gone. It assigns to the
  // last where Node's is there, so never.
  define: {
    global: "globalThis",
    require: "undefined",
    "global.require": "undefined",
  },
  logOverride: { "assign-to-define": "silent" },
  // The half of it that is for Node goes.
  minify: true,
});
