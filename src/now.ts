// PAIR: only-typescript now.ts -- in Rust an operation's bytes are its caller's, nothing is copied
//
// Cached reads on this thread. What the ring reads is copied once more (I1), which for many bytes
// is much of the cost; and what is above 256 KiB goes to a kernel thread and comes back by a
// wake-up. A read of a regular file's page cache needs neither: it is a system call that does not
// wait (preadv2 with RWF_NOWAIT), into the caller's own bytes, while the event loop's budget lasts
// (I8). When it is spent, it waits for the next iteration. What is not in memory takes the ring.

import { bytesOf } from './buffer.ts';
import type { Executor } from './executor.ts';
import { MAX_TRANSFER } from './sqe.ts';

/** Fewer bytes are copied for less than a system call each costs, when many are in flight. */
const LEAST = 32 << 10;

/** Whether a read of so many bytes is worth a call of its own. */
export function worthNow(length: number): boolean {
  return length >= LEAST && length <= MAX_TRANSFER;
}

/**
 * Fills `length` bytes of a view from `from` on; `position` -1 is the cursor. Fewer came: the file
 * has ended. -1: nothing has happened, the ring is to be asked.
 */
export function readNow(
  executor: Executor,
  fd: number,
  view: ArrayBufferView,
  from: number,
  length: number,
  position: number,
): number {
  const start = performance.now();
  const { now } = executor.reactor.ring.driver;
  const count = now?.readNow(fd, bytesOf(view), from, length, position) ?? -1;
  executor.spendBetween(start, performance.now());
  return count < 0 ? -1 : count;
}

/** Bytes behind the cursor of a regular file that `readNow` may read; -1: it is no such file. */
export function sizeNow(executor: Executor, fd: number): number {
  return executor.reactor.ring.driver.now?.sizeNow(fd) ?? -1;
}
