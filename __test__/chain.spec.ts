// Chains: order, sharing, cuts, limits.
// Pair: crates/ringcore/tests/chain.rs

import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { AT_FDCWD, type Op, op, TimeoutError } from '../src/index.ts';
import { failure, many, pipe, runtime, until } from './support.ts';

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

test('behind a hard link everything runs and shared bytes are what they were', async (t) => {
  const [from, to] = [temporary('hard', Buffer.from('abc')), temporary('hard-to', Buffer.of())];
  const through = Buffer.from('0123456789');
  t.deepEqual(await op.hardlink(op.read(from, through, 0), op.write(to, through, 0)), [3, 10]);
  t.is(contents(to).toString(), 'abc3456789');
  const [read, write] = [op.read(9999, through, 0), op.write(to, through, 0)];
  await t.throwsAsync(async () => op.hardlink(read, write), { code: 'EBADF' });
  t.is(await write, 10);
  t.is(contents(to).toString(), 'abc3456789');
  closeSync(from);
  closeSync(to);
});

// PAIR: only-typescript -- Rust shares memory by handles, not by what views overlap
test('views that overlap in part share their bytes and others do not', async (t) => {
  const [from, to] = [temporary('part', Buffer.from('ABCDEF')), temporary('part-to', Buffer.of())];
  const bytes = Buffer.from('................');
  // Bytes 2 to 8 are read, 5 to 11 and then 12 to 16 are written.
  const chain = op.link(
    op.read(from, bytes.subarray(2, 8), 0),
    op.write(to, bytes.subarray(5, 11), 0),
    op.write(to, bytes.subarray(12, 16), 6),
  );
  t.deepEqual(await chain, [6, 6, 4]);
  t.is(contents(to).toString(), 'DEF.......');
  t.is(bytes.toString(), '..ABCDEF........');
  closeSync(from);
  closeSync(to);
});

test('chains in a crowd stay whole and in order', async (t) => {
  // A split chain would run what is behind a failure.
  const rt = await runtime(t, { entries: 8 });
  const chains = Array.from({ length: many(2000) }, (_, number) => {
    const length = 2 + (number % 5);
    const broken = number % (length + 1);
    const members = Array.from({ length }, (_, place) =>
      rt.op.nop({ result: place === broken ? -5 : place }),
    );
    return { members, broken, chain: rt.op.link(...members) };
  });
  await Promise.allSettled(chains.map(({ chain }) => chain));
  for (const { members, broken, chain } of chains) {
    const ends = await Promise.allSettled(members);
    const wanted = ends.map((_, place) => {
      if (place < broken) return place;
      return place === broken ? 'EIO' : 'ECANCELED';
    });
    const got = ends.map((end) => (end.status === 'fulfilled' ? end.value : end.reason.code));
    t.deepEqual(got, wanted);
    if (broken < members.length) t.is((await failure(chain)).code, 'EIO');
  }
});

test('a chain longer than the ring is an error and so is what cannot be linked', async (t) => {
  const rt = await runtime(t, { entries: 4 });
  const nops = (count: number) => Array.from({ length: count }, () => rt.op.nop());
  t.deepEqual(await rt.op.link(...nops(4)), [0, 0, 0, 0]);
  const range = { code: 'ERR_OUT_OF_RANGE', instanceOf: RangeError };
  t.throws(() => rt.op.link(...nops(5)), range);
  t.throws(() => rt.op.link(...nops(3), rt.op.withTimeout(rt.op.nop(), 50)), range);
  t.throws(() => rt.op.link(), range);
  const twice = rt.op.nop();
  t.throws(() => rt.op.link(twice, twice), range);
  t.throws(() => rt.op.link(rt.op.nop(), 5 as never), { code: 'ERR_INVALID_ARG_TYPE' });
  const started = rt.op.nop();
  await started;
  t.throws(() => rt.op.link(rt.op.nop(), started), { code: 'ERR_RINGCORE_MISUSE' });
  const elsewhere = await runtime(t);
  const foreign = rt.op.link(rt.op.nop(), elsewhere.op.nop());
  t.is((await failure(foreign)).code, 'ERR_RINGCORE_WRONG_RUNTIME');
  const long = new Uint8Array((1 << 20) + 1);
  const error = t.throws(() => rt.op.link(rt.op.read(0, long), rt.op.nop()), range);
  t.regex(error?.message ?? '', /buffer\.alloc/);
  t.throws(() => rt.op.withTimeout(rt.op.nop(), -1), range);
  const limited = rt.op.withTimeout(rt.op.nop(), 50);
  await limited;
  t.throws(() => rt.op.link(rt.op.nop(), limited), { code: 'ERR_RINGCORE_MISUSE' });
});

// PAIR: only-typescript -- Rust has neither a list of descriptors nor views that go away
test('a chain goes whole into a list that is almost full, or not at all', async (t) => {
  const rt = await runtime(t);
  const nops = Array.from({ length: 1022 }, () => rt.op.nop());
  const all = Promise.all(nops);
  const broken = [rt.op.nop({ result: -5 }), rt.op.nop(), rt.op.nop(), rt.op.nop()];
  const ends = Promise.allSettled(broken);
  t.is((await failure(rt.op.link(...broken))).code, 'EIO');
  t.deepEqual(
    (await ends).map((end) => end.status),
    Array(4).fill('rejected'),
  );
  await all;
  const view = new Uint8Array(100);
  const gone = rt.op.link(rt.op.nop(), rt.op.write(1, view), rt.op.nop());
  structuredClone(view.buffer, { transfer: [view.buffer] });
  t.is((await failure(gone)).code, 'ERR_RINGCORE_BUFFER_DETACHED');
  // Paths of 4 KiB: a chain of them has room, and one that has none says so and leaves nothing.
  const open = () => rt.op.openat(AT_FDCWD, `/${'a/'.repeat(2040)}`, 0);
  const opens = (count: number) => Array.from({ length: count }, open);
  t.is((await failure(rt.op.hardlink(...opens(8)))).code, 'ENOENT');
  t.is((await failure(rt.op.hardlink(...opens(20)))).code, 'ERR_RINGCORE_MEMORY');
  t.is(await rt.op.nop(), 0);
  t.is(rt.stats().inFlight, 0);
});

test('an aborted member ends the chain behind it', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  const controller = new AbortController();
  const read = rt.op.read(fd, new Uint8Array(8), -1, { signal: controller.signal });
  const [first, last] = [rt.op.nop({ result: 1 }), rt.op.nop()];
  const chain = rt.op.link(first, read, last);
  const ended = failure(chain);
  await until(() => rt.stats().inFlight === 2); // The nop has ended.
  controller.abort();
  t.is((await ended).code, 'ABORT_ERR');
  t.is(await first, 1);
  t.is((await failure(read)).code, 'ABORT_ERR');
  t.is((await failure(last)).code, 'ECANCELED');
  const never = rt.op.link(rt.op.nop(), rt.op.nop({ signal: controller.signal }));
  t.is((await failure(never)).code, 'ABORT_ERR');
});

test('an abandoned chain lets go of its memory after its last completion', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  const to = temporary('abandoned', Buffer.from('before'));
  for (let round = 0; round < many(50); round++) {
    const through = new Uint8Array(64);
    const handle = rt.spawn(function* () {
      yield* rt.op.link(rt.op.read(fd, through), rt.op.write(to, through, 0));
    });
    await until(() => rt.stats().inFlight === 2);
    handle.abort();
    t.is((await failure(handle)).code, 'ABORT_ERR');
    t.is(rt.stats().inFlight, 0);
    writeSync(fd, 'x'.repeat(32));
    const spray = new Uint8Array(64).fill(7);
    t.is(await rt.op.write(to, spray, 100), 64);
    t.is(await rt.op.read(fd, new Uint8Array(64)), 32, 'nobody else has taken the bytes');
    t.deepEqual(through, new Uint8Array(64));
  }
  t.is(contents(to).subarray(0, 6).toString(), 'before');
  t.deepEqual(contents(to).subarray(100), Buffer.alloc(64, 7));
  closeSync(to);
});

test('every member settles when the runtime is closed', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  const members: Op<number>[] = [rt.op.read(fd, new Uint8Array(8)), rt.op.nop(), rt.op.nop()];
  const limited = rt.op.withTimeout(rt.op.read(fd, new Uint8Array(8)), 60_000);
  const ends = [rt.op.link(...members, limited), ...members, limited].map((each) => failure(each));
  await until(() => rt.stats().inFlight === 5);
  await rt.close();
  for (const end of ends) t.is((await end).code, 'ERR_RINGCORE_CLOSED');
});
