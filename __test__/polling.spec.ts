// Pair: crates/ringcore/tests/polling.rs
import { closeSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { AT_FDCWD, type Options, type Runtime } from '../src/index.ts';
import { report, STRESS } from './lifecycle/child.ts';
import { failure, many, pipe, runtime, settle, until } from './support.ts';

const POLL: Options = { sqpoll: { idleMs: 20 } };

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Polling threads of rings that this thread made. */
function pollers(): string[] {
  const name = `iou-sqp-${process.pid}`;
  return readdirSync('/proc/self/task').filter((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim() === name;
    } catch {
      return false; // It has just ended.
    }
  });
}

/** That many nops at once, by the order of their ends. */
async function nops(rt: Runtime, count: number): Promise<number[]> {
  const order: number[] = [];
  const list = upTo(count).map((result) => rt.op.nop({ result }));
  await Promise.all(list.map((op) => op.then((value) => void order.push(value))));
  return order;
}

test.serial('a thousand operations in batches need few system calls under SQPOLL', async (t) => {
  // Longer than any pause of a loaded machine: the thread never sleeps while this runs.
  const rt = await runtime(t, { sqpoll: { idleMs: 10_000 } });
  const before = rt.stats();
  const batches = many(100);
  for (let i = 0; i < batches; i++) t.deepEqual(await nops(rt, 10), upTo(10));
  const after = rt.stats();
  t.true(after.submitted - before.submitted >= batches * 10);
  t.true(after.turns - before.turns >= batches);
  const enters = after.enters - before.enters;
  t.true(enters <= 2, `${enters} enters in ${after.turns} turns`);
  await rt.close();
});

test.serial(
  'a submission queue of one entry serves a thousand operations under SQPOLL',
  async (t) => {
    for (const options of [{ entries: 1 }, { entries: 1, cqEntries: 2 }, { entries: 2 }]) {
      const rt = await runtime(t, { ...options, ...POLL });
      t.deepEqual(await nops(rt, many(1000)), upTo(many(1000)));
      t.is(rt.stats().stale, 0);
      // The timer that proves wake-ups may be on its way on a loaded machine.
      await until(() => rt.stats().inFlight === 0);
      await rt.close();
    }
  },
);

test.serial('completions beyond the queue are not lost under SQPOLL', async (t) => {
  const fd = pipe(t);
  const rt = await runtime(t, { entries: 1, cqEntries: 2, ...POLL });
  const polls = upTo(50).map(() => rt.op.pollAdd(fd, 1).then((events) => events));
  await until(() => rt.stats().inFlight === 50);
  await rt.op.nop();
  writeSync(fd, 'x');
  t.deepEqual(await Promise.all(polls), new Array(50).fill(1));
  t.true(rt.stats().overflows > 0, 'it never overflowed');
  t.is(rt.stats().stale, 0);
  await rt.close();
});

test.serial('no wake-up is lost however the polling thread races the park', async (t) => {
  // A thread that sleeps again and again, and one that never does.
  for (const idleMs of [1, 10_000]) {
    const rt = await runtime(t, { sqpoll: { idleMs } });
    for (let i = 0; i < many(300); i++) {
      // A lost one would be found by nobody: nothing else happens on this ring.
      const ms = idleMs === 1 ? (i % 4) + 0.1 * (i % 7) : 0.01 * (i % 30);
      await rt.op.timeout(ms);
      t.is(await rt.op.nop({ result: i }), i);
    }
    t.true(rt.stats().wakes > many(30), `it hardly ever slept: ${rt.stats().wakes}`);
    await rt.close();
  }
});

/** utime and stime of a thread of this process, in ticks of 10 ms. */
function ticks(thread: string): number {
  const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

test.serial('an idle polling thread uses no CPU after its time', async (t) => {
  const watch = async (idleMs: number, look: (thread: string) => Promise<void>) => {
    await until(() => pollers().length === 0);
    const rt = await runtime(t, { sqpoll: { idleMs } });
    const [thread = ''] = pollers();
    await look(thread);
    // Asleep, it still serves whoever comes.
    t.is(await rt.op.nop({ result: 1 }), 1);
    await rt.close();
  };
  // That the measure sees a busy one, however long a loaded machine takes to let it run.
  await watch(60_000, async (thread) => {
    const start = ticks(thread);
    await until(() => ticks(thread) - start > 10);
  });
  await watch(20, async (thread) => {
    await delay(200);
    const start = ticks(thread);
    await delay(500);
    const used = ticks(thread) - start;
    t.true(used <= 2, `${used} ticks of 50 while it had nothing to do`);
  });
});

test.serial('paths are intact when the polling thread takes them late', async (t) => {
  const rt = await runtime(t, { entries: 8, ...POLL });
  const found = await Promise.all(
    upTo(1000).map(async (i) => {
      const path = `/dev${'/'.repeat((i % 200) + 1)}${i % 7 === 0 ? 'null' : 'no such file'}`;
      try {
        closeSync(await rt.op.openat(AT_FDCWD, path, 0));
        return 'opened';
      } catch (error) {
        return (error as NodeJS.ErrnoException).code;
      }
    }),
  );
  t.deepEqual(
    found,
    upTo(1000).map((i) => (i % 7 === 0 ? 'opened' : 'ENOENT')),
  );
  await rt.close();
});

test.serial('a ring that closes waits for what is in flight under SQPOLL', async (t) => {
  const fd = pipe(t);
  const rt = await runtime(t, { entries: 4, ...POLL });
  const { ring } = rt.executor.reactor;
  // Long reads go to workers, short ones wait for the pipe.
  const sizes = upTo(20).map((i) => (i % 2 === 0 ? 300 << 10 : 100));
  const reads = sizes.map((size) => failure(rt.op.read(fd, new Uint8Array(size))));
  await until(() => rt.stats().inFlight === 20);
  await rt.close();
  const codes = new Set((await Promise.all(reads)).map((error) => error.code));
  t.true([...codes].every((code) => code === 'ERR_RINGCORE_CLOSED' || code === 'EINTR'));
  t.deepEqual([ring.regions.held, ring.slots.size], [0, 0]);
});

test.serial('attached runtimes share one polling thread', async (t) => {
  await until(() => pollers().length === 0);
  const first = await runtime(t, POLL);
  const others: Runtime[] = [];
  for (let i = 0; i < 8; i++) others.push(await runtime(t, { ...POLL, attach: first }));
  t.is(pollers().length, 1);
  t.true(others[0]?.flags.includes('ATTACH_WQ'));
  for (const rt of others) t.deepEqual(await nops(rt, 10), upTo(10));
  await first.close();
  await settle();
  // They outlive the one that they are attached to.
  for (const rt of others) t.deepEqual(await nops(rt, 10), upTo(10));
  t.is(pollers().length, 1);
  for (const rt of others) await rt.close();
  await until(() => pollers().length === 0);
});

// PAIR: only-typescript -- Rust threads are not terminated
test.serial('workers that are terminated leave no polling thread behind', async (t) => {
  const count = 10 * STRESS;
  const found = await report(t, 'polling.mjs', [String(count)], { limit: 100_000 * STRESS });
  t.deepEqual(found, { polled: count, left: 0, fds: 0 });
});
