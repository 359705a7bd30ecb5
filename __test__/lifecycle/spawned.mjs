// Children that are started while the ring works inherit nothing of it.

import { execFile } from 'node:child_process';
import { openSync } from 'node:fs';
import { promisify } from 'node:util';
import { AT_FDCWD, Runtime } from '../../dist/index.js';
import { answer, bigFile, descriptors, fifo, folder } from './common.mjs';

const list = promisify(execFile);

/** What a child has besides its standard streams and its own listing. */
function targets(listing) {
  const lines = listing.split('\n').map((line) => /(\d+) -> (.*)$/.exec(line));
  const found = lines.filter((line) => line !== null && Number(line[1]) > 2);
  return found.map((line) => line[2]).filter((target) => !/^\/proc\/\d+\/fd$/.test(target));
}

// What this process itself was given by whoever started it, before there is a ring.
const usual = new Set(targets((await list('ls', ['-l', '/proc/self/fd'])).stdout));
const path = folder();
const big = bigFile(`${path}/data`, 16);
const pipe = fifo(`${path}/fifo`);
const file = openSync(big, 'r');
const { op } = new Runtime();
const own = await op.openat(AT_FDCWD, big, 0);
let [reads, wrong, stop] = [0, 0, false];
const waiting = op.read(pipe, new Uint8Array(8)).unref();
waiting.catch(() => {});
const all = Array.from({ length: 16 }, async (_, i) => {
  const buffer = new Uint8Array(1 << 20);
  while (!stop) {
    buffer.fill(0);
    await op.read(i % 2 ? file : own, buffer, i << 20);
    const expected = Buffer.alloc(1 << 20, i + 1);
    if (!expected.equals(buffer)) wrong++;
    reads++;
  }
});
const inherited = [];
let children = 0;
for (let batch = 0; batch < 10; batch++) {
  const batchOf = Array.from({ length: 10 }, () => list('ls', ['-l', '/proc/self/fd']));
  for (const { stdout } of await Promise.all(batchOf)) {
    children++;
    inherited.push(...targets(stdout).filter((target) => !usual.has(target)));
  }
}
stop = true;
await Promise.all(all);
const kept = [...descriptors().values()].some((name) => name.includes('io_uring'));
answer({ children, inherited, reads, wrong, kept });
process.exit(0);
