// Nothing, time, polls and cancels.
// Pair: crates/ringcore/src/ops/basic.rs

import { high, low } from '../border.ts';
import { checkMs } from '../check.ts';
import { checkInteger, typeError, wrongRuntimeError } from '../error.ts';
import { type Fd, Op, type OpOptions } from '../op.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import {
  IORING_ASYNC_CANCEL_ALL,
  IORING_ASYNC_CANCEL_FD,
  IORING_NOP_INJECT_RESULT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_NOP,
  IORING_OP_POLL_ADD,
  IORING_OP_POLL_REMOVE,
  IORING_OP_TIMEOUT,
  IORING_OP_TIMEOUT_REMOVE,
  IORING_TIMEOUT_ABS,
  IORING_TIMEOUT_REALTIME,
  IORING_TIMEOUT_UPDATE,
  NO_REGION,
} from '../sqe.ts';

const ETIME = 62;

/** Options of `op.nop`. */
export interface NopOptions extends OpOptions {
  /** The nop completes with this: at least 0, or a negative errno. For tests. Kernel: 6.11. */
  result?: number | undefined;
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

/** Options of `op.timeout` and `op.timeoutUpdate`. */
export interface TimeoutOptions extends OpOptions {
  /**
   * `ms` is a moment instead of a duration: of CLOCK_MONOTONIC (`process.hrtime()`), or with
   * 'realtime' of CLOCK_REALTIME (`Date.now()`), which follows changes of the system's clock.
   */
  absolute?: boolean | 'realtime' | undefined;
}

/** The timeout_flags of these options. */
function clockFlags(options: TimeoutOptions | undefined): number {
  const absolute = options?.absolute ?? false;
  if (typeof absolute === 'boolean') return absolute ? IORING_TIMEOUT_ABS : 0;
  if (absolute === 'realtime') return IORING_TIMEOUT_ABS | IORING_TIMEOUT_REALTIME;
  throw typeError('options.absolute', "of type boolean or 'realtime'", absolute);
}

/** The nanoseconds of a time, rounded up: never early. 1e9 is one more second. */
function nanoseconds(ms: number): number {
  return Math.ceil((ms - Math.floor(ms / 1000) * 1000) * 1e6);
}

/** Its whole seconds. */
function seconds(ms: number): number {
  return Math.floor(ms / 1000) + (nanoseconds(ms) >= 1e9 ? 1 : 0);
}

export class TimeoutOp extends Op<void> {
  private readonly ms: number;
  private readonly opcode: number;
  private readonly clock: number;
  protected get syscall(): string {
    return 'timeout';
  }

  /** `opcode`: a timer of its own, or the limit of the operation before it in a chain. */
  constructor(
    runtime: Runtime | null,
    ms: number,
    options?: TimeoutOptions,
    opcode: number = IORING_OP_TIMEOUT,
  ) {
    super(runtime, options);
    this.ms = checkMs(ms);
    this.opcode = opcode;
    this.clock = options === undefined ? 0 : clockFlags(options);
  }

  override prepare(ring: Ring, ticket: number): void {
    const { opcode, ms, clock } = this;
    const whole = seconds(ms);
    const rest = nanoseconds(ms) % 1e9;
    const lo = low(whole);
    ring.border.start(opcode, ticket, -1, NO_REGION, 0, 0, lo, high(whole), clock, rest, 0);
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

  constructor(runtime: Runtime | null, fd: Fd, events: number, options?: OpOptions) {
    super(runtime, options);
    this.fd = this.descriptor(fd);
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

/** What works on another operation in flight. */
class TargetOp extends Op<void> {
  private readonly opcode: number;
  private readonly call: string;
  private readonly target: Op<unknown>;
  /** Of a timer that is set anew. */
  private readonly ms: number;
  private readonly flags: number;

  constructor(
    runtime: Runtime | null,
    opcode: number,
    syscall: string,
    target: Op<unknown>,
    options: OpOptions | undefined,
    ms = 0,
    flags = 0,
  ) {
    super(runtime, options);
    this.opcode = opcode;
    this.call = syscall;
    this.target = target;
    this.ms = ms;
    this.flags = flags;
  }

  protected get syscall(): string {
    return this.call;
  }

  override prepare(ring: Ring, ticket: number): void {
    const { opcode, target, ms, flags } = this;
    if (target.ticket >= 0 && target.runtime !== this.runtime) {
      throw wrongRuntimeError('The target');
    }
    // A target that is not in flight has ticket -1, which is nobody's: ENOENT, as from the kernel.
    const whole = seconds(ms);
    const [lo, hi, rest] = [low(whole), high(whole), nanoseconds(ms) % 1e9];
    ring.border.start(opcode, ticket, -1, target.ticket, 0, 0, lo, hi, flags, rest, 0);
  }

  protected override value(): void {}
}

class CancelFdOp extends Op<number> {
  private readonly fd: number;

  constructor(runtime: Runtime | null, fd: Fd, options?: OpOptions) {
    super(runtime, options);
    this.fd = this.descriptor(fd);
  }

  protected get syscall(): string {
    return 'cancel';
  }

  override prepare(ring: Ring, ticket: number): void {
    const opcode = IORING_OP_ASYNC_CANCEL;
    const flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL;
    ring.border.start(opcode, ticket, this.fd, NO_REGION, 0, 0, 0, 0, flags, 0, 0);
  }

  protected override value(res: number): number {
    return res;
  }
}

function checkTarget<T extends Op<unknown>>(target: T): T {
  if (!(target instanceof Op)) throw typeError('target', 'an operation (op.*)', target);
  return target;
}

/** Nothing, time, polls and cancels. */
export class BasicOps {
  protected readonly runtime: Runtime | null;

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

  // PAIR: timeout
  /**
   * The kernel's timer: ends after `ms` milliseconds (fractions count), never early, or at a moment
   * (`absolute`). Its ETIME is success.
   *
   * Man: io_uring_prep_timeout(3). Kernel: 5.4.
   */
  timeout(ms: number, options?: TimeoutOptions): Op<void> {
    return new TimeoutOp(this.runtime, ms, options);
  }

  // PAIR: timeoutUpdate
  /**
   * Sets a timer in flight anew: it ends `ms` milliseconds from now, or at a moment (`absolute`).
   * Rejects with ENOENT when the timer is not in flight.
   *
   * Man: io_uring_prep_timeout_update(3). Kernel: 5.11.
   */
  timeoutUpdate(target: Op<void>, ms: number, options?: TimeoutOptions): Op<void> {
    if (!(target instanceof TimeoutOp)) throw typeError('target', 'a timer (op.timeout)', target);
    const flags = IORING_TIMEOUT_UPDATE | clockFlags(options);
    const opcode = IORING_OP_TIMEOUT_REMOVE;
    return new TargetOp(this.runtime, opcode, 'timeout', target, options, checkMs(ms), flags);
  }

  // PAIR: pollAdd
  /**
   * Waits until one of `events` (POLLIN 1, POLLOUT 4 ...) is true of `fd`; resolves to those that
   * are, with POLLERR 8 and POLLHUP 16 among them.
   *
   * Man: io_uring_prep_poll_add(3), poll(2). Kernel: 5.1.
   */
  pollAdd(fd: Fd, events: number, options?: OpOptions): Op<number> {
    return new PollAddOp(this.runtime, fd, events, options);
  }

  // PAIR: pollRemove
  /**
   * Ends a poll in flight: it rejects with an AbortError, if it had not ended by then. Rejects with
   * ENOENT when it is not in flight, or was no poll.
   *
   * Man: io_uring_prep_poll_remove(3). Kernel: 5.1.
   */
  pollRemove(target: Op<number>, options?: OpOptions): Op<void> {
    const checked = checkTarget(target);
    return new TargetOp(this.runtime, IORING_OP_POLL_REMOVE, 'poll', checked, options);
  }

  // PAIR: cancel
  /**
   * Cancels an operation in flight. Resolves: it ends with an AbortError, if it had not ended by
   * then. Rejects with ENOENT: it is not in flight; EALREADY: it runs and cannot be stopped.
   *
   * Man: io_uring_prep_cancel(3). Kernel: 5.5.
   */
  cancel(target: Op<unknown>, options?: OpOptions): Op<void> {
    const checked = checkTarget(target);
    return new TargetOp(this.runtime, IORING_OP_ASYNC_CANCEL, 'cancel', checked, options);
  }

  // PAIR: cancelFd
  /**
   * Cancels every operation in flight on `fd`; resolves to how many there were. Each of them ends
   * with an AbortError, if it had not ended by then. Before a descriptor is closed, say: closing
   * does not end a receive. Rejects with EBADF when it is not open.
   *
   * Man: io_uring_prep_cancel_fd(3). Kernel: 5.19.
   */
  cancelFd(fd: Fd, options?: OpOptions): Op<number> {
    return new CancelFdOp(this.runtime, fd, options);
  }
}
