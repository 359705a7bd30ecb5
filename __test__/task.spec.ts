// Pair: crates/ringcore/tests/task.rs
import { AsyncLocalStorage } from 'node:async_hooks';
import { writeSync } from 'node:fs';
import test from 'ava';
import { Future as FutureClass, PENDING, type Poll } from '../src/future.ts';
import { type Future, fromPromise, future, type JoinHandle, yieldNow } from '../src/index.ts';
import { failure, many, pipe, runtime, settle, until } from './support.ts';

test('a handle gives the result of its task', async (t) => {
  const rt = await runtime(t);
  const handle = rt.spawn(function* () {
    yield* rt.op.nop();
    return 7;
  });
  t.is(await rt.run(() => handle), 7);
  t.is(await handle, 7, 'and gives it again');
});

test('finished tells whether the task has ended', async (t) => {
  const rt = await runtime(t);
  const handle = rt.spawn(function* () {
    yield* rt.op.nop();
  });
  t.false(handle.finished());
  await handle;
  t.true(handle.finished());
  const aborted = rt.spawn(function* () {});
  aborted.abort();
  t.true(aborted.finished());
});

test('a dropped handle detaches its task', async (t) => {
  const rt = await runtime(t);
  let ran = false;
  rt.spawn(function* () {
    yield* rt.op.timeout(2);
    ran = true;
  });
  await until(() => ran);
  t.true(ran);
});

test('a task aborted before its first poll runs nothing', async (t) => {
  const rt = await runtime(t);
  let ran = 0;
  const handle = rt.spawn(function* () {
    ran++;
  });
  const object = rt.spawn(
    (function* () {
      try {
        ran++;
        yield* rt.op.nop();
      } finally {
        ran++;
      }
    })(),
  );
  const promised = rt.spawn(async () => {
    ran++;
  });
  const handles = [handle, object, promised];
  for (const each of handles) each.abort();
  for (const each of handles) {
    t.is((await failure(each)).code, 'ABORT_ERR');
  }
  await settle();
  t.is(ran, 0);
});

test('abort ends a waiting task and what it waits for', async (t) => {
  const rt = await runtime(t);
  const handle = rt.spawn(function* () {
    yield* rt.op.timeout(60_000);
    t.fail('it went on');
  });
  await until(() => rt.stats().inFlight === 1);
  handle.abort();
  const error = await failure(handle);
  t.is(error.code, 'ABORT_ERR');
  t.is(error.name, 'AbortError');
  await until(() => rt.stats().inFlight === 0);
  t.true(handle.finished());
});

test('a task that aborts itself ends at its next wait', async (t) => {
  const rt = await runtime(t);
  const seen: string[] = [];
  const handle: JoinHandle<void> = rt.spawn(function* () {
    yield* rt.op.nop();
    handle.abort();
    seen.push('goes on');
    yield* rt.op.timeout(60_000);
    seen.push('never');
  });
  t.is((await failure(handle)).code, 'ABORT_ERR');
  t.deepEqual(seen, ['goes on']);
  await until(() => rt.stats().inFlight === 0);
});

test('abort twice is one abort', async (t) => {
  const rt = await runtime(t);
  let ended = 0;
  const handle = rt.spawn(function* () {
    try {
      yield* rt.op.timeout(60_000);
    } finally {
      ended++;
    }
  });
  await until(() => rt.stats().inFlight === 1);
  handle.abort();
  handle.abort();
  t.is((await failure(handle)).code, 'ABORT_ERR');
  handle.abort();
  t.is((await failure(handle)).code, 'ABORT_ERR');
  t.is(ended, 1);
});

test('abort after the end keeps the result', async (t) => {
  const rt = await runtime(t);
  const handle = rt.spawn(function* () {
    return 5;
  });
  await settle();
  handle.abort();
  t.is(await handle, 5);
});

test('abort of a task that waits for another one ends only the first', async (t) => {
  const rt = await runtime(t);
  const slow = rt.spawn(function* () {
    yield* rt.op.timeout(60_000);
  });
  const waiting = rt.spawn(function* () {
    return yield* slow;
  });
  await until(() => rt.stats().inFlight === 1);
  waiting.abort();
  t.is((await failure(waiting)).code, 'ABORT_ERR');
  t.false(slow.finished(), 'the abort did not wait for it');
  slow.abort();
  t.is((await failure(slow)).code, 'ABORT_ERR');
});

// PAIR: only-typescript -- Rust drops a future at once, a generator has finally blocks to run
test('abort awaits the completion, then finally blocks run and may wait', async (t) => {
  const rt = await runtime(t);
  const seen: string[] = [];
  const handle = rt.spawn(function* () {
    try {
      try {
        yield* rt.op.timeout(60_000);
      } finally {
        seen.push(`in flight ${rt.stats().inFlight}`);
        seen.push(`nop ${yield* rt.op.nop({ result: 3 })}`);
        yield* rt.op.timeout(1);
      }
    } finally {
      seen.push('outer');
    }
  });
  await until(() => rt.stats().inFlight === 1);
  handle.abort();
  t.false(handle.finished());
  t.is((await failure(handle)).code, 'ABORT_ERR');
  t.deepEqual(seen, ['in flight 0', 'nop 3', 'outer']);
});

// PAIR: only-typescript -- Rust has no finally blocks
test('abort in a finally block that waits ends that wait and runs outer blocks', async (t) => {
  const rt = await runtime(t);
  const seen: string[] = [];
  const handle = rt.spawn(function* () {
    try {
      try {
        yield* rt.op.nop();
      } finally {
        seen.push('inner');
        yield* rt.op.timeout(60_000);
        seen.push('never');
      }
    } finally {
      yield* rt.op.nop();
      seen.push('outer');
    }
  });
  await until(() => seen.length === 1 && rt.stats().inFlight === 1);
  handle.abort();
  t.is((await failure(handle)).code, 'ABORT_ERR');
  t.deepEqual(seen, ['inner', 'outer']);
});

// PAIR: only-typescript -- Rust has no finally blocks
test('an error of a finally block is the outcome of an aborted task', async (t) => {
  const rt = await runtime(t);
  const handle = rt.spawn(function* () {
    try {
      yield* rt.op.timeout(60_000);
    } finally {
      yield* rt.op.close(0x7ffffff);
    }
  });
  await until(() => rt.stats().inFlight === 1);
  handle.abort();
  t.is((await failure(handle)).code, 'EBADF');
});

// PAIR: only-typescript -- Rust has no async functions that are not futures
test('abort of an async task signals it and rejects at once', async (t) => {
  const rt = await runtime(t);
  let signal: AbortSignal | undefined;
  let inner: unknown;
  const handle = rt.spawn(async (given) => {
    signal = given;
    try {
      await rt.op.timeout(60_000, { signal: given });
    } catch (error) {
      inner = error;
      throw error;
    }
  });
  await until(() => rt.stats().inFlight === 1);
  handle.abort();
  t.true(handle.finished());
  t.true(signal?.aborted);
  t.is((await failure(handle)).code, 'ABORT_ERR');
  await until(() => inner !== undefined);
  t.is((inner as NodeJS.ErrnoException).code, 'ABORT_ERR');
  t.is((inner as Error).cause, signal?.reason);
});

// PAIR: only-typescript -- in Rust an awaited promise does not exist
test('a task that waits for a shared future can be aborted, the other goes on', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  const resolvers: ((value: number) => void)[] = [];
  const promise = () => fromPromise(new Promise<number>((done) => resolvers.push(done)));
  const shared: (() => Future<number>)[] = [
    () => rt.op.read(fd, new Uint8Array(1)),
    promise,
    () =>
      future(function* () {
        return (yield* promise()) + 1;
      }),
  ];
  const values: number[] = [];
  for (const make of shared) {
    const each = make();
    const first = rt.spawn(function* () {
      return yield* each;
    });
    const second = rt.spawn(function* () {
      return yield* each;
    });
    await settle();
    first.abort();
    t.is((await failure(first)).code, 'ABORT_ERR');
    await settle();
    t.false(second.finished());
    writeSync(fd, 'x');
    for (const resolve of resolvers) resolve(7);
    values.push(await second);
  }
  t.deepEqual(values, [1, 7, 8]);
});

// PAIR: only-typescript -- Rust has no class to extend with an empty abandon
test('a task that waits for a future of somebody else can be aborted', async (t) => {
  const rt = await runtime(t);
  class Never extends FutureClass<void> {
    override poll(): Poll<void> {
      return PENDING;
    }
  }
  let ended = false;
  const handle = rt.spawn(function* () {
    try {
      yield* new Never();
    } finally {
      ended = true;
    }
  });
  await settle();
  handle.abort();
  t.is((await failure(handle)).code, 'ABORT_ERR');
  t.true(ended);
});

// PAIR: only-typescript -- Rust's compiler refuses what is not a future
test('what is not waited for with yield* throws a TypeError that says so', async (t) => {
  const rt = await runtime(t);
  const done = rt.op.nop({ result: 9 });
  await done;
  const wrong: [string, () => unknown][] = [
    ['a fresh operation', () => rt.op.nop()],
    ['a settled operation', () => done],
    ['a number', () => 5],
    ['a promise', () => Promise.resolve(1)],
    ['nothing', () => undefined],
  ];
  for (const [what, make] of wrong) {
    const result = await rt.run(function* () {
      try {
        yield make() as Future<unknown>;
        return 'no error';
      } catch (error) {
        t.true(error instanceof TypeError, what);
        t.regex((error as Error).message, /yield\*/, what);
      }
      return yield* rt.op.nop({ result: 4 });
    });
    t.is(result, 4, `${what}: the generator goes on`);
    const uncaught = await failure(
      rt.run(function* () {
        yield make() as Future<unknown>;
      }),
    );
    t.true(uncaught instanceof TypeError, what);
  }
});

// PAIR: only-typescript -- a Rust future cannot be spread
test('a future that is spread throws a TypeError that says yield*', async (t) => {
  const rt = await runtime(t);
  const settled = rt.op.nop({ result: 9 });
  await settled;
  for (const make of [() => rt.op.nop(), () => settled, () => rt.spawn(function* () {})]) {
    const result = await rt.run(function* () {
      const misused = t.throws(() => [...(make() as Iterable<unknown>)], { instanceOf: TypeError });
      t.regex(misused?.message ?? '', /yield\*/);
      const taken = t.throws(
        () => {
          const [first] = make() as Iterable<unknown>;
          return first;
        },
        { instanceOf: TypeError },
      );
      t.regex(taken?.message ?? '', /yield\*/);
      return yield* rt.op.nop({ result: 4 });
    });
    t.is(result, 4, 'the next wait has its own value');
  }
  t.throws(() => [...settled], { instanceOf: TypeError }, 'outside of a task too');
});

// PAIR: only-typescript -- Rust has no AsyncLocalStorage
test('interleaved tasks see their own AsyncLocalStorage, and so do awaits', async (t) => {
  const rt = await runtime(t);
  const store = new AsyncLocalStorage<number>();
  const handles: PromiseLike<void>[] = [];
  for (let id = 0; id < 20; id++) {
    const generator = function* () {
      for (let i = 0; i < many(50); i++) {
        if (i % 5 === 0) yield* yieldNow();
        else yield* rt.op.nop();
        t.is(store.getStore(), id);
      }
    };
    const awaiting = async () => {
      for (let i = 0; i < many(50); i++) {
        await rt.op.nop();
        t.is(store.getStore(), id);
      }
      await rt.op.nop().then(() => t.is(store.getStore(), id));
      await rt.op.nop().finally(() => t.is(store.getStore(), id));
      await rt.op.close(0x7ffffff).catch(() => t.is(store.getStore(), id));
    };
    store.run(id, () => handles.push(rt.spawn(generator), rt.spawn(awaiting), awaiting()));
  }
  await Promise.all(handles);
  t.is(store.getStore(), undefined);
});
