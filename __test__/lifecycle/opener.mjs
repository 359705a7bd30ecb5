// A worker that opens files all the time. What reached its callback is noted in shared memory in
// the same breath: those descriptors are the user's, all others are the ring's to close.

import { constants } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { AT_FDCWD, Runtime } from '../../dist/index.js';

const { file, received } = workerData;
const { O_CREAT } = constants;
const noted = new Int32Array(received);
const { op } = new Runtime();
const note = (fd) => {
  noted[1 + noted[0]] = fd;
  noted[0]++;
};
const nothing = () => {};
// With O_CREAT the kernel opens in io-wq: some are still to come when the end does.
for (let i = 0; i < 100; i++) op.openat(AT_FDCWD, file, i % 2 ? O_CREAT : 0).then(note, nothing);
if (workerData.block) {
  // The kernel's answers wait in the ring while this thread does not look.
  await op.nop();
  for (let i = 0; i < 100; i++) op.openat(AT_FDCWD, file, 0).then(note, nothing);
  queueMicrotask(() =>
    queueMicrotask(() => {
      parentPort.postMessage('running');
      for (;;);
    }),
  );
} else parentPort.postMessage('running');
