// Pair: crates/ringcore/tests/stream.rs
import { writeSync } from 'node:fs';
import test from 'ava';
import { all, op, Runtime, race, type Stream, sleep, timeout } from '../src/index.ts';
import { BACKLOG } from '../src/stream.ts';
import { close, connect, listen, pair } from './peers.ts';
import { child, descriptors, failure, many, pipe, runtime, settle, until } from './support.ts';

const NO_FD = 0x7ffffff;
const POLLIN = 1;

/** Waits until the descriptor count is that; closes are the ring's and come a turn later. */
const flat = (count: number): Promise<void> => until(() => descriptors() === count);

/** Starts to wait, so that the stream is armed; the promise of what comes. */
function start<T>(stream: Stream<T>): Promise<T | undefined> {
  return stream.next().then((value) => value);
}

test.serial('a thousand connections come through one shot and none is lost', async (t) => {
  const rt = await runtime(t);
  const { fd, name } = await listen(rt);
  await settle();
  const before = descriptors();
  const stream = rt.op.acceptMultishot(fd);
  const submitted = rt.stats().submitted;
  const seen = new Set<number>();
  for (let round = 0; round < many(10); round++) {
    const clients = await Promise.all(Array.from({ length: 100 }, () => connect(rt, name)));
    for (const [number, client] of clients.entries())
      writeSync(client, `${round * 100 + number}\n`);
    for (let i = 0; i < 100; i++) {
      const accepted = (await stream.next()) as number;
      const bytes = Buffer.alloc(16);
      const text = bytes.toString('latin1', 0, await rt.op.read(accepted, bytes));
      seen.add(Number(text));
      close(accepted);
    }
    for (const client of clients) close(client);
  }
  t.is(seen.size, many(10) * 100);
  // A socket, a connect and a read each, and one accept for all.
  t.is(rt.stats().submitted - submitted, many(10) * 300 + 1);
  await stream.close();
  await flat(before);
  close(fd);
  t.pass();
});

test.serial(
  'a shot that overflows the completion queue goes on and loses no descriptor',
  async (t) => {
    const rt = await runtime(t, { entries: 1, cqEntries: 2 });
    const { fd, name } = await listen(rt);
    const other = await runtime(t);
    await settle();
    const before = descriptors();
    const stream = rt.op.acceptMultishot(fd);
    for (let round = 0; round < many(10); round++) {
      const first = start(stream);
      const clients = await Promise.all(Array.from({ length: 40 }, () => connect(other, name)));
      const accepted = [await first];
      while (accepted.length < clients.length) accepted.push(await stream.next());
      t.is(new Set(accepted).size, clients.length, 'none is doubled');
      for (const each of [...accepted, ...clients]) close(each as number);
    }
    t.true(rt.stats().overflows > 0, 'the queue overflowed');
    await stream.close();
    await flat(before);
    close(fd);
  },
);

test.serial('connections that nobody takes wait in the kernel beyond the backlog', async (t) => {
  t.timeout(60_000);
  const rt = await runtime(t);
  const { fd, name } = await listen(rt);
  const other = await runtime(t);
  await settle();
  const before = descriptors();
  const stream = rt.op.acceptMultishot(fd);
  const first = start(stream);
  const clients: number[] = [];
  const extra = 200;
  for (let i = 0; i < BACKLOG + extra + 1; i++) clients.push(await connect(other, name));
  await until(() => rt.stats().inFlight === 0); // It was cancelled: too many wait.
  const held = descriptors() - before - clients.length;
  t.true(held >= BACKLOG && held <= BACKLOG + extra, `${held}`);
  close((await first) as number);
  for (let i = 0; i < BACKLOG + extra; i++) close((await stream.next()) as number);
  const last = start(stream);
  clients.push(await connect(other, name));
  close((await last) as number);
  await stream.close();
  for (const client of clients) close(client);
  await flat(before);
  close(fd);
});

test.serial('a stream that is closed in any state leaves no descriptor', async (t) => {
  const rt = await runtime(t);
  const { fd, name } = await listen(rt);
  const other = await runtime(t);
  await settle();
  const before = descriptors();
  for (let round = 0; round < many(50); round++) {
    const stream = rt.op.acceptMultishot(fd);
    const wanted = Array.from({ length: round % 3 }, () => start(stream));
    if (round % 2 === 0) await settle(2);
    const clients = Array.from({ length: round % 5 }, () => connect(other, name));
    if (round % 4 === 1) await Promise.all(clients);
    if (round % 4 === 2) await settle(3);
    const closing = stream.close();
    t.is(stream.close(), closing, 'twice is once');
    await closing;
    t.is(await stream.next(), undefined);
    for (const each of await Promise.all(wanted)) if (each !== undefined) close(each);
    for (const each of await Promise.all(clients)) close(each);
  }
  // What no stream took waits in the listen queue, and goes with it.
  close(fd);
  await flat(before - 1);
  t.is(rt.stats().inFlight, 0);
});

test('poll tells each time that bytes have come', async (t) => {
  const rt = await runtime(t);
  const [near, far] = await pair(rt, t);
  const stream = rt.op.pollMultishot(near, POLLIN);
  for (let i = 0; i < many(20); i++) {
    writeSync(far, 'x');
    t.is(((await stream.next()) as number) & POLLIN, POLLIN);
  }
  close(far);
  t.not(((await stream.next()) as number) & 16, 0, 'POLLHUP');
  await stream.close();
});

test('the timer ticks as often as it was asked and never early', async (t) => {
  const rt = await runtime(t);
  const begin = performance.now();
  const stream = rt.op.timeoutMultishot(2, 5);
  for (let tick = 1; tick <= 5; tick++) {
    t.is(await stream.next(), tick);
    // The clock of performance.now is read in steps of its own.
    t.true(performance.now() - begin >= 2 * tick - 0.01);
  }
  t.is(await stream.next(), undefined);
  t.is(await stream.next(), undefined);
  const endless = rt.op.timeoutMultishot(1);
  for (let tick = 1; tick <= 10; tick++) t.is(await endless.next(), tick);
  await endless.close();
});

test('ticks that overflow the completion queue are all counted', async (t) => {
  const rt = await runtime(t, { entries: 1, cqEntries: 2 });
  const stream = rt.op.timeoutMultishot(0.1, 50);
  t.is(await stream.next(), 1);
  const until = performance.now() + 5;
  while (performance.now() < until); // Nobody reaps: ticks pile up in the kernel.
  for (let tick = 2; tick <= 50; tick++) t.is(await stream.next(), tick);
  t.is(await stream.next(), undefined);
});

test('a timer that is closed while it fires ends', async (t) => {
  const rt = await runtime(t);
  for (let round = 0; round < many(100); round++) {
    const stream = rt.op.timeoutMultishot(0.1);
    t.is(await stream.next(), 1);
    const until = performance.now() + (round % 10) * 0.02;
    while (performance.now() < until); // Its cancel may come between two ticks.
    await stream.close();
  }
  t.is(rt.stats().inFlight, 0);
});

test('an error ends a stream', async (t) => {
  const rt = await runtime(t);
  const stream = rt.op.acceptMultishot(NO_FD);
  const [first, second] = [start(stream), start(stream)];
  const error = await failure(first);
  t.is(error.code, 'EBADF');
  t.is(error.syscall, 'accept');
  t.is(await second, undefined);
  t.is(await stream.next(), undefined);
  await stream.close();
  const [near] = await pair(rt, t);
  t.is((await failure(rt.op.acceptMultishot(near).next())).code, 'EINVAL');
});

test('a stream that nobody polls does nothing', async (t) => {
  const rt = await runtime(t);
  const { submitted } = rt.stats();
  const stream = rt.op.timeoutMultishot(1);
  stream.next();
  await settle();
  t.is(rt.stats().submitted, submitted);
  await stream.close();
  t.is(await stream.next(), undefined);
  t.is(rt.stats().submitted, submitted);
});

test.serial('a next that is left loses nothing', async (t) => {
  const rt = await runtime(t);
  const { fd, name } = await listen(rt);
  await settle();
  const before = descriptors();
  const stream = rt.op.acceptMultishot(fd);
  await rt.run(function* () {
    t.is((yield* failing(timeout(stream.next(), 1)))?.code, 'ETIMEDOUT');
  });
  for (let round = 0; round < many(50); round++) {
    const [client] = await Promise.all([
      connect(rt, name),
      // Both may be there in the same turn: whoever loses gives back.
      rt.run(function* () {
        const winner = yield* race([stream.next(), sleep(0)]);
        if (winner !== undefined) close(winner);
        else close((yield* stream.next()) as number);
      }),
    ]);
    close(client);
  }
  await stream.close();
  await flat(before);
  close(fd);
});

test('a value that came for who has left is given to the next', async (t) => {
  const rt = await runtime(t);
  const group = rt.buffer.provide({ count: 4, size: 64 });
  for (const way of ['race', 'timeout', 'all', 'all left', 'all queued', 'abort'] as const) {
    const [near, far] = await pair(rt, t);
    const gate = pipe(t);
    const chunks = rt.op.recvMultishot(near, group, { lend: true });
    const opened = rt.op.read(gate, new Uint8Array(1));
    if (way === 'all queued') {
      const first = start(chunks);
      writeSync(far, 'zero');
      (await first)?.release();
      writeSync(far, 'one');
      await until(() => group.available === 3);
    }
    let fail = (_: Error) => {};
    const failing = new Promise<never>((_, reject) => {
      fail = reject;
    });
    const handle = rt.spawn(function* () {
      // The gate and the value come in one delivery, the task is polled after it.
      if (way === 'race') yield* race([opened, chunks.next()]);
      else if (way === 'timeout') yield* race([opened, timeout(chunks.next(), 60_000)]);
      // Its value is in the list that nobody will see.
      else if (way === 'all') yield* all([chunks.next(), failing]);
      else if (way.startsWith('all')) yield* race([all([chunks.next(), failing]), opened]);
      else yield* chunks.next();
    });
    const ended = handle.then(
      () => 'won',
      (error) => (error as Error).name,
    );
    await until(() => rt.stats().inFlight > 0);
    await settle();
    if (way === 'abort') {
      opened.then(
        () => handle.abort(),
        () => {},
      );
      await settle(2);
    }
    if (way !== 'all queued') writeSync(far, 'one');
    if (way.startsWith('all')) await settle();
    if (way === 'all') fail(new RangeError('of its companion'));
    writeSync(gate, 'x');
    t.is(await ended, { all: 'RangeError', abort: 'AbortError' }[way as string] ?? 'won', way);
    await opened;
    writeSync(far, 'two');
    for (const text of ['one', 'two']) {
      const lent = await chunks.next();
      t.is(lent && Buffer.from(lent.bytes).toString(), text, way);
      lent?.release();
    }
    await chunks.close();
    t.is(group.available, 4, way);
  }
});

function* failing(future: ReturnType<typeof timeout>) {
  try {
    yield* future;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
  return undefined;
}

test('a cancel from outside ends a stream with an abort error', async (t) => {
  const rt = await runtime(t);
  const { fd } = await listen(rt);
  const stream = rt.op.acceptMultishot(fd);
  const ended = failure(stream.next());
  await until(() => rt.stats().inFlight === 1);
  rt.executor.reactor.cancel(stream);
  t.is((await ended).code, 'ABORT_ERR');
  t.is(await stream.next(), undefined);
  close(fd);
});

test.serial('closing the runtime ends its streams', async (t) => {
  const other = await runtime(t);
  await settle();
  const before = descriptors();
  for (let round = 0; round < many(20); round++) {
    const rt = new Runtime();
    const { fd, name } = await listen(rt);
    const stream = rt.op.acceptMultishot(fd);
    const clients: number[] = [];
    if (round % 2 === 0) {
      close(((await Promise.all([stream.next(), connect(other, name)])) as number[])[0]!);
    }
    const waiting = round % 3 === 0 ? failure(stream.next()) : null;
    if (waiting === null) {
      start(stream).then(
        (accepted) => accepted && close(accepted),
        () => {},
      );
      for (let i = 0; i < 5; i++) clients.push(await connect(other, name));
      await settle(2);
    }
    await rt.close();
    if (waiting !== null) t.is((await waiting).code, 'ERR_RINGCORE_CLOSED');
    await settle(2);
    // Who did not wait is told at the next call, once.
    await stream.next().catch((error) => t.like(error, { code: 'ERR_RINGCORE_CLOSED' }));
    t.is(await stream.next(), undefined);
    for (const client of clients) close(client);
    close(fd);
  }
  t.true(descriptors() - before <= many(10), 'only the clients of the first line are left');
});

// PAIR: only-typescript -- a Rust stream has one borrower, and no promise
test('several wait in the order in which they were awaited', async (t) => {
  const rt = await runtime(t);
  const stream = rt.op.timeoutMultishot(0.5, 4);
  const waiting = [1, 2, 3, 4, 5].map(() => start(stream));
  t.deepEqual(await Promise.all(waiting), [1, 2, 3, 4, undefined]);
});

// PAIR: only-typescript -- generators and async iteration
test('a stream works in generator tasks and in for await', async (t) => {
  const rt = await runtime(t);
  const stream = rt.op.timeoutMultishot(0.2, 3);
  const sum = await rt.run(function* () {
    let total = 0;
    for (;;) {
      const tick = yield* stream.next();
      if (tick === undefined) return total;
      total += tick;
    }
  });
  t.is(sum, 6);
  const ticks: number[] = [];
  for await (const tick of rt.op.timeoutMultishot(0.2, 3)) ticks.push(tick);
  t.deepEqual(ticks, [1, 2, 3]);
  const endless = rt.op.timeoutMultishot(0.2);
  for await (const tick of endless) if (tick === 2) break;
  t.is(await endless.next(), undefined, 'leaving the loop closes it');
  t.is(rt.stats().inFlight, 0);
  const iterator = rt.op.timeoutMultishot(60_000)[Symbol.asyncIterator]();
  const waiting = iterator.next();
  await iterator.return?.();
  t.deepEqual(await waiting, { done: true, value: undefined });
});

// PAIR: only-typescript -- Rust drops what it aborts
test('an aborted stream rejects with the reason once', async (t) => {
  const rt = await runtime(t);
  const { fd, name } = await listen(rt);
  const reason = new Error('enough');
  for (const state of ['before', 'armed', 'queued', 'closed']) {
    const controller = new AbortController();
    const { signal } = controller;
    const stream = rt.op.acceptMultishot(fd, { signal });
    if (state === 'before') controller.abort(reason);
    if (state === 'queued') {
      const [first, client] = await Promise.all([stream.next(), connect(rt, name)]);
      const more = await connect(rt, name);
      await settle(2);
      for (const each of [first as number, client, more]) close(each);
      controller.abort(reason);
    }
    const ended = failure(state === 'closed' ? Promise.reject(reason) : stream.next());
    if (state === 'armed') {
      await until(() => rt.stats().inFlight === 1);
      controller.abort(reason);
    }
    if (state === 'closed') {
      const waiting = start(stream);
      await stream.close();
      t.is(await waiting, undefined);
      controller.abort(reason);
      t.is(await ended, reason as never);
    } else {
      const error = await ended;
      t.is(error.code, 'ABORT_ERR', state);
      t.is(error.cause, reason);
    }
    t.is(await stream.next(), undefined);
  }
  t.is(rt.stats().inFlight, 0);
  close(fd);
});

// PAIR: only-typescript -- Rust's types say so
test('bad arguments throw at the call', (t) => {
  const type = { code: 'ERR_INVALID_ARG_TYPE' };
  const range = { code: 'ERR_OUT_OF_RANGE' };
  const any = (value: unknown) => value as never;
  for (const fd of ['1', null, undefined, {}]) {
    t.throws(() => op.acceptMultishot(any(fd)), type);
    t.throws(() => op.pollMultishot(any(fd), POLLIN), type);
  }
  for (const fd of [-1, 1.5, Number.NaN, 2 ** 31]) {
    t.throws(() => op.acceptMultishot(fd), range);
    t.throws(() => op.pollMultishot(fd, POLLIN), range);
  }
  for (const events of [-1, 0x10000, 0.5]) t.throws(() => op.pollMultishot(0, events), range);
  for (const ms of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(() => op.timeoutMultishot(ms), range);
  }
  t.throws(() => op.timeoutMultishot(any('1')), type);
  for (const count of [-1, 1.5, 2 ** 31]) t.throws(() => op.timeoutMultishot(1, count), range);
  for (const options of [1, null, { signal: {} }, { ref: 1 }]) {
    t.throws(() => op.acceptMultishot(0, any(options)), type);
  }
});

// PAIR: only-typescript -- a Rust program ends with its main function
test('an armed stream holds the process unless it is unreferenced', async (t) => {
  const program = (ms: number, unref: string) => `
    const stream = ringcore.op.timeoutMultishot(${ms}, 3${unref});
    let ticks = 0;
    const take = () => stream.next().then((tick) => {
      if (tick === undefined) return;
      ticks = tick;
      take();
    });
    take();
    process.on('exit', () => console.log(ticks));`;
  const [held, free] = await Promise.all([
    child(program(5, '')),
    child(program(60_000, ', { ref: false }')),
  ]);
  t.deepEqual([held.code, held.stdout], [0, '3\n'], held.stderr);
  t.deepEqual([free.code, free.stdout], [0, '0\n'], free.stderr);
});

// PAIR: only-typescript -- in Rust a future cannot be polled on another runtime
test('a stream belongs to the runtime that polls it first', async (t) => {
  const [rt, other] = [await runtime(t), await runtime(t)];
  const stream = op.timeoutMultishot(1);
  t.is(await rt.run(() => stream.next()), 1);
  const error = await failure(other.run(() => stream.next()));
  t.is(error.code, 'ERR_RINGCORE_WRONG_RUNTIME');
  await stream.close();
});
