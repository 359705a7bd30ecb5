// sqpoll: adds up the bytes of a file, in batches, while a thread of the kernel polls the ring.
// Beside it: sqpoll.rs; without ringcore: sqpoll.node.mjs, sqpoll.std.rs.
//
//   npm start -- --example sqpoll FILE
//
// The polling thread takes the operations out of shared memory. This one enters the kernel to wake
// it, if it has slept since, and not once for a batch: compare the two numbers of the second line.

import { AT_FDCWD, all, type Future, Runtime } from 'ringcore';

const BLOCK = 4096;
const BATCH = 32;

const [path] = process.argv.slice(2);
if (path === undefined) {
  console.error('usage: sqpoll FILE');
  process.exit(2);
}

/** Reads the file batch by batch. How many there were, and the sum of all bytes. */
function* add(rt: Runtime, name: string): Generator<Future<unknown>, [number, number], unknown> {
  const { op } = rt;
  const fd = yield* op.openat(AT_FDCWD, name, 0);
  const buffers = Array.from({ length: BATCH }, () => Buffer.alloc(BLOCK));
  let [batches, sum, end] = [0, 0, false];
  try {
    while (!end) {
      const first = batches * BATCH * BLOCK;
      const counts = yield* all(buffers.map((each, i) => op.read(fd, each, first + i * BLOCK)));
      for (const [i, count] of counts.entries()) {
        for (const byte of (buffers[i] as Buffer).subarray(0, count)) sum += byte;
        end ||= count < BLOCK;
      }
      batches++;
    }
  } finally {
    yield* op.close(fd);
  }
  return [batches, sum];
}

const rt = new Runtime({ sqpoll: { idleMs: 2000 } });
try {
  const [batches, sum] = await rt.run(() => add(rt, path));
  console.log(`the bytes add up to ${sum}`);
  console.log(`${batches} batches, ${rt.stats().enters} system calls`);
} catch (error) {
  console.error(`sqpoll: ${(error as Error).message}`);
  process.exitCode = 1;
}
await rt.close();
