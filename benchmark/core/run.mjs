// `npm run bench -- core`: the runtime's own steps, on this Node and on Node 26.
//
// Every value comes from a process of its own. Variants take turns (A B C, A B C ...), so that a
// slow minute of the machine hits all of them, and a ratio is made inside of one round.

import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { environment, root } from '../../.ci/children.mjs';
import { binaryOf, runtimes, wrong } from '../../.ci/fetch.mjs';
import { setupOrExplain } from '../../.ci/setup.mjs';
import { median } from '../lib/stats.mjs';
import { progressLine } from '../lib/table.mjs';
import { core as groups } from './suites.mjs';

const here = dirname(fileURLToPath(import.meta.url));
/** No case needs a tenth of it. */
const LIMIT_MS = 60_000;

/** Which Nodes to measure on, by version. */
function findNodes(given) {
  const paths = given.length > 0 ? given : [process.execPath];
  if (given.length === 0 && !process.version.startsWith('v26.')) {
    const newest = runtimes.find(({ name }) => name.startsWith('node-26'));
    if (wrong(newest) === null) paths.push(binaryOf(newest));
    else console.error('!! Node 26 is NOT measured: run `npm run bench -- setup` first.');
  }
  return paths.map((path) => {
    const { stdout, error } = spawnSync(path, ['--version'], { encoding: 'utf8' });
    if (error) throw new Error(`${path}: ${error.message}`);
    return { path, version: stdout.trim().slice(1) };
  });
}

/** A 256 MiB file and a folder of 1 KiB files, filled, since the kernel reads holes differently. */
function makeFiles() {
  const base = mkdtempSync(join(process.env.RINGCORE_BENCH_DIR ?? tmpdir(), 'ringcore-bench-'));
  const [file, folder] = [join(base, 'blocks'), join(base, 'small')];
  const fd = openSync(file, 'w');
  const chunk = Buffer.alloc(1 << 20, 'ringcore ');
  for (let i = 0; i < 256; i++) writeSync(fd, chunk);
  closeSync(fd);
  mkdirSync(folder);
  for (let i = 0; i < 256; i++) writeFileSync(join(folder, `${i}.txt`), chunk.subarray(0, 1024));
  return { base, FILE: file, FOLDER: folder };
}

function buildPeers() {
  const args = ['build', '--quiet', '--release', '--package', 'ringcore', '--example', 'reads'];
  const { status, error } = spawnSync('cargo', args, {
    cwd: root,
    env: environment,
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error(`cargo ended with ${error?.message ?? status}`);
}

/** One process; its JSON line. */
function measure(row, node, files) {
  const args = row.args.map((arg) => String(files[arg] ?? arg));
  const [command, line] = row.native
    ? [join(root, 'target', 'release', 'examples', row.native), args]
    : [node.path, [join(here, 'cases', `${row.script}.mjs`), row.name, ...args]];
  return new Promise((resolve, reject) => {
    const child = spawn(command, line, { stdio: ['ignore', 'pipe', 'inherit'], timeout: LIMIT_MS });
    let text = '';
    child.stdout.on('data', (data) => {
      text += data;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve(JSON.parse(text));
      else reject(new Error(`${row.id}: ended with ${signal ?? code}`));
    });
  });
}

/** All rounds of one group on one Node: for each round a map from row to what it said. */
async function runGroup(group, node, files, settings) {
  const rounds = [];
  const count = Math.min(settings.rounds, group.rounds ?? settings.rounds);
  for (let round = 0; round < count; round++) {
    const said = new Map();
    for (const row of group.cases) {
      settings.progress(`${node.version}  ${group.title}  round ${round + 1}/${count}  ${row.id}`);
      const result = await measure(row, node, files);
      if (result.disk > 0) console.error(`!! ${row.id}: ${result.disk} bytes came from a disk`);
      said.set(row.id, result);
      if (settings.json)
        print({ kind: 'process', node: node.version, row: row.id, round, ...result });
    }
    rounds.push(said);
  }
  settings.progress('');
  return rounds;
}

function print(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Rows: minimum and median over the rounds. */
function rowsOf(group, rounds) {
  return group.cases.map(({ id }) => {
    const of = (field) => rounds.map((said) => said.get(id)[field]);
    const row = { row: id };
    for (const field of ['ns', 'cpu']) {
      row[`${field}Min`] = Math.min(...of(field));
      row[`${field}Median`] = median(of(field));
    }
    for (const field of group.columns ?? []) row[field] = median(of(field));
    if (group.columns?.includes('gap')) row.gap = Math.max(...of('gap'));
    return row;
  });
}

/** Aims: the ratio inside of each round, then its median. */
function aimsOf(group, rounds) {
  return group.aims.map(({ text, most, of }) => {
    const ratios = rounds.map((said) => of((id, field = 'cpu') => said.get(id)[field]));
    const value = median(ratios);
    const reached = most === undefined ? undefined : value <= most;
    return { aim: text, most, value, least: Math.min(...ratios), reached };
  });
}

const show = (value, digits = value < 10 ? 2 : value < 100 ? 1 : 0) => value.toFixed(digits);

function table(node, group, rows, aims) {
  const names = ['', 'ns min', 'ns median', 'CPU min', 'CPU median', ...(group.columns ?? [])];
  const lines = rows.map((row) => [
    row.row,
    ...[row.nsMin, row.nsMedian, row.cpuMin, row.cpuMedian].map((value) => show(value)),
    ...(group.columns ?? []).map((column) => show(row[column])),
  ]);
  const widths = names.map((name, i) => Math.max(name.length, ...lines.map((l) => l[i].length)));
  const text = (line) =>
    line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ');
  console.log(`\n${group.title} (Node ${node.version})\n`);
  for (const line of [names, ...lines]) console.log(`  ${text(line)}`);
  for (const { aim, most, value, least, reached } of aims) {
    const verdict = reached === undefined ? '' : `, aim ${most}: ${reached ? 'reached' : 'MISSED'}`;
    console.log(`  ${aim} = ${show(value, 2)} (least ${show(least, 2)})${verdict}`);
  }
}

async function runSuite(groups, options) {
  const nodes = findNodes(options.node);
  const settings = {
    rounds: options.rounds,
    json: options.json,
    progress: progressLine(options.json),
  };
  settings.progress('building the Rust twin');
  buildPeers();
  settings.progress('writing 256 MiB');
  const files = makeFiles();
  process.once('SIGINT', () => {
    rmSync(files.base, { recursive: true, force: true });
    process.exit(130);
  });
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, kernel: release() };
  if (options.json) print({ kind: 'machine', ...machine, nodes: nodes.map((n) => n.version) });
  else console.log(`${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}`);
  let missed = 0;
  try {
    for (const node of nodes) {
      for (const group of groups) {
        const rounds = await runGroup(group, node, files, settings);
        const [rows, aims] = [rowsOf(group, rounds), aimsOf(group, rounds)];
        missed += aims.filter((aim) => aim.reached === false).length;
        if (!options.json) table(node, group, rows, aims);
        else {
          const common = { node: node.version, group: group.title };
          for (const row of rows) print({ kind: 'row', ...common, ...row });
          for (const aim of aims) print({ kind: 'aim', ...common, ...aim });
        }
      }
    }
  } finally {
    rmSync(files.base, { recursive: true, force: true });
  }
  if (!options.json)
    console.log(`\n${missed === 0 ? 'all aims reached' : `${missed} aims missed`}`);
}

/** What the command line asks for. Returns an exit code. */
export async function core(options) {
  const wanted = ({ title }) =>
    options.only.length === 0 || options.only.some((text) => title.includes(text));
  const chosen = groups.filter(wanted);
  if (chosen.length === 0) throw new Error('--only leaves nothing');
  if ((await setupOrExplain()) !== 0) return 1;
  await runSuite(chosen, options);
  return 0;
}
