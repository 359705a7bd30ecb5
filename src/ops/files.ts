// Operations on open files.
// Pair: crates/ringcore/src/ops/files.rs

import { high, low } from '../border.ts';
import { bytesOf } from '../buffer.ts';
import { checkFd, checkOffset, checkView } from '../check.ts';
import { DetachedError } from '../error.ts';
import { type Fd, Op, type OpOptions } from '../op.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import {
  INLINE_READ,
  IORING_OP_CLOSE,
  IORING_OP_READ,
  IORING_OP_READ_FIXED,
  IORING_OP_WRITE,
  IOSQE_ASYNC,
  MAX_TRANSFER,
} from '../sqe.ts';
import { BasicOps } from './basic.ts';
import { FieldsOp, nothing } from './fields.ts';

/** Opcodes that fill the view; the others send it. */
const READS = (1 << IORING_OP_READ) | (1 << IORING_OP_READ_FIXED);

// PAIR: TransferOp
/** Moves the bytes of one view. */
export class TransferOp extends Op<number> {
  readonly opcode: number;
  private readonly fd: number;
  readonly view: ArrayBufferView;
  private readonly offset: number | bigint;
  /** First byte of the view in its region; not 0 in a chain that shares one. */
  private from = 0;

  constructor(
    runtime: Runtime | null,
    opcode: number,
    fd: Fd,
    view: ArrayBufferView,
    offset: number | bigint,
    options?: OpOptions,
  ) {
    super(runtime, options);
    this.opcode = opcode;
    this.fd = this.descriptor(fd);
    this.view = checkView('buffer', view);
    this.offset = checkOffset(offset);
  }

  protected get syscall(): string {
    return this.reads ? 'read' : 'write';
  }

  /** Whether the kernel writes the bytes. */
  get reads(): boolean {
    return (READS & (1 << this.opcode)) !== 0;
  }

  /** A chain has placed its bytes: another member has, or had, the same ones. */
  share(region: number, from: number): void {
    this.region = region;
    this.from = from;
  }

  override prepare(ring: Ring, ticket: number): void {
    const { opcode, fd, offset, reads } = this;
    checkView('buffer', this.view); // It may be gone since the call.
    const length = Math.min(this.view.byteLength, MAX_TRANSFER);
    // A shared region was filled by the chain.
    if (length > 0 && !this.placed) {
      this.region = ring.regions.hold(length);
      if (!reads) {
        const bytes = bytesOf(this.view);
        const view = ring.regions.views[this.region] as Uint8Array;
        view.set(length === bytes.length ? bytes : bytes.subarray(0, length));
      }
    }
    // A cached read runs on the calling thread: long ones go to io-wq (I8).
    const flags = reads && length > INLINE_READ ? IOSQE_ASYNC : 0;
    const lo = low(offset);
    const hi = high(offset);
    ring.border.start(opcode, ticket, fd, this.region, this.from, length, lo, hi, 0, 0, flags);
  }

  protected override value(res: number, ring: Ring): number {
    if (res === 0 || !this.reads) return res;
    const target = bytesOf(this.view);
    // Detached or shrunk while the kernel read: nothing is written anywhere.
    if (target.length < res) throw new DetachedError(res);
    const view = ring.regions.views[this.region] as Uint8Array;
    const { from } = this;
    target.set(from === 0 && res === view.length ? view : view.subarray(from, from + res));
    return res;
  }
}

/** Operations on open files. */
export class FileOps extends BasicOps {
  // PAIR: read
  /**
   * Reads at most `buffer.byteLength` bytes (and at most 1 MiB) at `offset`; -1 is the file
   * position, or a stream. Resolves to the count; 0 is the end of the file. Rejects with
   * ERR_RINGCORE_BUFFER_DETACHED when the buffer went away meanwhile.
   *
   * Man: io_uring_prep_read(3), pread(2). Kernel: 5.6.
   */
  read(
    fd: Fd,
    buffer: ArrayBufferView,
    offset: number | bigint = -1,
    options?: OpOptions,
  ): Op<number> {
    return new TransferOp(this.runtime, IORING_OP_READ, fd, buffer, offset, options);
  }

  // PAIR: write
  /**
   * Writes at most 1 MiB of `buffer` at `offset` (-1: the file position, or a stream). The bytes
   * are copied at the first poll. Resolves to the count, which may be short.
   *
   * Man: io_uring_prep_write(3), pwrite(2). Kernel: 5.6.
   */
  write(
    fd: Fd,
    buffer: ArrayBufferView,
    offset: number | bigint = -1,
    options?: OpOptions,
  ): Op<number> {
    return new TransferOp(this.runtime, IORING_OP_WRITE, fd, buffer, offset, options);
  }

  // PAIR: close
  /**
   * Closes a descriptor. Whatever the outcome, the number is no longer the caller's.
   *
   * Man: io_uring_prep_close(3), close(2). Kernel: 5.6.
   */
  close(fd: number, options?: OpOptions): Op<void> {
    const fields = { fd: checkFd(fd) };
    return new FieldsOp(this.runtime, IORING_OP_CLOSE, 'close', fields, nothing, options);
  }
}
