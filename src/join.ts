// Several futures as one: the first, or all.
// Pair: crates/ringcore/src/join.rs

import { typeError } from './error.ts';
import { type Context, type Future, PENDING, type Poll } from './future.ts';
import { Composite, fromPromise, homeOf } from './generator.ts';

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
export function race<T extends Awaitable<unknown>>(items: Iterable<T>): Future<Awaited<T>> {
  return new Race(futures<Awaited<T>>(items as Iterable<Awaitable<Awaited<T>>>));
}

class Race<T> extends Composite<T> {
  private readonly futures: Future<T>[];

  constructor(futures: Future<T>[]) {
    super();
    this.futures = futures;
    this.runtime = homeOf(futures);
  }

  protected parts(): Future<unknown>[] {
    return this.futures;
  }

  protected advance(cx: Context): void {
    for (const future of this.futures) {
      try {
        const value = future.poll(cx);
        if (value === PENDING) continue;
        this.others(future, cx);
        this.settle(value);
      } catch (error) {
        this.others(future, cx);
        this.refuse(error);
      }
      return;
    }
  }

  private others(winner: Future<T>, cx: Context): void {
    for (const future of this.futures) if (future !== winner) future.abandon(cx);
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

class All extends Composite<unknown[]> {
  private readonly futures: Future<unknown>[];
  private readonly values: Poll<unknown>[];
  private left: number;

  constructor(futures: Future<unknown>[]) {
    super();
    this.futures = futures;
    this.values = futures.map(() => PENDING);
    this.left = futures.length;
    this.runtime = homeOf(futures);
  }

  protected parts(): Future<unknown>[] {
    return this.futures.filter((_, i) => this.values[i] === PENDING);
  }

  protected advance(cx: Context): void {
    const { futures, values } = this;
    for (let i = 0; i < futures.length; i++) {
      if (values[i] !== PENDING) continue;
      try {
        const value = (futures[i] as Future<unknown>).poll(cx);
        if (value === PENDING) continue;
        values[i] = value;
        this.left--;
      } catch (error) {
        for (const part of this.parts()) part.abandon(cx);
        this.discardTaken();
        this.refuse(error);
        return;
      }
    }
    if (this.left === 0) this.settle(values);
  }

  override abandon(cx: Context): boolean {
    if (this.settled) return false;
    const ending = super.abandon(cx);
    if (ending || this.settled) this.discardTaken();
    return ending;
  }

  /** Nobody will see the list: descriptors that are in it already are closed (I3). */
  private discardTaken(): void {
    this.futures.forEach((future, i) => {
      if (this.values[i] !== PENDING) future.discard();
    });
  }
}
