// Chains: order, sharing, cuts, limits.
// Pair: crates/ringcore/tests/chain.rs

import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { op, TimeoutError } from '../src/index.ts';

function temporary(name: string, bytes: Uint8Array): number {
  const path = join(tmpdir(), `ringcore-chain-${process.pid}-${name}`);
  const fd = openSync(path, 'w+');
  rmSync(path);
  writeSync(fd, bytes);
  return fd;
}

const contents = (fd: number) => readFileSync(`/proc/self/fd/${fd}`);

test('a read and a write of the same bytes copy a file', async (t) => {
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i * 7);
  const [from, to] = [temporary('from', bytes), temporary('to', new Uint8Array(0))];
  const through = new Uint8Array(100_000);
  const results = await op.link(op.read(from, through, 0), op.write(to, through, 0));
  t.deepEqual(results, [100_000, 100_000]);
  t.deepEqual(contents(to), Buffer.from(bytes));
  t.deepEqual(through, bytes);
  closeSync(from);
  closeSync(to);
});

test('a member that fails or is short ends the chain and nothing behind it runs', async (t) => {
  const [from, to] = [temporary('short', Buffer.from('abc')), temporary('un', Buffer.from('old'))];
  const through = new Uint8Array(10);
  const cut = { code: 'ECANCELED', syscall: 'write' };
  let [read, write] = [op.read(9999, through, 0), op.write(to, through, 0)];
  await t.throwsAsync(async () => op.link(read, write), { code: 'EBADF' });
  await t.throwsAsync(async () => read, { code: 'EBADF' });
  t.like(await t.throwsAsync(async () => write), cut);
  t.deepEqual(through, new Uint8Array(10), 'the destination is untouched');
  [read, write] = [op.read(from, through, 0), op.write(to, through, 0)];
  t.like(await t.throwsAsync(async () => op.link(read, write)), cut);
  t.is(await read, 3);
  t.is(contents(to).toString(), 'old');
  closeSync(from);
  closeSync(to);
});

test('an operation with a limit ends in time or counts', async (t) => {
  const slow = op.withTimeout(op.timeout(60_000), 20);
  await t.throwsAsync(async () => slow, { instanceOf: TimeoutError, code: 'ETIMEDOUT' });
  const limited = op.withTimeout(op.nop({ result: 4 }), 60_000);
  const chain = op.link(op.nop({ result: 3 }), limited, op.nop({ result: 5 }));
  t.deepEqual(await chain, [3, 4, 5]);
});
