// What was measured: one line of JSON for each case, appended. The last line of a case counts, so
// that a case can be measured again by itself.

import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from '../../.ci/children.mjs';

export const resultsFile =
  process.env.RINGCORE_BENCH_RESULTS ?? join(root, 'benchmark', 'results', 'files.jsonl');

/** Rounded to four digits: more are noise, and the file is kept in git. */
function rounded(_key, value) {
  return typeof value === 'number' && !Number.isInteger(value)
    ? Number(value.toPrecision(4))
    : value;
}

export function append(record, file = resultsFile) {
  mkdirSync(dirname(file), { recursive: true });
  appendFileSync(file, `${JSON.stringify(record, rounded)}\n`);
}

/** The last record of each case. */
export function load(file = resultsFile) {
  const records = new Map();
  if (!existsSync(file)) return records;
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (line === '') continue;
    const record = JSON.parse(line);
    records.set(record.case, record);
  }
  return records;
}
