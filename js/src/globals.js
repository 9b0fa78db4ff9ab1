// runtime-go.js has this file evaluated before Go's runtime file.

// The globals that it sets.
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
