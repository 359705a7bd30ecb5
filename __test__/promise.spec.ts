// PAIR: only-typescript promise.spec.ts -- Rust futures are not promises
import test from 'ava';
import { fromPromise, future, type Op, op, run } from '../src/index.ts';
import { child, failure, runtime, settle } from './support.ts';

/** What a program prints that counts its unhandled rejections. */
async function unhandled(source: string): Promise<string[]> {
  const listening = `
    const { op, run, spawn, sleep, timeout, race, all, future, fromPromise, Runtime } = ringcore;
    process.on('unhandledRejection', (error) => console.log(error.code ?? error.message));
    const tick = () => new Promise((resolve) => setTimeout(resolve, 20));
    const bad = () => op.nop({ result: -28 });
    ${source}
    await tick();
    console.log('end');`;
  const { stdout, stderr } = await child(listening);
  return [...stdout.trim().split('\n'), ...(stderr === '' ? [] : [stderr])];
}

test('a failure that nobody takes is an unhandledRejection', async (t) => {
  t.deepEqual(await unhandled(`bad().then(() => {});`), ['ENOSPC', 'end']);
  t.deepEqual(await unhandled(`bad().finally(() => {});`), ['ENOSPC', 'end']);
  t.deepEqual(await unhandled(`spawn(function* () { yield* bad(); });`), ['ENOSPC', 'end']);
  t.deepEqual(await unhandled(`spawn(async () => { await bad(); });`), ['ENOSPC', 'end']);
  t.deepEqual(await unhandled(`run(function* () { throw new Error('mine'); });`), ['mine', 'end']);
  t.deepEqual(await unhandled(`timeout(bad(), 1000);`), ['ENOSPC', 'end']);
  t.deepEqual(await unhandled(`timeout(op.timeout(60000), 1);`), ['ETIMEDOUT', 'end']);
});

test('a failure that somebody takes is none', async (t) => {
  const taken = [
    `await bad().catch(() => {});`,
    `bad().then(() => {}, () => {});`,
    `const handle = spawn(function* () { yield* bad(); }); await handle.catch(() => {});`,
    `const handle = spawn(function* () { yield* bad(); });
     await run(function* () { try { yield* handle; } catch {} });`,
    `await run(function* () { try { yield* bad(); } catch {} });`,
    `await race([bad(), op.timeout(60000)]).catch(() => {});`,
    `await all([bad(), bad(), bad()]).catch(() => {});`,
    `await run(function* () { try { yield* race([bad(), bad()]); } catch {} });`,
    `await run(function* () { try { yield* all([bad(), bad()]); } catch {} });`,
    `await timeout(bad(), 1000).catch(() => {});`,
    `const once = future(function* () { yield* bad(); }); await once.catch(() => {});`,
    `const nop = bad(); await nop.catch(() => {}); nop.then(() => {}, () => {});`,
  ];
  for (const source of taken) t.deepEqual(await unhandled(source), ['end'], source);
});

test('a failure that is taken before the microtasks are drained is none', async (t) => {
  // The handle fails in a turn; the nop of the same turn lets its owner go on right after it.
  const source = `
    const handle = spawn(function* () { throw new Error('late'); });
    await fromPromise(op.nop());
    await handle.catch(() => {});`;
  t.deepEqual(await unhandled(source), ['end']);
});

test('an AbortError is never an unhandledRejection', async (t) => {
  const aborted = [
    `spawn(function* () { yield* op.timeout(60000); }).abort();`,
    `const handle = spawn(function* () { yield* op.timeout(60000); });
     await tick(); handle.abort();`,
    `const handle = spawn(async (signal) => { await op.timeout(60000, { signal }); });
     await tick(); handle.abort();`,
    `sleep(60000, { signal: AbortSignal.abort() });`,
    `const controller = new AbortController();
     sleep(60000, { signal: controller.signal }); await tick(); controller.abort();`,
    `const rt = new Runtime(); rt.spawn(function* () { yield* rt.op.timeout(60000); });
     await tick(); await rt.close();`,
    `run(function* () { yield* race([op.timeout(60000), op.nop()]); });`,
  ];
  for (const source of aborted) t.deepEqual(await unhandled(source), ['end'], source);
});

test('callbacks are never called inside of then', async (t) => {
  const rt = await runtime(t);
  const settled = rt.op.nop();
  await settled;
  const failed = rt.op.nop({ result: -28 });
  await failure(failed);
  const refused = rt.op.nop({ signal: AbortSignal.abort() });
  const fresh = rt.op.nop();
  for (const op of [settled, failed, refused, fresh] as Op<number>[]) {
    let inside = true;
    const called = new Promise<boolean>((resolve) => {
      const callback = () => resolve(inside);
      op.then(callback, callback);
      inside = false;
    });
    t.false(await called);
  }
});

test('then, catch and finally chain as those of a promise', async (t) => {
  const rt = await runtime(t);
  const value = () => rt.op.nop({ result: 4 });
  const error = () => rt.op.nop({ result: -28 });
  const code = (caught: unknown) => (caught as NodeJS.ErrnoException).code;
  t.is(await value().then((n) => n + 1), 5);
  t.is(await value().then((n) => n + 1, code), 5);
  t.is(
    await value()
      .then((n) => n + 1, code)
      .then((n) => Number(n) + 1),
    6,
  );
  t.is(await value().then(), 4);
  t.is(await value().then(null, null), 4);
  t.is(await error().catch(code), 'ENOSPC');
  t.is(await error().then(null, code), 'ENOSPC');
  t.is(
    await error()
      .then((n) => n, code)
      .finally(() => 9),
    'ENOSPC',
  );
  t.is(await value().finally(() => 9), 4);
  t.is(await value().then(() => value()), 4);
  t.is((await failure(value().then(() => error()))).code, 'ENOSPC');
  const thrown = new Error('mine');
  const fail = () => {
    throw thrown;
  };
  t.is(await failure(value().then(fail, fail)), thrown as never);
  t.is(await failure(value().finally(fail)), thrown as never);
  t.deepEqual(await Promise.all([value(), value(), 7]), [4, 4, 7]);
  t.is(await Promise.race([value(), rt.op.timeout(5_000, { ref: false })]), 4);
  t.is(await Promise.resolve(value()), 4);
  const made = value();
  t.is(fromPromise(made), made, 'a future is taken as it is');
});

test('an error thrown in a callback is an unhandledRejection', async (t) => {
  const source = `op.nop().then(() => { throw new Error('mine'); }, () => {});`;
  t.deepEqual(await unhandled(source), ['mine', 'end']);
});

test('future() runs once, lazily, and keeps its outcome', async (t) => {
  let runs = 0;
  const once = future(function* () {
    runs++;
    return yield* op.nop({ result: 6 });
  });
  await settle();
  t.is(runs, 0);
  const task = () =>
    run(function* () {
      return yield* once;
    });
  t.deepEqual(await Promise.all([once, task(), once, task()]), [6, 6, 6, 6]);
  t.is(runs, 1);
  const failed = future(function* () {
    yield* op.close(0x7ffffff);
  });
  const first = await failure(failed);
  t.is(first.code, 'EBADF');
  t.is(await failure(failed), first);
});

test('fromPromise gives the outcome of a promise', async (t) => {
  const rt = await runtime(t);
  const error = new Error('mine');
  const value = await rt.run(function* () {
    const got = yield* fromPromise(Promise.resolve(8));
    try {
      yield* fromPromise(Promise.reject(error));
    } catch (caught) {
      t.is(caught, error);
    }
    return got;
  });
  t.is(value, 8);
  t.throws(() => fromPromise(5 as never), { code: 'ERR_INVALID_ARG_TYPE' });
  t.throws(() => future(5 as never), { code: 'ERR_INVALID_ARG_TYPE' });
  t.throws(() => rt.spawn(5 as never), { code: 'ERR_INVALID_ARG_TYPE' });
});
