// Plots by hand: SVG that reads well on a light and on a dark page.

const LIGHT = {
  ink: '#1f2328',
  soft: '#59636e',
  line: '#d1d9e0',
  ours: '#0969da',
  peer: '#8c959f',
  rust: '#bc4c00',
  blocking: '#d1d9e0',
};
const DARK = {
  ink: '#f0f6fc',
  soft: '#9198a1',
  line: '#3d444d',
  ours: '#4493f8',
  peer: '#656c76',
  rust: '#db6d28',
  blocking: '#3d444d',
};

/** Colours by class. No CSS variables: viewers that are no browsers do not know them. */
function colours(set) {
  const kinds = ['ours', 'peer', 'rust', 'blocking'];
  return [
    `text { fill: ${set.ink}; } .soft { fill: ${set.soft}; } .grid { stroke: ${set.line}; }`,
    ...kinds.map((kind) => `rect.${kind} { fill: ${set[kind]}; }`),
    ...kinds.map((kind) => `.track.${kind} { stroke: ${set[kind]}; }`),
    `text.ours { fill: ${set.ours}; } text.rust { fill: ${set.rust}; }`,
  ].join('\n  ');
}

const STYLE = `
  text { font: 12px system-ui, sans-serif; }
  .title { font-size: 14px; font-weight: 600; }
  .end { text-anchor: end; }
  .middle { text-anchor: middle; }
  .track { fill: none; stroke-width: 2; }
  ${colours(LIGHT)}
  @media (prefers-color-scheme: dark) {
  ${colours(DARK)}
  }
`;

const plain = (text) =>
  String(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

function text(x, y, content, names = '') {
  return `<text x="${x}" y="${y}" class="${names}">${plain(content)}</text>`;
}

function picture(width, height, title, parts) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"`,
    `  viewBox="0 0 ${width} ${height}" role="img" aria-label="${plain(title)}">`,
    `<style>${STYLE}</style>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

/** Bars from left to right, shortest first. Each bar: { label, value, kind, shown }. */
export function bars(title, unit, values) {
  const [left, wide, step, top] = [190, 400, 20, 54];
  const sorted = [...values].sort((a, b) => a.value - b.value);
  // One that is far behind must not make all others equal: its bar is cut and says so.
  const middle = sorted[sorted.length >> 1].value;
  const longest = Math.min(sorted.at(-1).value, 4 * middle);
  const parts = [text(12, 22, title, 'title'), text(12, 40, unit, 'soft')];
  for (const [i, { label, value, kind, shown }] of sorted.entries()) {
    const y = top + i * step;
    const length = Math.max(2, (Math.min(value, longest) / longest) * wide);
    parts.push(text(left - 8, y + 12, label, kind === 'ours' ? 'end ours' : 'end'));
    const box = `x="${left}" y="${y + 2}" width="${length.toFixed(1)}" height="${step - 6}"`;
    parts.push(`<rect ${box} rx="2" class="${kind}"/>`);
    const cut = value > longest ? ' (bar is cut)' : '';
    parts.push(text((left + length + 6).toFixed(1), y + 12, `${shown}${cut}`, 'soft'));
  }
  return picture(left + wide + 130, top + sorted.length * step + 10, title, parts);
}

/** Lines over a logarithmic axis. Each line: { label, kind, points: [[x, y]] }. */
export function lines(title, unit, tracks) {
  const [left, top, wide, high] = [60, 54, 480, 240];
  const all = tracks.flatMap(({ points }) => points);
  const xs = all.map(([x]) => Math.log10(x));
  const ys = all.map(([, y]) => Math.log10(y));
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  const [y0, y1] = [Math.floor(Math.min(...ys)), Math.ceil(Math.max(...ys))];
  const atX = (x) => left + ((Math.log10(x) - x0) / (x1 - x0 || 1)) * wide;
  const atY = (y) => top + high - ((Math.log10(y) - y0) / (y1 - y0 || 1)) * high;
  const parts = [text(12, 22, title, 'title'), text(12, 40, unit, 'soft')];
  for (let power = y0; power <= y1; power++) {
    const y = atY(10 ** power).toFixed(1);
    parts.push(`<line x1="${left}" x2="${left + wide}" y1="${y}" y2="${y}" class="grid"/>`);
    parts.push(text(left - 8, Number(y) + 4, 10 ** power, 'end soft'));
  }
  for (const x of new Set(all.map(([value]) => value))) {
    parts.push(text(atX(x).toFixed(1), top + high + 20, x.toLocaleString('en'), 'middle soft'));
  }
  const ends = [];
  for (const { label, kind, points } of tracks) {
    const path = points.map(([x, y]) => `${atX(x).toFixed(1)},${atY(y).toFixed(1)}`).join(' ');
    parts.push(`<polyline points="${path}" class="track ${kind}"/>`);
    ends.push({ label, kind, y: atY(points.at(-1)[1]) });
  }
  // Labels at the ends of the lines, moved apart where lines end together.
  let free = top;
  for (const { label, kind, y } of ends.sort((a, b) => a.y - b.y)) {
    free = Math.max(y + 4, free + 14);
    parts.push(text(left + wide + 8, free.toFixed(1), label, kind));
  }
  const height = Math.max(top + high + 34, free + 12);
  return picture(left + wide + 170, Math.ceil(height), title, parts);
}
