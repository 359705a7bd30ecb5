// Memory of a dead ring is not written to: reads run in io-wq while a worker or a ring ends, then
// memory is taken and filled at once, and everything foreign in it is counted.

import { openSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { Runtime } from '../../dist/index.js';
import { answer, bigFile, folder, STRESS } from './common.mjs';

const [way] = process.argv.slice(2);
const path = folder();
const file = openSync(bigFile(`${path}/data`, 64), 'r');
const FILL = 0xee; // No byte of the file has this value.

/** 64 MiB as the allocator gives them: what was unmapped a moment ago comes back here. */
function spray() {
  return Array.from({ length: 64 }, () => Buffer.alloc(1 << 20, FILL));
}

const foreign = (buffers) =>
  buffers.reduce((count, buffer) => count + (buffer.equals(PATTERN) ? 0 : 1), 0);
const PATTERN = Buffer.alloc(1 << 20, FILL);

async function closeRing() {
  const rt = new Runtime();
  let reads = 0;
  const nothing = () => {};
  for (let i = 0; i < 64; i++) {
    const buffer = new Uint8Array(1 << 20);
    const again = () => {
      reads++;
      rt.op.read(file, buffer, i << 20).then(again, nothing);
    };
    again();
  }
  await wait(Math.random() * 6);
  await rt.close();
  return reads;
}

async function endWorker() {
  const data = { kind: 'terminate', pipes: [], file, busy: false, useNode: false, after: 0 };
  const worker = new Worker(new URL('./worker.mjs', import.meta.url), { workerData: data });
  const failed = new Promise((_, reject) => worker.on('error', reject));
  await Promise.race([new Promise((resolve) => worker.on('message', resolve)), failed]);
  await wait(Math.random() * 6);
  await worker.terminate();
  return 64;
}

let [overwritten, reads] = [0, 0];
const rounds = 20 * STRESS;
for (let i = 0; i < rounds; i++) {
  reads += await (way === 'worker' ? endWorker() : closeRing());
  const buffers = spray();
  await wait(2);
  overwritten += foreign(buffers);
}
answer({ rounds, overwritten, reads });
