// What the child programs share: what a process has, FIFOs, files.

import { execFileSync } from 'node:child_process';
import {
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

export const STRESS = process.env.RINGCORE_STRESS === '1' ? 10 : 1;

/** A folder that is gone when the process ends in an orderly way. */
export function folder() {
  const path = mkdtempSync(join(tmpdir(), 'ringcore-life-'));
  process.on('exit', () => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A file of so many MiB; each MiB is filled with its own number plus 1. */
export function bigFile(path, mib) {
  const bytes = Buffer.alloc(mib << 20);
  for (let i = 0; i < mib; i++) bytes.fill((i & 127) + 1, i << 20, (i + 1) << 20);
  writeFileSync(path, bytes);
  return path;
}

/** Both ends of a FIFO in one descriptor, so that neither open blocks; not blocking for node:fs. */
export function fifo(path, flags = constants.O_NONBLOCK) {
  execFileSync('mkfifo', [path]);
  return openSync(path, constants.O_RDWR | flags);
}

/** Everything that waits in a FIFO. */
export function drain(fd) {
  const parts = [];
  const buffer = Buffer.alloc(65536);
  for (;;) {
    try {
      const count = readSync(fd, buffer);
      if (count === 0) break;
      parts.push(Buffer.from(buffer.subarray(0, count)));
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      break;
    }
  }
  return Buffer.concat(parts);
}

/** Open descriptors: number → what it is. The one that lists them is left out. */
export function descriptors() {
  const found = new Map();
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      found.set(Number(fd), readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      // It was the listing's own.
    }
  }
  return found;
}

/** The names of this process's threads, sorted. */
export function threads() {
  const names = [];
  for (const id of readdirSync('/proc/self/task')) {
    try {
      names.push(readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim());
    } catch {
      // It has just ended.
    }
  }
  return names.sort();
}

/** Threads by kind: our parker, the kernel's workers, everything else. */
export function threadCounts() {
  const names = threads();
  const parkers = names.filter((name) => name === 'ringcore').length;
  const workers = names.filter((name) => name.startsWith('iou-wrk')).length;
  return { parkers, workers, others: names.length - parkers - workers };
}

/** Memory: mappings, those of a ring, virtual and resident MiB. */
export function memory() {
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n');
  const status = readFileSync('/proc/self/status', 'utf8');
  const mib = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)[1]) / 1024;
  return {
    maps: maps.length,
    rings: maps.filter((line) => line.includes('io_uring')).length,
    virtual: Math.round(mib('VmSize')),
    resident: Math.round(mib('VmRSS')),
  };
}

/** Waits until `holds` does, at most 10 s; whether it did. */
export async function until(holds) {
  const start = performance.now();
  while (!(await holds())) {
    if (performance.now() - start > 10_000) return false;
    await wait(5);
  }
  return true;
}

/** The answer of the program to its test. */
export function answer(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
