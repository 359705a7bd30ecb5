// Pair: crates/ringcore/tests/timer.rs
import test from 'ava';
import {
  AbortError,
  all,
  fromPromise,
  op,
  race,
  run,
  sleep,
  spawn,
  TimeoutError,
  timeout,
} from '../src/index.ts';
import { current } from '../src/runtime.ts';
import { child, failure, many, runtime, settle, until } from './support.ts';

// sleep and timeout belong to the thread's default runtime, so these tests take turns.
const idle = () => until(() => current().stats().inFlight === 0);

test.serial('sleep is never early', async (t) => {
  const sleeps: Promise<void>[] = [];
  for (let i = 0; i < many(300); i++) {
    const ms = (i % 40) / 3;
    const start = performance.now();
    sleeps.push(
      sleep(ms).then(() => {
        t.true(performance.now() - start >= ms, `${ms} ms`);
      }),
    );
  }
  await Promise.all(sleeps);
});

test.serial('sleep of zero ends', async (t) => {
  await sleep(0);
  t.pass();
});

test.serial('timeout gives the value of what ends in time and leaves no timer', async (t) => {
  t.is(await timeout(op.nop({ result: 3 }), 60_000), 3);
  await idle();
  const inTask = run(function* () {
    return yield* timeout(op.nop({ result: 4 }), 60_000);
  });
  t.is(await inTask, 4);
  await idle();
});

test.serial('timeout ends what is late with ETIMEDOUT', async (t) => {
  const error = await failure(timeout(op.timeout(60_000), 2));
  t.true(error instanceof TimeoutError);
  t.is(error.code, 'ETIMEDOUT');
  t.is(error.name, 'TimeoutError');
  await idle();
});

test.serial('a value that is there at the same instant wins over the clock', async (t) => {
  for (let i = 0; i < many(20); i++) {
    const limited = timeout(op.nop({ result: 9 }), 0);
    t.is(await limited, 9);
  }
  await idle();
});

test.serial('a failure in time is the outcome of timeout', async (t) => {
  t.is((await failure(timeout(op.nop({ result: -28 }), 60_000))).code, 'ENOSPC');
  await idle();
});

test.serial('abort of a task that waits in timeout ends both', async (t) => {
  const handle = spawn(function* () {
    yield* timeout(op.timeout(60_000), 60_000);
  });
  await until(() => current().stats().inFlight === 2);
  handle.abort();
  t.is((await failure(handle)).code, 'ABORT_ERR');
  await idle();
});

// PAIR: only-typescript -- a Rust future has one owner
test.serial('timeout leaves a late task alone and does not wait for it', async (t) => {
  const slow = spawn(function* () {
    yield* op.timeout(60_000);
  });
  t.is((await failure(timeout(slow, 2))).code, 'ETIMEDOUT');
  t.false(slow.finished());
  const never = fromPromise(new Promise(() => {}));
  t.is((await failure(timeout(never, 2))).code, 'ETIMEDOUT');
  t.is((await failure(timeout(new Promise(() => {}), 2))).code, 'ETIMEDOUT');
  slow.abort();
  await failure(slow);
  await idle();
  t.is(current().executor.tasks.size, 0);
});

// PAIR: only-typescript -- a Rust future has one owner
test.serial('an outer timeout ends an inner one', async (t) => {
  t.is((await failure(timeout(timeout(op.timeout(60_000), 50_000), 2))).code, 'ETIMEDOUT');
  await idle();
  await settle();
  t.is(current().executor.tasks.size, 0);
});

// PAIR: only-typescript -- Rust has no AbortSignal
test.serial('sleep takes a signal', async (t) => {
  const controller = new AbortController();
  const reason = new Error('enough');
  const error = failure(sleep(60_000, { signal: controller.signal }));
  controller.abort(reason);
  t.true((await error) instanceof AbortError);
  t.is((await error).cause, reason);
  const late = await failure(sleep(60_000, { signal: AbortSignal.abort(reason) }));
  t.is(late.cause, reason);
  await idle();
});

// PAIR: only-typescript -- sleep in Rust is lazy, its clock starts at the first poll
test.serial('sleep starts at the call', async (t) => {
  const first = sleep(20);
  await sleep(25);
  // Had its clock started at the await below, it would be in flight now or wait 20 ms more.
  t.is(current().stats().inFlight, 0, 'it has ended meanwhile');
  await first;
});

// PAIR: only-typescript -- Rust's types refuse these
test.serial('wrong times are typed errors at the call', (t) => {
  const before = current().stats().submitted;
  for (const ms of [-1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
    t.throws(() => sleep(ms), { code: 'ERR_OUT_OF_RANGE' });
    t.throws(() => timeout(op.nop(), ms), { code: 'ERR_OUT_OF_RANGE' });
  }
  for (const ms of ['1', null, undefined, 1n]) {
    t.throws(() => sleep(ms as never), { code: 'ERR_INVALID_ARG_TYPE' });
    t.throws(() => timeout(op.nop(), ms as never), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  t.throws(() => timeout(5 as never, 1), { code: 'ERR_INVALID_ARG_TYPE' });
  t.is(current().stats().submitted, before);
});

// PAIR: only-typescript -- a Rust process ends when main returns
test.serial('sleep without ref does not hold the process, with ref it does', async (t) => {
  const source = `
    process.on('exit', () => console.log('exit'));
    ringcore.sleep(60_000, { ref: false }).then(() => console.log('never'));
    ringcore.sleep(60_000).unref();
    ringcore.sleep(30).then(() => console.log('held'));`;
  const { code, stdout, stderr } = await child(source);
  t.is(stderr, '');
  t.is(stdout, 'held\nexit\n');
  t.is(code, 0);
});

// PAIR: only-typescript -- in Rust everything binds to the runtime that polls it
test('futures of a runtime of their own are timed, raced and joined there', async (t) => {
  const rt = await runtime(t);
  t.is(await timeout(rt.op.nop({ result: 3 }), 1000), 3);
  t.is(await race([rt.op.nop({ result: 4 }), rt.op.timeout(1000)]), 4);
  t.deepEqual(await all([rt.op.nop({ result: 5 }), rt.op.nop({ result: 6 })]), [5, 6]);
  const slept = await rt.run(function* () {
    yield* sleep(1);
    yield* timeout(rt.op.nop(), 1000);
    return yield* race([sleep(1), sleep(1000)]);
  });
  t.is(slept, undefined);
  const handle = rt.spawn(function* () {
    yield* sleep(1);
    return 7;
  });
  t.is(await timeout(handle, 1000), 7);
});
