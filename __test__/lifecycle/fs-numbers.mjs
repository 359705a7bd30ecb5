// Descriptors that a worker opens with one module and closes with the other, and what becomes of
// their numbers, which are this thread's by then, when the worker has ended.

import { once } from 'node:events';
import * as node from 'node:fs';
import { promisify } from 'node:util';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import ours from '../../dist/node/fs.js';
import { answer } from './common.mjs';

async function work() {
  const told = once(parentPort, 'message');
  const open = { node: async () => node.openSync('/dev/null'), ours: promisify(ours.open) };
  const fds = [];
  // All are open at the same time: each has a number of its own.
  for (const from of ['node', 'ours', 'ours']) fds.push(await open[from]('/dev/null'));
  await promisify(ours.close)(fds[0]);
  node.closeSync(fds[1]);
  await promisify(ours.close)(fds[2]);
  parentPort.postMessage(fds);
  await told;
}

function isOpen(fd) {
  try {
    node.fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

async function main() {
  const worker = new Worker(new URL(import.meta.url));
  const [fds] = await once(worker, 'message');
  const own = [];
  while (!fds.every((fd) => own.includes(fd))) own.push(node.openSync('/dev/null'));
  worker.postMessage('end');
  await once(worker, 'exit');
  const lost = own.filter((fd) => !isOpen(fd));
  for (const fd of own) if (!lost.includes(fd)) node.closeSync(fd);
  answer({ fds: fds.length, lost });
}

await (isMainThread ? main() : work());
