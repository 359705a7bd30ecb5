// Buffers that only the operation in flight refers to, under a collector that runs all the time.
// Needs --expose-gc.

import { openSync, writeSync } from 'node:fs';
import { Runtime } from '../../dist/index.js';
import { answer, bigFile, fifo, folder, STRESS } from './common.mjs';

const path = folder();
const rt = new Runtime();
const { op } = rt;
const file = openSync(bigFile(`${path}/data`, 16), 'r');
const pipe = fifo(`${path}/fifo`, 0);
let [landed, wrong, collected] = [0, 0, 0];
const registry = new FinalizationRegistry(() => collected++);

/** Nobody but the operation has the buffer; the check reaches it through a weak reference. */
function start(length, offset, expected) {
  const buffer = new Uint8Array(length);
  registry.register(buffer, 0);
  const weak = new WeakRef(buffer);
  const fd = offset < 0 ? pipe : file;
  return op.read(fd, buffer, offset).then(
    (count) => {
      const bytes = weak.deref();
      const good = bytes !== undefined && count === length;
      if (good && bytes.every((byte) => byte === expected)) landed++;
      else wrong++;
    },
    () => wrong++,
  );
}

const rounds = 20 * STRESS;
for (let round = 0; round < rounds; round++) {
  const all = [start(64, -1, 7)];
  for (let i = 0; i < 16; i++) all.push(start(1 << 20, i << 20, i + 1));
  for (let i = 0; i < 16; i++) all.push(start(4096, i << 20, i + 1));
  for (let i = 0; i < 5; i++) {
    globalThis.gc();
    Array.from({ length: 16 }, () => new Uint8Array(4096).fill(0xee));
    await new Promise((resolve) => setImmediate(resolve));
  }
  writeSync(pipe, new Uint8Array(64).fill(7));
  await Promise.all(all);
}
for (let i = 0; i < 10; i++) {
  globalThis.gc();
  await new Promise((resolve) => setImmediate(resolve));
}
answer({ rounds, landed, wrong, collected: collected > 0 });
await rt.close();
