// ringcore: a white-box asynchronous runtime on Linux io_uring, the TypeScript half.
// Pair: crates/ringcore/src/lib.rs
//
// I9: importing this opens nothing. The ring is made at the first use.

import { forbidden } from './node/backend.ts';
import { probe as ask, type Probe } from './probe.ts';
import { existing } from './runtime.ts';

export type { Address, AddressLike, InetAddress, UnixAddress } from './address.ts';
export type { AllocOptions } from './alloc.ts';
export type { Chain, Limited, Linkable, LinkedValues } from './chain.ts';
export { constants } from './constants.ts';
export { Direct } from './direct.ts';
export {
  AbortError,
  DetachedError,
  RingcoreError,
  type SystemError,
  TimeoutError,
  UnavailableError,
} from './error.ts';
export * as fs from './fs/index.ts';
export {
  type AppendOptions,
  type At,
  Chunks,
  type ChunksOptions,
  File,
  type Files,
  Lines,
  type LinesOptions,
  OpenOptions,
} from './fs/index.ts';
export { Context, Future, PENDING, type Poll, type Waker } from './future.ts';
export { fromPromise, future } from './generator.ts';
export type { BufferGroup, Buffers, GroupOptions, Lent } from './group.ts';
export { type Awaitable, all, race } from './join.ts';
export type { Fd, Op, OpOptions, TransferOptions } from './op.ts';
export type { NopOptions, TimeoutOptions } from './ops/basic.ts';
export {
  type Accepted,
  type AcceptOptions,
  AT_FDCWD,
  type MessageOptions,
  type OpenHow,
  type Ops,
  op,
  type PathLike,
  type Received,
  type ReceiveOptions,
  type SendOptions,
  type SocketOptions,
  type StatxOptions,
} from './ops/index.ts';
export type { Probe } from './probe.ts';
export { buffer, Runtime, run, type Stats, spawn, yieldNow } from './runtime.ts';
export type { MaxWorkers, Options, Sqpoll } from './setup.ts';
export type { Statx, Timestamp } from './statx.ts';
export { Stream } from './stream.ts';
export { JoinHandle, type TaskSource } from './task.ts';
export { sleep, Timer, timeout } from './timer.ts';

/** What this machine can do, and why not. Never throws. */
export const probe: () => Probe = {
  // A property: a bundle renames a second function of this name, and all may see that.
  probe: () => ask(existing()?.wake, forbidden()),
}.probe;
