// A small file whose name and bytes are in the kernel's caches, by plain system calls that wait for
// nothing.
// Pair: crates/ringcore/src/fs/cached.rs
//
//   openat2(RESOLVE_CACHED) ── statx ── preadv2(RWF_NOWAIT) ── close     it is whole
//        │ not cached    │          └ not cached: closed, the ring does it
//        └ the ring      ├ larger: it stays open, see larger.ts
//                        └ a FIFO, a device: it stays open, the ring reads it
//
// It is done in the caller's call, as long as the event loop's budget lasts (I8).

import type { Border } from '../border.ts';
import { H_CACHED_FD } from '../cqe.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import { inputPath } from './path.ts';

const [ENOENT, EAGAIN] = [2, 11];
/** Beside a length of 0 or more: there is no such file. */
export const ABSENT: number = -ENOENT;
/** It is the ring's work, from the beginning. */
export const UNKNOWN: number = -EAGAIN;
/** It is open at its start: see `opened`. */
export const OPEN = -0x10000;
/** It is a regular file that is larger, and open: see larger.ts. Its size is in H_CACHED. */
export const LARGER = -0x30000;
/** Nobody has looked: this iteration of the event loop has no budget any more. */
export const SPENT = -0x20000;

// PAIR: readCached
/**
 * A look at a file: how many bytes it has, which are in `border.cached` until the next look; or
 * ABSENT, UNKNOWN, LARGER, OPEN, SPENT.
 */
export function readCached(runtime: Runtime, path: string | Uint8Array): number {
  const { executor } = runtime;
  const { ring, gate } = executor.reactor;
  if (!gate.roomy) return UNKNOWN; // What stays open goes through the gate.
  if (!executor.affords) return SPENT;
  const { border } = ring;
  const res = border.look(inputPath(ring as unknown as Ring, path, 'open'));
  executor.charge(1);
  if (border.words[H_CACHED_FD] === 0) return res;
  return res === UNKNOWN ? OPEN : LARGER;
}

/**
 * Gives the descriptor that the last look has left open to who keeps it from now on. Where nobody
 * does, the next look closes it.
 */
export function opened(ring: Ring, keep: (fd: number) => void): void {
  const { words } = ring;
  keep((words[H_CACHED_FD] as number) - 1);
  // Not before: this thread may end at any call, and then one of both places says it (I3).
  words[H_CACHED_FD] = 0;
}

/** What the last look has read, as memory of its own. */
export function ownBytes({ cached }: Border, length: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length);
  bytes.set(cached.subarray(0, length));
  return bytes;
}

/** The same as text. */
export function ownText({ cached }: Border, length: number, encoding: BufferEncoding): string {
  return cached.toString(encoding, 0, length);
}
