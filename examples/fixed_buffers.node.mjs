// fixed_buffers without ringcore: reads into ordinary buffers, four at once.

import { open } from 'node:fs/promises';

const CHUNK = 64 * 1024;
const DEPTH = 4;

const [path] = process.argv.slice(2);
if (path === undefined) {
  console.error('usage: fixed_buffers FILE');
  process.exit(2);
}

async function add(file) {
  const parts = Array.from({ length: DEPTH }, () => Buffer.alloc(CHUNK));
  let [offset, sum] = [0, 0];
  for (;;) {
    const reads = parts.map((part, i) => file.read(part, 0, CHUNK, offset + i * CHUNK));
    for (const { bytesRead, buffer } of await Promise.all(reads)) {
      for (const byte of buffer.subarray(0, bytesRead)) sum += byte;
      offset += bytesRead;
      if (bytesRead < CHUNK) return `${offset} bytes, sum ${sum}`;
    }
  }
}

try {
  const file = await open(path);
  console.log(await add(file));
  await file.close();
} catch (error) {
  console.error(`fixed_buffers: ${error.message}`);
  process.exitCode = 1;
}
