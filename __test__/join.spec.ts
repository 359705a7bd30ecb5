// Pair: crates/ringcore/tests/join.rs
import { closeSync } from 'node:fs';
import test from 'ava';
import { AT_FDCWD, all, type Future, fromPromise, future, race } from '../src/index.ts';
import { descriptors, failure, many, runtime, settle, until } from './support.ts';

test('race gives the first outcome and cancels the others', async (t) => {
  const rt = await runtime(t);
  const value = await rt.run(function* () {
    return yield* race([rt.op.timeout(60_000), rt.op.nop({ result: 2 }), rt.op.timeout(60_000)]);
  });
  t.is(value, 2);
  await until(() => rt.stats().inFlight === 0);
});

test('race gives the first of those that end together', async (t) => {
  const rt = await runtime(t);
  const value = await rt.run(function* () {
    return yield* race([rt.op.nop({ result: 1 }), rt.op.nop({ result: 2 })]);
  });
  t.is(value, 1);
});

test('a failure that comes first is the outcome of race', async (t) => {
  const rt = await runtime(t);
  const racing = rt.run(function* () {
    return yield* race([rt.op.timeout(60_000), rt.op.nop({ result: -28 })]);
  });
  t.is((await failure(racing)).code, 'ENOSPC');
  await until(() => rt.stats().inFlight === 0);
});

test.serial('a descriptor that lost a race is closed', async (t) => {
  const rt = await runtime(t);
  const before = descriptors();
  for (let i = 0; i < many(100); i++) {
    const open = () => rt.op.openat(AT_FDCWD, '/dev/null', 0);
    const fd = await rt.run(function* () {
      return yield* race([open(), open(), open()]);
    });
    closeSync(fd);
    const nop = await rt.run(function* () {
      return yield* race([rt.op.nop({ result: 7 }), open()]);
    });
    t.is(nop, 7);
  }
  await until(() => rt.stats().inFlight === 0);
  await rt.op.nop(); // The closes have been submitted with or before it.
  await until(() => descriptors() <= before);
  t.is(descriptors(), before);
});

test('all gives every value in the order of the arguments', async (t) => {
  const rt = await runtime(t);
  const values = await rt.run(function* () {
    return yield* all([rt.op.timeout(2), rt.op.nop({ result: 1 }), rt.op.nop({ result: 2 })]);
  });
  t.deepEqual(values, [undefined, 1, 2]);
});

test('all of nothing is there at once', async (t) => {
  const rt = await runtime(t);
  const values = await rt.run(function* () {
    return yield* all([]);
  });
  t.deepEqual(values, []);
});

test('abort of a task that waits in race or all ends every part', async (t) => {
  const rt = await runtime(t);
  const both = [rt.op.timeout(60_000), rt.op.timeout(60_000), rt.op.timeout(60_000)];
  for (const make of [race, all] as ((items: Future<void>[]) => Future<unknown>)[]) {
    let left = -1;
    const handle = rt.spawn(function* () {
      try {
        yield* make([rt.op.timeout(60_000), rt.op.timeout(60_000), rt.op.timeout(60_000)]);
      } finally {
        left = rt.stats().inFlight;
      }
    });
    await until(() => rt.stats().inFlight === both.length);
    handle.abort();
    t.is((await failure(handle)).code, 'ABORT_ERR');
    t.is(left, 0, 'finally blocks run after every completion');
    await until(() => rt.stats().inFlight === 0);
  }
});

// PAIR: only-typescript -- the Rust twin gives each its own Result
test('all fails with the first failure and cancels the others', async (t) => {
  const rt = await runtime(t);
  const failing = rt.run(function* () {
    return yield* all([rt.op.timeout(60_000), rt.op.nop({ result: -28 }), rt.op.timeout(60_000)]);
  });
  t.is((await failure(failing)).code, 'ENOSPC');
  await until(() => rt.stats().inFlight === 0);
});

// PAIR: only-typescript -- the Rust twin gives each its own Result
test.serial('descriptors that all had already are closed when it fails or is left', async (t) => {
  const rt = await runtime(t);
  const before = descriptors();
  const open = (path = '/dev/null') => rt.op.openat(AT_FDCWD, path, 0);
  for (let i = 0; i < many(50); i++) {
    const failing = rt.run(function* () {
      return yield* all([open(), open('/no/such/file'), open()]);
    });
    t.is((await failure(failing)).code, 'ENOENT');
    t.is((await failure(rt.run(all([open(), open('/no/such/file')])))).code, 'ENOENT');
    const both = all([open(), rt.op.timeout(60_000)]);
    const left = rt.run(function* () {
      return yield* race([both, rt.op.timeout(1)]);
    });
    await left;
    const waits = rt.spawn(all([open(), rt.op.timeout(60_000)]));
    await until(() => rt.stats().inFlight === 1);
    await settle(2);
    waits.abort();
    t.is((await failure(waits)).code, 'ABORT_ERR');
  }
  await until(() => rt.stats().inFlight === 0);
  await rt.op.nop(); // The closes have been submitted with or before it.
  await settle(50);
  t.is(descriptors(), before);
});

// PAIR: only-typescript -- a Rust future has one owner
test.serial('a descriptor that somebody else has outlives an all that fails', async (t) => {
  const rt = await runtime(t);
  const first = rt.op.openat(AT_FDCWD, '/dev/null', 0);
  const second = rt.op.openat(AT_FDCWD, '/dev/null', 0);
  const other = rt.run(function* () {
    return yield* first;
  });
  const awaited = second.then((fd) => fd);
  const failing = rt.run(function* () {
    return yield* all([first, second, rt.op.openat(AT_FDCWD, '/no/such/file', 0)]);
  });
  t.is((await failure(failing)).code, 'ENOENT');
  await rt.op.nop();
  for (const fd of [await other, await awaited]) t.notThrows(() => closeSync(fd));
});

// PAIR: only-typescript -- a Rust future has one owner
test('a loser that somebody else waits for goes on', async (t) => {
  const rt = await runtime(t);
  const shared = rt.op.timeout(60_000);
  const other = failure(shared);
  const slow = rt.spawn(function* () {
    yield* rt.op.timeout(60_000);
  });
  const value = await rt.run(function* () {
    return yield* race([shared, slow, rt.op.nop({ result: 2 })]);
  });
  t.is(value, 2);
  await settle();
  t.is(rt.stats().inFlight, 2);
  shared.cancel();
  slow.abort();
  t.is((await other).code, 'ABORT_ERR');
  t.is((await failure(slow)).code, 'ABORT_ERR');
});

// PAIR: only-typescript -- Rust futures of blocks are dropped, not driven to an end
test('a generator that lost a race runs its finally blocks', async (t) => {
  const rt = await runtime(t);
  let ended = 0;
  const part = () =>
    future(function* () {
      try {
        yield* rt.op.timeout(60_000);
      } finally {
        yield* rt.op.nop();
        ended++;
      }
    });
  const racing = rt.run(function* () {
    const value = yield* race([part(), rt.op.nop({ result: 2 }), part()]);
    yield* rt.op.timeout(1);
    return value;
  });
  t.is(await racing, 2);
  await until(() => rt.stats().inFlight === 0);
  t.is(ended, 2);
});

// PAIR: only-typescript -- Rust has neither promises nor a second await
test('race and all take promises, are awaited, and keep their outcome', async (t) => {
  const first = race([new Promise(() => {}), Promise.resolve(5)]);
  t.is(await first, 5);
  t.is(await first, 5);
  const both = all([Promise.resolve('a'), fromPromise(Promise.resolve('b'))]);
  t.deepEqual(await both, ['a', 'b']);
  const error = new Error('mine');
  const failing = race([new Promise(() => {}), Promise.reject(error)]);
  t.is(await failure(failing), error as never);
  t.is(await failure(failing), error as never);
  t.throws(() => race(5 as never), { code: 'ERR_INVALID_ARG_TYPE' });
  t.throws(() => all([5] as never), { code: 'ERR_INVALID_ARG_TYPE' });
});
