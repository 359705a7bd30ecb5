// Tables and the progress line of a terminal.

/** Lines of cells under a heading; the first column is text, the others are numbers. */
export function table(heading, lines) {
  const all = [heading, ...lines];
  const widths = heading.map((_, i) => Math.max(...all.map((line) => line[i].length)));
  return all.map((line) =>
    line
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd(),
  );
}

/** The same as Markdown. */
export function markdownTable(heading, lines) {
  const row = (cells) => `| ${cells.join(' | ')} |`;
  const marks = heading.map((_, i) => (i === 0 ? '---' : '---:'));
  return [row(heading), row(marks), ...lines.map(row)];
}

/** A line that is written over, on a terminal only. */
export function progressLine(quiet) {
  if (quiet || !process.stderr.isTTY) return () => {};
  return (text) => process.stderr.write(`\r\x1b[K${text.slice(0, process.stderr.columns - 1)}`);
}
