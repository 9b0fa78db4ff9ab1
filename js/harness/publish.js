// Puts what is measured into the README beside what measures it, as tables.
import { readFile, writeFile } from "node:fs/promises";

/**
 * Prints text in Markdown, and puts it into a README, between the marks of that
 * name: <!-- name --> and <!-- /name -->.
 *
 * @param {URL} readme
 * @param {string} name
 * @param {string} markdown
 */
export async function publish(readme, name, markdown) {
  console.log(markdown);
  const text = await readFile(readme, "utf8");
  const [start, end] = [`<!-- ${name} -->\n`, `<!-- /${name} -->\n`];
  const from = text.indexOf(start) + start.length;
  const to = text.indexOf(end, from);
  if (from < start.length || to < 0) {
    throw new Error(`${readme.pathname} has no ${start.trim()} with its end`);
  }
  await writeFile(
    readme,
    `${text.slice(0, from)}\n${markdown}\n\n${text.slice(to)}`,
  );
}

/**
 * Returns rows as a table in Markdown, the first being its head.
 *
 * @param {unknown[][]} rows
 */
export function table([head, ...rows]) {
  const cells = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, i) =>
    Math.max(3, ...cells.map((row) => row[i].length)),
  );
  const line = (/** @type {string[]} */ row) =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(" | ")} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [line(cells[0]), rule, ...cells.slice(1).map(line)].join("\n");
}
