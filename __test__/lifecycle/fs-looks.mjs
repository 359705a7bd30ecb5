// Workers that read files and ask about them all the time, and are terminated meanwhile. A look
// opens each of them in the middle of JavaScript's own code: whatever is open then is closed by the
// teardown (I3).

import { closeSync, writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { lstat, readFile, stat } from '../../dist/node/fs-promises.js';
import { answer, descriptors, fifo, folder, STRESS, until } from './common.mjs';

async function parent() {
  const path = folder();
  const files = ['small', 'fifo'].map((name) => `${path}/${name}`);
  writeFileSync(files[0], 'x');
  const writer = fifo(files[1]);
  files.push('/proc/self/status', path);
  const url = new URL(import.meta.url);
  const one = async () => {
    const worker = new Worker(url, { workerData: files, stdout: false, trackUnmanagedFds: false });
    const failed = new Promise((_, reject) => worker.on('error', reject));
    await Promise.race([new Promise((resolve) => worker.on('message', resolve)), failed]);
    await wait(Math.random() * 3);
    await worker.terminate();
  };
  await one(); // It leaves what the runtime opens once.
  const before = descriptors().size;
  const count = Number(process.argv[2]) * STRESS;
  for (let i = 0; i < count; i++) await one();
  await until(() => descriptors().size <= before);
  const after = descriptors().size;
  closeSync(writer);
  answer({ workers: count, before, after });
}

async function worker() {
  const [small, pipe, ...others] = workerData;
  for (let i = 0; i < 20; i++) readFile(pipe).catch(() => {});
  const loop = async (call, file) => {
    for (;;) await call(file).catch(() => {});
  };
  for (const file of [small, ...others, ...others]) loop(readFile, file);
  for (const file of [small, pipe, `${small}s`, ...others]) {
    loop(stat, file);
    loop(lstat, file);
  }
  await wait(1);
  parentPort.postMessage('running');
}

await (isMainThread ? parent() : worker());
