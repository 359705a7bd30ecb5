// Time: sleep, and a limit on any future.
// Pair: crates/ringcore/src/timer.rs

import { checkMs } from './check.ts';
import { AbortError, TimeoutError } from './error.ts';
import { type Context, currentContext, Future, PENDING, type Poll } from './future.ts';
import { Composite, fromPromise, homeOf } from './generator.ts';
import type { Op, OpOptions } from './op.ts';
import { Ops } from './ops/index.ts';
import type { Reaction } from './promise.ts';
import { current, type Runtime } from './runtime.ts';

// PAIR: Timer
/** The future of `sleep`: one kernel timeout. */
export class Timer extends Future<void> {
  private readonly op: Op<void>;

  constructor(op: Op<void>) {
    super();
    this.op = op;
  }

  /** Where its clock runs. */
  get runtime(): Runtime | null {
    return this.op.runtime;
  }

  // PAIR: Timer.poll
  override poll(cx: Context): Poll<void> {
    return this.op.poll(cx);
  }

  override react(reaction: Reaction<void>): void {
    this.op.react(reaction);
  }

  override abandon(cx: Context): boolean {
    return this.op.abandon(cx);
  }

  override ref(): this {
    this.op.ref();
    return this;
  }

  override unref(): this {
    this.op.unref();
    return this;
  }
}

// PAIR: sleep
/**
 * Ends after `ms` milliseconds, never early. The clock starts at this call, on the runtime of the
 * generator task that calls, elsewhere on the thread's default one.
 */
export function sleep(ms: number, options?: OpOptions): Timer {
  return start(here(), ms, options);
}

function start(runtime: Runtime, ms: number, options?: OpOptions): Timer {
  const op = new Ops(runtime).timeout(ms, options);
  op.begin();
  return new Timer(op);
}

/** The runtime whose task is being polled, or the thread's default one. */
function here(): Runtime {
  return currentContext()?.runtime ?? current();
}

// PAIR: timeout
/**
 * The value of `future`, or a TimeoutError (code ETIMEDOUT) when `ms` milliseconds pass first. Both
 * start at this call. A late future is abandoned: what it waits for is cancelled and awaited, and
 * a value that comes all the same wins.
 */
export function timeout<T>(future: Future<T> | PromiseLike<T>, ms: number): Future<T> {
  checkMs(ms);
  const inner = fromPromise(future);
  const limited = new Timeout<T>(inner, ms, homeOf([inner]) ?? here());
  limited.begin();
  return limited;
}

class Timeout<T> extends Composite<T> {
  private readonly future: Future<T>;
  private readonly timer: Timer;
  private readonly ms: number;
  private late = false;

  constructor(future: Future<T>, ms: number, runtime: Runtime) {
    super();
    this.future = future;
    this.ms = ms;
    this.runtime = runtime;
    this.timer = start(runtime, ms);
  }

  protected parts(): Future<unknown>[] {
    return [this.future, this.timer];
  }

  protected advance(cx: Context): void {
    try {
      // The future first: a value that is there at the same instant wins over the clock.
      const value = this.future.poll(cx);
      if (value !== PENDING) {
        this.timer.abandon(cx);
        this.settle(value);
        return;
      }
    } catch (error) {
      this.timer.abandon(cx);
      this.refuse(this.late && error instanceof AbortError ? new TimeoutError(this.ms) : error);
      return;
    }
    if (!this.late && this.timer.poll(cx) !== PENDING) {
      this.late = true;
      // An operation in flight ends with its completion. What others wait for goes on, and so does
      // a task: nothing of it is waited for here.
      if (this.future.abandon(cx)) this.advance(cx);
      else this.refuse(new TimeoutError(this.ms));
    }
  }
}
