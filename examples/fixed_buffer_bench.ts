// fixed_buffer_bench: what a warm 4 KiB read costs into ordinary memory, which is copied, into
// memory of the ring, and into registered memory of the ring.
// Beside it: fixed_buffer_bench.rs; without ringcore: fixed_buffer_bench.node.mjs, .std.rs.
//
//   npm start -- --example fixed_buffer_bench FILE [READS]
//
// The three take turns, and the least of five rounds counts: the rest is other people's work.

import { AT_FDCWD, type Future, Runtime } from 'ringcore';

const BYTES = 4096;
const DEPTH = 32;
const ROUNDS = 5;

const [path, count = '20000'] = process.argv.slice(2);
const reads = Number(count);
if (path === undefined || !(reads >= DEPTH)) {
  console.error(`usage: fixed_buffer_bench FILE [READS, at least ${DEPTH}]`);
  process.exit(2);
}

const rt = new Runtime();
const { op } = rt;

type Read = (fd: number, view: Uint8Array, offset: number) => Future<number>;

/** Microseconds a read, 32 at a time. */
async function measure(fd: number, memory: Uint8Array, read: Read): Promise<number> {
  const started = performance.now();
  const worker = async (place: number) => {
    const view = memory.subarray(place * BYTES, (place + 1) * BYTES);
    for (let i = place; i < reads; i += DEPTH) await read(fd, view, (i % 1000) * BYTES);
  };
  await Promise.all(Array.from({ length: DEPTH }, (_, place) => worker(place)));
  return ((performance.now() - started) * 1000) / reads;
}

try {
  const fd = await op.openat(AT_FDCWD, path, 0);
  const size = DEPTH * BYTES;
  const copied: Read = (file, view, offset) => op.read(file, view, offset);
  const fixed: Read = (file, view, offset) => op.readFixed(file, view, offset);
  const kinds: [string, Uint8Array, Read][] = [
    ['copied', new Uint8Array(size), copied],
    ['in place', rt.buffer.alloc(size), copied],
    ['registered', rt.buffer.alloc(size, { registered: true }), fixed],
  ];
  const best = kinds.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, [, memory, read]] of kinds.entries()) {
      best[i] = Math.min(best[i] as number, await measure(fd, memory, read));
    }
  }
  for (const [i, [name]] of kinds.entries()) {
    console.log(`${name.padEnd(10)} ${(best[i] as number).toFixed(3)} us a read`);
  }
  await op.close(fd);
} catch (error) {
  console.error(`fixed_buffer_bench: ${(error as Error).message}`);
  process.exitCode = 1;
}
await rt.close();
