// Evaluated before the compiler's runtime file: see runtime.js.

// What that file sets on the global object, Go's and TinyGo's alike.
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
