// runtime.js has this file evaluated before the compiler's runtime file.

// The globals that the runtime files of Go and TinyGo set.
const names = ["Go", "fs", "path", "process"];

const before = names.map((name) =>
  Object.getOwnPropertyDescriptor(globalThis, name),
);

/** Puts the global object back into the state it had. */
export function restoreGlobals() {
  names.forEach((name, i) => {
    const descriptor = before[i];
    if (descriptor) Object.defineProperty(globalThis, name, descriptor);
    else delete (/** @type {any} */ (globalThis)[name]);
  });
}
