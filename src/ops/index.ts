// Operations: one constructor per opcode, in files by what they work on.
// Pair: crates/ringcore/src/ops/mod.rs
//
// A shape is the fields that an opcode owns, the descriptor it writes, and how it reads its result.

import { Chain, Limited, type Linkable } from '../chain.ts';
import type { Op } from '../op.ts';
import { IOSQE_IO_HARDLINK, IOSQE_IO_LINK } from '../sqe.ts';
import { StreamOps } from './streams.ts';

export type { MessageOptions, Received, ReceiveOptions } from './messages.ts';
export { AT_FDCWD, type OpenHow, type PathLike, type StatxOptions } from './paths.ts';
export type { Accepted, AcceptOptions, SendOptions, SocketOptions } from './sockets.ts';
export type { RecvOptions } from './streams.ts';

/** One constructor per opcode. Wrong arguments throw here; nothing happens before a poll. */
export class Ops extends StreamOps {
  // PAIR: link
  /**
   * Runs the operations one after the other in one submission. One that fails, or moves fewer bytes
   * than it was asked for, ends the chain: those behind it never run and reject with ECANCELED.
   * Resolves to all values; rejects with the error of the one that failed. Each operation settles
   * as well, after the chain's last completion. Views of the same bytes share them: what a read
   * brings a later write sends.
   *
   * Linux goes on behind a failed fsync, ftruncate, fallocate, statx, unlinkat, renameat, mkdirat,
   * symlinkat or linkat: the chain rejects, but what follows has run. Await these before a step
   * that depends on them.
   *
   * Man: io_uring_linked_requests(7). Kernel: 5.3.
   */
  link<T extends readonly Linkable<unknown>[]>(...operations: T): Chain<T> {
    return new Chain(this.runtime, operations, IOSQE_IO_LINK);
  }

  // PAIR: hardlink
  /**
   * The same, but each starts when the one before it has ended, however it ended.
   *
   * Man: io_uring_linked_requests(7). Kernel: 5.5.
   */
  hardlink<T extends readonly Linkable<unknown>[]>(...operations: T): Chain<T> {
    return new Chain(this.runtime, operations, IOSQE_IO_HARDLINK);
  }

  // PAIR: withTimeout
  /**
   * The operation with a limit of `ms` milliseconds that the kernel keeps: it is cancelled then,
   * and the whole rejects with a TimeoutError (ETIMEDOUT). What was faster than its limit counts.
   *
   * Man: io_uring_prep_link_timeout(3). Kernel: 5.5.
   */
  withTimeout<T>(operation: Op<T>, ms: number): Limited<T> {
    return new Limited(this.runtime, operation, ms);
  }
}

/** The operations of whichever runtime polls them, or the thread's default one when awaited. */
export const op: Ops = new Ops(null);
