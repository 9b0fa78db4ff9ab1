/**
 * Where TextEncoder and TextDecoder are. The global object of jsdom has none, but Node
 * has, on which it runs.
 *
 * @returns {{ TextEncoder: typeof TextEncoder, TextDecoder: typeof TextDecoder }}
 */
export function utf8() {
  return globalThis.TextDecoder
    ? globalThis
    : /** @type {any} */ (
        globalThis.process?.getBuiltinModule?.("node:util") ?? globalThis
      );
}
