// Op: one operation on the ring, a lazy future. The opcodes are in ops/.
// Pair: crates/ringcore/src/op.rs
//
// An operation describes; nothing happens until it is polled or awaited. Bytes are copied at submit
// and at completion, so that the kernel never sees JavaScript's memory (I1). Abandoned in flight it
// is cancelled, its region stays taken until the completion (I2), and a descriptor that comes all
// the same is closed (I3).

import { checkOptions } from './check.ts';
import { beginDirect, type Direct, descriptorOf, endDirect, takeBack } from './direct.ts';
import {
  AbortError,
  closedError,
  cutError,
  DEBUG,
  errnoError,
  notAllowedError,
  unsupportedError,
  withoutStack,
  wrongRuntimeError,
} from './error.ts';
import { type Context, late, misuse, Outcome, type Poll } from './future.ts';
import type { Reaction } from './promise.ts';
import type { Started } from './reactor.ts';
import type { Ring } from './ring.ts';
import type { Runtime } from './runtime.ts';
import { Lifecycle } from './slot.ts';
import { ERRNO_NOT_ALLOWED, ERRNO_UNSUPPORTED_OP, FIRST_ALLOCATED, NO_REGION } from './sqe.ts';

/** What every operation takes as its last argument. */
export interface OpOptions {
  /** Aborts the operation: the kernel's completion decides whether it still succeeds. */
  signal?: AbortSignal | undefined;
  /** Whether it holds the process while it is in flight. Default true. */
  ref?: boolean | undefined;
}

/** A file descriptor, or a slot of the ring's own table, as operations take it. */
export type Fd = number | Direct;

/** Options of operations that move bytes of a file. */
export interface TransferOptions extends OpOptions {
  /** RWF_* of `constants`, see preadv2(2); the kernel judges them. Default 0. */
  rwFlags?: number | undefined;
}

const EINTR = 4;
const ECANCELED = 125;

/** NO_REGION as a small integer: 0xffffffff in a field is a heap number for each operation. */
const NONE = NO_REGION | 0;

/** What few operations need; a field each would be allocated with every operation. */
interface Failure {
  readonly errno: number;
  /** The error, once it was made. */
  made: unknown;
  /** A task takes it, whose frames are worth keeping. */
  polled: boolean;
}

/** Operations that `cancel` was called of: an EINTR is its answer then. */
const CANCELLED: WeakSet<object> = new WeakSet();

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
    if (options === undefined) return;
    const { signal, ref } = checkOptions(options);
    if (signal !== undefined) this.signal = signal;
    if (ref === false) this.referenced = false;
  }

  /** Writes its descriptor. Errors here end it before anything was submitted. */
  abstract prepare(ring: Ring, ticket: number): void;
  /** The value of a result ≥ 0. Bytes are copied out here. */
  protected abstract value(res: number, ring: Ring): T;
  /** The system call's name, for errors. */
  protected abstract get syscall(): string;
  /** Its opcode, where the system call's name alone does not say which operation it is. */
  protected get operation(): number | undefined {
    return undefined;
  }

  /** The path it is about, for errors. */
  protected get path(): string | undefined {
    return undefined;
  }

  /** The second of two paths, for errors. */
  protected get dest(): string | undefined {
    return undefined;
  }

  /** The error of an errno. */
  protected errorOf(errno: number): Error {
    return errnoError(errno, this.syscall, this.path, this.dest);
  }

  /** The descriptors that a value holds, of an operation that opens some. */
  protected descriptorsIn(value: unknown): readonly number[] {
    return [value as number];
  }

  /** Nobody can receive a result that opened descriptors (I3). */
  protected closeDropped(res: number, _ring: Ring): void {
    (this.runtime as Runtime).executor.reactor.closeFd(res);
  }

  /** A descriptor as the border takes it. Called by constructors. */
  protected descriptor(fd: Fd): number {
    return descriptorOf(this, fd);
  }

  /** Its bytes have a region: a chain has placed them. */
  protected get placed(): boolean {
    return this.region !== NONE;
  }

  // PAIR: Op.poll
  override poll(cx: Context): Poll<T> {
    if (this.lifecycle === Lifecycle.Completed) return this.take();
    if (this.lifecycle === Lifecycle.Fresh) {
      if (this.runtime === null) this.runtime = cx.runtime;
      else if (this.runtime !== cx.runtime) throw wrongRuntimeError('This operation');
      if (!cx.referenced) this.referenced = false;
      this.submit();
      if (this.settled) return this.take();
      this.lifecycle = Lifecycle.Waiting;
      return this.wait(cx);
    }
    if (this.runtime !== cx.runtime) throw wrongRuntimeError('This operation');
    if (this.lifecycle === Lifecycle.Submitted) this.lifecycle = Lifecycle.Waiting;
    // Somebody waits for its end all the same: an aborted task with finally blocks, a timeout.
    if (this.lifecycle === Lifecycle.Abandoned && cx.referenced) this.ref();
    return this.wait(cx);
  }

  /** The first await: binds to its runtime, or the thread's default one. */
  override begin(): void {
    if (this.lifecycle !== Lifecycle.Fresh) return;
    this.runtime ??= late.current();
    this.submit();
  }

  private submit(): void {
    const { signal } = this;
    this.lifecycle = Lifecycle.Submitted;
    try {
      if (signal?.aborted === true) throw new AbortError(signal.reason);
      beginDirect(this);
      (this.runtime as Runtime).executor.reactor.start(this);
    } catch (error) {
      this.refuse(error);
    }
  }

  /** Its completion, once (operations here are one-shot); how many bytes were copied for it. */
  complete(
    res: number,
    flags: number,
    opened: boolean,
    ring: Ring<Started>,
    /** A chain was cut before it: its ECANCELED is nobody's wish. */
    cut = false,
  ): number {
    const abandoned = this.lifecycle === Lifecycle.Abandoned;
    this.lifecycle = Lifecycle.Completed;
    endDirect(this, res, flags);
    if (abandoned) {
      if (opened && res >= 0) this.closeDropped(res, ring as unknown as Ring);
      this.drop();
      this.fail(new AbortError(this.signal?.reason), true);
      return 0;
    }
    if (res < 0 && !this.succeeds(res)) {
      this.drop();
      const made = -res === ECANCELED ? this.cancelled(cut) : undefined;
      this.failure = { errno: -res, made, polled: false };
      this.fail(undefined, -res === ECANCELED);
      return 0;
    }
    try {
      const value = this.value(res, ring as unknown as Ring);
      let copied = 0;
      if (this.region !== NONE) {
        if (this.region < FIRST_ALLOCATED) copied = res;
        this.drop();
      }
      if (opened) this.untaken = this.takers;
      this.settle(value);
      return copied;
    } catch (error) {
      this.drop();
      this.fail(error);
      return 0;
    }
  }

  /** ECANCELED that nobody asked for. */
  private cancelled(cut: boolean): Error | undefined {
    if ((this.runtime as Runtime).ended) return closedError();
    return cut && !this.asked ? cutError(this.syscall, this.path, this.dest) : undefined;
  }

  private get asked(): boolean {
    return this.signal?.aborted === true || CANCELLED.has(this);
  }

  /** Results below 0 that are a success (a timeout's ETIME). */
  protected succeeds(_res: number): boolean {
    return false;
  }

  /** I2: the region is free only here, after the last completion. */
  protected drop(): void {
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
    const { asked } = this;
    const make = () => {
      if (errno === ECANCELED || (errno === EINTR && asked)) {
        return new AbortError(this.signal?.reason);
      }
      if (errno >= ERRNO_NOT_ALLOWED) {
        const allowed = (this.runtime as Runtime).allowed ?? [];
        return notAllowedError(errno - ERRNO_NOT_ALLOWED, this.syscall, allowed);
      }
      if (errno === ERRNO_UNSUPPORTED_OP) return unsupportedError(this.syscall, this.operation);
      return this.errorOf(errno);
    };
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

  /**
   * Tasks that were woken for a new descriptor, none of which has taken it yet (I3); -1 when the
   * only one of them has taken it, 0 when the number may be known to several.
   */
  private untaken = 0;

  protected override take(): T {
    if (this.failure !== null) this.failure.polled = true;
    this.untaken = this.untaken === 1 ? -1 : 0;
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

  override discard(): void {
    if (this.untaken === -1) this.closeResult();
  }

  private closeResult(): void {
    this.untaken = 0;
    const fds = this.descriptorsIn(this.result);
    this.revoke(new AbortError());
    for (const fd of fds) {
      try {
        (this.runtime as Runtime).executor.reactor.closeFd(fd);
      } catch {
        // The ring is closed and closes nothing any more.
        process.getBuiltinModule('node:fs').closeSync(fd);
      }
    }
  }

  /** Asks for its end; whoever waits gets an AbortError, or the result if it was faster. */
  cancel(): void {
    if (this.settled) return;
    CANCELLED.add(this);
    if (this.lifecycle === Lifecycle.Fresh) {
      this.lifecycle = Lifecycle.Completed;
      this.fail(new AbortError(), true);
      return;
    }
    if (this.ticket >= 0) (this.runtime as Runtime).executor.reactor.cancel(this);
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

  /** A chain takes it: it starts with the chain, and only with it. */
  enlist(): void {
    if (this.lifecycle !== Lifecycle.Fresh) {
      throw misuse('an operation that was started, or is in another chain, cannot be linked');
    }
    this.lifecycle = Lifecycle.Submitted;
  }

  /** The chain starts on this runtime. */
  bind(runtime: Runtime): void {
    if (this.runtime !== null && this.runtime !== runtime) {
      throw wrongRuntimeError('This operation');
    }
    this.runtime = runtime;
    if (this.signal?.aborted === true) throw new AbortError(this.signal.reason);
    beginDirect(this);
  }

  /** It ends before anything was submitted. */
  refuse(error: unknown): void {
    this.lifecycle = Lifecycle.Completed;
    takeBack(this);
    this.drop();
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
