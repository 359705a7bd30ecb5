// Operations: one constructor and one shape per opcode.
// Pair: crates/ringcore/src/ops.rs
//
// A shape is the fields that an opcode owns, the descriptor it writes, and how it reads its result.

import { high, low } from './border.ts';
import { bytesOf } from './buffer.ts';
import { checkFd, checkMs, checkOffset, checkPath, checkView } from './check.ts';
import { checkInteger, DetachedError, errnoError, typeError, wrongRuntimeError } from './error.ts';
import { type NopOptions, Op, type OpOptions } from './op.ts';
import type { Ring } from './ring.ts';
import type { Runtime } from './runtime.ts';
import {
  INLINE_READ,
  IORING_NOP_INJECT_RESULT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CLOSE,
  IORING_OP_NOP,
  IORING_OP_OPENAT,
  IORING_OP_POLL_ADD,
  IORING_OP_READ,
  IORING_OP_TIMEOUT,
  IORING_OP_WRITE,
  IOSQE_ASYNC,
  MAX_TRANSFER,
  NO_REGION,
} from './sqe.ts';

const ENAMETOOLONG = 36;
const ETIME = 62;

/** openat's directory for "relative to the current one". */
export const AT_FDCWD = -100;

const ENCODER = new TextEncoder();

class NopOp extends Op<number> {
  private readonly inject: number | undefined;
  protected get syscall(): string {
    return 'nop';
  }

  constructor(runtime: Runtime | null, options?: NopOptions) {
    super(runtime, options);
    const result = options?.result;
    if (result !== undefined) checkInteger('options.result', result, -4095, 0x7fffffff);
    this.inject = result;
  }

  override prepare(ring: Ring, ticket: number): void {
    const { inject } = this;
    const flags = inject === undefined ? 0 : IORING_NOP_INJECT_RESULT;
    ring.border.start(IORING_OP_NOP, ticket, -1, NO_REGION, 0, inject ?? 0, 0, 0, flags, 0, 0);
  }

  protected override value(res: number): number {
    return res;
  }
}

class ReadOp extends Op<number> {
  private readonly fd: number;
  private readonly target: ArrayBufferView;
  private readonly offset: number | bigint;
  protected get syscall(): string {
    return 'read';
  }

  constructor(
    runtime: Runtime | null,
    fd: number,
    target: ArrayBufferView,
    offset: number | bigint,
    options?: OpOptions,
  ) {
    super(runtime, options);
    this.fd = checkFd(fd);
    this.target = checkView('buffer', target);
    this.offset = checkOffset(offset);
  }

  override prepare(ring: Ring, ticket: number): void {
    const { fd, offset } = this;
    checkView('buffer', this.target); // It may be gone since the call.
    const length = Math.min(this.target.byteLength, MAX_TRANSFER);
    if (length > 0) this.region = ring.regions.hold(length);
    // A cached read runs on the calling thread: long ones go to io-wq (I8).
    const flags = length > INLINE_READ ? IOSQE_ASYNC : 0;
    const lo = low(offset);
    const hi = high(offset);
    ring.border.start(IORING_OP_READ, ticket, fd, this.region, 0, length, lo, hi, 0, 0, flags);
  }

  protected override value(res: number, ring: Ring): number {
    if (res === 0) return 0;
    const target = bytesOf(this.target);
    // Detached or shrunk while the kernel read: nothing is written anywhere.
    if (target.length < res) throw new DetachedError(res);
    const view = ring.regions.views[this.region] as Uint8Array;
    target.set(res === view.length ? view : view.subarray(0, res));
    return res;
  }
}

class WriteOp extends Op<number> {
  private readonly fd: number;
  private readonly source: ArrayBufferView;
  private readonly offset: number | bigint;
  protected get syscall(): string {
    return 'write';
  }

  constructor(
    runtime: Runtime | null,
    fd: number,
    source: ArrayBufferView,
    offset: number | bigint,
    options?: OpOptions,
  ) {
    super(runtime, options);
    this.fd = checkFd(fd);
    this.source = checkView('buffer', source);
    this.offset = checkOffset(offset);
  }

  override prepare(ring: Ring, ticket: number): void {
    const { fd, offset } = this;
    const bytes = bytesOf(checkView('buffer', this.source)); // It may be gone since the call.
    const length = Math.min(bytes.length, MAX_TRANSFER);
    if (length > 0) {
      this.region = ring.regions.hold(length);
      const view = ring.regions.views[this.region] as Uint8Array;
      view.set(length === bytes.length ? bytes : bytes.subarray(0, length));
    }
    const lo = low(offset);
    const hi = high(offset);
    ring.border.start(IORING_OP_WRITE, ticket, fd, this.region, 0, length, lo, hi, 0, 0, 0);
  }

  protected override value(res: number): number {
    return res;
  }
}

class OpenatOp extends Op<number> {
  private readonly dirfd: number;
  private readonly name: string | Uint8Array;
  private readonly flags: number;
  private readonly mode: number;
  protected get syscall(): string {
    return 'open';
  }

  constructor(
    runtime: Runtime | null,
    dirfd: number,
    path: string | Uint8Array | URL,
    flags: number,
    mode: number,
    options?: OpOptions,
  ) {
    super(runtime, options);
    this.dirfd = checkInteger('dirfd', dirfd, -0x80000000, 0x7fffffff);
    this.name = checkPath(path);
    this.flags = checkInteger('flags', flags, 0, 0x7fffffff);
    this.mode = checkInteger('mode', mode, 0, 0o7777);
  }

  protected override get path(): string {
    return typeof this.name === 'string' ? this.name : Buffer.from(this.name).toString();
  }

  override prepare(ring: Ring, ticket: number): void {
    const { dirfd, name, flags, mode } = this;
    const bytes = typeof name === 'string' ? ENCODER.encode(name) : name;
    // PATH_MAX with its NUL is 4096: what the kernel would answer, without copying it there.
    if (bytes.length > 4095) throw errnoError(ENAMETOOLONG, 'open', this.path);
    const from = ring.input(bytes);
    const length = bytes.length + 1;
    const opcode = IORING_OP_OPENAT;
    ring.border.start(opcode, ticket, dirfd, NO_REGION, from, length, 0, 0, flags, mode, 0);
  }

  protected override value(res: number): number {
    return res;
  }
}

class CloseOp extends Op<void> {
  private readonly fd: number;
  protected get syscall(): string {
    return 'close';
  }

  constructor(runtime: Runtime | null, fd: number, options?: OpOptions) {
    super(runtime, options);
    this.fd = checkFd(fd);
  }

  override prepare(ring: Ring, ticket: number): void {
    ring.border.start(IORING_OP_CLOSE, ticket, this.fd, NO_REGION, 0, 0, 0, 0, 0, 0, 0);
  }

  protected override value(): void {}
}

class TimeoutOp extends Op<void> {
  private readonly ms: number;
  protected get syscall(): string {
    return 'timeout';
  }

  constructor(runtime: Runtime | null, ms: number, options?: OpOptions) {
    super(runtime, options);
    this.ms = checkMs(ms);
  }

  override prepare(ring: Ring, ticket: number): void {
    let seconds = Math.floor(this.ms / 1000);
    // Rounded up: never early.
    let nanoseconds = Math.ceil((this.ms - seconds * 1000) * 1e6);
    if (nanoseconds >= 1e9) {
      seconds++;
      nanoseconds = 0;
    }
    const lo = low(seconds);
    const hi = high(seconds);
    const opcode = IORING_OP_TIMEOUT;
    ring.border.start(opcode, ticket, -1, NO_REGION, 0, 0, lo, hi, 0, nanoseconds, 0);
  }

  protected override succeeds(res: number): boolean {
    return res === -ETIME;
  }

  protected override value(): void {}
}

class PollAddOp extends Op<number> {
  private readonly fd: number;
  private readonly events: number;
  protected get syscall(): string {
    return 'poll';
  }

  constructor(runtime: Runtime | null, fd: number, events: number, options?: OpOptions) {
    super(runtime, options);
    this.fd = checkFd(fd);
    this.events = checkInteger('events', events, 0, 0xffff);
  }

  override prepare(ring: Ring, ticket: number): void {
    const opcode = IORING_OP_POLL_ADD;
    ring.border.start(opcode, ticket, this.fd, NO_REGION, 0, 0, 0, 0, this.events, 0, 0);
  }

  protected override value(res: number): number {
    return res;
  }
}

class CancelOp extends Op<void> {
  private readonly target: Op<unknown>;
  protected get syscall(): string {
    return 'cancel';
  }

  constructor(runtime: Runtime | null, target: Op<unknown>, options?: OpOptions) {
    super(runtime, options);
    if (!(target instanceof Op)) throw typeError('target', 'an operation (op.*)', target);
    this.target = target;
  }

  override prepare(ring: Ring, ticket: number): void {
    const { target } = this;
    if (target.ticket >= 0 && target.runtime !== this.runtime)
      throw wrongRuntimeError('The target');
    // A target that is not in flight has ticket -1, which is nobody's: ENOENT, as from the kernel.
    const opcode = IORING_OP_ASYNC_CANCEL;
    ring.border.start(opcode, ticket, -1, NO_REGION, 0, 0, 0, 0, target.ticket, 0, 0);
  }

  protected override value(): void {}
}

/** One constructor per opcode. Wrong arguments throw here; nothing happens before a poll. */
export class Ops {
  private readonly runtime: Runtime | null;

  /** Bound to a runtime, or to whichever polls it first. */
  constructor(runtime: Runtime | null) {
    this.runtime = runtime;
  }

  // PAIR: nop
  /**
   * Does nothing, through the whole ring. Resolves to 0.
   *
   * Man: io_uring_prep_nop(3). Kernel: 5.1.
   */
  nop(options?: NopOptions): Op<number> {
    return new NopOp(this.runtime, options);
  }

  // PAIR: read
  /**
   * Reads at most `buffer.byteLength` bytes (and at most 1 MiB) at `offset`; -1 is the file
   * position, or a stream. Resolves to the count; 0 is the end of the file. Rejects with
   * ERR_RINGCORE_BUFFER_DETACHED when the buffer went away meanwhile.
   *
   * Man: io_uring_prep_read(3), pread(2). Kernel: 5.6.
   */
  read(
    fd: number,
    buffer: ArrayBufferView,
    offset: number | bigint = -1,
    options?: OpOptions,
  ): Op<number> {
    return new ReadOp(this.runtime, fd, buffer, offset, options);
  }

  // PAIR: write
  /**
   * Writes at most 1 MiB of `buffer` at `offset` (-1: the file position, or a stream). The bytes
   * are copied at the first poll. Resolves to the count, which may be short.
   *
   * Man: io_uring_prep_write(3), pwrite(2). Kernel: 5.6.
   */
  write(
    fd: number,
    buffer: ArrayBufferView,
    offset: number | bigint = -1,
    options?: OpOptions,
  ): Op<number> {
    return new WriteOp(this.runtime, fd, buffer, offset, options);
  }

  // PAIR: openat
  /**
   * Opens `path` relative to `dirfd` (AT_FDCWD: the current directory). `flags` and `mode` as in
   * openat(2); always O_CLOEXEC. Resolves to a descriptor, the caller's to close (I3).
   *
   * Man: io_uring_prep_openat(3), openat(2). Kernel: 5.6.
   */
  openat(
    dirfd: number,
    path: string | Uint8Array | URL,
    flags: number,
    mode = 0o666,
    options?: OpOptions,
  ): Op<number> {
    return new OpenatOp(this.runtime, dirfd, path, flags, mode, options);
  }

  // PAIR: close
  /**
   * Closes a descriptor. Whatever the outcome, the number is no longer the caller's.
   *
   * Man: io_uring_prep_close(3), close(2). Kernel: 5.6.
   */
  close(fd: number, options?: OpOptions): Op<void> {
    return new CloseOp(this.runtime, fd, options);
  }

  // PAIR: timeout
  /**
   * The kernel's timer: ends after `ms` milliseconds (fractions count), never early. Its ETIME is
   * success.
   *
   * Man: io_uring_prep_timeout(3). Kernel: 5.4.
   */
  timeout(ms: number, options?: OpOptions): Op<void> {
    return new TimeoutOp(this.runtime, ms, options);
  }

  // PAIR: pollAdd
  /**
   * Waits until one of `events` (POLLIN 1, POLLOUT 4 ...) is true of `fd`; resolves to those that
   * are, with POLLERR 8 and POLLHUP 16 among them.
   *
   * Man: io_uring_prep_poll_add(3), poll(2). Kernel: 5.1.
   */
  pollAdd(fd: number, events: number, options?: OpOptions): Op<number> {
    return new PollAddOp(this.runtime, fd, events, options);
  }

  // PAIR: cancel
  /**
   * Cancels an operation in flight. Resolves: it ends with an AbortError, if it had not ended by
   * then. Rejects with ENOENT: it is not in flight; EALREADY: it runs and cannot be stopped.
   *
   * Man: io_uring_prep_cancel(3). Kernel: 5.5.
   */
  cancel(target: Op<unknown>, options?: OpOptions): Op<void> {
    return new CancelOp(this.runtime, target, options);
  }
}

/** The operations of whichever runtime polls them, or the thread's default one when awaited. */
export const op: Ops = new Ops(null);
