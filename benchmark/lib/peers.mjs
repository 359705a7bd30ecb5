// What there is to compare with: runtimes of the cache, Rust programs of benchmark/peers, fio.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { environment, root } from '../../.ci/children.mjs';
import { binaryOf, fetchSome, nodeRuntime, runtimes, wrong } from '../../.ci/fetch.mjs';

const workspace = join(root, 'benchmark', 'peers');
/** Below the folder of ringcore's own builds, which nothing looks into. */
const target = join(root, 'target', 'peers');
/** What needs nothing that ringcore itself does not need. */
export const LIGHT = ['hold', 'floor', 'twin', 'std'];
export const HEAVY = ['tokio', 'monoio', 'compio', 'old'];

/** The Nodes of the tables: this process's own, the oldest and the newest. */
const OLD_NODE = nodeRuntime('20.20.2');
const isNamed = (start) => (runtime) => runtime.name.startsWith(start);
const NEW_NODE = runtimes.find(isNamed('node-26'));
const BUN = runtimes.find(isNamed('bun-'));
const DENO = runtimes.find(isNamed('deno-'));

const version = (path) => {
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
  return /\d+\.\d+\.\d+/.exec(stdout ?? '')?.[0] ?? '';
};

function runtime(kind, label, path) {
  return { kind, label, path, version: version(path) };
}

/** The runtimes that are there, the newest Node first. `missing` are sentences for people. */
export function findRuntimes() {
  const found = [];
  const missing = [];
  const look = (kind, label, one) => {
    if (wrong(one) === null) found.push(runtime(kind, label, binaryOf(one)));
    else missing.push(`${label} is not measured: npm run bench -- setup`);
  };
  const own = Number(process.versions.node.split('.')[0]);
  if (own >= 26) found.push(runtime('node', `node${own}`, process.execPath));
  else look('node', 'node26', NEW_NODE);
  if (own < 26) found.push(runtime('node', `node${own}`, process.execPath));
  if (own !== 20) look('node', 'node20', OLD_NODE);
  look('bun', 'bun', BUN);
  look('deno', 'deno', DENO);
  return { found, missing };
}

/** Where cargo puts the program of a peer. */
export function peerBinary(name) {
  return join(target, 'release', `bench-${name}`);
}

function cargo(names, options) {
  const packages = names.flatMap((name) => ['--package', `bench-${name}`]);
  const args = ['build', '--quiet', '--release', '--locked', '--target-dir', target];
  return spawnSync('cargo', [...args, ...packages, ...options], {
    cwd: workspace,
    env: environment,
    encoding: 'utf8',
  });
}

/** Builds peers; returns the names of those that are there, and why others are not. */
export function buildPeers(names, { offline = false } = {}) {
  const problems = [];
  const options = offline ? ['--offline'] : [];
  const all = cargo(names, options);
  // One that cannot be had must not keep the others away.
  if (all.status !== 0) {
    for (const name of names) {
      const { status, stderr, error } = cargo([name], options);
      if (status !== 0) problems.push(`rust ${name} is not measured: ${why(stderr, error)}`);
    }
  }
  return { built: names.filter((name) => existsSync(peerBinary(name))), problems };
}

function why(stderr, error) {
  const line = (stderr ?? '').split('\n').find((text) => text.startsWith('error'));
  return line ?? error?.message ?? 'cargo failed';
}

export function hasFio() {
  return spawnSync('fio', ['--version']).status === 0;
}

/** perf that may count system calls. */
export function hasPerf() {
  const args = ['stat', '-e', 'raw_syscalls:sys_enter', 'true'];
  return spawnSync('perf', args).status === 0;
}

/** Fetches and builds all peers. Returns an exit code. */
export function setUp() {
  const wanted = [NEW_NODE, BUN, DENO];
  if (!process.versions.node.startsWith('20.')) wanted.push(OLD_NODE);
  const code = fetchSome(wanted);
  console.log('building the Rust peers (the first time takes some minutes)');
  const { built, problems } = buildPeers([...LIGHT, ...HEAVY]);
  console.log(`built    ${built.map((name) => `rust ${name}`).join(', ')}`);
  for (const problem of problems) console.error(problem);
  if (!hasFio())
    console.log('fio      is not installed; with it (apt-get install fio) it is a peer too');
  return code !== 0 || problems.length > 0 ? 1 : 0;
}
