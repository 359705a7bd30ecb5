// Timers, polls and cancels beyond their simplest form.
// Pair: crates/ringcore/tests/basic.rs

import { writeSync } from 'node:fs';
import test from 'ava';
import type { Op } from '../src/index.ts';
import { failure, pipe, runtime, until } from './support.ts';

test('a cancel by descriptor ends everything on it and tells how many', async (t) => {
  // The second ring is so small that most of them wait outside of the kernel.
  for (const entries of [64, 2]) {
    const rt = await runtime(t, { entries });
    const [fd, other] = [pipe(t), pipe(t)];
    const reads = Array.from({ length: 10 }, () => rt.op.read(fd, new Uint8Array(8)));
    const ends = reads.map((read) => failure(read));
    const survivor = rt.op.read(other, new Uint8Array(8));
    const survived = survivor.then((count) => count);
    await until(() => rt.stats().inFlight === 11);
    t.is(await rt.op.cancelFd(fd), 10);
    for (const end of ends) t.is((await end).code, 'ABORT_ERR');
    t.is(await rt.op.cancelFd(fd), 0, 'nothing is left');
    writeSync(other, 'abc');
    t.is(await survived, 3);
  }
});

// PAIR: only-typescript -- a descriptor of the wrong type does not compile in Rust
test('a cancel by descriptor beyond the range is a typed error', async (t) => {
  const rt = await runtime(t);
  t.throws(() => rt.op.cancelFd(-1), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => rt.op.cancelFd('1' as never), { code: 'ERR_INVALID_ARG_TYPE' });
  t.is((await failure(rt.op.cancelFd(0x7fffffff))).code, 'EBADF');
});

test('a poll that is removed ends and another operation is no poll', async (t) => {
  const rt = await runtime(t);
  const poll = rt.op.pollAdd(pipe(t), 1);
  const ended = failure(poll);
  await until(() => rt.stats().inFlight === 1);
  await rt.op.pollRemove(poll);
  t.is((await ended).code, 'ABORT_ERR');
  t.is((await failure(rt.op.pollRemove(poll))).code, 'ENOENT');
  t.throws(() => rt.op.pollRemove(7 as never), { code: 'ERR_INVALID_ARG_TYPE' });
});

test('a timer that is set anew ends at its new time', async (t) => {
  const rt = await runtime(t);
  const timer = rt.op.timeout(600_000);
  const ended = timer.then(() => 'ended');
  await until(() => rt.stats().inFlight === 1);
  const start = performance.now();
  await rt.op.timeoutUpdate(timer, 30);
  t.is(await ended, 'ended');
  t.true(performance.now() - start >= 29);
  t.is((await failure(rt.op.timeoutUpdate(timer, 30))).code, 'ENOENT');
  const nop = rt.op.nop() as unknown as Op<void>;
  t.throws(() => rt.op.timeoutUpdate(nop, 30), { code: 'ERR_INVALID_ARG_TYPE' });
  t.throws(() => rt.op.timeoutUpdate(timer, Number.NaN), { code: 'ERR_OUT_OF_RANGE' });
});

test('a timer ends at a moment of a clock', async (t) => {
  const rt = await runtime(t);
  const moment = Date.now() + 30;
  await rt.op.timeout(moment, { absolute: 'realtime' });
  t.true(Date.now() >= moment);
  const monotonic = Number(process.hrtime.bigint()) / 1e6 + 30;
  await rt.op.timeout(monotonic, { absolute: true });
  t.true(Number(process.hrtime.bigint()) / 1e6 >= monotonic);
  await rt.op.timeout(1, { absolute: true });
  t.throws(() => rt.op.timeout(1, { absolute: 'local' as never }), {
    code: 'ERR_INVALID_ARG_TYPE',
  });
});
