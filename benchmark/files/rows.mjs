// Which programs a case runs: a row is one of them, and one fresh process a round.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { peerBinary } from '../lib/peers.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const worker = join(here, 'worker.mjs');

/** How other JavaScript reaches files, by kind of runtime. */
const STYLES = {
  node: ['promises', 'callback', 'stream', 'sync'],
  bun: ['promises', 'callback', 'bunfile'],
  deno: ['promises', 'callback', 'deno'],
};

/** A row for a process of JavaScript. `id` is its name in all tables. */
function script(id, who, runtime, variant, more = {}) {
  const blocking = variant === 'sync';
  const flags = runtime.kind === 'deno' ? ['run', '--allow-all', '--quiet'] : [];
  if (runtime.kind === 'node') flags.push('--expose-gc', '--no-warnings');
  const line = (settings) => {
    const { family, ...rest } = settings;
    return [...flags, worker, family, variant, JSON.stringify({ ...rest, ...more.settings })];
  };
  const env = { NODE_OPTIONS: '', NODE_NO_WARNINGS: '1', NO_COLOR: '1', ...more.env };
  return { id, who, runtime: runtime.label, variant, blocking, command: runtime.path, line, env };
}

/** A Rust program of benchmark/peers; it takes name=value. */
function native(name) {
  const line = ({ family, ...settings }) => {
    const pairs = Object.entries(settings).filter(([, value]) => typeof value !== 'object');
    return [family, ...pairs.map(([key, value]) => `${key}=${value}`)];
  };
  const id = `rust ${name}`;
  return { id, who: 'rust', variant: name, blocking: false, command: peerBinary(name), line };
}

/** fio says its own JSON. */
function fio(engine) {
  const line = ({ dir, inFlight, direct, warmMs, runMs }) => [
    '--name=reads',
    `--filename=${dir}/blocks`,
    '--rw=randread',
    '--bs=4k',
    '--invalidate=0',
    `--direct=${direct ? 1 : 0}`,
    `--ioengine=${engine}`,
    `--iodepth=${inFlight}`,
    '--time_based',
    `--runtime=${Math.max(1, Math.round(runMs / 1000))}`,
    `--ramp_time=${Math.max(1, warmMs)}ms`,
    '--output-format=json',
  ];
  const read = (text) => {
    const [job] = JSON.parse(text.slice(text.indexOf('{'))).jobs;
    if (job.error !== 0) throw new Error(`fio's error ${job.error}`);
    const ns = 1e9 / job.read.iops;
    return { ns, cpu: ((job.usr_cpu + job.sys_cpu) / 100) * ns, ops: job.read.total_ios, disk: 0 };
  };
  const id = `fio ${engine}`;
  return { id, who: 'fio', variant: engine, blocking: false, command: 'fio', line, read };
}

/** Our own rows: the drop-in on every runtime; the rest and raw operations on the newest Node. */
function own(family, runtimes, dist, name = 'ringcore') {
  const rows = [];
  const settings = { dist };
  for (const [i, runtime] of runtimes.entries()) {
    const id = i === 0 ? name : `${name} ${runtime.label}`;
    if (family.variants.promises) {
      rows.push(script(id, 'ringcore', runtime, 'promises@ringcore', { settings }));
    }
    if (i > 0) continue;
    for (const style of ['callback', 'stream', 'op']) {
      if (!family.variants[style]) continue;
      rows.push(script(`${name} ${style}`, 'ringcore', runtime, `${style}@ringcore`, { settings }));
    }
  }
  return rows;
}

/** All rows of a case, with what is there. A narrow case leaves old Nodes and variants out. */
export function rowsOf(one, family, { runtimes: all, built, fio: withFio, dist }) {
  const runtimes = one.narrow ? all.filter(({ kind }, i) => i === 0 || kind !== 'node') : all;
  const rows = own(family, one.narrow ? runtimes.slice(0, 1) : runtimes, dist);
  if (family.variants.idle) rows.push(script('idle', 'floor', runtimes[0], 'idle'));
  for (const runtime of runtimes) {
    for (const style of STYLES[runtime.kind]) {
      if (!family.variants[style] || one.without?.includes(style)) continue;
      rows.push(script(`${runtime.label} ${style}`, 'peer', runtime, style));
    }
    if (runtime.kind !== 'node' || !family.variants.promises || one.narrow) continue;
    const env = { UV_USE_IO_URING: '1' };
    rows.push(script(`${runtime.label} uring`, 'peer', runtime, 'promises', { env }));
  }
  for (const name of one.native ?? []) if (built.includes(name)) rows.push(native(name));
  if (withFio) for (const engine of one.fio ?? []) rows.push(fio(engine));
  return withPoints(rows, one.points);
}

/** The same case on two trees. */
export function rowsOfTrees(one, family, runtime, trees) {
  const rows = trees.flatMap(({ name, dist }) => own(family, [runtime], dist, name));
  return withPoints(rows, one.points);
}

/** One row for each number of operations in flight, when the case asks for several. */
function withPoints(rows, points) {
  if (!points) return rows;
  return rows.flatMap((row) =>
    points.map((point) => ({ ...row, id: `${row.id} x${point}`, name: row.id, point })),
  );
}
