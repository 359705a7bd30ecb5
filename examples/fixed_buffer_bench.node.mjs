// fixed_buffer_bench without ringcore: the same reads through the thread pool.

import { open } from 'node:fs/promises';

const BYTES = 4096;
const DEPTH = 32;
const ROUNDS = 5;

const [path, count = '20000'] = process.argv.slice(2);
const reads = Number(count);
if (path === undefined || !(reads >= DEPTH)) {
  console.error(`usage: fixed_buffer_bench FILE [READS, at least ${DEPTH}]`);
  process.exit(2);
}
try {
  const file = await open(path);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const started = performance.now();
    const worker = async (place) => {
      const buffer = Buffer.alloc(BYTES);
      for (let i = place; i < reads; i += DEPTH) {
        await file.read(buffer, 0, BYTES, (i % 1000) * BYTES);
      }
    };
    await Promise.all(Array.from({ length: DEPTH }, (_, place) => worker(place)));
    best = Math.min(best, ((performance.now() - started) * 1000) / reads);
  }
  console.log(`${'node:fs'.padEnd(10)} ${best.toFixed(3)} us a read`);
  await file.close();
} catch (error) {
  console.error(`fixed_buffer_bench: ${error.message}`);
  process.exitCode = 1;
}
