// PAIR: only-typescript promise.ts -- an Op as a thenable; its Rust twin comes when Rust futures cross
//
// `await future` calls `future.then(resolve, reject)` with two functions of the engine. Those are
// kept as they are and called at delivery: one small object per await, no promise besides the
// engine's own. Everything else that can be done with a promise gets a real one.

import { AbortError } from './error.ts';

/** What a future offers to those who wait outside of a task. */
export interface Settler<T> {
  /** Calls back once, when the future has settled; never inside of this call. */
  react(reaction: Reaction<T>): void;
}

type Fulfilled<T> = (value: T) => unknown;
type Rejected = (error: unknown) => unknown;

/** One await: the callbacks, and a chain for the rare case that somebody goes on from here. */
export class Reaction<T> {
  private readonly fulfilled: Fulfilled<T>;
  private readonly rejected: Rejected;
  /** The next await of the same future. */
  next: Reaction<T> | null = null;
  private chained: Promise<unknown> | null = null;
  private settle: ((outcome: Promise<unknown>) => void) | null = null;
  private outcome: Promise<unknown> | null = null;

  constructor(fulfilled: Fulfilled<T>, rejected: Rejected) {
    this.fulfilled = fulfilled;
    this.rejected = rejected;
  }

  /**
   * The future has settled. An error thrown here by the caller's own callback becomes the outcome
   * of the chain, and without one an unhandled rejection.
   */
  run(failed: boolean, value: unknown): void {
    try {
      const result = failed ? this.rejected(value) : this.fulfilled(value as T);
      if (result === undefined && this.settle === null) {
        this.outcome = RESOLVED; // For whoever goes on from here only now.
        return;
      }
      this.outcome = Promise.resolve(result);
    } catch (error) {
      this.outcome = Promise.reject(error);
    }
    this.settle?.(this.outcome);
  }

  /** A real promise of what the callbacks return. */
  private promise(): Promise<unknown> {
    this.chained ??=
      this.outcome ??
      new Promise((resolve) => {
        this.settle = resolve;
      });
    return this.chained;
  }

  then<A, B>(
    fulfilled?: ((value: unknown) => A) | null,
    rejected?: ((error: unknown) => B) | null,
  ): Promise<A | B> {
    return this.promise().then(fulfilled, rejected) as Promise<A | B>;
  }

  catch<B>(rejected?: ((error: unknown) => B) | null): Promise<unknown> {
    return this.promise().catch(rejected);
  }

  finally(action?: (() => void) | null): Promise<unknown> {
    return this.promise().finally(action);
  }

  get [Symbol.toStringTag](): string {
    return 'Promise';
  }
}

/**
 * `then` of every future. Two functions are what the engine passes for an await: the fast way, run
 * at delivery. (Given by hand they run there too, outside of the caller's AsyncLocalStorage; await,
 * `then(f)`, `catch` and `finally` keep it.)
 */
export function react<T, A, B>(
  future: Settler<T>,
  fulfilled?: ((value: T) => A) | null,
  rejected?: ((error: unknown) => B) | null,
): Promise<A | B> {
  if (typeof fulfilled === 'function' && typeof rejected === 'function') {
    const reaction = new Reaction<T>(fulfilled, rejected);
    future.react(reaction);
    return reaction as unknown as Promise<A | B>;
  }
  return promiseOf(future).then(fulfilled, rejected);
}

/** A real promise of a future's outcome. */
export function promiseOf<T>(future: Settler<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => future.react(new Reaction<T>(resolve, reject)));
}

/** A promise that is resolved: the cheapest way into the microtask queue that Node has. */
export const RESOLVED: Promise<void> = Promise.resolve();

/**
 * A failure that nobody waits for yet. The engine's own book-keeping decides: taken before the
 * microtasks are drained, nothing happens; later, it is an unhandledRejection. An AbortError is
 * what its causer wanted, never a surprise.
 */
export class Unhandled {
  private readonly rejection: Promise<never> | null;
  constructor(error: unknown) {
    this.rejection = error instanceof AbortError ? null : Promise.reject(error);
  }

  /** Somebody takes the error after all. */
  take(): void {
    this.rejection?.catch(() => {});
  }
}
