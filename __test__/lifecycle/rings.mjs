// Two runtimes in one thread, then a ring in the main thread and in eight workers at once.

import { openSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Runtime } from '../../dist/index.js';
import { answer, bigFile, fifo, folder, memory, threadCounts, until } from './common.mjs';

/** Reads in io-wq of both kinds: files, and a socket-like thing that waits by poll. */
async function load(rt, file, pipe) {
  let [reads, stop] = [0, false];
  const all = Array.from({ length: 32 }, async (_, i) => {
    const buffer = new Uint8Array(1 << 20);
    while (!stop) {
      const count = await rt.op.read(file, buffer, (i % 16) << 20);
      if (count !== 1 << 20 || buffer[0] !== (i % 16) + 1) throw new Error('wrong bytes');
      reads++;
    }
  });
  const waiting = rt.op.read(pipe, new Uint8Array(8));
  waiting.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 300));
  stop = true;
  await Promise.all(all);
  waiting.cancel();
  return reads;
}

async function main() {
  const path = folder();
  const file = openSync(bigFile(`${path}/data`, 16), 'r');
  const pipe = fifo(`${path}/fifo`);
  const [one, two] = [new Runtime(), new Runtime({ entries: 1, cqEntries: 2 })];
  const both = await Promise.all([load(one, file, pipe), load(two, file, pipe)]);
  await one.close();
  const alive = await two.op.nop();
  await two.close();
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, threadCounts().workers);
  }, 5);
  const rt = new Runtime();
  const workers = Array.from({ length: 8 }, () => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { file, pipe } });
    return new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
  });
  const reads = await Promise.all([load(rt, file, pipe), ...workers]);
  clearInterval(watch);
  await rt.close();
  // A ring of Node's own on this thread (Node 26 has some) keeps one idle worker.
  const others = memory().rings > 0 ? 1 : 0;
  const gone = await until(() => {
    const now = threadCounts();
    return now.parkers === 0 && now.workers <= others;
  });
  answer({ both, alive, reads, most, gone });
}

if (isMainThread) await main();
else parentPort.postMessage(await load(new Runtime(), workerData.file, workerData.pipe));
