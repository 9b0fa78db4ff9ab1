import { utf8 } from "./utf8.js";

// Bytes as text: in visible ASCII, which no bundler escapes and a page may have in it,
// and one character for most bytes of a module, which compresses better than base64.

// There are 90 characters, from # to ~ without < and the backslash. A byte from 90 on
// takes two: a space for 90 more, or an exclamation mark for 180 more, comes before.
const first = 35;
const many = 90;
const less = 60;
const backslash = 92;

/**
 * The inverse of encode as a module of its own, in base64: JavaScript would take longer for
 * it than for all else until a session is open, as the browser interprets what runs once.
 * Its memory has the characters, and then in their place the bytes, of which there are
 * never more than were read.
 *
 *     (module
 *       (memory (export "m") 0)
 *       (func (export "d") (param $end i32) (result i32)
 *         (local $in i32) (local $out i32) (local $code i32) (local $more i32)
 *         (loop $next
 *           (local.get $out)
 *           (local.set $more (i32.const 0))
 *           (if (i32.lt_u (local.tee $code (i32.load8_u (local.get $in))) (i32.const 35))
 *             (then
 *               (local.set $more
 *                 (i32.mul (i32.sub (local.get $code) (i32.const 31)) (i32.const 90)))
 *               (local.set $code
 *                 (i32.load8_u
 *                   (local.tee $in (i32.add (local.get $in) (i32.const 1)))))))
 *           (i32.add (i32.sub (local.get $code) (i32.const 35)) (local.get $more))
 *           (i32.sub (i32.gt_u (local.get $code) (i32.const 60)))
 *           (i32.sub (i32.gt_u (local.get $code) (i32.const 92)))
 *           (i32.store8)
 *           (local.set $out (i32.add (local.get $out) (i32.const 1)))
 *           (br_if $next
 *             (i32.lt_u
 *               (local.tee $in (i32.add (local.get $in) (i32.const 1)))
 *               (local.get $end))))
 *         (local.get $out)))
 */
const decoder =
  "AGFzbQEAAAABBgFgAX8BfwMCAQAFAwEAAAcJAgFtAgABZAAACmABXgEEfwNAIAJBACEEIAEtAAAiA0EjSQRAIANBH2tB2gBsIQQgAUEBaiIBLQAAIQMLIANBI2sgBGogA0E8S2sgA0HcAEtrOgAAIAJBAWohAiABQQFqIgEgAEkNAAsgAgs=";

/** @param {string} text not empty */
export function decode(text) {
  const module = new WebAssembly.Module(
    Uint8Array.from(atob(decoder), (byte) => byte.charCodeAt(0)),
  );
  const { m, d } = /** @type {any} */ (
    new WebAssembly.Instance(module).exports
  );
  m.grow((text.length >> 16) + 1);
  const bytes = new Uint8Array(m.buffer);
  new (utf8().TextEncoder)().encodeInto(text, bytes);
  return bytes.subarray(0, d(text.length));
}

/** @param {Uint8Array} bytes */
export function encode(bytes) {
  return Array.from(bytes, (byte) => {
    let code = (byte % many) + first;
    if (code >= less) code++;
    if (code >= backslash) code++;
    return ["", " ", "!"][Math.floor(byte / many)] + String.fromCharCode(code);
  }).join("");
}
