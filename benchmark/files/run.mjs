// `npm run bench -- files`, `-- quick`, `-- compare REV` and `-- report`.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { onSignal, root } from '../../.ci/children.mjs';
import { setupOrExplain } from '../../.ci/setup.mjs';
import { commit, machine } from '../lib/machine.mjs';
import { buildPeers, findRuntimes, HEAVY, hasFio, hasPerf, LIGHT } from '../lib/peers.mjs';
import { progressLine } from '../lib/table.mjs';
import { makeData, removeData } from './data.mjs';
import { cases, HEADLINE } from './families.mjs';
import { measure, stopAll } from './measure.mjs';
import { aimsOf, printCase, report } from './report.mjs';
import { append, load, resultsFile } from './results.mjs';
import { rowsOf, rowsOfTrees } from './rows.mjs';

const DIST = join(root, 'dist');

/** On a disk: the temporary folder is memory on many machines, where O_DIRECT says nothing. */
function dataFolder() {
  const caches = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return process.env.RINGCORE_BENCH_DIR || join(caches, 'ringcore', 'bench-files');
}

/** The cases that were asked for; a name or the beginning of one. */
function choose(names) {
  if (names.length === 0) return cases;
  const chosen = cases.filter(({ name }) => names.some((wanted) => name.startsWith(wanted)));
  const unknown = names.filter((wanted) => !cases.some(({ name }) => name.startsWith(wanted)));
  if (unknown.length === 0) return chosen;
  const known = cases.map(({ name }) => name).join(', ');
  throw new Error(`no case is called ${unknown.join(', ')}. There are: ${known}`);
}

function say(text) {
  process.stderr.write(`${text}\n`);
}

/** What there is to measure with; says what is missing. */
function findAll(options) {
  const { found, missing } = findRuntimes();
  options.progress('building the Rust peers');
  // All but the light ones are fetched by `setup` only.
  const wanted = options.light ? LIGHT : [...LIGHT, ...HEAVY];
  const { built, problems } = buildPeers(wanted, { offline: !options.light });
  options.progress('');
  for (const text of [...missing, ...problems]) say(`!! ${text}`);
  if (found.length === 0) throw new Error('no Node.js is there to measure');
  return { runtimes: found, built, fio: !options.light && hasFio(), dist: DIST };
}

function versionsOf({ runtimes, fio }) {
  const versions = Object.fromEntries(runtimes.map(({ label, version }) => [label, version]));
  if (fio) {
    const { stdout } = spawnSync('fio', ['--version'], { encoding: 'utf8' });
    versions.fio = stdout.trim().replace(/^fio-/, '');
  }
  return versions;
}

/** Says where it is and how long it will take. */
function clock(options, total) {
  const begun = performance.now();
  let done = 0;
  return (title, text) => {
    const spent = (performance.now() - begun) / 1000;
    const left = done === 0 ? '' : `, ${Math.ceil((spent / done) * (total - done))} s left`;
    options.progress(`[${done}/${total}${left}]  ${title}  ${text}`);
    done++;
  };
}

/** Measures cases, shows each, and gives it to `keep`. */
async function measureAll(chosen, rowsFor, options, keep) {
  const dir = dataFolder();
  // Before anything runs: later its load is our own.
  const where = machine(dir);
  const jobs = chosen
    .map((one) => ({ one, rows: rowsFor(one) }))
    .filter(({ rows }) => rows.length > 0);
  if (jobs.length === 0) return say('nothing is left to measure');
  const total = jobs.reduce((sum, { rows }) => sum + rows.length * options.rounds, 0);
  // A process takes a third of a second to start, warm up and end, beside what it measures.
  const minutes = Math.ceil((total * (options.warmMs + options.runMs + 350)) / 60_000);
  say(`${jobs.length} cases, ${total} processes, about ${minutes} minutes on an idle machine`);
  const tick = clock(options, total);
  const { id, dirty } = commit();
  const forget = onSignal(() => {
    stopAll();
    removeData(dir, options.keep);
  });
  try {
    for (const { one, rows } of jobs) {
      makeData(dir, one.data, (text) => options.progress(text));
      const found = await measure(one, rows, {
        ...options,
        dir,
        dist: DIST,
        warn: (text) => say(`!! ${text}`),
        progress: (round, _i, row) =>
          tick(one.name, `round ${round + 1}/${options.rounds}  ${row.id}`),
        onProcess: (line) => options.json && print({ kind: 'process', ...line }),
      });
      options.progress('');
      const { name, title, unit, scale, main, columns } = one;
      const record = {
        ...{ case: name, title, unit, scale, main, columns },
        warm: one.warm.length > 0,
        at: new Date().toISOString().slice(0, 16).replace('T', ' '),
        commit: `${id}${dirty ? ' with changes' : ''}`,
        machine: where,
        versions: options.versions,
        rounds: options.rounds,
        ms: options.runMs,
        ...found,
      };
      keep(record);
    }
  } finally {
    forget();
    removeData(dir, options.keep);
  }
}

function print(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Shows a record as the options want it. Returns how many aims are missed. */
function showRecord(record, options) {
  if (options.json) print({ kind: 'case', ...record, aims: aimsOf(record) });
  else printCase(record);
  return aimsOf(record).filter(({ reached }) => reached === false).length;
}

function only(rows, texts) {
  if (texts.length === 0) return rows;
  return rows.filter(({ id }) => texts.some((text) => id.includes(text)));
}

/** All cases, all peers. */
export async function files(options) {
  if ((await setupOrExplain()) !== 0) return 1;
  let chosen = choose(options.case);
  if (options.resume) {
    const { id, dirty } = commit();
    const same = `${id}${dirty ? ' with changes' : ''}`;
    const before = load();
    chosen = chosen.filter(({ name }) => before.get(name)?.commit !== same);
  }
  const there = findAll(options);
  const more = { ...options, versions: versionsOf(there), perf: hasPerf() };
  let missed = 0;
  const rowsFor = (one) => only(rowsOf(one, one.module, there), options.only);
  await measureAll(chosen, rowsFor, more, (record) => {
    missed += showRecord(record, options);
    // A part of the rows is for the eyes only: it would stand in RESULTS.md as all there is.
    if (options.only.length === 0 && !options.dry) append(record);
  });
  if (options.only.length === 0 && !options.dry && chosen.length > 0) {
    say(`written: ${report(load())}`);
  }
  if (!options.json)
    console.log(`\n${missed === 0 ? 'no aim is missed' : `${missed} aims missed`}`);
  return 0;
}

/** The six of the headline, with what is there, in a minute. Nothing is kept. */
export async function quick(options) {
  if ((await setupOrExplain()) !== 0) return 1;
  const there = findAll({ ...options, light: true });
  const [newest] = there.runtimes;
  const wanted = ['ringcore', `${newest.label} promises`, 'bun promises', 'bun bunfile'];
  wanted.push('deno promises', 'rust floor');
  if (newest.kind === 'node') wanted.push(`${newest.label} sync`);
  const rowsFor = (one) => rowsOf(one, one.module, there).filter(({ id }) => wanted.includes(id));
  const chosen = HEADLINE.map((name) => cases.find((one) => one.name === name));
  const more = { ...options, versions: versionsOf(there), perf: false };
  await measureAll(chosen, rowsFor, more, (record) => showRecord(record, options));
  return 0;
}

function must(command, args, cwd) {
  const { status, error } = spawnSync(command, args, { cwd, stdio: ['ignore', 2, 'inherit'] });
  if (status !== 0) throw new Error(`${command} ${args[0]} ended with ${error?.message ?? status}`);
}

/** This tree against another commit, which is built in a folder of its own. */
export async function compare(rev, options) {
  if (rev === undefined) throw new Error('compare with which commit? npm run bench -- compare REV');
  if ((await setupOrExplain()) !== 0) return 1;
  const there = join(mkdtempSync(join(tmpdir(), 'ringcore-compare-')), 'tree');
  const remove = () => {
    spawnSync('git', ['worktree', 'remove', '--force', there], { cwd: root });
    rmSync(join(there, '..'), { recursive: true, force: true });
  };
  const forget = onSignal(remove);
  try {
    must('git', ['worktree', 'add', '--detach', '--quiet', there, rev], root);
    must(process.execPath, [join(there, '.ci', 'setup.mjs')], there);
    const trees = [
      { name: 'this', dist: DIST },
      { name: rev, dist: join(there, 'dist') },
    ].filter(({ dist }) => existsSync(dist));
    const { runtimes } = findAll({ ...options, light: true });
    const chosen = choose(options.case.length > 0 ? options.case : HEADLINE);
    const rowsFor = (one) => rowsOfTrees(one, one.module, runtimes[0], trees);
    const more = { ...options, versions: versionsOf({ runtimes }), perf: false };
    await measureAll(chosen, rowsFor, more, (record) => {
      if (options.json) print({ kind: 'case', ...record });
      else printCompared(record, rev);
    });
  } finally {
    forget();
    remove();
  }
  return 0;
}

function printCompared(record, rev) {
  printCase({ ...record, case: `${record.case} against ${rev}` });
  for (const row of record.rows.filter(({ id }) => id.startsWith('this'))) {
    const other = record.rows.find(({ id }) => id === row.id.replace('this', rev));
    for (const line of comparison(row, other)) console.log(line);
  }
}

function comparison(row, other) {
  if (row.failed || !other || other.failed) return [`  ${row.id}: not in both`];
  return ['ns', 'cpu'].map((field) => {
    const all = row[field].map((value, round) => value / other[field][round]).sort((a, b) => a - b);
    const [least, middle, most] = [all[0], all[all.length >> 1], all.at(-1)];
    const name = field === 'ns' ? 'time' : 'CPU';
    const figures = [least, middle, most].map((value) => value.toFixed(2)).join(', ');
    return `  ${row.id}: ${name} by that of ${other.id}: ${figures} (least, median, most)`;
  });
}

/** RESULTS.md and the plots once more. */
export function reportOnly() {
  say(`written: ${report(load())} from ${resultsFile}`);
  return 0;
}

export function listCases() {
  for (const { name, title } of cases) console.log(`${name.padEnd(20)} ${title}`);
  return 0;
}

/** What all commands share, from the command line. */
export function settings(values, quickly) {
  const number = (name, fallback) => {
    const value = Number(values[name] ?? fallback);
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} takes a number from 1`);
    return value;
  };
  return {
    rounds: number('rounds', quickly ? 2 : 5),
    runMs: number('ms', quickly ? 250 : 500),
    warmMs: Math.min(250, number('ms', quickly ? 150 : 250)),
    case: values.case,
    only: values.only,
    json: values.json,
    keep: values.keep,
    dry: values.dry,
    resume: values.resume,
    progress: progressLine(values.json),
  };
}
