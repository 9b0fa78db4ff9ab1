import { say } from "./describe.js";
import { noServer, SessionError } from "./error.js";

/** @typedef {import("./error.js").SessionErrorCode} SessionErrorCode */

/**
 * The codes of failures. Calls between JavaScript and the module, in either
 * direction, return one instead of a result. wasm/main.go has the
 * same codes.
 */

/** The storage is switched off or forbidden, or there is none. */
export const disabled = -1;

/** The storage is full. */
export const quota = -2;

/** A page's own wrapper of its storage threw something that no storage throws. */
export const thrown = -3;

/** There is no such item. */
export const absent = -4;

/** The module has a fault. Its export `message` says which. */
export const internal = -5;

/** A server sent something that is no item. */
export const server = -6;

/** @type {Readonly<Record<number, [meaning: SessionErrorCode, sentence: string]>>} */
const meanings = {
  [disabled]: ["disabled", "the storage is not available"],
  [quota]: ["quota", "the storage is full"],
  [thrown]: ["internal", "the storage threw"],
};

/**
 * Returns the error that a code stands for.
 *
 * @param {number} code any but `absent` and `internal`
 * @param {unknown} [cause] what the storage threw, if it did
 */
export function errorOf(code, cause) {
  if (code === server) return noServer();
  const [meaning, sentence] = meanings[code];
  return new SessionError(meaning, `${sentence}: ${say(cause)}`, { cause });
}

/**
 * Returns the code for what a storage threw. testdata/exceptions.json has examples,
 * for package localstorage as well.
 *
 * @param {any} error
 */
export function codeOf(error) {
  try {
    const name = String(error?.name);
    switch (name) {
      case "QuotaExceededError": // in newer browsers a class of its own
      case "NS_ERROR_DOM_QUOTA_REACHED": // Firefox before 2024
      case "NS_ERROR_FILE_NO_DEVICE_SPACE": // Firefox, when the disk is full
        return quota;
    }
    // Firefox throws NS_ERROR_… for a damaged database, for example.
    if (error instanceof DOMException || name.startsWith("NS_ERROR_")) {
      return disabled;
    }
  } catch {
    // The page threw an object that throws when its name is read.
  }
  return thrown;
}
