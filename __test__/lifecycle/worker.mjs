// A worker with everything in flight, which ends in one of four ways; `terminate` is its parent's.

import * as nodeFs from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

const { kind, pipes, file, busy, useNode } = workerData;

function endNow() {
  if (kind === 'exit') process.exit(3);
  if (kind === 'throw') throw new Error('thrown on purpose');
}

/** The same reads through node:fs: the control. */
function readWithNode() {
  for (let i = 0; i < 64; i++) {
    const buffer = Buffer.alloc(1 << 20);
    const again = () => nodeFs.read(file, buffer, 0, 1 << 20, i << 20, again);
    again();
  }
  parentPort.postMessage('running');
  if (kind !== 'terminate') setTimeout(endNow, workerData.after);
}

async function readWithRing() {
  const { Runtime } = await import('../../dist/index.js');
  const rt = new Runtime();
  if (kind === 'natural') rt.unref();
  const { op } = rt;
  const nothing = () => {};
  for (const pipe of pipes) op.read(pipe, new Uint8Array(4096)).then(nothing, nothing);
  for (let i = 0; i < 4; i++) op.timeout(10_000).then(nothing, nothing);
  for (const pipe of pipes) op.pollAdd(pipe, 1).then(nothing, nothing);
  for (let i = 0; i < 64; i++) {
    const buffer = new Uint8Array(1 << 20);
    const again = () => op.read(file, buffer, i << 20).then(again, nothing);
    again();
  }
  // Nearly all time is spent in turns: the end comes in one of them.
  if (busy) {
    const spin = () => op.nop().then(spin, nothing);
    for (let i = 0; i < 128; i++) spin();
  }
  await new Promise((resolve) => setTimeout(resolve, 1));
  parentPort.postMessage('running');
  if (kind === 'terminate') return;
  if (kind === 'natural') {
    // With everything unreferenced, the worker's loop has nothing left to wait for.
    await new Promise((resolve) => setTimeout(resolve, workerData.after));
    return;
  }
  // Called at delivery, from within a turn, on the threadsafe function's stack.
  if (busy) op.timeout(workerData.after).then(endNow, endNow);
  else setTimeout(endNow, workerData.after);
}

if (useNode) readWithNode();
else await readWithRing();
