// Terminates workers in the middle of large copies, and reports what stayed behind.
// Arguments: how many workers, the folder to work in.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { op } from '../../dist/index.js';
import { answer, bigFile, descriptors, threads, until } from './common.mjs';

/** In a worker: copies without end, more than there are threads, some from the last turn. */
function copying({ from, root, round }) {
  const again = (i) => {
    const next = () => again(i);
    op.copyFile(from, join(root, `to-${round}-${i}`)).then(next, next);
  };
  for (let i = 0; i < 8; i++) again(i);
  parentPort.postMessage('running');
}

const lanes = () => threads().filter((name) => name === 'ringcore-lane').length;
const settled = () => until(() => lanes() === 0);

async function main(count, root) {
  const from = bigFile(join(root, 'from'), 64);
  const mine = join(root, 'mine');
  const codes = {};
  const one = async (round) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { from, root, round } });
    const ended = new Promise((resolve) => worker.on('exit', resolve));
    await new Promise((resolve) => worker.once('message', resolve));
    await wait(Math.random() * 40);
    // The threads are everybody's: this one's copy goes on.
    const copied = op.copyFile(from, mine);
    copied.begin();
    worker.terminate();
    const code = await ended;
    codes[code] = (codes[code] ?? 0) + 1;
    await copied;
  };
  await one(0); // The first worker loads what stays.
  await settled();
  await wait(50);
  const before = descriptors().size;
  for (let round = 1; round <= count; round++) await one(round);
  const idle = await settled();
  await until(() => descriptors().size === before);
  const rest = readdirSync(root).filter((name) => name.startsWith('to-'));
  answer({ codes, idle, before, after: descriptors().size, rest, mine: existsSync(mine) });
}

if (isMainThread) await main(Number(process.argv[2]), process.argv[3]);
else copying(workerData);
