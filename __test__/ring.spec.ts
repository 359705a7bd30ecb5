// Pair: crates/ringcore/tests/ring.rs
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import test from 'ava';
import * as C from '../src/cqe.ts';
import { AT_FDCWD, all, type Options, type Runtime } from '../src/index.ts';
import { IORING_OP_NOP, NO_REGION } from '../src/sqe.ts';
import { descriptors, failure, folder, many, pipe, runtime, settle, until } from './support.ts';

/** No descriptor of this process. */
const UNUSED = 0x3fffffff;

/** Starts `count` nops from one task, in one poll: the order and the values of their ends. */
async function nops(rt: Runtime, count: number): Promise<number[]> {
  const order: number[] = [];
  await rt.run(function* () {
    const list = Array.from({ length: count }, (_, result) => rt.op.nop({ result }));
    for (const op of list) op.then((value) => order.push(value));
    yield* all(list);
  });
  await until(() => order.length >= count);
  return order;
}

/** The same cases with a polling thread of the kernel, which takes entries when it likes. */
const POLLED: Options = { sqpoll: { idleMs: 20 } };

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

test('a submission queue of one entry serves a thousand operations', async (t) => {
  const sizes = [{ entries: 1 }, { entries: 1, cqEntries: 2 }, { entries: 2 }];
  for (const options of [...sizes, ...sizes.map((size) => ({ ...size, ...POLLED }))]) {
    const rt = await runtime(t, options);
    t.deepEqual(await nops(rt, many(1000)), upTo(many(1000)));
    const { stale, inFlight } = rt.stats();
    t.deepEqual([stale, inFlight], [0, 0]);
    await rt.close();
  }
});

test('fifty completions in a completion queue of two arrive in order', async (t) => {
  const fd = pipe(t);
  const rt = await runtime(t, { entries: 1, cqEntries: 2 });
  t.deepEqual(await nops(rt, 50), upTo(50));
  // They come all at once, more than have room.
  const polls = upTo(50).map(() => rt.op.pollAdd(fd, 1).then((events) => events));
  await until(() => rt.stats().inFlight === 50);
  await rt.op.nop();
  writeSync(fd, 'x');
  t.deepEqual(await Promise.all(polls), new Array(50).fill(1));
  t.true(rt.stats().overflows > 0, 'it never overflowed');
  t.is(rt.stats().stale, 0);
});

test('one enter moves at most a mebibyte on the calling thread', async (t) => {
  const path = join(folder(t), 'data');
  writeFileSync(path, Buffer.alloc(4 << 20, 7));
  const fd = openSync(path, 'r');
  t.teardown(() => closeSync(fd));
  const rt = await runtime(t);
  /** How many times 64 reads entered the kernel. */
  const enters = async (bytes: number) => {
    const buffers = upTo(64).map(() => new Uint8Array(bytes));
    const before = rt.stats().enters;
    const counts = await rt.run(function* () {
      return yield* all(buffers.map((buffer, i) => rt.op.read(fd, buffer, i * bytes)));
    });
    t.deepEqual(counts, new Array(64).fill(bytes));
    t.true(buffers.every((buffer) => buffer.every((byte) => byte === 7)));
    return rt.stats().enters - before;
  };
  await enters(64 << 10); // Whatever grows has grown.
  const [long, short] = [await enters(64 << 10), await enters(16)];
  t.true(long >= 4, `${long} enters for 4 MiB`);
  t.true(short < 4, `${short} enters for 1 KiB`);
});

test('a ring that closes waits for what is in flight', async (t) => {
  const fd = pipe(t);
  // The second has more ends than the list of completions holds.
  const counts = [20, C.MAX_COMPLETIONS + 1000];
  const cases = counts.flatMap((count) => [{}, POLLED].map((options) => ({ count, options })));
  for (const { count, options } of cases) {
    const rt = await runtime(t, { entries: 4, ...options });
    const { ring } = rt.executor.reactor;
    const reads = upTo(count).map(() => failure(rt.op.read(fd, new Uint8Array(100))));
    await until(() => rt.stats().inFlight === count);
    await rt.close();
    const codes = new Set((await Promise.all(reads)).map((error) => error.code));
    t.deepEqual([...codes], ['ERR_RINGCORE_CLOSED']);
    t.deepEqual([ring.regions.held, ring.slots.size], [0, 0]);
  }
});

// PAIR: only-typescript -- the list of descriptors is filled in TypeScript only
test('more descriptors than the list holds go out before a turn', async (t) => {
  for (const options of [{}, POLLED]) {
    const rt = await runtime(t, options);
    t.deepEqual(await nops(rt, 5000), upTo(5000));
    // More paths than the inputs area holds, each intact: the good ones are found.
    const good = new Set([0, 1, 777, 1023, 1024, 1025, 2000, 2999]);
    const slashes = '/'.repeat(200);
    const opens = upTo(3000).map((i) => {
      const path = good.has(i) ? `/dev${slashes}null` : `/no/such${slashes}file`;
      return rt.op.openat(AT_FDCWD, path, 0);
    });
    const ends: boolean[] = [];
    await rt.run(function* () {
      for (const op of opens) op.begin();
      for (const [i, op] of opens.entries()) {
        try {
          closeSync(yield* op);
          ends[i] = true;
        } catch (error) {
          ends[i] = (error as NodeJS.ErrnoException).code !== 'ENOENT';
        }
      }
    });
    t.deepEqual(
      ends,
      opens.map((_, i) => good.has(i)),
    );
    t.is(rt.stats().stale, 0);
    await rt.close();
  }
});

// PAIR: only-typescript -- the list of descriptors is filled in TypeScript only
test('a thousand cancels at once get through', async (t) => {
  const count = many(2000);
  for (const options of [{ entries: 1 }, {}, { entries: 1, ...POLLED }, POLLED]) {
    const rt = await runtime(t, options);
    const timers = upTo(count).map(() => rt.op.timeout(60_000));
    const errors = timers.map(failure);
    await until(() => rt.stats().submitted > count);
    await rt.run(function* () {
      for (const op of timers) op.cancel();
      yield* rt.op.nop();
    });
    for (const error of await Promise.all(errors)) t.is(error.code, 'ABORT_ERR');
    const { stale, inFlight } = rt.stats();
    t.deepEqual([stale, inFlight], [0, 0]);
    await rt.close();
  }
});

// PAIR: only-typescript -- the list of descriptors is filled in TypeScript only
test.serial('more closes than the list holds go out before a turn', async (t) => {
  for (const options of [{}, POLLED]) {
    const rt = await runtime(t, options);
    const before = descriptors();
    const mine = new Map(
      [0, 500, 1023, 1024, 1025, 2999].map((place) => [place, openSync('/dev/null', 'r')]),
    );
    t.is(descriptors(), before + mine.size);
    await rt.run(function* () {
      const { reactor } = rt.executor;
      for (let i = 0; i < 3000; i++) reactor.closeFd(mine.get(i) ?? UNUSED);
      yield* rt.op.nop();
    });
    await settle();
    t.is(descriptors(), before);
    t.deepEqual(await nops(rt, 50), upTo(50));
    await rt.close();
  }
});

// PAIR: only-typescript -- a Rust thread has no event loop beside its ring
test('operations beyond the budget leave the event loop its iterations', async (t) => {
  const rt = await runtime(t);
  const count = many(10_000);
  const ways: Record<string, () => Promise<unknown>> = {
    'one after the other in a task': () =>
      rt.run(function* () {
        for (let i = 0; i < count; i++) yield* rt.op.nop();
      }),
    'one after the other, awaited': async () => {
      for (let i = 0; i < count; i++) await rt.op.nop();
    },
    'ten at a time, awaited': async () => {
      for (let i = 0; i < count; i += 10) await Promise.all(upTo(10).map(() => rt.op.nop()));
    },
  };
  for (const [name, way] of Object.entries(ways)) {
    let [iterations, running] = [0, true];
    const next = () => {
      iterations++;
      if (running) setImmediate(next);
    };
    setImmediate(next);
    let fired = false;
    setTimeout(() => {
      fired = running;
    }, 1);
    await way();
    running = false;
    // 256 completions are the share of one iteration, whatever the clock says.
    t.true(iterations >= count / 512, `${name}: ${iterations} iterations`);
    t.true(fired, `${name}: a timer of 1 ms waited for all of it`);
  }
});

// PAIR: only-typescript -- a Rust thread has no event loop beside its ring
test('an iteration has one budget, and what waits for it has it by turns', async (t) => {
  const rt = await runtime(t);
  const { executor } = rt;
  const rounds = many(40);
  let running = true;
  let [works, delivered] = [0, 0];
  /** A fifth of a budget each: the sixth is over it. */
  const work = {
    begin(): void {
      works++;
      executor.spend(100);
      if (running) executor.postpone(work);
    },
  };
  for (let i = 0; i < 50; i++) executor.postpone(work);
  // Two budgets of completions at a time.
  const loop = async () => {
    for (; running; delivered++) await rt.op.nop();
  };
  const loops = Array.from({ length: 512 }, loop);
  let whole = 0;
  let [byWork, byTurns] = [0, 0];
  for (let i = 0; i < 10 * rounds && (byWork < rounds || byTurns < rounds); i++) {
    [works, delivered] = [0, 0];
    await immediate();
    if (i < 2) continue; // They begin within what was asked for here.
    t.true(works <= 6, `${works} works`);
    // Either ends the window: before the sixth of one there was no whole budget of the other.
    if (works === 6 && delivered >= 256) whole++;
    byWork += works > 0 ? 1 : 0;
    byTurns += delivered > 0 ? 1 : 0;
  }
  running = false;
  await Promise.all(loops);
  t.is(whole, 0, 'iterations with two budgets');
  t.true(byWork >= rounds && byTurns >= rounds, `${byWork} by work, ${byTurns} by turns`);
});

// PAIR: only-typescript -- Rust looks its slots up by their keys
test('a completion for nobody is dropped and others are delivered', async (t) => {
  const rt = await runtime(t);
  const { border } = rt.executor.reactor.ring;
  for (const ticket of [0, 1, 5000]) {
    border.start(IORING_OP_NOP, ticket + 100, -1, NO_REGION, 0, 0, 0, 0, 0, 0, 0);
    t.deepEqual(await nops(rt, 50), upTo(50));
  }
  t.is(rt.stats().inFlight, 0);
});
