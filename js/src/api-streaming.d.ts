// The API of session-writer/streaming, which src/ implements: build.js makes
// dist/streaming.d.ts of it.
import type { Options as CommonOptions, Session } from "./api.js";

export {
  type Change,
  type Entries,
  type Key,
  type Session,
  SessionError,
  type SessionErrorCode,
  type Stats,
  type StorageLike,
  type Sync,
  type SyncOptions,
  type SyncState,
} from "./api.js";

/** The WebAssembly module, or where it is. */
export type WasmSource =
  string | URL | Response | BufferSource | WebAssembly.Module;

export interface Options<
  T extends object = Record<string, unknown>,
> extends CommonOptions<T> {
  /**
   * The WebAssembly module, by default the session.wasm beside this file. A page loads it
   * once, so the option of its first `open` counts.
   */
  wasm?: WasmSource | undefined;
}

/**
 * Opens a session. The storage need not have it yet. It rejects with a SessionError:
 * `config`, `load`, `disabled`.
 *
 * @param name Not empty, and without a slash.
 */
export function open<T extends object = Record<string, unknown>>(
  name: string,
  options?: Options<T>,
): Promise<Session<T>>;
