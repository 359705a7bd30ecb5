// sqpoll without ringcore: a system call on a thread of libuv's pool for every read.

import { open } from 'node:fs/promises';

const BLOCK = 4096;
const BATCH = 32;

const [path] = process.argv.slice(2);
if (path === undefined) {
  console.error('usage: sqpoll FILE');
  process.exit(2);
}

async function add() {
  const file = await open(path);
  const buffers = Array.from({ length: BATCH }, () => Buffer.alloc(BLOCK));
  let [batches, sum, end] = [0, 0, false];
  while (!end) {
    const first = batches * BATCH * BLOCK;
    const reads = buffers.map((buffer, i) => file.read(buffer, 0, BLOCK, first + i * BLOCK));
    for (const { bytesRead, buffer } of await Promise.all(reads)) {
      for (const byte of buffer.subarray(0, bytesRead)) sum += byte;
      end ||= bytesRead < BLOCK;
    }
    batches++;
  }
  await file.close();
  return [batches, sum];
}

try {
  const [batches, sum] = await add();
  console.log(`the bytes add up to ${sum}`);
  console.log(`${batches} batches, ${batches * BATCH} system calls`);
} catch (error) {
  console.error(`sqpoll: ${error.message}`);
  process.exitCode = 1;
}
