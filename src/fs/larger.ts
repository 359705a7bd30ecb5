// A cached file that is larger than the window of a look: its bytes go straight to where they
// stay, by one more call that waits for nothing.
// Pair: crates/ringcore/src/fs/larger.rs
//
//   a look ── memory of that size ── preadv2(RWF_NOWAIT) ── close     it is whole
//                                       └ not cached, or more than 1 MiB: it stays open, after
//                                         what has come; the rest is the ring's work

import { H_CACHED, H_CACHED_FD } from '../cqe.ts';
import type { Runtime } from '../runtime.ts';

/** Bytes that one call brings at most (I8). */
export const FILL_BYTES: number = 1 << 20;

/** What one call has brought. `ended`: the file ends there, and is closed; else it is `opened`. */
export interface Filled {
  readonly bytes: Buffer;
  readonly count: number;
  readonly ended: boolean;
}

// PAIR: readLarger
/** Memory for what the last look has found larger, and what is there of it without waiting. */
export function readLarger(runtime: Runtime): Filled {
  const { executor } = runtime;
  const { border } = executor.reactor.ring;
  const { words } = border;
  const bytes = Buffer.allocUnsafeSlow(words[H_CACHED] as number);
  const count = border.fill(bytes);
  executor.charge(0);
  return { bytes, count, ended: words[H_CACHED_FD] === 0 };
}

/** All of it, of one that has ended. */
export function wholeOf({ bytes, count }: Filled): Buffer {
  return count === bytes.length ? bytes : bytes.subarray(0, count);
}
