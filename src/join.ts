// Several futures as one: the first, or all.
// Pair: crates/ringcore/src/join.rs

import { typeError } from './error.ts';
import { type Context, type Future, fromPromise, Outcome, PENDING, type Poll } from './task.ts';

/** What the combinators take: futures, and promises as they are. */
export type Awaitable<T> = Future<T> | PromiseLike<T>;

function futures<T>(items: Iterable<Awaitable<T>>): Future<T>[] {
  if (typeof items?.[Symbol.iterator] !== 'function') {
    throw typeError('futures', 'an iterable of futures', items);
  }
  return Array.from(items, (item) => fromPromise(item));
}

// PAIR: race
/**
 * The outcome of the first that ends, in order among those that end together. The others are
 * abandoned: what they wait for is cancelled, a descriptor that comes all the same is closed.
 */
export function race<T>(items: Iterable<Awaitable<T>>): Future<T> {
  return new Race(futures(items));
}

class Race<T> extends Outcome<T> {
  private readonly futures: Future<T>[];

  constructor(futures: Future<T>[]) {
    super();
    this.futures = futures;
  }

  override poll(cx: Context): Poll<T> {
    if (this.settled) return this.take();
    for (const future of this.futures) {
      try {
        const value = future.poll(cx);
        if (value === PENDING) continue;
        this.others(future, cx);
        this.settle(value);
      } catch (error) {
        this.others(future, cx);
        this.fail(error, true);
      }
      return this.take();
    }
    return this.wait(cx);
  }

  private others(winner: Future<T> | null, cx: Context): void {
    for (const future of this.futures) if (future !== winner) future.abandon(cx);
  }

  override abandon(cx: Context): void {
    if (!this.settled && !this.leave(cx.waker)) this.others(null, cx);
  }
}

/** The values of a tuple of futures. */
type Values<T extends readonly Awaitable<unknown>[]> = { -readonly [K in keyof T]: Awaited<T[K]> };

// PAIR: all
/**
 * Every value, in the order of the arguments. The first failure is the outcome, the others are
 * abandoned then. (The Rust twin gives each its own Result.)
 */
export function all<const T extends readonly Awaitable<unknown>[]>(items: T): Future<Values<T>> {
  return new All(futures<unknown>(items)) as Future<unknown> as Future<Values<T>>;
}

class All extends Outcome<unknown[]> {
  private readonly futures: Future<unknown>[];
  private readonly values: Poll<unknown>[];
  private left: number;

  constructor(futures: Future<unknown>[]) {
    super();
    this.futures = futures;
    this.values = futures.map(() => PENDING);
    this.left = futures.length;
  }

  override poll(cx: Context): Poll<unknown[]> {
    if (this.settled) return this.take();
    const { futures, values } = this;
    for (let i = 0; i < futures.length; i++) {
      if (values[i] !== PENDING) continue;
      try {
        const value = (futures[i] as Future<unknown>).poll(cx);
        if (value === PENDING) continue;
        values[i] = value;
        this.left--;
      } catch (error) {
        this.others(cx);
        this.fail(error, true);
        return this.take();
      }
    }
    if (this.left > 0) return this.wait(cx);
    this.settle(values);
    return this.take();
  }

  private others(cx: Context): void {
    this.futures.forEach((future, i) => {
      if (this.values[i] === PENDING) future.abandon(cx);
    });
  }

  override abandon(cx: Context): void {
    if (!this.settled && !this.leave(cx.waker)) this.others(cx);
  }
}
