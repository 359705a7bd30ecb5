// A write to a FIFO races the abort of the read that waits there. Each round writes its own byte:
// it is delivered, or still in the FIFO, and the read has a result or an AbortError, never both.

import { writeSync } from 'node:fs';
import { Runtime } from '../../dist/index.js';
import { answer, drain, fifo, folder, STRESS } from './common.mjs';

const rt = new Runtime();
const pipe = fifo(`${folder()}/fifo`, 0); // Blocking for others; the ring waits by poll.
const reader = fifo(`${folder()}/fifo`);
const rounds = 10_000 * STRESS;
const found = { delivered: 0, aborted: 0, both: 0, lost: 0, wrong: 0 };
const target = new Uint8Array(16);

for (let i = 0; i < rounds; i++) {
  const fd = reader;
  const byte = 1 + (i % 255);
  target.fill(0);
  const controller = new AbortController();
  const settled = [];
  const read = rt.op.read(fd, target, -1, { signal: controller.signal });
  read.then(
    (count) => settled.push(count),
    (error) => settled.push(error.code),
  );
  // The order, and how far the ring has come in between, vary.
  if (i & 1) await null;
  if (i & 2) writeSync(fd, Uint8Array.of(byte));
  else controller.abort();
  if (i & 4) await rt.op.nop();
  if (i & 8) for (let spin = 0; spin < (i & 255); spin++) Math.sqrt(spin);
  if (i & 2) controller.abort();
  else writeSync(fd, Uint8Array.of(byte));
  await read.then(
    () => {},
    () => {},
  );
  const left = drain(fd);
  if (settled.length !== 1) found.both++;
  if (settled[0] === 1) {
    found.delivered++;
    if (target[0] !== byte) found.wrong++;
    if (left.length !== 0) found.both++;
  } else if (settled[0] === 'ABORT_ERR') {
    found.aborted++;
    if (target[0] !== 0) found.both++;
    if (left.length !== 1) found.lost++;
    else if (left[0] !== byte) found.wrong++;
  } else found.wrong++;
}
await rt.close();
answer({ rounds, ...found, pipe: pipe > 0 });
