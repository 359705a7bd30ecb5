// Descriptors that nobody receives are closed: opens that race terminate(), and aborted opens.

import { closeSync, constants, openSync, writeFileSync } from 'node:fs';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { AT_FDCWD, Runtime } from '../../dist/index.js';
import { answer, descriptors, fifo, folder, STRESS, threadCounts, until } from './common.mjs';

const path = folder();
const file = `${path}/opened`;
writeFileSync(file, 'x');
let left = 0;
const stillOpen = () => [...descriptors()].filter(([, name]) => name.startsWith(path));

// Deno's node:fs knows only the descriptors that it opened itself.
const ours = process.versions.deno ? new Runtime() : null;
const close = async (fd) => (ours === null ? closeSync(fd) : ours.op.close(fd));

// A thread bears its name a moment after it was made, a ring's descriptor is there at once.
const rings = () => [...descriptors().values()].filter((name) => /io_uring/.test(name)).length;
/** Opens with a ring, or as a control with node:fs, in workers that are terminated meanwhile. */
async function racingTerminate(count, control) {
  let [received, workers, most, losers] = [0, 0, 0, 0];
  const usual = [rings(), threadCounts().parkers];
  const ended = () => rings() <= usual[0] && threadCounts().parkers <= usual[1];
  for (; workers < count; workers++) {
    const shared = new SharedArrayBuffer(4096);
    // Deno never ends a worker that does not return to its event loop.
    const block = workers % 4 === 3 && ours === null && !control;
    const workerData = { file, received: shared, block, control };
    // Node would close every descriptor that node:fs opened there, received or not.
    const options = { workerData, stdout: false, trackUnmanagedFds: false };
    const worker = new Worker(new URL('./opener.mjs', import.meta.url), options);
    const failed = new Promise((_, reject) => worker.on('error', reject));
    await Promise.race([new Promise((resolve) => worker.on('message', resolve)), failed]);
    if (workers % 2 === 1) await wait(Math.random() * 2);
    await worker.terminate();
    // Deno says so before the worker has ended: until its ring is gone its callbacks may run, and
    // what they note is received.
    if (!(await until(ended))) throw new Error('the ring of a worker did not end');
    const [noted, ...fds] = new Int32Array(shared);
    received += noted;
    const before = left;
    for (const fd of fds.slice(0, noted)) await close(fd);
    if (!control) await until(() => stillOpen().length <= before + 1);
    left = stillOpen().length;
    most = Math.max(most, left - before);
    if (left > before) losers++;
    // Hundreds of workers would lose more than a process may have open.
    if (control) for (const fd of stillOpen().map(([fd]) => fd)) closeSync(Number(fd));
    if (control) left = 0;
  }
  return { workers, received, most, losers };
}

async function aborted() {
  const rt = new Runtime();
  const pipe = `${path}/fifo`;
  closeSync(fifo(pipe));
  let [ended, received] = [0, 0];
  const others = {};
  const rounds = 1000 * STRESS;
  for (let i = 0; i < rounds; i++) {
    const controller = new AbortController();
    const { signal } = controller;
    // With O_CREAT the kernel opens in io-wq. There a FIFO's open waits for the other end, which
    // comes before or after the abort.
    const waits = i % 4 === 3;
    const flags = i % 4 > 1 ? constants.O_CREAT : 0;
    const open = rt.op.openat(AT_FDCWD, waits ? pipe : file, flags, 0, { signal });
    const task = rt.spawn(function* () {
      return yield* rt.op.openat(AT_FDCWD, file, flags);
    });
    const outcome = open.then(
      async (fd) => {
        received++;
        await close(fd);
      },
      (error) => {
        if (error.code === 'ABORT_ERR') ended++;
        else others[error.code] = (others[error.code] ?? 0) + 1;
      },
    );
    const taken = task.then(close, () => {});
    // At once; after the submit; after the completion. A task's operation is abandoned instead.
    if (i % 3 === 1) await null;
    if (i % 3 === 2) await turn();
    if (waits) await wait(0);
    const other = () => openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
    const early = waits && i % 8 === 3 ? other() : -1;
    controller.abort();
    task.abort();
    // The abort alone ends every second one of those, before the other end comes.
    if (i % 16 === 15) await outcome;
    const late = waits && early < 0 ? other() : -1;
    await Promise.all([outcome, taken]);
    if (waits) closeSync(Math.max(early, late));
  }
  await until(() => stillOpen().length === 0);
  const leftBeforeClose = stillOpen().length;
  await rt.close();
  return { rounds, ended, received, others, leftBeforeClose };
}

const workers = process.argv[2] === 'workers';
// The first worker and the first child leave what Node opens once.
closeSync(fifo(`${path}/first`));
await ours?.op.nop();
if (workers) await racingTerminate(1, false);
left = stillOpen().length;
const [before, first] = [descriptors().size, left];
const count = Number(process.argv[3]) * STRESS;
const outcome = workers ? await racingTerminate(count, false) : await aborted();
await until(() => descriptors().size <= before);
const [after, lost] = [descriptors().size, stillOpen().length - first];
const control = process.argv[4] === 'control' ? await racingTerminate(count / 4, true) : null;
answer({ ...outcome, before, after, left: lost, control });
