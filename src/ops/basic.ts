// Nothing, time, polls and cancels.
// Pair: crates/ringcore/src/ops/basic.rs

import { high, low } from '../border.ts';
import { checkMs } from '../check.ts';
import { checkInteger, typeError, wrongRuntimeError } from '../error.ts';
import { type Fd, type NopOptions, Op, type OpOptions } from '../op.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import {
  IORING_NOP_INJECT_RESULT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_NOP,
  IORING_OP_POLL_ADD,
  IORING_OP_TIMEOUT,
  NO_REGION,
} from '../sqe.ts';

const ETIME = 62;

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

export class TimeoutOp extends Op<void> {
  private readonly ms: number;
  private readonly opcode: number;
  protected get syscall(): string {
    return 'timeout';
  }

  /** `opcode`: a timer of its own, or the limit of the operation before it in a chain. */
  constructor(
    runtime: Runtime | null,
    ms: number,
    options?: OpOptions,
    opcode: number = IORING_OP_TIMEOUT,
  ) {
    super(runtime, options);
    this.ms = checkMs(ms);
    this.opcode = opcode;
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
    const { opcode } = this;
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
    ring.border.start(opcode, ticket, -1, target.ticket, 0, 0, 0, 0, 0, 0, 0);
  }

  protected override value(): void {}
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
  pollAdd(fd: Fd, events: number, options?: OpOptions): Op<number> {
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
