import encode from "qr";

/** The margin that a QR code must have (ISO/IEC 18004: 4 modules). */
const MARGIN = 4;

/**
 * Draws a text as a QR code. It is dark on light whatever the page's colours,
 * because many cameras read no other.
 *
 * @param {string} text
 * @param {string} name what a screen reader calls it
 */
export function drawQRCode(text, name) {
  const rows = encode(text, "raw", { ecc: "medium", border: MARGIN });
  const svg = element("svg", {
    viewBox: `0 0 ${rows.length} ${rows.length}`,
    "shape-rendering": "crispEdges",
    role: "img",
    "aria-label": name,
  });
  const path = rows.flatMap((row, y) =>
    row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : "")),
  );
  svg.append(
    element("rect", { width: "100%", height: "100%", fill: "#fff" }),
    element("path", { d: path.join(""), fill: "#000" }),
  );
  return svg;
}

/**
 * @param {"svg" | "rect" | "path"} tag
 * @param {Record<string, string>} attributes
 */
function element(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  return made;
}
