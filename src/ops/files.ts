// Operations on open files.
// Pair: crates/ringcore/src/ops/files.rs

import { allocationIn, allocationOf } from '../alloc.ts';
import { high, low } from '../border.ts';
import { bytesOf, put } from '../buffer.ts';
import { checkFd, checkFlags, checkOffset, checkRwFlags, checkView } from '../check.ts';
import { Direct, direct } from '../direct.ts';
import { checkInteger, DetachedError, typeError } from '../error.ts';
import { late } from '../future.ts';
import { type Fd, Op, type OpOptions, type TransferOptions } from '../op.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import {
  FIRST_ALLOCATED,
  IORING_FSYNC_DATASYNC,
  IORING_OP_CLOSE,
  IORING_OP_FADVISE,
  IORING_OP_FALLOCATE,
  IORING_OP_FSYNC,
  IORING_OP_FTRUNCATE,
  IORING_OP_READ,
  IORING_OP_READ_FIXED,
  IORING_OP_READV,
  IORING_OP_SPLICE,
  IORING_OP_TEE,
  IORING_OP_WRITE,
  IORING_OP_WRITE_FIXED,
  IORING_OP_WRITEV,
  LONGEST_TRANSFER,
  MAX_TRANSFER,
} from '../sqe.ts';
import { BasicOps } from './basic.ts';
import { FieldsOp, fdField, nothing, same } from './fields.ts';
import { fills, large, VectorOp } from './vectors.ts';

// PAIR: TransferOp
/** Moves the bytes of one view. */
export class TransferOp extends Op<number> {
  readonly opcode: number;
  private readonly fd: number;
  readonly view: ArrayBufferView;
  private readonly offset: number | bigint;
  /** RWF_* flags; of sockets MSG_*. */
  protected rwFlags: number;
  /** First byte of the view in its region; not 0 in a chain that shares one. */
  private from = 0;

  constructor(
    runtime: Runtime | null,
    opcode: number,
    fd: Fd,
    view: ArrayBufferView,
    offset: number | bigint,
    options?: TransferOptions,
  ) {
    super(runtime, options);
    this.opcode = opcode;
    this.fd = this.descriptor(fd);
    this.view = checkView('buffer', view);
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

  /** A chain has placed its bytes: another member has, or had, the same ones. */
  share(region: number, from: number): void {
    this.region = region;
    this.from = from;
  }

  /** Names memory of `buffer.alloc` instead of copying its bytes; whether the view is of such. */
  private named(ring: Ring): boolean {
    const allocation = allocationIn(this.view, ring);
    if (allocation === null) return false;
    this.region = allocation.id;
    this.from = this.view.byteOffset;
    return true;
  }

  override prepare(ring: Ring, ticket: number): void {
    const { opcode, fd, offset, reads, rwFlags } = this;
    checkView('buffer', this.view); // It may be gone since the call.
    const own = this.named(ring);
    const length = Math.min(this.view.byteLength, own ? LONGEST_TRANSFER : MAX_TRANSFER);
    // A shared region was filled by the chain.
    if (length > 0 && !this.placed) {
      this.region = ring.regions.hold(length);
      if (!reads) {
        const bytes = bytesOf(this.view);
        const view = ring.regions.views[this.region] as Uint8Array;
        view.set(length === bytes.length ? bytes : bytes.subarray(0, length));
      }
    }
    const flags = large(opcode, rwFlags, length);
    const lo = low(offset);
    const hi = high(offset);
    const { region, from } = this;
    ring.border.start(opcode, ticket, fd, region, from, length, lo, hi, rwFlags, 0, flags);
  }

  protected override value(res: number, ring: Ring): number {
    if (res === 0 || !this.reads) return res;
    const target = bytesOf(this.view);
    // Detached or shrunk while the kernel read: nothing is written anywhere.
    if (target.length < res) throw new DetachedError(res);
    if (this.region >= FIRST_ALLOCATED) return res; // The kernel has written it there.
    const view = ring.regions.views[this.region] as Uint8Array;
    const { from } = this;
    const bytes = from === 0 && res === view.length ? view : view.subarray(from, from + res);
    if (!put(target, bytes)) throw new DetachedError(res);
    return res;
  }
}

/** That the kernel knows the memory of a view. */
function checkRegistered(view: unknown): void {
  if (allocationOf(checkView('buffer', view))?.registered === true) return;
  throw typeError('buffer', 'memory of buffer.alloc(bytes, { registered: true })', view);
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
    options?: TransferOptions,
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
    options?: TransferOptions,
  ): Op<number> {
    return new TransferOp(this.runtime, IORING_OP_WRITE, fd, buffer, offset, options);
  }

  // PAIR: readv
  /**
   * Reads into several buffers, one after the other: at most 1 MiB in all. No buffers are 0 bytes.
   * Otherwise as `read`.
   *
   * Man: io_uring_prep_readv(3), preadv2(2). Kernel: 5.1.
   */
  readv(
    fd: Fd,
    buffers: readonly ArrayBufferView[],
    offset: number | bigint = -1,
    options?: TransferOptions,
  ): Op<number> {
    return new VectorOp(this.runtime, IORING_OP_READV, fd, buffers, offset, options);
  }

  // PAIR: writev
  /**
   * Writes several buffers, one after the other: at most 1 MiB in all. Otherwise as `write`.
   *
   * Man: io_uring_prep_writev(3), pwritev2(2). Kernel: 5.1.
   */
  writev(
    fd: Fd,
    buffers: readonly ArrayBufferView[],
    offset: number | bigint = -1,
    options?: TransferOptions,
  ): Op<number> {
    return new VectorOp(this.runtime, IORING_OP_WRITEV, fd, buffers, offset, options);
  }

  // PAIR: fsync
  /**
   * Brings a file's data and metadata to the disk.
   *
   * Man: io_uring_prep_fsync(3), fsync(2). Kernel: 5.1.
   */
  fsync(fd: Fd, options?: OpOptions): Op<void> {
    const fields = { fd: fdField(fd) };
    return new FieldsOp(this.runtime, IORING_OP_FSYNC, 'fsync', fields, nothing, options);
  }

  // PAIR: fdatasync
  /**
   * Brings a file's data to the disk, and what metadata is needed to find it again.
   *
   * Man: io_uring_prep_fsync(3), fdatasync(2). Kernel: 5.1.
   */
  fdatasync(fd: Fd, options?: OpOptions): Op<void> {
    const fields = { fd: fdField(fd), word0: IORING_FSYNC_DATASYNC };
    return new FieldsOp(this.runtime, IORING_OP_FSYNC, 'fdatasync', fields, nothing, options);
  }

  // PAIR: ftruncate
  /**
   * Sets the length of a file in bytes; what is new are zeros.
   *
   * Man: io_uring_prep_ftruncate(3), ftruncate(2). Kernel: 6.9.
   */
  ftruncate(fd: Fd, length: number | bigint = 0, options?: OpOptions): Op<void> {
    const fields = { fd: fdField(fd), offset: checkOffset(length, 'length', 0) };
    return new FieldsOp(this.runtime, IORING_OP_FTRUNCATE, 'ftruncate', fields, nothing, options);
  }

  // PAIR: fallocate
  /**
   * Reserves, frees, zeroes or moves `length` bytes of a file at `offset`; `mode` is FALLOC_FL_* of
   * `constants`.
   *
   * Man: io_uring_prep_fallocate(3), fallocate(2). Kernel: 5.6.
   */
  fallocate(
    fd: Fd,
    mode: number,
    offset: number | bigint,
    length: number | bigint,
    options?: OpOptions,
  ): Op<void> {
    const fields = {
      fd: fdField(fd),
      length: checkFlags('mode', mode),
      offset: checkOffset(offset, 'offset', 0),
      addr: checkOffset(length, 'length', 0),
    };
    return new FieldsOp(this.runtime, IORING_OP_FALLOCATE, 'fallocate', fields, nothing, options);
  }

  // PAIR: fadvise
  /**
   * Says how `length` bytes at `offset` will be used (0: all up to the end); `advice` is
   * POSIX_FADV_* of `constants`. A length of 4 GiB or more needs Linux 6.11.
   *
   * Man: io_uring_prep_fadvise(3), posix_fadvise(2). Kernel: 5.6.
   */
  fadvise(
    fd: Fd,
    offset: number | bigint,
    length: number | bigint,
    advice: number,
    options?: OpOptions,
  ): Op<void> {
    const bytes = checkOffset(length, 'length', 0);
    // The long length has a field of its own, which older kernels want to be 0.
    const size = bytes < 2 ** 32 ? { length: Number(bytes) } : { addr: bytes };
    const fields = {
      fd: fdField(fd),
      offset: checkOffset(offset, 'offset', 0),
      word0: checkFlags('advice', advice),
      ...size,
    };
    return new FieldsOp(this.runtime, IORING_OP_FADVISE, 'fadvise', fields, nothing, options);
  }

  // PAIR: splice
  /**
   * Moves `length` bytes between two files, one of which is a pipe, on a worker thread. An offset
   * of -1 is the file position, and what a pipe must have. `flags` is SPLICE_F_* of `constants`.
   * Resolves to the count, which may be short; 0 is the end.
   *
   * Man: io_uring_prep_splice(3), splice(2). Kernel: 5.7.
   */
  splice(
    from: number,
    fromOffset: number | bigint,
    to: number,
    toOffset: number | bigint,
    length: number,
    flags = 0,
    options?: OpOptions,
  ): Op<number> {
    const fields = {
      fd: checkFd(to, 'to'),
      fileIndex: checkFd(from, 'from'),
      addr: checkOffset(fromOffset, 'fromOffset'),
      offset: checkOffset(toOffset, 'toOffset'),
      length: checkInteger('length', length, 0, 0xffffffff),
      word0: checkFlags('flags', flags),
    };
    return new FieldsOp(this.runtime, IORING_OP_SPLICE, 'splice', fields, same, options);
  }

  // PAIR: tee
  /**
   * Copies at most `length` bytes from one pipe to another, on a worker thread; the first pipe
   * keeps them. `flags` is SPLICE_F_* of `constants`. Resolves to the count.
   *
   * Man: io_uring_prep_tee(3), tee(2). Kernel: 5.8.
   */
  tee(from: number, to: number, length: number, flags = 0, options?: OpOptions): Op<number> {
    const fields = {
      fd: checkFd(to, 'to'),
      fileIndex: checkFd(from, 'from'),
      length: checkInteger('length', length, 0, 0xffffffff),
      word0: checkFlags('flags', flags),
    };
    return new FieldsOp(this.runtime, IORING_OP_TEE, 'tee', fields, same, options);
  }

  // PAIR: readFixed
  /**
   * The same into registered memory (`buffer.alloc` with `registered`), or a part of it, which the
   * kernel need not look up. Any other view: ERR_INVALID_ARG_TYPE.
   *
   * Man: io_uring_prep_read_fixed(3), pread(2). Kernel: 5.19 with this table.
   */
  readFixed(
    fd: Fd,
    buffer: ArrayBufferView,
    offset: number | bigint = -1,
    options?: OpOptions,
  ): Op<number> {
    checkRegistered(buffer);
    return new TransferOp(this.runtime, IORING_OP_READ_FIXED, fd, buffer, offset, options);
  }

  // PAIR: writeFixed
  /**
   * Writes registered memory, or a part of it, at `offset`. The count may be short. Any other view:
   * ERR_INVALID_ARG_TYPE.
   *
   * Man: io_uring_prep_write_fixed(3), pwrite(2). Kernel: 5.19 with this table.
   */
  writeFixed(
    fd: Fd,
    buffer: ArrayBufferView,
    offset: number | bigint = -1,
    options?: OpOptions,
  ): Op<number> {
    checkRegistered(buffer);
    return new TransferOp(this.runtime, IORING_OP_WRITE_FIXED, fd, buffer, offset, options);
  }

  // PAIR: only-typescript direct -- direct.rs has the function itself
  /**
   * A slot of the ring's own table of files, empty until `op.openat` with `direct` fills it. Takes
   * the place of a descriptor in every operation. The table is made at the first one, with 1024
   * slots or RLIMIT_NOFILE. Throws EMFILE when all are in use.
   *
   * Man: io_uring_prep_openat_direct(3). Kernel: 5.19.
   */
  direct(): Direct {
    return direct(this.runtime ?? late.current());
  }

  // PAIR: close
  /**
   * Closes a descriptor, or a direct one. Whatever the outcome, it is no longer the caller's. In a
   * chain that is cut before it, a direct one is closed all the same.
   *
   * Man: io_uring_prep_close(3), close(2). Kernel: 5.6.
   */
  close(fd: Fd, options?: OpOptions): Op<void> {
    const fields = fd instanceof Direct ? { fd: 0, direct: fd } : { fd: checkFd(fd) };
    return new FieldsOp(this.runtime, IORING_OP_CLOSE, 'close', fields, nothing, options);
  }
}
