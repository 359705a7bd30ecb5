// concurrent_reads: many reads of one file at random places, all in flight at once.
// Beside it: concurrent_reads.rs; without ringcore: concurrent_reads.node.mjs,
// concurrent_reads.std.rs.
//
//   npm start -- --example concurrent_reads FILE [READS] [BYTES]       1000 reads of 4096 bytes
//
// The places come from a seed: every run, and each of the four programs, reads the same bytes. What
// is in the page cache is read by this thread, inside the one system call that submits the batch.

import { AT_FDCWD, all, constants, type Future, Runtime } from 'ringcore';

const SEED = 0x2545f491;
/** What one operation moves at most. */
const MOST = 1 << 20;

const rt = new Runtime();
const { op } = rt;

/** Where the reads begin: multiples of `bytes` inside the file. */
function places(length: number, reads: number, bytes: number): number[] {
  const blocks = Math.max(1, Math.floor(length / bytes));
  let state = SEED;
  return Array.from({ length: reads }, () => {
    state ^= state << 13; // xorshift32
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) % blocks) * bytes;
  });
}

/** FNV-1a. */
function hash(bytes: Uint8Array): number {
  let sum = 0x811c9dc5;
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193);
  return sum >>> 0;
}

function* main(path: string, reads: number, bytes: number): Generator<Future<unknown>, void> {
  const fd = yield* op.openat(AT_FDCWD, path, 0);
  const { size } = yield* op.statx(fd, '', constants.AT_EMPTY_PATH);
  const buffers = Array.from({ length: reads }, () => new Uint8Array(bytes));
  const started = performance.now();
  const offsets = places(size, reads, bytes);
  const counts = yield* all(
    offsets.map((offset, i) => op.read(fd, buffers[i] as Uint8Array, offset)),
  );
  const seconds = (performance.now() - started) / 1000;
  let [total, sum] = [0, 0];
  for (const [i, count] of counts.entries()) {
    total += count;
    // Added up, so that the order in which the reads end does not matter.
    sum = (sum + hash((buffers[i] as Uint8Array).subarray(0, count))) >>> 0;
  }
  yield* op.close(fd);
  console.log(`${reads} reads, ${total} bytes`);
  console.log(`checksum ${sum.toString(16).padStart(8, '0')}`);
  console.log(`${Math.round(reads / seconds)} reads/s`);
}

const [path, reads = '1000', bytes = '4096'] = process.argv.slice(2);
const whole = [reads, bytes].every((word) => /^[1-9]\d{0,7}$/.test(word));
if (path === undefined || !whole || Number(bytes) > MOST) {
  console.error(`usage: concurrent_reads FILE [READS] [BYTES, at most ${MOST}]`);
  process.exit(2);
}
try {
  await rt.run(() => main(path, Number(reads), Number(bytes)));
} catch (error) {
  console.error(`concurrent_reads: ${(error as Error).message}`);
  process.exitCode = 1;
}
await rt.close();
