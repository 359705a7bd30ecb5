// Operations on several buffers at once.
// Pair: crates/ringcore/src/ops/vectors.rs

import { high, low } from '../border.ts';
import { bytesOf, put } from '../buffer.ts';
import { checkOffset, checkRwFlags, checkView } from '../check.ts';
import { constants } from '../constants.ts';
import { DetachedError, typeError, valueError } from '../error.ts';
import { type Fd, Op, type TransferOptions } from '../op.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import {
  INLINE_READ,
  IORING_OP_READ,
  IORING_OP_READ_FIXED,
  IORING_OP_READV,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SEND_ZC,
  IOSQE_ASYNC,
  MAX_TRANSFER,
} from '../sqe.ts';

/** Opcodes that fill their views; the others send them. */
const READS =
  (1 << IORING_OP_READ) |
  (1 << IORING_OP_READ_FIXED) |
  (1 << IORING_OP_READV) |
  (1 << IORING_OP_RECV);

const SOCKETS: readonly number[] = [IORING_OP_RECV, IORING_OP_SEND, IORING_OP_SEND_ZC];

/** Whether the kernel writes the bytes of a transfer. */
export function fills(opcode: number): boolean {
  return (READS & (1 << opcode)) !== 0;
}

/**
 * A cached read runs on the calling thread, and so may a write beyond what is copied: long ones go
 * to io-wq (I8), which would wait where RWF_NOWAIT forbids it. Never those of sockets, which would
 * each take a thread to wait.
 */
export function large(opcode: number, rwFlags: number, bytes: number): number {
  const waits = (rwFlags & constants.RWF_NOWAIT) === 0;
  const most = fills(opcode) ? INLINE_READ : MAX_TRANSFER;
  return bytes > most && waits && !SOCKETS.includes(opcode) ? IOSQE_ASYNC : 0;
}

/** The list as it is now: the caller may change it before the first poll. */
function checkViews(views: unknown): readonly ArrayBufferView[] {
  if (!Array.isArray(views)) throw typeError('buffers', 'an ArrayBufferView[]', views);
  return Array.from(views, (view, index) => checkView(`buffers[${index}]`, view));
}

/** A transfer of one view or of several. */
interface Moves {
  readonly reads: boolean;
  readonly view?: ArrayBufferView;
  readonly views?: readonly ArrayBufferView[];
}

/**
 * In a chain, bytes that an earlier member reads and a later one writes pass through a region that
 * both share. Those of readv and writev lie elsewhere, one after the other: they pass nothing on.
 */
export function checkVectors(members: readonly Moves[]): void {
  const views = ({ view, views }: Moves) => views ?? (view === undefined ? [] : [view]);
  for (const [index, to] of members.entries()) {
    for (const from of members.slice(0, index)) {
      const vector = from.views !== undefined || to.views !== undefined;
      if (!from.reads || to.reads || !vector) continue;
      if (views(from).some((one) => views(to).some((other) => overlap(one, other)))) {
        const use = 'must pass bytes on from read to write, not through readv or writev';
        throw valueError('operations', use, 'a readv or writev of shared bytes');
      }
    }
  }
}

function overlap(one: ArrayBufferView, other: ArrayBufferView): boolean {
  const from = Math.max(one.byteOffset, other.byteOffset);
  const to = Math.min(one.byteOffset + one.byteLength, other.byteOffset + other.byteLength);
  return from < to && one.buffer === other.buffer;
}

// PAIR: VectorOp
/** Moves the bytes of several views, in their order, through one region. */
export class VectorOp extends Op<number> {
  readonly opcode: number;
  readonly views: readonly ArrayBufferView[];
  private readonly fd: number;
  private readonly offset: number | bigint;
  private readonly rwFlags: number;
  /** Bytes of each view that this moves. */
  private lengths: readonly number[] = [];

  constructor(
    runtime: Runtime | null,
    opcode: number,
    fd: Fd,
    views: readonly ArrayBufferView[],
    offset: number | bigint,
    options: TransferOptions | undefined,
  ) {
    super(runtime, options);
    this.opcode = opcode;
    this.fd = this.descriptor(fd);
    this.views = checkViews(views);
    this.offset = checkOffset(offset);
    this.rwFlags = checkRwFlags(options);
  }

  protected get syscall(): string {
    return this.reads ? 'read' : 'write';
  }

  protected override get operation(): number {
    return this.opcode;
  }

  /** Whether the kernel writes the bytes. */
  get reads(): boolean {
    return fills(this.opcode);
  }

  /** Bytes of all views. */
  get byteLength(): number {
    return this.views.reduce((sum, view) => sum + view.byteLength, 0);
  }

  override prepare(ring: Ring, ticket: number): void {
    const { opcode, fd, offset, rwFlags } = this;
    let total = 0;
    this.lengths = this.views.map((view, index) => {
      checkView(`buffers[${index}]`, view); // It may be gone since the call.
      const length = Math.min(view.byteLength, MAX_TRANSFER - total);
      total += length;
      return length;
    });
    if (total > 0) {
      this.region = ring.regions.hold(total);
      if (!this.reads) this.gather(ring.regions.views[this.region] as Uint8Array);
    }
    const flags = large(opcode, rwFlags, total);
    const [lo, hi] = [low(offset), high(offset)];
    ring.border.start(opcode, ticket, fd, this.region, 0, total, lo, hi, rwFlags, 0, flags);
  }

  private gather(region: Uint8Array): void {
    let from = 0;
    for (const [index, view] of this.views.entries()) {
      const length = this.lengths[index] as number;
      region.set(bytesOf(view).subarray(0, length), from);
      from += length;
    }
  }

  protected override value(res: number, ring: Ring): number {
    if (res === 0 || !this.reads) return res;
    const region = ring.regions.views[this.region] as Uint8Array;
    const parts: { bytes: Uint8Array; from: number; to: number }[] = [];
    let from = 0;
    for (const [index, view] of this.views.entries()) {
      const to = Math.min(from + (this.lengths[index] as number), res);
      const bytes = bytesOf(view);
      // Detached or shrunk while the kernel read: nothing is written anywhere.
      if (bytes.length < to - from) throw new DetachedError(res);
      parts.push({ bytes, from, to });
      from = to;
    }
    for (const { bytes, from, to } of parts) {
      if (!put(bytes, region.subarray(from, to))) throw new DetachedError(res);
    }
    return res;
  }
}
