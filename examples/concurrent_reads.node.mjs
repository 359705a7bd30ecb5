// concurrent_reads without ringcore: the same reads through the thread pool, four at a time.

import { open } from 'node:fs/promises';

const SEED = 0x2545f491;
const MOST = 1 << 20;

function places(length, reads, bytes) {
  const blocks = Math.max(1, Math.floor(length / bytes));
  let state = SEED;
  return Array.from({ length: reads }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) % blocks) * bytes;
  });
}

function hash(bytes) {
  let sum = 0x811c9dc5;
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193);
  return sum >>> 0;
}

async function main(path, reads, bytes) {
  const file = await open(path);
  const { size } = await file.stat();
  const buffers = Array.from({ length: reads }, () => new Uint8Array(bytes));
  const started = performance.now();
  const results = await Promise.all(
    places(size, reads, bytes).map((offset, i) => file.read(buffers[i], 0, bytes, offset)),
  );
  const seconds = (performance.now() - started) / 1000;
  let [total, sum] = [0, 0];
  for (const { bytesRead, buffer } of results) {
    total += bytesRead;
    sum = (sum + hash(buffer.subarray(0, bytesRead))) >>> 0;
  }
  await file.close();
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
  await main(path, Number(reads), Number(bytes));
} catch (error) {
  console.error(`concurrent_reads: ${error.message}`);
  process.exitCode = 1;
}
