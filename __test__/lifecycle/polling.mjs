// Workers whose rings have a polling thread, terminated in the middle of everything.

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

/** Polling threads of this process, whoever made them. */
function pollers() {
  const name = (task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, 'utf8');
    } catch {
      return ''; // It has just ended.
    }
  };
  return readdirSync('/proc/self/task').filter((task) => name(task).startsWith('iou-sqp')).length;
}

/** One worker to its end; whether its ring had a polling thread. */
async function terminated() {
  const worker = new Worker(new URL(import.meta.url));
  await new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  const found = pollers();
  await worker.terminate();
  return found;
}

async function main(count) {
  const found = [await terminated()];
  const before = readdirSync('/proc/self/fd').length;
  while (found.length < count) found.push(await terminated());
  for (let i = 0; i < 2000 && pollers() > 0; i++) await wait(5);
  const after = readdirSync('/proc/self/fd').length;
  const polled = found.filter((count) => count > 0).length;
  console.log(JSON.stringify({ polled, left: pollers(), fds: after - before }));
}

async function work() {
  const { Runtime } = await import('../../dist/index.js');
  const { op } = new Runtime({ sqpoll: { idleMs: 10 }, entries: 8 });
  const nothing = () => {};
  for (let i = 0; i < 20; i++) op.timeout(60_000 + i).then(nothing, nothing);
  const spin = () => op.nop().then(spin, nothing);
  for (let i = 0; i < 100; i++) spin();
  await op.timeout(2);
  parentPort.postMessage('running');
}

if (isMainThread) await main(Number(process.argv[2]));
else await work();
