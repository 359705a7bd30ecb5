// Who waits for the next result of a stream.
// PAIR: only-typescript next.ts -- in Rust it borrows the stream and has nothing to give back

import { AbortError, closedError, errnoError, unsupportedError, withoutStack } from './error.ts';
import { type Context, Outcome, type Poll } from './future.ts';
import type { Reaction } from './promise.ts';
import type { Runtime } from './runtime.ts';
import { ERRNO_UNSUPPORTED_OP } from './sqe.ts';

const ECANCELED = 125;

/** Ends without a value, told by its owner. */
export class Done extends Outcome<void> {
  override begin(): void {}

  /** It has ended. */
  ended(): void {
    this.settle(undefined);
  }
}

/** What makes the error of a stream's end; made when somebody takes it. */
export type Failure = () => Error;

/** The error of an errno that ended a stream. */
export function errorOf(errno: number, syscall: string, ended: boolean): Error {
  if (errno === ECANCELED) return ended ? closedError() : new AbortError();
  if (errno === ERRNO_UNSUPPORTED_OP) return unsupportedError(syscall);
  return errnoError(errno, syscall);
}

/** `for await` over a stream; leaving the loop closes it. */
export function iterate<T>(stream: {
  next(): PromiseLike<T | undefined>;
  close(): PromiseLike<void>;
}): AsyncIterator<T, undefined> {
  return {
    next: async (): Promise<IteratorResult<T, undefined>> => {
      const value = (await stream.next()) as T | undefined;
      return value === undefined ? { done: true, value: undefined } : { done: false, value };
    },
    return: async () => {
      await stream.close();
      return { done: true, value: undefined };
    },
  };
}

/** What it needs of the stream. */
interface Source<T> {
  readonly runtime: Runtime | null;
  bind(runtime: Runtime | null, referenced: boolean): void;
  join(next: Next<T>): void;
  leave(next: Next<T>): void;
  giveBack(value: T): void;
  ref(): void;
  unref(): void;
}

/** The future of `Stream.next`. Its place in the order is taken when it is polled or awaited. */
export class Next<T> extends Outcome<T | undefined> {
  private readonly stream: Source<T>;
  private joined = false;
  private failure: Failure | null = null;
  private polled = false;
  /** As in Op: tasks that were woken for a value and have not taken it; -1: the only one has. */
  private untaken = 0;

  constructor(stream: Source<T>) {
    super();
    this.stream = stream;
  }

  /** Where it is driven when nobody polls it. */
  get runtime(): Runtime | null {
    return this.stream.runtime;
  }

  override poll(cx: Context): Poll<T | undefined> {
    if (!this.settled) {
      this.start(cx.runtime, cx.referenced);
      if (!this.settled) return this.wait(cx);
      if (this.result !== undefined) this.untaken = 1; // A value that was there already.
    }
    return this.take();
  }

  override begin(): void {
    this.start(null, true);
  }

  private start(runtime: Runtime | null, referenced: boolean): void {
    this.stream.bind(runtime, referenced);
    if (this.joined) return;
    this.joined = true;
    this.stream.join(this);
  }

  /** Called by the stream. */
  give(value: T | undefined): void {
    this.untaken = value === undefined ? 0 : this.takers;
    this.settle(value);
  }

  /** Called by the stream. */
  refuse(failure: Failure): void {
    this.failure = failure;
    this.fail(undefined, true);
  }

  protected override take(): T | undefined {
    this.polled = true;
    this.untaken = this.untaken === 1 ? -1 : 0;
    return super.take();
  }

  /** Made when it is taken, which in a task is below the frames of its generators. */
  protected override error(): unknown {
    const { failure } = this;
    if (failure !== null) {
      this.failure = null;
      this.result = this.polled ? failure() : withoutStack(failure);
    }
    return this.result;
  }

  override react(reaction: Reaction<T | undefined>): void {
    this.untaken = 0;
    super.react(reaction);
  }

  override abandon(cx: Context): boolean {
    if (this.settled) {
      // A value came for the last task that stops waiting: the next `next` gets it.
      if (this.untaken > 0 && --this.untaken === 0) this.giveBack();
      return false;
    }
    if (this.leave(cx.waker)) return false; // Somebody else waits for it as well.
    this.stream.leave(this);
    this.fail(new AbortError(), true);
    return false;
  }

  override discard(): void {
    if (this.untaken === -1) this.giveBack();
  }

  private giveBack(): void {
    this.untaken = 0;
    const value = this.result as T;
    this.revoke(new AbortError());
    this.stream.giveBack(value);
  }

  override ref(): this {
    this.stream.ref();
    return this;
  }

  override unref(): this {
    this.stream.unref();
    return this;
  }
}
