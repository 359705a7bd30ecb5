// What a case is judged by. An aim is a line of data in its case:
//
//   { than: 'best peer', least: 1.4 }                   so many times as fast as
//   { than: 'rust floor', field: 'cpu', most: 1.5 }     needs at most so many times as much as
//   { field: 'gap', most: 20 }                          a figure of our own
//   { spread: { field: 'ns', from: 32 }, most: 1.3 }    the dearest point by the cheapest
//
// The ratio is made inside of each round, and the median of the rounds is judged: a slow minute of
// the machine hits both of its sides.

import { median, present, ratios } from '../lib/stats.mjs';

const OURS = 'ringcore';

export function rowOf(record, id) {
  return record.rows.find((row) => row.id === id);
}

/** The main figure of a case, lower is better. */
export function fieldOf(record) {
  return record.main?.field ?? 'ns';
}

/** The asynchronous JavaScript of the newest Node, Bun and Deno that has the least median. */
export function bestPeer(record, field = fieldOf(record), point = undefined) {
  const newest = rowOf(record, point === undefined ? OURS : `${OURS} x${point}`)?.runtime;
  const counts = (row) =>
    row.who === 'peer' &&
    !row.blocking &&
    row.point === point &&
    (row.runtime === newest || row.runtime === 'bun' || row.runtime === 'deno') &&
    present(row[field]).length > 0;
  const middle = (row) => median(present(row[field]));
  return record.rows.filter(counts).sort((a, b) => middle(a) - middle(b))[0];
}

/** Each aim with its value; `reached` is undefined when it could not be measured. */
export function judge(record, aims = record.aims ?? []) {
  return aims.map((aim) => {
    const found = aim.spread
      ? spread(record, aim)
      : aim.than
        ? compared(record, aim)
        : own(record, aim);
    const { value } = found;
    const reached =
      value === undefined ? undefined : aim.least ? value >= aim.least : value <= aim.most;
    return { ...aim, ...found, reached };
  });
}

const NAMES = { ns: 'time', cpu: 'CPU', gap: 'largest gap', syscalls: 'system calls' };

function compared(record, aim) {
  const field = aim.field ?? fieldOf(record);
  const ours = rowOf(record, OURS);
  const other = aim.than === 'best peer' ? bestPeer(record, field) : rowOf(record, aim.than);
  const name = other && aim.than === 'best peer' ? `best peer (${other.id})` : aim.than;
  const text = aim.least
    ? `as fast as ${name}, times`
    : `${NAMES[field] ?? field} by that of ${name}`;
  if (!ours || !other) return { text, why: `${aim.than} was not measured` };
  const [a, b] = aim.least ? [other, ours] : [ours, other];
  const values = ratios(a[field] ?? [], b[field] ?? []);
  if (values.length === 0) return { text, why: 'not measured' };
  return { text, value: median(values), worst: extreme(values, aim), rounds: values.length };
}

/** The round that speaks most against us. */
function extreme(values, aim) {
  return aim.least ? Math.min(...values) : Math.max(...values);
}

function own(record, aim) {
  const ours = rowOf(record, OURS);
  const measured = ours?.[aim.field];
  const values = Array.isArray(measured) ? present(measured) : present([measured]);
  const text = `${NAMES[aim.field] ?? aim.field} of ours${aim.field === 'gap' ? ' (ms)' : ''}`;
  if (values.length === 0) return { text, why: 'not measured' };
  return { text, value: median(values), worst: extreme(values, aim), rounds: values.length };
}

function spread(record, aim) {
  const { field, from } = aim.spread;
  const points = record.rows.filter((row) => row.name === OURS && row.point >= from);
  const middles = points.map((row) => median(present(row[field])));
  if (middles.length < 2 || middles.includes(undefined)) return { why: 'not measured' };
  const value = Math.max(...middles) / Math.min(...middles);
  return { value, worst: value, rounds: points[0][field].length };
}
