// A ring with nothing to do, and one whose only read waits for a pipe, do not burn the CPU.

import { constants, writeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { Runtime } from '../../dist/index.js';
import { answer, fifo, folder } from './common.mjs';

const path = folder();
const rt = new Runtime();
const nonBlocking = fifo(`${path}/one`, constants.O_NONBLOCK);
const blocking = fifo(`${path}/two`, 0);
for (let i = 0; i < 100; i++) await rt.op.nop();
await wait(200); // The proof that wake-ups arrive is over.

async function measure(ms) {
  const [wakes, turns] = [rt.stats().wakes, rt.stats().turns];
  const start = process.cpuUsage();
  await wait(ms);
  const { user, system } = process.cpuUsage(start);
  const now = rt.stats();
  return {
    cpuShare: (user + system) / 1000 / ms,
    wakes: now.wakes - wakes,
    turns: now.turns - turns,
  };
}

const idle = await measure(5000);
const reads = [nonBlocking, blocking].map((fd) => rt.op.read(fd, new Uint8Array(8)));
const both = Promise.all(reads);
await rt.op.nop();
const waiting = await measure(2000);
writeSync(nonBlocking, 'abc');
writeSync(blocking, 'abc');
const counts = await both;
answer({ idle, waiting, counts, wake: rt.wake });
await rt.close();
