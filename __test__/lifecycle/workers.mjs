// Ends many workers in one way, with everything in flight, and reports what stayed behind.
// Arguments: the way (natural, exit, throw, terminate), how many, `node` for the control.

import { openSync, writeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import {
  answer,
  bigFile,
  descriptors,
  drain,
  fifo,
  folder,
  memory,
  threadCounts,
  until,
} from './common.mjs';

const [kind, count, control] = process.argv.slice(2);
const useNode = control === 'node';
const path = folder();
const file = openSync(bigFile(`${path}/data`, 64), 'r');
const pipes = [];
for (let i = 0; i < 8; i++) pipes.push(fifo(`${path}/fifo${i}`));

const codes = {};
const errors = {};

async function one(round) {
  const busy = round % 3 === 2 && !useNode;
  const after = Math.random() * 12;
  const data = { kind, pipes, file, busy, useNode, after };
  const worker = new Worker(new URL('./worker.mjs', import.meta.url), { workerData: data });
  worker.on('error', (error) => {
    errors[error.message] = (errors[error.message] ?? 0) + 1;
  });
  const ended = new Promise((resolve) => worker.on('exit', resolve));
  await new Promise((resolve, reject) => {
    worker.on('message', resolve);
    worker.on('exit', () => reject(new Error(`it ended before it ran: ${JSON.stringify(errors)}`)));
  });
  if (kind === 'terminate') {
    await wait(after);
    worker.terminate();
  }
  const code = await ended;
  codes[code] = (codes[code] ?? 0) + 1;
}

/** The kernel ends its workers, and Node closes a worker's own descriptors, a little later. */
const settled = (fds) =>
  until(async () => {
    const now = threadCounts();
    const steady = fds ?? descriptors().size;
    await wait(20);
    return now.workers === 0 && now.parkers === 0 && descriptors().size === steady;
  });

await one(2); // The first worker loads the native module and grows the heap: not part of the count.
for (const key of Object.keys(codes)) delete codes[key];
for (const key of Object.keys(errors)) delete errors[key];
await settled();
const before = { ...memory(), ...threadCounts(), fds: descriptors().size };
for (let i = 0; i < Number(count); i++) await one(i);
await settled(before.fds);
const after = { ...memory(), ...threadCounts(), fds: descriptors().size };

// A read that outlived its ring would take these.
let swallowed = 0;
for (const [index, pipe] of pipes.entries()) {
  const bytes = Buffer.alloc(1000, index + 1);
  writeSync(pipe, bytes);
  await wait(1);
  if (!drain(pipe).equals(bytes)) swallowed++;
}
answer({ codes, errors, before, after, swallowed });
