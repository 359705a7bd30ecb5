// A worker that opens files all the time. What reached its callback is noted in shared memory in
// the same breath: those descriptors are the user's, all others are the ring's to close.

import { constants, open } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { AT_FDCWD, Runtime } from '../../dist/index.js';

const { file, received, block, control } = workerData;
const { O_CREAT } = constants;
const noted = new Int32Array(received);
const note = (fd) => {
  noted[1 + noted[0]] = fd;
  noted[0]++;
};
const nothing = () => {};

/** A hundred opens. With O_CREAT the kernel opens in io-wq: some are still to come at the end. */
function start(one) {
  for (let i = 0; i < 100; i++) one(i % 2 ? O_CREAT : 0);
}

if (control) {
  start((flags) => open(file, flags, (error, fd) => error ?? note(fd)));
} else {
  const { op } = new Runtime();
  start((flags) => op.openat(AT_FDCWD, file, flags).then(note, nothing));
  if (block) {
    // The kernel's answers wait in the ring while this thread does not look.
    await op.nop();
    for (let i = 0; i < 100; i++) op.openat(AT_FDCWD, file, 0).then(note, nothing);
    queueMicrotask(() =>
      queueMicrotask(() => {
        parentPort.postMessage('running');
        for (;;);
      }),
    );
  }
}
if (!block) parentPort.postMessage('running');
