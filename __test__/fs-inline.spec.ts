// PAIR: only-typescript fs-inline.spec.ts -- Rust programs call pwrite(2) themselves if they like
//
// Small writes that are made on this thread, within the event loop's budget or a later iteration.

import { closeSync, constants, openSync, readFileSync, write, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { native } from '../src/binding.ts';
import * as callbacks from '../src/node/fs.ts';
import { open } from '../src/node/fs-promises.ts';
import { current } from '../src/runtime.ts';
import { descriptors, failure, folder, many, pipe, until } from './support.ts';

const BLOCK = 4096;
const block = (i: number) => Buffer.alloc(BLOCK, 1 + (i % 250));

/** A clock by which some twenty writes are a budget, and none is slow: that would take the ring. */
function steadyClock(t: ExecutionContext): void {
  const { now } = performance;
  let clock = now.call(performance) + 60_000;
  performance.now = () => {
    clock += 0.025;
    return clock;
  };
  t.teardown(() => {
    performance.now = now;
  });
}

test.serial('writes beyond the budget are all made, each at its place', async (t) => {
  const path = join(folder(t), 'file');
  const handle = await open(path, 'w');
  const count = many(2000);
  const results = await Promise.all(
    Array.from({ length: count }, (_, i) => handle.write(block(i), 0, BLOCK, i * BLOCK)),
  );
  t.true(results.every(({ bytesWritten }) => bytesWritten === BLOCK));
  await handle.close();
  const found = readFileSync(path);
  t.is(found.length, count * BLOCK);
  for (let i = 0; i < count; i++) {
    if (!found.subarray(i * BLOCK, (i + 1) * BLOCK).equals(block(i))) t.fail(`block ${i}`);
  }
});

test.serial(
  'callbacks: writes beyond the budget, each at its place or behind the last',
  async (t) => {
    steadyClock(t);
    const count = many(2000);
    const whole = Buffer.concat(Array.from({ length: count }, (_, i) => block(i)));
    for (const placed of [true, false]) {
      const path = join(folder(t), 'file');
      const fd = openSync(path, 'w');
      current().executor; // Starts it, and the proof of its wake-ups.
      await until(() => current().wake !== 'unproved' && current().stats().inFlight === 0);
      const { submitted } = current().stats();
      let ended = 0;
      await new Promise<void>((resolve, reject) => {
        for (let i = 0; i < count; i++) {
          // A part of a larger view, by its offset.
          const view = Buffer.concat([Buffer.alloc(8), block(i)]);
          callbacks.write(fd, view, 8, BLOCK, placed ? i * BLOCK : null, (error, bytes, given) => {
            if (error !== null || bytes !== BLOCK || given !== view) reject(error ?? `${bytes}`);
            else if (++ended === count) resolve();
          });
        }
      });
      // tmpfs and ext4 at least: what is of no local file system is the ring's.
      if (native().localNow(fd)) t.is(current().stats().submitted, submitted);
      closeSync(fd);
      t.true(readFileSync(path).equals(whole), placed ? 'at places' : 'at the cursor');
    }
  },
);

test.serial('callbacks: what is wrong with a small write is said as node says it', async (t) => {
  const path = join(folder(t), 'file');
  writeFileSync(path, 'x');
  const outcome = (write: typeof callbacks.write, fd: number, at: number | null) =>
    new Promise((resolve) => {
      write(fd, block(0), 0, BLOCK, at, (error, bytes) => resolve([{ ...error }, bytes]));
    });
  const reading = openSync(path, 'r');
  const gone = openSync(path, 'w');
  closeSync(gone);
  const full = openSync('/dev/full', 'w');
  for (const fd of [reading, gone, full, pipe(t)]) {
    for (const at of [0, null]) {
      t.deepEqual(await outcome(callbacks.write, fd, at), await outcome(write, fd, at), `${fd}`);
    }
  }
  closeSync(reading);
  closeSync(full);
});

test.serial('only what ends in memory is written so', (t) => {
  const { localNow } = native();
  const path = join(folder(t), 'file');
  const as = (flags: number): boolean => {
    const fd = openSync(path, constants.O_CREAT | constants.O_WRONLY | flags);
    const local = localNow(fd);
    closeSync(fd);
    return local;
  };
  const { O_APPEND, O_DSYNC, O_SYNC } = constants;
  if (as(0)) t.deepEqual([O_APPEND, O_DSYNC, O_SYNC].map(as), [true, false, false]);
  t.deepEqual([-1, 1 << 30, pipe(t)].map(localNow), [false, false, false]);
});

test.serial('writes to one place are made in the order of their calls', async (t) => {
  const path = join(folder(t), 'file');
  const handles = await Promise.all([open(path, 'w+'), open(path, 'w+')]);
  steadyClock(t); // The ring keeps no order.
  for (let round = 0; round < many(10); round++) {
    // With iterations between them: what is called later finds others in line.
    const writes: Promise<unknown>[] = [];
    for (let i = 0; i < 300; i++) {
      const handle = handles[i % 2] as (typeof handles)[0];
      writes.push(handle.write(block(i), 0, BLOCK, 0));
      if (i === 200) await immediate();
    }
    await Promise.all(writes);
    t.true(readFileSync(path).equals(block(299)), `round ${round}`);
  }
  for (const handle of handles) await handle.close();
});

test.serial('a close waits for writes that wait for their iteration', async (t) => {
  const path = join(folder(t), 'file');
  const handle = await open(path, 'w');
  const before = descriptors();
  const writes = Array.from({ length: 1000 }, (_, i) =>
    handle.write(block(i), 0, BLOCK, i * BLOCK),
  );
  await handle.close();
  t.is((await Promise.all(writes)).length, 1000);
  t.is(readFileSync(path).length, 1000 * BLOCK);
  t.is(descriptors(), before - 1);
  t.is((await failure(handle.write(block(0), 0, BLOCK, 0))).code, 'EBADF');
});

test.serial('the event loop turns while many small writes are made', async (t) => {
  const handle = await open(join(folder(t), 'file'), 'w');
  let turns = 0;
  let ended = false;
  const count = async () => {
    while (!ended) {
      await immediate();
      turns++;
    }
  };
  const counting = count();
  const loop = async (l: number) => {
    for (let i = 0; i < 200; i++) await handle.write(block(i), 0, BLOCK, l * BLOCK);
  };
  await Promise.all(Array.from({ length: 16 }, (_, l) => loop(l)));
  ended = true;
  await counting;
  await handle.close();
  // 3,200 writes of some microseconds, half a millisecond an iteration.
  t.true(turns >= 5, `${turns} iterations`);
});

test.serial(
  'a buffer that is gone when its turn comes is an error, the rest is written',
  async (t) => {
    const path = join(folder(t), 'file');
    const handle = await open(path, 'w');
    const writes = Array.from({ length: 800 }, (_, i) =>
      handle.write(block(i), 0, BLOCK, i * BLOCK),
    );
    const gone = new Uint8Array(BLOCK).fill(251);
    const outcome = handle.write(gone, 0, BLOCK, 800 * BLOCK).then(
      () => 'written',
      (error) => error.code,
    );
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    await Promise.all(writes);
    const ended = await outcome;
    await handle.close();
    const found = readFileSync(path);
    for (let i = 0; i < 800; i++) t.is(found[i * BLOCK], block(i)[0]);
    // Where the ring takes it, the bytes were copied at the call.
    if (ended === 'written') t.true(found.subarray(800 * BLOCK).equals(Buffer.alloc(BLOCK, 251)));
    else t.deepEqual([ended, found.length], ['ERR_RINGCORE_BUFFER_DETACHED', 800 * BLOCK]);
  },
);

test.serial('thousands that wait for the cursor and fail leave the handle usable', async (t) => {
  const path = join(folder(t), 'file');
  const handle = await open(path, 'w+');
  await handle.writeFile('content');
  const buffer = new Uint8Array(100);
  const reads = Array.from({ length: many(10_000) }, () =>
    handle.read(buffer, 0, 100, null).then(
      () => 'read',
      (error) => error.code,
    ),
  );
  structuredClone(buffer.buffer, { transfer: [buffer.buffer] });
  const [first, ...others] = await Promise.all(reads);
  t.is(first, 'read', 'it was under way, and found the end');
  t.deepEqual([...new Set(others)], ['ERR_RINGCORE_BUFFER_DETACHED']);
  const view = Buffer.alloc(7);
  t.is((await handle.read(view, 0, 7, 0)).bytesRead, 7);
  await handle.close();
});
