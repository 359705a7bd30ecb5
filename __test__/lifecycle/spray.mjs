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

const PATTERN = Buffer.alloc(1 << 20, FILL);
let [overwritten, reads, written] = [0, 0, 0];

/** 64 MiB as the allocator gives them: what was unmapped a moment ago comes back here. */
function spray() {
  return Array.from({ length: 64 }, () => Buffer.alloc(1 << 20, FILL));
}

const foreign = (buffers) =>
  buffers.reduce((count, buffer) => count + (buffer.equals(PATTERN) ? 0 : 1), 0);

async function closeRing() {
  const rt = new Runtime();
  const nothing = () => {};
  const reads = 64;
  for (let i = 0; i < reads; i++) {
    const { buffer } = new Uint8Array(1 << 20);
    rt.op.read(file, new Uint8Array(buffer), i << 20).then(nothing, nothing);
    // Nothing is copied into a detached buffer: close() is over while the last reads still run.
    queueMicrotask(() => structuredClone(buffer, { transfer: [buffer] }));
  }
  await rt.op.nop();
  // The ring's own regions: still mapped as long as they are shown here, so what is written after
  // close() can be seen for certain.
  const { views } = rt.executor.reactor.ring.regions;
  await rt.close();
  // One byte each, the last that a read would write: filling them all takes longer than a read.
  for (const view of views) view[view.length - 1] = FILL;
  await wait(2);
  for (const view of views) if (view[view.length - 1] !== FILL) written++;
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

const rounds = 20 * STRESS;
for (let i = 0; i < rounds; i++) {
  reads += await (way === 'worker' ? endWorker() : closeRing());
  const buffers = spray();
  await wait(2);
  overwritten += foreign(buffers);
}
answer({ rounds, overwritten, written, reads });
