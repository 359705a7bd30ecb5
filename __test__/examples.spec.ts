// The programs of examples/, each in both languages and without ringcore, as a user runs them.
// PAIR: only-typescript examples.spec.ts -- the Rust programs are run here, too

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { programs, run } from './programs.ts';

const dir = mkdtempSync(join(tmpdir(), 'ringcore-examples-'));
test.after.always(() => rmSync(dir, { recursive: true, force: true }));

test('linked_cat prints files of every size byte for byte', async (t) => {
  for (const [name, command, args] of programs(t, 'linked_cat')) {
    for (const size of [0, 1, 65_535, 65_536, 65_537, 1_000_003]) {
      const bytes = randomBytes(size);
      const path = join(dir, `${name}-${size}`);
      writeFileSync(path, bytes);
      const ran = await run(command, [...args, path]);
      t.is(ran.status, 0, `${name}: ${ran.stderr}`);
      t.true(ran.stdout.equals(bytes), `${name}: ${size} bytes`);
    }
    const missing = await run(command, [...args, join(dir, 'missing')]);
    t.is(missing.status, 1, name);
    t.regex(missing.stderr, /^linked_cat: .*[Nn]o such file/, name);
    t.is((await run(command, args)).status, 2, name);
  }
});

test('timers end in the order of their times', async (t) => {
  for (const [name, command, args] of programs(t, 'timer')) {
    const ran = await run(command, [...args, '600', '0', '300']);
    t.is(ran.stdout.toString(), '0 ms\n300 ms\n600 ms\n3 timers\n', `${name}: ${ran.stderr}`);
    t.is(ran.status, 0, name);
    t.is((await run(command, [...args, 'soon'])).status, 2, name);
  }
});

test('a read loses against the clock or wins against it', async (t) => {
  for (const [name, command, args] of programs(t, 'timeout_race')) {
    const silent = await run(command, [...args, '50'], null);
    t.is(silent.stdout.toString(), 'timeout: timed out\nwithTimeout: timed out\n', name);
    t.is(silent.status, 0, `${name}: ${silent.stderr}`);
    const spoken = await run(command, [...args, '30000'], 'hello');
    t.is(spoken.stdout.toString(), 'timeout: 5 bytes\nwithTimeout: 0 bytes\n', name);
    t.is(spoken.status, 0, `${name}: ${spoken.stderr}`);
  }
});

test('registered buffers bring the bytes of a file', async (t) => {
  for (const size of [0, 1, 65_536, 262_144, 600_001]) {
    const bytes = randomBytes(size);
    const path = join(dir, `fixed-${size}`);
    writeFileSync(path, bytes);
    const sum = bytes.reduce((all, byte) => all + byte, 0);
    for (const [name, command, args] of programs(t, 'fixed_buffers')) {
      const ran = await run(command, [...args, path]);
      t.is(ran.stdout.toString(), `${size} bytes, sum ${sum}\n`, `${name}: ${ran.stderr}`);
      t.is(ran.status, 0, name);
    }
  }
  for (const [name, command, args] of programs(t, 'fixed_buffers')) {
    t.is((await run(command, [...args, join(dir, 'missing')])).status, 1, name);
    t.is((await run(command, args)).status, 2, name);
  }
});

test('the benchmark of buffers says what a read costs into each kind', async (t) => {
  const path = join(dir, 'bench');
  writeFileSync(path, randomBytes(4096 * 1000));
  const ring = (first: string) => [first, 'in place', 'registered'];
  const kinds = [ring('copied'), ring('owned'), ['node:fs'], ['pread']];
  for (const [i, [name, command, args]] of programs(t, 'fixed_buffer_bench').entries()) {
    const ran = await run(command, [...args, path, '500']);
    const lines = ran.stdout.toString().trimEnd().split('\n');
    const found = lines.map((line) => /^(.{10}) (\d+\.\d{3}) us a read$/.exec(line));
    t.deepEqual(
      found.map((each) => each?.[1]?.trimEnd()),
      kinds[i],
      `${name}: ${ran.stderr}`,
    );
    t.true(
      found.every((each) => Number(each?.[2]) > 0),
      name,
    );
    t.is((await run(command, [...args, path, '1'])).status, 2, name);
  }
});

test('one accept brings every connection', async (t) => {
  for (const [name, command, args] of programs(t, 'multishot_accept')) {
    const ran = await run(command, [...args, '200']);
    t.is(ran.stdout.toString(), '200 connections\n', `${name}: ${ran.stderr}`);
    t.is(ran.status, 0, name);
    t.is((await run(command, [...args, 'many'])).status, 2, name);
  }
});

/** What concurrent_reads prints of a file: an xorshift32 and FNV-1a of this test's own. */
function expected(bytes: Buffer, reads: number, size: number): string {
  const state = Uint32Array.of(0x2545f491);
  const step = (by: number) => {
    state[0] = (state[0] as number) ^ (by > 0 ? (state[0] as number) << by : state[0]! >>> -by);
  };
  let [total, sum] = [0, 0n];
  for (let i = 0; i < reads; i++) {
    for (const by of [13, -17, 5]) step(by);
    const blocks = Math.max(1, Math.floor(bytes.length / size));
    const part = bytes.subarray((state[0]! % blocks) * size).subarray(0, size);
    let hash = 0x811c9dc5n;
    for (const byte of part) hash = ((hash ^ BigInt(byte)) * 0x01000193n) & 0xffffffffn;
    total += part.length;
    sum = (sum + hash) & 0xffffffffn;
  }
  return `${reads} reads, ${total} bytes\nchecksum ${sum.toString(16).padStart(8, '0')}\n`;
}

test('many reads at once bring what stands at their places', async (t) => {
  const path = join(dir, 'places');
  for (const [length, reads, size] of [
    [300_000, 1000, 100],
    [4096 * 50 + 7, 200, 4096],
    [10, 3, 4096],
    [0, 2, 1],
    [3_000_000, 5, 1_048_576],
  ] as const) {
    const bytes = randomBytes(length);
    writeFileSync(path, bytes);
    for (const [name, command, args] of programs(t, 'concurrent_reads')) {
      const ran = await run(command, [...args, path, `${reads}`, `${size}`]);
      t.is(ran.status, 0, `${name}: ${ran.stderr}`);
      const [text, rate] = ran.stdout.toString().split(/(?=^\d+ reads\/s$)/m);
      t.is(text, expected(bytes, reads, size), name);
      t.regex(rate ?? '', /^[1-9]\d* reads\/s\n$/, name);
    }
  }
  for (const [name, command, args] of programs(t, 'concurrent_reads')) {
    t.is((await run(command, [...args, dir])).status, 1, name);
    for (const wrong of [[], [path, '0'], [path, 'x'], [path, '1', '1048577'], [path, '1', '-1']]) {
      t.is((await run(command, [...args, ...wrong])).status, 2, `${name} ${wrong}`);
    }
  }
});
