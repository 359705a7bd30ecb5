// Operations: lazy futures, one constructor per opcode.
// Pair: crates/ringcore/src/op.rs
//
// An operation describes; nothing happens until it is polled or awaited. Bytes are copied at submit
// and at completion, so that the kernel never sees JavaScript's memory (I1). Abandoned in flight it
// is cancelled, its region stays taken until the completion (I2), and a descriptor that comes all
// the same is closed (I3).

import { closeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bytesOf, gone } from './buffer.ts';
import {
  AbortError,
  checkInteger,
  closedError,
  DEBUG,
  DetachedError,
  errnoError,
  rangeError,
  typeError,
  valueError,
  withoutStack,
  wrongRuntimeError,
} from './error.ts';
import { type Context, Outcome, type Poll } from './future.ts';
import type { Reaction } from './promise.ts';
import type { Started } from './reactor.ts';
import type { Ring } from './ring.ts';
import { current, type Runtime } from './runtime.ts';
import { Lifecycle } from './slot.ts';
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

/** What every operation takes as its last argument. */
export interface OpOptions {
  /** Aborts the operation: the kernel's completion decides whether it still succeeds. */
  signal?: AbortSignal | undefined;
  /** Whether it holds the process while it is in flight. Default true. */
  ref?: boolean | undefined;
}

const EINTR = 4;
const ENAMETOOLONG = 36;
const ETIME = 62;
const ECANCELED = 125;

/** NO_REGION as a small integer: 0xffffffff in a field is a heap number for each operation. */
const NONE = NO_REGION | 0;

/** openat's directory for "relative to the current one". */
export const AT_FDCWD = -100;

/** What few operations need; a field each would be allocated with every operation. */
interface Failure {
  readonly errno: number;
  /** The error, once it was made. */
  made: unknown;
  /** A task takes it, whose frames are worth keeping. */
  polled: boolean;
}

/** Where operations were made, under RINGCORE_DEBUG=1. */
const TRACES: WeakMap<object, Error> = new WeakMap();

// PAIR: Op
/** One operation on the ring. */
export abstract class Op<T> extends Outcome<T> implements Started {
  protected lifecycle: Lifecycle = Lifecycle.Fresh;
  ticket = -1;
  referenced = true;
  protected region: number = NONE;
  /** The runtime it is bound to: at once when it was made by one, else at the first poll. */
  runtime: Runtime | null;
  signal: AbortSignal | null = null;
  /** A negative result, made into an error when somebody takes it. */
  private failure: Failure | null = null;

  constructor(runtime: Runtime | null, options: OpOptions | undefined) {
    super();
    this.runtime = runtime;
    if (DEBUG) TRACES.set(this, new Error('submitted here'));
    if (options !== undefined) this.configure(options);
  }

  private configure(options: OpOptions): void {
    if (typeof options !== 'object' || options === null) {
      throw typeError('options', 'of type object', options);
    }
    const { signal, ref } = options;
    if (signal !== undefined) {
      if (!(signal instanceof AbortSignal)) {
        throw typeError('options.signal', 'an instance of AbortSignal', signal);
      }
      this.signal = signal;
    }
    if (ref !== undefined && typeof ref !== 'boolean') {
      throw typeError('options.ref', 'of type boolean', ref);
    }
    if (ref === false) this.referenced = false;
  }

  /** Writes its descriptor. Errors here end it before anything was submitted. */
  abstract prepare(ring: Ring, ticket: number): void;
  /** The value of a result ≥ 0. Bytes are copied out here. */
  protected abstract value(res: number, ring: Ring): T;
  /** The system call's name, for errors. */
  protected abstract get syscall(): string;
  /** The path it is about, for errors. */
  protected get path(): string | undefined {
    return undefined;
  }

  // PAIR: Op.poll
  override poll(cx: Context): Poll<T> {
    if (this.lifecycle === Lifecycle.Completed) return this.take();
    if (this.lifecycle === Lifecycle.Fresh) {
      this.runtime ??= cx.runtime;
      if (this.runtime !== cx.runtime) throw wrongRuntimeError('This operation');
      if (!cx.referenced) this.referenced = false;
      this.submit();
      if (this.settled) return this.take();
    }
    if (this.runtime !== cx.runtime) throw wrongRuntimeError('This operation');
    if (this.lifecycle === Lifecycle.Submitted) this.lifecycle = Lifecycle.Waiting;
    return this.wait(cx);
  }

  /** The first await: binds to its runtime, or the thread's default one. */
  override begin(): void {
    if (this.lifecycle !== Lifecycle.Fresh) return;
    this.runtime ??= current();
    this.submit();
  }

  private submit(): void {
    const { signal } = this;
    this.lifecycle = Lifecycle.Submitted;
    try {
      if (signal?.aborted === true) throw new AbortError(signal.reason);
      (this.runtime as Runtime).executor.reactor.start(this);
    } catch (error) {
      this.lifecycle = Lifecycle.Completed;
      this.drop();
      this.fail(error, true);
    }
  }

  /** Its completion: called by the reactor, once (operations here are one-shot). */
  complete(res: number, _flags: number, opened: boolean): void {
    const abandoned = this.lifecycle === Lifecycle.Abandoned;
    const runtime = this.runtime as Runtime;
    const { ring } = runtime.executor.reactor;
    this.lifecycle = Lifecycle.Completed;
    if (abandoned) {
      this.drop();
      if (opened && res >= 0) runtime.executor.reactor.closeFd(res);
      this.fail(new AbortError(this.signal?.reason), true);
      return;
    }
    if (res < 0 && !this.succeeds(res)) {
      this.drop();
      const made = runtime.ended && -res === ECANCELED ? closedError() : undefined;
      this.failure = { errno: -res, made, polled: false };
      this.fail(undefined, -res === ECANCELED);
      return;
    }
    try {
      const value = this.value(res, ring);
      this.drop();
      if (opened) this.untaken = this.takers;
      this.settle(value);
    } catch (error) {
      this.drop();
      this.fail(error);
    }
  }

  /** Results below 0 that are a success (a timeout's ETIME). */
  protected succeeds(_res: number): boolean {
    return false;
  }

  /** I2: the region is free only here, after the last completion. */
  private drop(): void {
    if (this.region !== NONE) {
      (this.runtime as Runtime).executor.reactor.ring.regions.release(this.region);
      this.region = NONE;
    }
  }

  /** Made when it is taken, which in a task is below the frames of its generators. */
  protected override error(): unknown {
    const { failure } = this;
    if (failure === null) return super.error();
    if (failure.made !== undefined) return failure.made;
    const { errno, polled } = failure;
    const cancelled = errno === ECANCELED || (errno === EINTR && this.signal?.aborted === true);
    const make = () =>
      cancelled ? new AbortError(this.signal?.reason) : errnoError(errno, this.syscall, this.path);
    // A task's poll has frames worth keeping, a delivery has not.
    const error = polled ? make() : withoutStack(make);
    // The frames of ringcore's own poll would push the generator's out of the ten that are kept.
    if (polled) Error.captureStackTrace(error, this.next);
    const trace = TRACES.get(this);
    if (trace !== undefined) {
      const [, ...frames] = (trace.stack ?? '').split('\n');
      error.stack = [`${error.name}: ${error.message}`, ...frames].join('\n');
    }
    failure.made = error;
    return error;
  }

  /** Tasks that were woken for a new descriptor, none of which has taken it yet (I3). */
  private untaken = 0;

  protected override take(): T {
    if (this.failure !== null) this.failure.polled = true;
    this.untaken = 0;
    return super.take();
  }

  override react(reaction: Reaction<T>): void {
    this.untaken = 0;
    super.react(reaction);
  }

  override abandon(cx: Context): boolean {
    if (this.settled) {
      // It was faster than the last task that stops waiting: the descriptor came and has no owner.
      if (this.untaken > 0 && --this.untaken === 0) this.closeResult();
      return false;
    }
    if (this.lifecycle === Lifecycle.Abandoned) return true;
    if (this.lifecycle === Lifecycle.Fresh) {
      this.lifecycle = Lifecycle.Completed;
      this.fail(new AbortError(), true);
      return false;
    }
    if (this.leave(cx.waker)) return false; // Somebody else waits for it as well.
    this.lifecycle = Lifecycle.Abandoned;
    this.unref(); // A cancel never holds the process.
    (this.runtime as Runtime).executor.reactor.cancel(this);
    return true;
  }

  private closeResult(): void {
    const fd = this.result as number;
    this.revoke(new AbortError());
    try {
      (this.runtime as Runtime).executor.reactor.closeFd(fd);
    } catch {
      closeSync(fd); // The ring is closed and closes nothing any more.
    }
  }

  /** Asks the kernel to end it; whoever waits gets an AbortError, or the result if it was faster. */
  cancel(): void {
    if (this.settled) return;
    if (this.lifecycle === Lifecycle.Fresh) {
      this.lifecycle = Lifecycle.Completed;
      this.fail(new AbortError(), true);
      return;
    }
    (this.runtime as Runtime).executor.reactor.cancel(this);
  }

  /** Its signal was aborted while it was in flight. The completion decides. */
  aborted(_reason: unknown): void {
    (this.runtime as Runtime).executor.reactor.cancel(this);
  }

  /** The ring ended without its completion: its memory is never used again. */
  lost(error: unknown): void {
    if (this.lifecycle === Lifecycle.Completed) return;
    this.lifecycle = Lifecycle.Completed;
    this.region = NONE;
    this.fail(error, true);
  }

  override ref(): this {
    this.reference(true);
    return this;
  }

  override unref(): this {
    this.reference(false);
    return this;
  }

  private reference(wanted: boolean): void {
    if (this.ticket < 0) this.referenced = wanted;
    else (this.runtime as Runtime).executor.reactor.reference(this, wanted);
  }
}

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

/** A file offset as the two words of a descriptor; -1 is the file position, or a stream. */
interface Offset {
  lo: number;
  hi: number;
}

const POSITION: Offset = { lo: -1, hi: -1 };

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

/** Options of `op.nop`. */
export interface NopOptions extends OpOptions {
  /** The nop completes with this: at least 0, or a negative errno. For tests. Kernel: 6.11. */
  result?: number | undefined;
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

const ENCODER = new TextEncoder();

function low(offset: number | bigint): number {
  if (typeof offset === 'bigint') return Number(BigInt.asIntN(32, offset));
  return offset === -1 ? POSITION.lo : offset | 0;
}

function high(offset: number | bigint): number {
  if (typeof offset === 'bigint') return Number(BigInt.asIntN(32, offset >> 32n));
  return offset === -1 ? POSITION.hi : Math.floor(offset / 0x100000000) | 0;
}

function checkFd(fd: unknown): number {
  return checkInteger('fd', fd, 0, 0x7fffffff);
}

function checkView(name: string, view: unknown): ArrayBufferView {
  if (!ArrayBuffer.isView(view)) {
    throw typeError(name, 'an instance of Buffer, TypedArray, or DataView', view);
  }
  if (gone(view)) throw new DetachedError(0);
  return view;
}

function checkOffset(offset: unknown): number | bigint {
  if (typeof offset === 'bigint') {
    if (offset < -1n || offset > 0x7fffffffffffffffn) {
      throw rangeError('offset', '>= -1n and <= 2n ** 63n - 1n', offset);
    }
    return offset;
  }
  return checkInteger('offset', offset, -1, Number.MAX_SAFE_INTEGER);
}

/** Milliseconds of a timer. */
export function checkMs(ms: unknown): number {
  if (typeof ms !== 'number') throw typeError('ms', 'of type number', ms);
  if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) {
    throw rangeError('ms', `>= 0 and <= ${Number.MAX_SAFE_INTEGER}`, ms);
  }
  return ms;
}

function checkPath(path: unknown): string | Uint8Array {
  const name = path instanceof URL ? fileURLToPath(path) : path;
  if (typeof name === 'string') {
    if (name.includes('\0')) throw valueError('path', NO_NUL, name);
    return name;
  }
  if (name instanceof Uint8Array) {
    if (name.includes(0)) throw valueError('path', NO_NUL, Buffer.from(name).toString());
    return new Uint8Array(name); // A copy: the caller may change it before the first poll.
  }
  throw typeError('path', 'of type string or an instance of Buffer or URL', path);
}

const NO_NUL = 'must be a string, Uint8Array, or URL without null bytes';
