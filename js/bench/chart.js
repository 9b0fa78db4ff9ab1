// The chart in README.md. It has its own colours for a light page and a dark
// one, as GitHub shows it as an image.
import { contenders, names, titleOf } from "./cases.js";
import { digits, median } from "./results.js";

/** The saves that the chart shows, by how many entries they have. */
const panels = [1, 20, 100];

const margin = 20;
const label = 176; // the width of the names
const panel = { width: 204, gap: 16, room: 48 }; // the room is for the number
const top = 92;
const row = 25;
const bar = 13;

/**
 * Draws the times of saves into a small session, shortest first.
 *
 * @param {import("./results.js").Results} results
 */
export function chart(results) {
  /** @param {number} entries */
  const title = (entries) =>
    titleOf({ operation: "save", entries, session: 10 });
  const rows = [...names].sort(
    (a, b) => median(results, title(20), a) - median(results, title(20), b),
  );
  const all = panels.flatMap((entries) =>
    rows.map((name) => median(results, title(entries), name)),
  );
  const least = Math.floor(Math.log10(Math.min(...all)));
  const decades = Math.ceil(Math.log10(Math.max(...all))) - least;
  /** @param {number} time */
  const length = (time) =>
    ((Math.log10(time) - least) / decades) * (panel.width - panel.room);
  /** @param {number} i */
  const left = (i) => margin + label + i * (panel.width + panel.gap);
  const width = left(panels.length) - panel.gap + margin;
  const bottom = top + rows.length * row;
  const height = bottom + 40;

  /** @type {string[]} */
  const parts = [];
  panels.forEach((entries, i) => {
    parts.push(
      `<text class="head" x="${left(i)}" y="${top - 14}">${entries} ${entries === 1 ? "entry" : "entries"}</text>`,
    );
    for (let decade = 0; decade <= decades; decade++) {
      const x = px(left(i) + length(10 ** (least + decade)));
      parts.push(
        `<path class="grid" d="M${x} ${top - 4}V${bottom}"/>`,
        `<text class="tick" x="${x}" y="${bottom + 15}">${tick(10 ** (least + decade))}</text>`,
      );
    }
    rows.forEach((name, j) => {
      const spread = results.cases[title(entries)][name];
      if (!spread) return;
      const y = top + j * row + (row - bar) / 2;
      const end = left(i) + length(spread.median);
      parts.push(
        `<rect class="${kind(name)}" x="${left(i)}" y="${y}" width="${px(length(spread.median))}" height="${bar}" rx="2"/>`,
        `<path class="spread" d="M${px(left(i) + length(spread.low))} ${y + bar / 2}H${px(left(i) + length(spread.high))}"/>`,
        `<text class="time ${kind(name)}" x="${px(Math.max(end, left(i) + length(spread.high)) + 5)}" y="${y + bar - 2.5}">${digits(spread.median)}</text>`,
      );
    });
  });
  rows.forEach((name, j) =>
    parts.push(
      `<text class="name ${kind(name)}" x="${margin + label - 10}" y="${top + j * row + row / 2 + 4}">${name}</text>`,
    ),
  );

  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title">
<title id="title">How long a save of 1, 20 and 100 entries takes, by contender</title>
<style>
  svg { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; --page: #fff; --text: #1f2328; --faint: #59636e; --line: #d1d9e0; --peer: #afb8c1; --ours: #0969da; --limit: #dfe4e9 }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --text: #e6edf3; --faint: #9198a1; --line: #30363d; --peer: #545d68; --ours: #4493f8; --limit: #2d333b }
  }
  .page { fill: var(--page) }
  text { fill: var(--text) }
  .title { font-size: 16px; font-weight: 600 }
  .faint, .tick { fill: var(--faint) }
  .head { font-weight: 600 }
  .tick { font-size: 10px; text-anchor: middle }
  .name { text-anchor: end }
  .time { font-size: 11px; fill: var(--faint) }
  .grid { stroke: var(--line) }
  .spread { stroke: var(--text); opacity: .6 }
  rect.ours { fill: var(--ours) }
  rect.peer { fill: var(--peer) }
  rect.limit { fill: var(--limit); stroke: var(--peer) }
  text.ours { fill: var(--ours); font-weight: 600 }
</style>
<rect class="page" width="${width}" height="${height}" rx="8"/>
<text class="title" x="${margin}" y="30">Saving a batch, in µs</text>
<text class="faint" x="${margin}" y="50">${results.browser}, into a session of 10 entries; median and quartiles of ${results.rounds} rounds; the scale is logarithmic, less is better</text>
${parts.join("\n")}
</svg>
`;
}

/** @param {import("./cases.js").Contender} name */
function kind(name) {
  if (name.startsWith("session-writer")) return "ours";
  return contenders[name].merges === false ? "limit" : "peer";
}

/** @param {number} time */
function tick(time) {
  return time < 1_000_000 && time >= 1_000 ? `${time / 1_000}k` : String(time);
}

/** @param {number} length */
function px(length) {
  return Number(length.toFixed(1));
}
