// What is known of a file whose name is in the kernel's caches, by plain system calls that wait
// for nothing.
// Pair: crates/ringcore/src/fs/stat.rs
//
//   openat2(O_PATH, RESOLVE_CACHED) ── statx ── close     on a file system of this machine
//        │ not cached                    └ on another one, whose server may know better: the ring
//        └ the ring
//
// The ring gives every statx to a kernel thread, which costs thirty times as much as the call. Done
// in the caller's call, as long as the event loop's budget lasts (I8).

import { constants } from '../constants.ts';
import { STAT_FILE, STAT_LINK } from '../cqe.ts';
import type { OpOptions } from '../op.ts';
import { FieldsOp } from '../ops/fields.ts';
import { AT_FDCWD } from '../ops/paths.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import { Lifecycle } from '../slot.ts';
import { IORING_OP_STATX, STATX_BYTES } from '../sqe.ts';
import { decode, type Statx } from '../statx.ts';
import { SPENT, UNKNOWN } from './cached.ts';
import type { Handle } from './handle.ts';
import { FileFields } from './moves.ts';
import { inputPath } from './path.ts';

const { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, STATX_BTIME } = constants;
const MASK = STATX_BASIC_STATS | STATX_BTIME;

type Found = Statx<number | bigint>;

// PAIR: statCached
/**
 * A look at the metadata of a path; `kind`: STAT_*. 0: it is at BORDER_CACHED until the next look;
 * or ABSENT, UNKNOWN, SPENT.
 */
export function statCached(runtime: Runtime, path: string | Uint8Array, kind: number): number {
  try {
    const { executor } = runtime;
    if (!executor.affords) return SPENT;
    const { ring } = executor.reactor;
    const res = ring.border.stat(inputPath(ring as unknown as Ring, path, 'stat'), kind);
    executor.charge(1);
    return res;
  } catch {
    return UNKNOWN; // There is no ring, or no such path: the operation will say it.
  }
}

/** The same of what is open. */
export function fstatCached(runtime: Runtime, fd: number): number {
  try {
    const { executor } = runtime;
    if (!executor.affords) return SPENT;
    const res = executor.reactor.ring.border.fstat(fd);
    executor.charge(1);
    return res;
  } catch {
    return UNKNOWN;
  }
}

/** Whether a look has told the end of it. */
function told(res: number): boolean {
  return res !== UNKNOWN && res !== SPENT;
}

/** What is known of a path: by a look in the call that begins it, or by the ring. */
export class PathStat extends FieldsOp<Found> {
  private readonly name: string | Uint8Array;
  private readonly link: boolean;
  private seen = false;

  /** A checked path. */
  constructor(
    runtime: Runtime,
    path: string | Uint8Array,
    link: boolean,
    bigint: boolean,
    options?: OpOptions,
  ) {
    const word0 = link ? AT_SYMLINK_NOFOLLOW : 0;
    const fields = { fd: AT_FDCWD, paths: [path], word0, length: MASK, output: STATX_BYTES };
    const read = (_: number, output: Uint8Array) => decode<number | bigint>(output, bigint);
    super(runtime, IORING_OP_STATX, link ? 'lstat' : 'stat', fields, read, options);
    this.name = path;
    this.link = link;
  }

  override begin(): void {
    // A signal may end what is still to come: nothing would be left of it.
    if (this.lifecycle === Lifecycle.Fresh && this.signal === null) {
      const runtime = this.runtime as Runtime;
      const res = statCached(runtime, this.name, this.link ? STAT_LINK : STAT_FILE);
      this.seen = told(res);
      if (this.seen) this.complete(res, 0, false, runtime.executor.reactor.ring);
    }
    if (!this.settled) super.begin();
  }

  protected override value(res: number, ring: Ring): Found {
    return this.seen ? this.read(res, ring.border.cached) : super.value(res, ring);
  }
}

/** The same of an open file. */
export class FileStat extends FileFields<Found> {
  private seen = false;

  constructor(handle: Handle, bigint: boolean, options?: OpOptions) {
    const word0 = AT_EMPTY_PATH;
    const fields = { paths: [''], unnamed: true, word0, length: MASK, output: STATX_BYTES };
    const read = (_: number, output: Uint8Array) => decode<number | bigint>(output, bigint);
    super(handle, IORING_OP_STATX, 'fstat', fields, read, options);
  }

  override begin(): void {
    if (this.lifecycle === Lifecycle.Fresh && this.signal === null) {
      const runtime = this.runtime as Runtime;
      const res = fstatCached(runtime, this.fields.fd as number);
      this.seen = told(res);
      if (this.seen) this.complete(res, 0, false, runtime.executor.reactor.ring);
    }
    if (!this.settled) super.begin();
  }

  protected override value(res: number, ring: Ring): Found {
    return this.seen ? this.read(res, ring.border.cached) : super.value(res, ring);
  }
}
