// Bytes as text: in visible ASCII, which no bundler escapes and a page may have in it,
// and one character for most bytes of a module, which compresses better than base64.

// There are 90 characters, from # to ~ without < and the backslash. A byte from 90 on
// takes two: a space for 90 more, or an exclamation mark for 180 more, comes before.
const first = 35;
const many = 90;
const less = 60;
const backslash = 92;

/** @param {string} text */
export function decode(text) {
  const bytes = new Uint8Array(text.length);
  let size = 0;
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    let more = 0;
    if (code < first) {
      more = (code - 31) * many;
      code = text.charCodeAt(++i);
    }
    bytes[size++] =
      more + code - first - Number(code > less) - Number(code > backslash);
  }
  return bytes.subarray(0, size);
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
