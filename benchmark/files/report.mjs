// benchmark/RESULTS.md and its plots, from what was measured. Nothing is measured here.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from '../../.ci/children.mjs';
import { median, present, ratios, show } from '../lib/stats.mjs';
import { markdownTable, table } from '../lib/table.mjs';
import { bestPeer, fieldOf, judge } from './aims.mjs';
import { cases } from './families.mjs';
import { bars, lines } from './svg.mjs';

const WHO = { ringcore: 'ours', peer: 'peer', rust: 'rust', fio: 'rust', floor: 'blocking' };

/** What a figure is divided by, and what it is then called. */
function unitOf(record, field) {
  const scale = record.scale ?? 1;
  if (record.main?.field === field) {
    const divide = { ms: field === 'ns' ? 1e6 : 1, bytes: 1 }[record.main.unit];
    return { name: `${record.main.name}, ${record.main.unit}`, divide };
  }
  if (field === 'ns') return { name: `µs/${record.unit}`, divide: 1000 * scale };
  if (field === 'cpu') return { name: `CPU µs/${record.unit}`, divide: 1000 * scale };
  return { name: field.replace(/Ms$/, ', ms'), divide: 1 };
}

/** The figures of a row: least and median of each field. */
function figures(record, row, field) {
  const { divide } = unitOf(record, field);
  const values = present(row[field]).map((value) => value / divide);
  return values.length === 0 ? ['-', '-'] : [show(Math.min(...values)), show(median(values))];
}

/** A case as lines of cells, for the terminal and for RESULTS.md. */
export function cells(record) {
  const main = fieldOf(record);
  const fields = [...new Set([main, 'ns', 'cpu', ...(record.columns ?? [])])];
  const heading = [''];
  for (const field of fields) {
    const { name } = unitOf(record, field);
    if (record.columns?.includes(field)) heading.push(name);
    else heading.push(`${name} min`, 'median');
  }
  heading.push('x best peer');
  const rows = record.rows.map((row) => {
    if (row.failed) return [row.id, ...heading.slice(1, -1).map(() => '-'), 'failed'];
    const line = [row.id];
    for (const field of fields) {
      const [least, middle] = figures(record, row, field);
      if (record.columns?.includes(field)) line.push(middle);
      else line.push(least, middle);
    }
    const best = bestPeer(record, main, row.point);
    const against = best ? median(ratios(best[main], row[main])) : undefined;
    return [...line, against === undefined ? '-' : show(against)];
  });
  return { heading, rows };
}

const verdict = ({ reached, why }) =>
  reached === undefined ? `not judged: ${why}` : reached ? 'reached' : 'MISSED';
const aimText = ({ least, most }) => (least ? `at least ${least}` : `at most ${most}`);

/** The aims of a record, by the case's present definition. */
export function aimsOf(record) {
  const one = cases.find(({ name }) => name === record.case);
  return judge(record, one?.aims ?? []);
}

/** What the terminal shows after a case. */
export function printCase(record, print = console.log) {
  const { heading, rows } = cells(record);
  print(`\n${record.title}  (${record.case}, ${record.rounds} rounds)\n`);
  for (const line of table(heading, rows)) print(`  ${line}`);
  for (const row of record.rows) if (row.failed) print(`  ${row.id}: ${row.failed}`);
  for (const row of record.rows) if (row.syscalls) print(syscalls(row));
  for (const aim of aimsOf(record)) {
    const value = aim.value === undefined ? '' : ` ${show(aim.value)} (worst ${show(aim.worst)})`;
    print(`  ${aim.text}${aim.text ? ':' : ''}${value}, aim ${aimText(aim)}: ${verdict(aim)}`);
  }
}

const syscalls = (row) => `  ${row.id}: ${show(row.syscalls)} system calls an operation`;

function plot(record) {
  const field = fieldOf(record);
  const { name, divide } = unitOf(record, field);
  const unit = `${name}, median of ${record.rounds} processes, less is better`;
  const kind = (row) => (row.blocking ? 'blocking' : WHO[row.who]);
  const value = (row) => median(present(row[field])) / divide;
  const rows = record.rows.filter((row) => !row.failed && present(row[field]).length > 0);
  if (rows.length === 0) return null;
  if (rows[0].point === undefined) {
    const all = rows.map((row) => ({
      label: row.blocking ? `${row.id} (blocks)` : row.id,
      value: value(row),
      kind: kind(row),
      shown: show(value(row)),
    }));
    return bars(record.title, unit, all);
  }
  const tracks = [...new Set(rows.map((row) => row.name))].map((label) => {
    const points = rows.filter((row) => row.name === label);
    return {
      label,
      kind: kind(points[0]),
      points: points.map((row) => [row.point, value(row)]),
    };
  });
  return lines(record.title, unit, tracks);
}

function head(records) {
  const last = records.at(-1);
  const { cpu, cores, memory, kernel, files } = last.machine;
  const commits = [...new Set(records.map(({ commit }) => commit))].join(', ');
  const versions = Object.entries(last.versions).map(([name, version]) => `${name} ${version}`);
  const busy = records.filter((record) => record.machine.load > record.machine.cores / 2);
  const lines = [
    '# Results of `npm run bench -- files`',
    '',
    'Written by `npm run bench -- report` from results/files.jsonl; not edited by hand.',
    'How it is measured, and what was done about it: [README.md](README.md).',
    '',
    `- Machine: ${cpu}, ${cores} cores, ${memory}; Linux ${kernel}, ${files}.`,
    `- Versions: ${versions.join(', ')}.`,
    `- Tree: ${commits}.`,
    '- Every process is a fresh one and variants take turns. Less is better, except in the last',
    '  column: `x best peer` is how many times as fast a row is as the best asynchronous',
    '  JavaScript of Node 26, Bun and Deno in the same round (median of the rounds).',
    '- `ringcore` is `ringcore/fs/promises` on Node 26, the same program as `node26 promises` with',
    '  another import; `ringcore callback` and `stream` are `ringcore/fs`, `op` raw operations in',
    '  tasks. `uring`: node:fs promises with UV_USE_IO_URING=1. `sync` blocks the thread and is no',
    '  peer; nor are Rust and fio.',
  ];
  if (busy.length > 0) {
    const names = busy.map((record) => record.case).join(', ');
    lines.push(`- **The machine was busy with other work before:** ${names}.`);
  }
  return lines;
}

function aimLines(records) {
  const rows = [];
  for (const record of records) {
    for (const aim of aimsOf(record)) {
      const value = aim.value === undefined ? '-' : show(aim.value);
      const worst = aim.worst === undefined ? '-' : show(aim.worst);
      const said = aim.reached === false ? `**${verdict(aim)}**` : verdict(aim);
      rows.push([`${record.case}: ${aim.text}`, value, worst, aimText(aim), said]);
    }
  }
  return markdownTable(['aim', 'median', 'worst round', 'wanted', 'verdict'], rows);
}

/** Why an aim is missed: sentences of the cases, which a report repeats as long as it is so. */
function missLines(records) {
  const found = [];
  for (const record of records) {
    for (const aim of aimsOf(record)) {
      if (aim.reached !== false) continue;
      found.push(`- ${record.case}, ${aim.text}: ${aim.reason ?? 'not explained yet.'}`);
    }
  }
  return found.length === 0 ? [] : ['', '## Why aims are missed', '', ...found];
}

function caseLines(record) {
  const { heading, rows } = cells(record);
  const lines = ['', `## ${record.title}`, '', `![${record.title}](plots/${record.case}.svg)`, ''];
  lines.push(...markdownTable(heading, rows));
  const held = record.held?.startsWith('not') ? `; files ${record.held}` : '';
  lines.push('', `Case \`${record.case}\`, ${record.rounds} rounds, ${record.at}${held}.`);
  for (const row of record.rows) {
    if (row.failed) lines.push(`\`${row.id}\` failed: ${row.failed.replaceAll('|', '/')}.`);
    if (row.syscalls) lines.push(`${syscalls(row).trim()}.`);
    const disk = Math.max(0, ...present(row.disk));
    if (record.warm && disk > 0) lines.push(`\`${row.id}\` had up to ${disk} bytes from a disk.`);
  }
  return lines;
}

/** Writes RESULTS.md and the plots. */
export function report(records, folder = join(root, 'benchmark')) {
  const order = cases.map(({ name }) => name);
  const sorted = [...records.values()]
    .filter((record) => order.includes(record.case))
    .sort((a, b) => order.indexOf(a.case) - order.indexOf(b.case));
  if (sorted.length === 0) throw new Error('nothing was measured yet: npm run bench -- files');
  const plots = join(folder, 'plots');
  rmSync(plots, { recursive: true, force: true });
  mkdirSync(plots, { recursive: true });
  for (const record of sorted) {
    const picture = plot(record);
    if (picture) writeFileSync(join(plots, `${record.case}.svg`), picture);
  }
  const text = [
    ...head(sorted),
    '',
    '## Aims',
    '',
    ...aimLines(sorted),
    ...missLines(sorted),
    ...sorted.flatMap(caseLines),
    '',
  ];
  const file = join(folder, 'RESULTS.md');
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text.join('\n'));
  return file;
}
