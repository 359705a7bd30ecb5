// The benchmark of files judges itself first: wrong bytes end a process, a lost case stays in the
// report, and only asynchronous JavaScript of the newest runtimes counts as a peer.
// PAIR: only-typescript bench -- the runner is JavaScript; the Rust peers are run by it

import { execFile } from 'node:child_process';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const root = fileURLToPath(new URL('..', import.meta.url));
/** The runner has no types of its own. */
const load = (file: string) => import(new URL(`../benchmark/${file}`, import.meta.url).href);

const work = mkdtempSync(join(tmpdir(), 'ringcore-bench-spec-'));
test.after.always(() => rmSync(work, { recursive: true, force: true }));

interface Row {
  id: string;
  who: string;
  runtime?: string;
  blocking?: boolean;
  ns: (number | null)[];
  cpu: (number | null)[];
  failed?: string;
}

const row = (id: string, who: string, ns: (number | null)[], more: Partial<Row> = {}): Row => ({
  id,
  who,
  runtime: id.split(' ')[0]!,
  ns,
  cpu: ns,
  ...more,
});

const ours = (ns: number[]) => row('ringcore', 'ringcore', ns, { runtime: 'node26' });

function record(rows: Row[]) {
  return {
    case: 'readfile-1k-x64',
    title: 'readFile & more',
    unit: 'file',
    rounds: 3,
    warm: true,
    at: '2026-01-01 00:00',
    commit: 'abc',
    machine: { cpu: 'a cpu', cores: 2, memory: '1 GiB', kernel: '6.1', files: 'ext4', load: 0 },
    versions: { node26: '26.0.0' },
    rows,
  };
}

test('the best peer is asynchronous JavaScript of the newest runtimes', async (t) => {
  const { bestPeer } = await load('files/aims.mjs');
  const rows = [
    ours([10, 10, 10]),
    row('node26 promises', 'peer', [50, 51, 52]),
    row('node26 sync', 'peer', [5, 5, 5], { blocking: true }),
    row('node20 promises', 'peer', [6, 6, 6]),
    row('rust floor', 'rust', [1, 1, 1]),
    row('bun promises', 'peer', [90, 30, 31]),
    row('deno promises', 'peer', [null, null, null], { failed: 'it ended' }),
  ];
  t.is(bestPeer(record(rows)).id, 'bun promises');
});

test('an aim is the median of ratios that are made inside of each round', async (t) => {
  const { judge } = await load('files/aims.mjs');
  // The second round was slow for both, which no ratio of medians would see.
  const rows = [ours([10, 100, 10]), row('bun promises', 'peer', [20, 150, 30])];
  const aims = [
    { than: 'best peer', least: 2 },
    { than: 'best peer', least: 2.1 },
    { than: 'fio io_uring', least: 1 },
    { than: 'bun promises', field: 'cpu', most: 0.5 },
  ];
  const [reached, missed, absent, most] = judge(record(rows), aims);
  t.is(reached.value, 2);
  t.is(reached.worst, 1.5);
  t.true(reached.reached);
  t.false(missed.reached);
  t.is(absent.reached, undefined);
  t.is(most.value, 0.5);
  t.true(most.reached);
});

test('a lost case and a failed program stay in the report', async (t) => {
  const { report } = await load('files/report.mjs');
  const folder = join(work, 'report');
  const rows = [
    ours([100, 100, 100]),
    row('node26 promises', 'peer', [50, 50, 50]),
    row('bun promises', 'peer', [null, null, null], { failed: 'ended with SIGSEGV' }),
  ];
  const text = readFileSync(report(new Map([['one', record(rows)]]), folder), 'utf8');
  t.regex(text, /as fast as best peer \(node26 promises\), times \| 0\.50 .*\*\*MISSED\*\*/);
  t.regex(text, /^## Why aims are missed$/m);
  t.regex(text, /^\| bun promises \|.*\| failed \|$/m);
  t.regex(text, /`bun promises` failed: ended with SIGSEGV/);
  t.deepEqual(readdirSync(join(folder, 'plots')), ['readfile-1k-x64.svg']);
  const picture = readFileSync(join(folder, 'plots', 'readfile-1k-x64.svg'), 'utf8');
  t.regex(picture, /prefers-color-scheme: dark/);
  t.regex(picture, /readFile &amp; more/);
  t.notRegex(picture, /NaN|undefined/);
});

test('a plot over the number in flight has a line for each program', async (t) => {
  const { report } = await load('files/report.mjs');
  const folder = join(work, 'lines');
  const points = [1, 32, 1000].flatMap((point) =>
    ['ringcore', 'bun promises'].map((name) => ({
      ...row(`${name} x${point}`, name === 'ringcore' ? 'ringcore' : 'peer', [point, point, point]),
      name,
      point,
      runtime: name === 'ringcore' ? 'node26' : 'bun',
    })),
  );
  const one = { ...record(points), case: 'in-flight' };
  const text = readFileSync(report(new Map([['one', one]]), folder), 'utf8');
  // 32 and 1000 are compared, and the dearest is 31 times as dear.
  t.regex(text, /dearest of 32 to 100 000 in flight by the cheapest, time \| 31\.3 /);
  const picture = readFileSync(join(folder, 'plots', 'in-flight.svg'), 'utf8');
  t.is(picture.match(/<polyline/g)?.length, 2);
  t.notRegex(picture, /NaN|undefined/);
});

test.serial('the clock leaves out what is paused, and the warm-up', async (t) => {
  const { Meter } = await load('files/meter.mjs');
  const real = performance.now;
  let now = 0;
  performance.now = () => now;
  try {
    const meter = new Meter({ warmMs: 10, runMs: 10 });
    let more = true;
    // Each operation takes 2 ms, after 5 ms of set-up.
    for (let i = 0; more && i < 100; i++) {
      meter.pause();
      now += 5;
      meter.resume();
      now += 2;
      more = meter.add(1);
    }
    t.is(meter.result().ns, 2e6);
    t.is(meter.result().ops, 5);
    t.is(meter.result().all, 10);
  } finally {
    performance.now = real;
  }
});

interface Said {
  code: number;
  stdout: string;
  stderr: string;
}

function worker(family: string, variant: string, settings: object): Promise<Said> {
  const file = join(root, 'benchmark/files/worker.mjs');
  const all = { dir: work, dist: join(root, 'dist'), warmMs: 1, runMs: 5, ...settings };
  return new Promise((resolve) => {
    const args = [file, family, variant, JSON.stringify(all)];
    execFile(process.execPath, args, { timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    });
  });
}

const small = { size: 1024, count: 10_000, inFlight: 8 };

test.serial('every variant of readFile reads, and wrong bytes end it', async (t) => {
  const { makeData } = await load('files/data.mjs');
  makeData(work, ['small-1024']);
  const variants = ['promises', 'callback', 'sync', 'promises@ringcore', 'callback@ringcore', 'op'];
  for (const variant of variants) {
    const { code, stdout, stderr } = await worker('readfile', variant, small);
    t.is(code, 0, `${variant}: ${stderr}`);
    const { ns, cpu, ops, all } = JSON.parse(stdout);
    t.true(ns > 0 && cpu > 0 && ops > 0 && all > ops, `${variant}: ${stdout}`);
  }
  // As long as it was, but another file's bytes.
  writeFileSync(join(work, 'small-1024/2'), Buffer.alloc(1024, 1));
  for (const variant of variants) {
    const { code, stderr } = await worker('readfile', variant, small);
    t.not(code, 0, variant);
    t.regex(stderr, /this is another file/, variant);
  }
  truncateSync(join(work, 'small-1024/2'), 1023);
  for (const variant of variants) {
    const { code, stderr } = await worker('readfile', variant, small);
    t.not(code, 0, variant);
    t.regex(stderr, /a file of 1024 bytes gave 1023/, variant);
  }
});

test('what is not the file, the block or the sum is found out', async (t) => {
  const { blockOf, checkBlock } = await load('files/blocks.mjs');
  const { Sum } = await load('files/cases/cat.mjs');
  const buffer = Buffer.alloc(4096, blockOf(7, 1000) & 255);
  const check = checkBlock([buffer], 1000);
  t.notThrows(() => check(4096, 7, 0));
  t.throws(() => check(4095, 7, 0), { message: /gave 4095 bytes/ });
  t.throws(() => check(4096, 8, 0), { message: /another block/ });
  const sum = new Sum();
  sum.add(Buffer.alloc(4096, 0));
  t.throws(() => sum.check(), { message: /gave 4096 bytes/ });
});

test('all programs draw the same blocks, spread over the file', async (t) => {
  const { blockOf } = await load('files/blocks.mjs');
  // The same figures are in peers/common/src/lib.rs.
  t.deepEqual(
    [0, 1, 2, 99_999].map((i) => blockOf(i, 65_536)),
    [48_644, 57_509, 7_438, 44_364],
  );
  const drawn = new Set(Array.from({ length: 65_536 }, (_, i) => blockOf(i, 65_536)));
  t.true(drawn.size > 0.6 * 65_536);
});
