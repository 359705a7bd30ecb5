// Timers, polls and cancels beyond their simplest form.
// Pair: crates/ringcore/tests/basic.rs

import { closeSync, constants as files, openSync, writeSync } from 'node:fs';
import { setImmediate as immediate } from 'node:timers/promises';
import test from 'ava';
import { constants, type Op, type OpOptions } from '../src/index.ts';
import { NO_FD, name, socket } from './sockets.ts';
import { failure, many, pipe, runtime, until } from './support.ts';

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

test('what waits for a descriptor that is not open fails with ebadf', async (t) => {
  const rt = await runtime(t);
  const { op } = rt;
  const view = rt.buffer.alloc(4096, { registered: true });
  const calls = [
    () => op.pollAdd(NO_FD, 1),
    () => op.pollMultishot(NO_FD, 1).next(),
    () => op.cancelFd(NO_FD),
    () => op.writeFixed(NO_FD, view, 0),
    () => op.withTimeout(op.pollAdd(NO_FD, 1), 10_000),
  ];
  for (const call of calls) t.is((await failure(call())).code, 'EBADF', String(call));
  t.is(rt.stats().inFlight, 0, 'no limit is left behind');
});

test('whatever waits or asks is abandoned without a trace', async (t) => {
  const rt = await runtime(t);
  const { op } = rt;
  const [fd, full] = [pipe(t), pipe(t)];
  const view = rt.buffer.alloc(4096, { registered: true });
  // Until nothing more fits: what is written from here on waits.
  const flags = files.O_WRONLY | files.O_NONBLOCK;
  const writer = openSync(`/proc/self/fd/${full}`, flags);
  t.throws(
    () => {
      for (;;) writeSync(writer, Buffer.alloc(4096));
    },
    { code: 'EAGAIN' },
  );
  closeSync(writer);
  const poll = op.pollAdd(fd, 1);
  const polled = failure(poll);
  const timer = op.timeout(600_000);
  const timed = failure(timer);
  const fresh = await socket(t, rt, constants.AF_UNIX);
  const makers: ((options: OpOptions) => PromiseLike<unknown>)[] = [
    (options) => op.pollAdd(fd, 1, options),
    (options) => op.readFixed(fd, view, -1, options),
    (options) => op.writeFixed(full, view, -1, options),
    (options) => op.withTimeout(op.read(fd, Buffer.alloc(8), -1, options), 600_000),
    (options) => op.timeoutUpdate(timer, 500_000, options),
    (options) => op.cancelFd(full, options),
    (options) => op.shutdown(fresh, constants.SHUT_RDWR, options),
    (options) => op.bind(fresh, name(), options),
    (options) => op.pollMultishot(fd, 1, options).next(),
    (options) => op.pollRemove(timer as unknown as Op<number>, options),
  ];
  for (let round = 0; round < many(10); round++) {
    for (const make of makers) {
      const controller = new AbortController();
      const { signal } = controller;
      const ended = Promise.resolve(make({ signal })).catch((error: unknown) => error);
      for (let i = 0; i < round % 3; i++) await immediate();
      controller.abort();
      const outcome = await ended;
      const { code } = (outcome ?? {}) as NodeJS.ErrnoException;
      // Those that ask have their answer already: a socket is bound once, and not connected.
      t.true([undefined, 'ABORT_ERR', 'ENOTCONN', 'EINVAL', 'ENOENT'].includes(code), code);
    }
    await until(() => rt.stats().inFlight === 2);
  }
  await op.cancel(poll);
  await op.cancel(timer);
  t.deepEqual([(await polled).code, (await timed).code], ['ABORT_ERR', 'ABORT_ERR']);
  t.deepEqual([rt.stats().inFlight, rt.stats().stale], [0, 0]);
});
