// PAIR: only-typescript generator.ts -- Rust has async blocks, and Drop where this has abandon
//
// Futures out of generators, promises, and several futures: what a Rust compiler builds of an async
// block is built here, and what Drop does there is said in so many words.

import { AbortError, closedError, typeError } from './error.ts';
import { Context, enter, Future, misuse, Outcome, PENDING, type Poll, WAITS } from './future.ts';
import type { Runtime } from './runtime.ts';

/** A generator as a future: a task's own. It runs inside the one task that polls it. */
export class GeneratorFuture<T> extends Outcome<T> {
  private make: (() => Generator<Future<unknown>, T, unknown>) | null;
  private generator: Generator<Future<unknown>, T, unknown> | null = null;
  /** What it was polled with: the one context of its task, which holds what it waits for. */
  private cx: Context | null = null;
  private running = false;
  private aborting = false;
  private returned = false;
  /** What it waits for was abandoned and is ending. */
  private ending = false;

  constructor(make: () => Generator<Future<unknown>, T, unknown>) {
    super();
    this.make = make;
  }

  override poll(cx: Context): Poll<T> {
    if (this.settled) return this.take();
    if (this.running) throw misuse('a generator waits for itself');
    this.running = true;
    this.cx = cx;
    const outer = enter(cx);
    try {
      this.resume(cx);
    } catch (error) {
      this.generator = null;
      this.fail(this.aborting && !this.returned ? new AbortError() : error);
    } finally {
      enter(outer);
      this.running = false;
      cx.fresh = false;
      cx.starting = false;
      cx.early = PENDING;
    }
    return this.settled ? this.take() : PENDING;
  }

  private get waiting(): Future<unknown> | null {
    return this.cx?.yielded ?? null;
  }

  /** Runs the generator until it waits or ends. */
  private resume(cx: Context): void {
    if (this.generator === null) {
      this.generator = (this.make as () => Generator<Future<unknown>, T, unknown>)();
      this.make = null;
    }
    const generator = this.generator;
    let wrong: TypeError | null = null;
    for (;;) {
      let step: IteratorResult<Future<unknown>, T>;
      if (this.aborting && !this.returned) {
        // The operation ends first: its memory and its descriptor are accounted for by its CQE.
        if (cx.yielded !== null && this.ending && stillPending(cx.yielded, cx)) return;
        this.returned = true;
        step = generator.return(undefined as T);
      } else if (wrong !== null) {
        step = generator.throw(wrong);
        wrong = null;
      } else {
        step = generator.next();
      }
      if (step.done) {
        this.generator = null;
        cx.yielded = null;
        if (this.aborting) this.fail(new AbortError(), true);
        else this.settle(step.value);
        return;
      }
      const yielded = cx.fresh;
      cx.fresh = false;
      if (!yielded || (step.value as unknown) !== WAITS) {
        cx.yielded = null;
        const got = describe(step.value);
        wrong = misuse(`a task waits with \`yield*\`, not with \`yield\`: it yielded ${got}`);
        continue;
      }
      if (cx.early !== PENDING) continue;
      if (!this.aborting || this.returned) return;
      // It aborted itself while it ran.
      this.ending = (cx.yielded as Future<unknown>).abandon(cx);
    }
  }

  override abandon(cx: Context): boolean {
    if (this.settled) return false;
    this.abort(cx);
    return !this.settled;
  }

  /** Ends the generator: what it waits for first, then its finally blocks. */
  abort(cx: Context): void {
    if (this.settled || this.aborting) return;
    this.aborting = true;
    if (this.running) return;
    if (this.generator === null) {
      this.make = null;
      this.fail(new AbortError(), true);
      return;
    }
    if (this.waiting !== null) this.ending = this.waiting.abandon(cx);
    cx.waker.wake();
  }

  override ref(): this {
    this.waiting?.ref();
    return this;
  }

  override unref(): this {
    this.waiting?.unref();
    return this;
  }
}

/**
 * Futures as one. Its parts are polled with a context of its own: they wake it, it wakes whoever
 * polls it, so that any number of tasks may wait for it and come and go. Abandoned by the last one,
 * it abandons its parts and ends when each of them has ended.
 */
export abstract class Composite<T> extends Outcome<T> {
  runtime: Runtime | null = null;
  private inner: Context | null = null;
  private ending: Future<unknown>[] | null = null;
  private driving = false;

  /** Those that have not ended. */
  protected abstract parts(): Future<unknown>[];
  /** Polls them, and settles when the outcome is there. */
  protected abstract advance(cx: Context): void;

  override poll(cx: Context): Poll<T> {
    // The task that drives it hears of the end; the outcome is for others, or for nobody.
    const drives = this.drives(cx);
    if (this.settled) return drives ? (undefined as T) : this.take();
    this.driving = drives;
    this.leave(cx.waker); // Who polls need not be woken.
    const inner = this.context(cx);
    inner.referenced = cx.referenced;
    if (this.ending === null) this.advance(inner);
    else this.end(inner);
    if (this.settled) {
      if (drives) return undefined as T;
      this.driven?.context.waker.wake();
      return this.take();
    }
    // The task that drives it is woken, but does not count as somebody who waits.
    return drives ? PENDING : this.wait(cx);
  }

  /** Fails with an error that whoever polls takes, unless it only drives. */
  protected refuse(error: unknown): void {
    this.fail(error, !this.driving);
  }

  private drives(cx: Context): boolean {
    return this.driven?.context === cx;
  }

  private context(cx: Context): Context {
    if (this.inner === null) {
      this.runtime ??= cx.runtime;
      const wake = () => {
        this.wakeAll();
        this.driven?.context.waker.wake();
      };
      this.inner = new Context({ wake, wakeByRef: wake }, cx.runtime);
    }
    return this.inner;
  }

  override abandon(cx: Context): boolean {
    if (this.settled) return false;
    // When its driver is aborted, the runtime closes: nobody would settle it any more.
    const closes = this.drives(cx);
    if (!closes && this.leave(cx.waker)) return false;
    const inner = this.context(cx);
    this.ending ??= this.parts().filter((part) => part.abandon(inner));
    if (closes) this.fail(cx.runtime.ended ? closedError() : new AbortError(), true);
    else this.end(inner);
    return !this.settled;
  }

  private end(inner: Context): void {
    this.ending = (this.ending as Future<unknown>[]).filter((part) => stillPending(part, inner));
    if (this.ending.length === 0) this.fail(new AbortError(), true);
  }
}

/** The future of `future(...)`: a generator that several may wait for. */
class SharedGenerator<T> extends Composite<T> {
  private readonly generator: GeneratorFuture<T>;

  constructor(make: () => Generator<Future<unknown>, T, unknown>) {
    super();
    this.generator = new GeneratorFuture(make);
  }

  protected parts(): Future<unknown>[] {
    return [this.generator];
  }

  protected advance(cx: Context): void {
    try {
      const value = this.generator.poll(cx);
      if (value !== PENDING) this.settle(value);
    } catch (error) {
      this.refuse(error);
    }
  }

  /** Its finally blocks run to their end, whether or not anybody still polls. */
  override abandon(cx: Context): boolean {
    const ending = super.abandon(cx);
    if (ending && !cx.runtime.ended) this.begin();
    return ending;
  }
}

/** The runtime that one of them is bound to already; null: whichever polls them. */
export function homeOf(futures: Iterable<Future<unknown>>): Runtime | null {
  for (const future of futures) {
    const { runtime } = future as { runtime?: Runtime | null };
    if (runtime) return runtime;
  }
  return null;
}

/** Whether an abandoned future has yet to end; how it ends does not matter. */
function stillPending(future: Future<unknown>, cx: Context): boolean {
  try {
    return future.poll(cx) === PENDING;
  } catch {
    return false;
  }
}

function describe(value: unknown): string {
  if (value instanceof Future) return `a ${value.constructor.name}; write \`yield*\``;
  if (typeof (value as PromiseLike<unknown> | null)?.then === 'function') {
    return 'a promise; write `yield* fromPromise(promise)`';
  }
  return String(typeof value);
}

/** A promise as a future. It cannot be cancelled, only left. */
export class PromiseFuture<T> extends Outcome<T> {
  constructor(promise: PromiseLike<T>) {
    super();
    promise.then(
      (value) => this.settle(value),
      (error) => this.fail(error),
    );
  }

  override begin(): void {}

  override abandon(cx: Context): boolean {
    if (!this.leave(cx.waker)) this.fail(new AbortError(), true);
    return false;
  }
}

/** A generator as a future that can be awaited, raced, timed: `future(function* () { ... })`. */
export function future<T>(make: () => Generator<Future<unknown>, T, unknown>): Future<T> {
  if (typeof make !== 'function') throw typeError('make', 'a generator function', make);
  return new SharedGenerator(make);
}

/** Brings a promise into a task: `const v = yield* fromPromise(promise)`. */
export function fromPromise<T>(promise: PromiseLike<T>): Future<T> {
  if (promise instanceof Future) return promise as Future<T>;
  if (typeof promise?.then !== 'function') throw typeError('promise', 'a promise', promise);
  return new PromiseFuture(promise);
}
