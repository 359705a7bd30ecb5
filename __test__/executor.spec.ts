// Pair: crates/ringcore/tests/executor.rs
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import test from 'ava';
import { type Context, Future, PENDING, type Poll } from '../src/future.ts';
import { op, Runtime, run, spawn, yieldNow } from '../src/index.ts';
import * as module from '../src/runtime.ts';
import {
  child,
  descriptors,
  failure,
  folder,
  many,
  pipe,
  runtime,
  settle,
  until,
} from './support.ts';

/** Pending until it was polled so often; wakes itself so many times at each poll. */
class Polled extends Future<number> {
  polls = 0;
  private readonly until: number;
  private readonly wakes: number;
  constructor(until: number, wakes: number) {
    super();
    this.until = until;
    this.wakes = wakes;
  }
  override poll(cx: Context): Poll<number> {
    this.polls++;
    for (let i = 0; i < this.wakes; i++) cx.waker.wakeByRef();
    return this.polls >= this.until ? this.polls : PENDING;
  }
}

test('a task that wakes itself is polled again', async (t) => {
  const rt = await runtime(t);
  t.is(await rt.run(new Polled(many(1000), 1)), many(1000));
});

test('spawn queues and does not poll', async (t) => {
  const rt = await runtime(t);
  let ran = false;
  const handle = rt.spawn(function* () {
    ran = true;
  });
  t.false(ran);
  await handle;
  t.true(ran);
});

test('a task woken twice is polled once', async (t) => {
  const rt = await runtime(t);
  const future = new Polled(100, 3);
  const handle = rt.spawn(future);
  const rounds = await rt.run(function* () {
    for (let i = 0; i < 5; i++) yield* yieldNow();
    return future.polls;
  });
  t.is(rounds, 6, 'one poll a round');
  await handle;
});

test('more than 256 operations in one turn all end', async (t) => {
  const rt = await runtime(t);
  let ended = 0;
  const before = rt.stats().completed;
  for (let i = 0; i < many(1000); i++) {
    rt.op.nop({ result: i }).then((value) => {
      ended += value === i ? 1 : 0;
    });
  }
  await until(() => rt.stats().completed >= before + many(1000));
  t.is(ended, many(1000));
});

test('a ring of one entry settles a thousand operations exactly once', async (t) => {
  const rt = await runtime(t, { entries: 1 });
  const settled = new Array(many(1000)).fill(0);
  const nops = settled.map((_, i) =>
    rt.run(function* () {
      settled[yield* rt.op.nop({ result: i })]++;
    }),
  );
  await Promise.all(nops);
  t.true(settled.every((count) => count === 1));
});

test('a completion queue of two delivers fifty nops', async (t) => {
  const rt = await runtime(t, { entries: 1, cqEntries: 2 });
  const nops = Array.from({ length: many(50) }, (_, result) => rt.op.nop({ result }));
  const values = await Promise.all(nops);
  t.deepEqual(
    values,
    nops.map((_, i) => i),
  );
});

test('run ends with its own task and others live on', async (t) => {
  const rt = await runtime(t);
  let steps = 0;
  const other = rt.spawn(function* () {
    for (; steps < 3; steps++) yield* rt.op.timeout(5);
  });
  t.is(
    await rt.run(function* () {
      return yield* rt.op.nop({ result: 1 });
    }),
    1,
  );
  t.false(other.finished());
  await rt.run(() => other);
  t.is(steps, 3);
});

test('yield now lets every other ready task run', async (t) => {
  const rt = await runtime(t);
  const order: string[] = [];
  const task = (name: string) =>
    rt.spawn(function* () {
      for (let i = 0; i < 3; i++) {
        order.push(name + i);
        yield* yieldNow();
      }
    });
  await Promise.all([task('a'), task('b'), task('c')]);
  t.is(order.join(' '), 'a0 b0 c0 a1 b1 c1 a2 b2 c2');
});

test('a task that wakes itself for ever does not stop completions', async (t) => {
  const rt = await runtime(t);
  const spinning = rt.spawn(new Polled(Number.POSITIVE_INFINITY, 1));
  await rt.run(function* () {
    for (let i = 0; i < 50; i++) yield* rt.op.nop();
    yield* rt.op.timeout(2);
  });
  t.false(spinning.finished());
  spinning.abort();
  t.is((await failure(spinning)).code, 'ABORT_ERR');
});

test('close aborts every task, also those that wait for each other', async (t) => {
  const rt = await runtime(t);
  let ended = 0;
  const waits = function* () {
    try {
      yield* rt.op.timeout(60_000);
    } finally {
      ended++;
    }
  };
  const joined = rt.spawn(function* () {
    return yield* inner;
  });
  const inner = rt.spawn(waits);
  const handles = [joined, inner, rt.spawn(waits), rt.spawn(waits)];
  const errors = handles.map(failure);
  await until(() => rt.stats().inFlight === 3);
  await rt.close();
  for (const error of errors) t.is((await error).code, 'ABORT_ERR');
  t.is(ended, 3);
});

test('stats count what was submitted and completed', async (t) => {
  const rt = await runtime(t);
  const before = rt.stats();
  for (let i = 0; i < 10; i++) await rt.op.nop();
  const after = rt.stats();
  t.is(after.submitted - before.submitted, 10);
  t.is(after.completed - before.completed, 10);
  t.is(after.inline - before.inline, 10);
  t.true(after.turns > before.turns);
  t.true(after.enters > before.enters);
  t.is(after.overflows, 0);
  t.is(after.stale, 0);
});

test.serial('rings that open and close leave nothing behind', async (t) => {
  const maps = () => readFileSync('/proc/self/maps', 'utf8').split('\n').length;
  const once = async () => {
    const rt = new Runtime({ entries: 8 });
    await rt.op.nop();
    const flying = rt.op.timeout(60_000);
    const lost = failure(flying);
    await immediate();
    await rt.close();
    t.is((await lost).code, 'ERR_RINGCORE_CLOSED');
  };
  for (let i = 0; i < 50; i++) await once();
  await until(() => true);
  const before = { fds: descriptors(), maps: maps(), rss: process.memoryUsage.rss() };
  for (let i = 0; i < many(1000); i++) await once();
  await settle(50);
  t.true(descriptors() <= before.fds + 2, `${descriptors()} descriptors after ${before.fds}`);
  // The engine's own heap takes and gives some; a ring has four.
  t.true(maps() <= before.maps + many(1000) / 10, `${maps()} mappings after ${before.maps}`);
  const grown = process.memoryUsage.rss() - before.rss;
  t.log(`${maps() - before.maps} mappings, ${Math.round(grown / 1024)} KiB more`);
  t.true(grown < 96 * 1024 * 1024, `${grown} bytes more`);
});

// PAIR: only-typescript -- Rust's Runtime::new is the first use
test.serial('a new runtime opens nothing before its first use', async (t) => {
  const before = descriptors();
  const rt = new Runtime();
  const zero = rt.stats();
  t.is(descriptors(), before);
  t.true(Object.values(zero).every((count) => count === 0));
  await rt.close();
  t.is(descriptors(), before);
  await rt.close();
});

// PAIR: only-typescript -- Rust has no default runtime
test.serial(
  'init comes before the first use, and close makes room for a new default',
  async (t) => {
    Runtime.init({ entries: 8 });
    t.is(await op.nop({ result: 2 }), 2);
    const first = module.current();
    const error = t.throws(() => Runtime.init({}), { code: 'ERR_RINGCORE_INITIALIZED' });
    t.true(error instanceof Error);
    await first.close();
    t.is(
      await run(function* () {
        return yield* op.nop({ result: 3 });
      }),
      3,
    );
    t.not(module.current(), first);
    t.is(await spawn(() => op.nop({ result: 4 }) as never), 4 as never);
    await module.current().close();
    Runtime.init();
  },
);

// PAIR: only-typescript -- Rust drops a runtime, its operations cannot outlive it
test('after close everything is ERR_RINGCORE_CLOSED', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  const outside = [rt.op.timeout(60_000), rt.op.pollAdd(fd, 1), rt.op.read(fd, new Uint8Array(4))];
  const errors = outside.map(failure);
  await until(() => rt.stats().inFlight === 3);
  const closing = rt.close();
  t.is(rt.close(), closing);
  t.throws(() => rt.spawn(function* () {}), { code: 'ERR_RINGCORE_CLOSED' });
  await closing;
  for (const error of errors) t.is((await error).code, 'ERR_RINGCORE_CLOSED');
  t.throws(() => rt.spawn(function* () {}), { code: 'ERR_RINGCORE_CLOSED' });
  t.is((await failure(rt.run(function* () {}))).code, 'ERR_RINGCORE_CLOSED');
  t.is((await failure(rt.op.nop())).code, 'ERR_RINGCORE_CLOSED');
  t.is(rt.stats().inFlight, 0);
  t.true(rt.stats().submitted > 3);
  const disposed = new Runtime();
  await disposed.op.nop();
  await disposed[Symbol.asyncDispose]();
  t.is((await failure(disposed.op.nop())).code, 'ERR_RINGCORE_CLOSED');
});

// PAIR: only-typescript -- Rust's types refuse most of these at compile time
test('wrong options are typed errors of the constructor', async (t) => {
  const make = (options: unknown) => () => new Runtime(options as never);
  for (const entries of [0, 2 ** 31, 65_536, Number.NaN, -1, 1.5]) {
    t.throws(make({ entries }), { code: 'ERR_OUT_OF_RANGE' }, `entries ${entries}`);
  }
  for (const entries of ['8', null, 8n, {}]) {
    t.throws(make({ entries }), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  t.throws(make({ entries: 8, cqEntries: 4 }), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(make({ cqEntries: '9' }), { code: 'ERR_INVALID_ARG_TYPE' });
  t.throws(make({ memoryLimit: -1 }), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(make({ memoryLimit: Number.NaN }), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(make({ memoryLimit: '1' }), { code: 'ERR_INVALID_ARG_TYPE' });
  t.throws(make({ entires: 8 }), { code: 'ERR_OUT_OF_RANGE' });
  for (const options of [null, 5, 'entries']) {
    t.throws(make(options), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  for (const entries of [1, 3, 32_768]) {
    const rt = await runtime(t, { entries });
    t.is(await rt.op.nop({ result: 1 }), 1, `entries ${entries}`);
    await rt.close();
  }
});

/** The largest gaps, in ms, of a 1 ms interval and of a setImmediate chain while `work` runs. */
async function gaps(work: () => Promise<unknown>): Promise<{ interval: number; chain: number }> {
  const largest = { interval: 0, chain: 0 };
  let [tick, step] = [performance.now(), performance.now()];
  let running = true;
  const interval = setInterval(() => {
    largest.interval = Math.max(largest.interval, performance.now() - tick);
    tick = performance.now();
  }, 1);
  const next = () => {
    largest.chain = Math.max(largest.chain, performance.now() - step);
    step = performance.now();
    if (running) setImmediate(next);
  };
  setImmediate(next);
  await work();
  running = false;
  clearInterval(interval);
  return largest;
}

// PAIR: only-typescript -- Rust has no event loop beside its own
test.serial('many tasks and endless cached reads leave the event loop its turns', async (t) => {
  const rt = await runtime(t);
  const tasks = await gaps(() =>
    Promise.all(
      Array.from({ length: many(100) }, () =>
        rt.run(function* () {
          for (let i = 0; i < many(100); i++) yield* rt.op.nop();
        }),
      ),
    ),
  );
  const path = join(folder(t), 'cached');
  writeFileSync(path, Buffer.alloc(65_536));
  const fd = openSync(path, 'r');
  const bytes = new Uint8Array(65_536);
  const end = performance.now() + 500;
  const reads = await gaps(() =>
    rt.run(async () => {
      while (performance.now() < end) await rt.op.read(fd, bytes, 0);
    }),
  );
  closeSync(fd);
  t.log('largest gaps, tasks of nops', tasks, 'endless reads', reads);
  for (const gap of [tasks.interval, tasks.chain, reads.interval, reads.chain]) {
    t.true(gap > 0 && gap < 250, `${gap} ms`);
  }
});

// PAIR: only-typescript -- in Rust nothing waits for a budget beside the ring
test.serial(
  'work that waited and spends no budget itself is begun in many iterations',
  async (t) => {
    const rt = await runtime(t);
    // Each takes 25 µs by this clock, and tells nobody.
    const { now } = performance;
    let clock = now.call(performance) + 60_000;
    performance.now = () => clock;
    t.teardown(() => {
      performance.now = now;
    });
    const all = many(1000);
    let [begun, inThis, most] = [0, 0, 0];
    const count = () => {
      most = Math.max(most, inThis);
      inThis = 0;
      if (begun < all) setImmediate(count);
    };
    setImmediate(count);
    const work = {
      begin() {
        begun++;
        inThis++;
        clock += 0.025;
      },
    };
    for (let i = 0; i < all; i++) rt.executor.postpone(work);
    await until(() => begun === all);
    await immediate();
    t.true(most > 0 && most <= 64, `${most} in one iteration`);
  },
);

// PAIR: only-typescript -- in Rust nothing waits for a budget beside the ring
test('work that waited holds the process until it has begun, also when some throws', async (t) => {
  const source = `
    process.on('exit', () => console.log('exit'));
    const { executor } = new ringcore.Runtime().unref();
    const held = () => process.getActiveResourcesInfo().includes('Immediate');
    const begin = (name) => ({
      begin() {
        console.log(name, held());
        queueMicrotask(() => console.log('behind', name, held()));
      },
    });
    executor.postpone(begin('a'));
    executor.postpone(begin('b'));
    console.log('postponed', held());
    setTimeout(() => {
      const throws = { begin() { throw new Error('thrown'); } };
      const other = { begin: () => console.log('other') };
      for (const work of [throws, other]) executor.postpone(work);
      try {
        executor.onEnd();
      } catch (error) {
        console.log(error.message, held());
      }
    }, 1);`;
  const { stdout, stderr, code } = await child(source);
  const lines = [
    'postponed true',
    'a false',
    'b false',
    'behind a false',
    'behind b false',
    'thrown true',
    'other',
    'exit',
  ];
  t.deepEqual([stdout.trim().split('\n'), stderr, code], [lines, '', 0]);
});

// PAIR: only-typescript -- a Rust process ends when main returns
test('tasks hold the process, close and an idle ring let it go', async (t) => {
  const source = `
    process.on('exit', () => console.log('exit'));
    await ringcore.op.nop();
    ringcore.spawn(function* () {
      yield* ringcore.op.timeout(20);
      console.log('task');
    });
    const rt = new ringcore.Runtime().unref();
    rt.op.timeout(60_000).then(() => {}, () => {});`;
  const { stdout, stderr, code } = await child(source);
  t.is(stderr, '');
  t.is(stdout, 'task\nexit\n');
  t.is(code, 0);
});
