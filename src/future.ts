// Futures, wakers, contexts. "Rust gives it, TypeScript builds it."
// Pair: crates/ringcore/src/future.rs

import { promiseOf, RESOLVED, Reaction, react, Unhandled } from './promise.ts';
import type { Runtime } from './runtime.ts';
import type { JoinHandle } from './task.ts';

/** Poll.Pending: not yet; the waker of the context will be called. */
export const PENDING: unique symbol = Symbol('ringcore.PENDING');

// PAIR: Poll
/** PENDING, or the value (Poll.Ready). An error is thrown. */
export type Poll<T> = T | typeof PENDING;

// PAIR: Waker
/** Puts a task back into the ready queue. Any number of calls, at any time. */
export interface Waker {
  wake(): void;
  /** The same: JavaScript has no ownership to give away. */
  wakeByRef(): void;
}

// PAIR: Context
/** What a future is polled with: whom to wake, and on which runtime. */
export class Context {
  readonly waker: Waker;
  readonly runtime: Runtime;
  /** Operations started by this task hold the process. */
  referenced = true;
  /**
   * The future that an iterator has yielded last, which the generator waits for. Flags beside it
   * instead of more references: each write of a young future into an old object has a price.
   */
  yielded: Future<unknown> | null = null;
  /** It was yielded just now, and the driver of the generator has not seen it yet. */
  fresh = false;
  /** An iteration has begun that has not yielded yet. */
  starting = false;
  /** The yielded future is ready: its value, kept for the driver's immediate return. */
  early: unknown = PENDING;
  constructor(waker: Waker, runtime: Runtime) {
    this.waker = waker;
    this.runtime = runtime;
  }
}

/** The context of the poll that is going on, or null outside of tasks. */
let current: Context | null = null;

/** A poll begins, or ends: sets the context, gives the one before. */
export function enter(cx: Context | null): Context | null {
  const outer = current;
  current = cx;
  return outer;
}

/** The context of the poll that is going on. */
export function currentContext(): Context | null {
  return current;
}

// Two result objects for all iterators: the engine reads them before anybody else can. The driver
// knows a yield by WAITS and takes the future from the context, so that nothing else is carried.
// By the value and not by the object: JavaScriptCore (Bun) makes a new object where the
// specification passes it on (tc39/ecma262#1058).
export const WAITS: unique symbol = Symbol('ringcore.WAITS');
const YIELD: IteratorYieldResult<unknown> = { done: false, value: WAITS };
const DONE: IteratorReturnResult<unknown> = { done: true, value: undefined };

/** Set by runtime.ts, for what stands below it: dependencies point one way. */
export const late: {
  /** How a future that nobody polls gets a task of its own. */
  drive: (future: Future<unknown>) => JoinHandle<unknown>;
  /** The thread's default runtime. */
  current: () => Runtime;
} = {
  drive: () => {
    throw misuse('runtime.ts is not loaded');
  },
  current: () => {
    throw misuse('runtime.ts is not loaded');
  },
};

// PAIR: Future
/**
 * A value that is not there yet. `poll` answers PENDING and keeps the waker, or returns the value,
 * or throws; once settled it answers the same for ever.
 *
 * In a generator task: `const n = yield* future`. Outside: `const n = await future`.
 */
export abstract class Future<T> implements PromiseLike<T> {
  protected driven: JoinHandle<unknown> | null = null;

  abstract poll(cx: Context): Poll<T>;

  /**
   * Nobody will take the result: what runs for it is cancelled. The counterpart of Drop in Rust,
   * called by race, timeout and abort. `cx` is the task that stops waiting.
   *
   * Whether it is ending now and is to be polled until it has ended; false: it has nothing to end,
   * or somebody else still waits for it.
   */
  abandon(_cx: Context): boolean {
    return false;
  }

  /** The value was polled by somebody who failed before anybody received it (I3). */
  discard(): void {}

  /** Holds the process until it has settled (the default). */
  ref(): this {
    return this;
  }

  /** Does not hold the process. */
  unref(): this {
    return this;
  }

  /** `yield* future`: the future is its own iterator, so that nothing is allocated. */
  [Symbol.iterator](): Iterator<Future<unknown>, T, unknown> {
    if (current === null) throw misuse('yield* works in a generator task; elsewhere, use await');
    current.starting = true;
    current.early = PENDING; // What a spread or a destructuring left is nobody's value.
    return this as unknown as Iterator<Future<unknown>, T, unknown>;
  }

  /** One step of `yield*`. Errors are thrown here, so that they carry every generator's frame. */
  next(): IteratorResult<Future<unknown>, T> {
    const cx = current;
    if (cx === null) throw misuse('yield* works in a generator task; elsewhere, use await');
    // A driver takes what is yielded before it comes again; a spread or a for loop does not.
    if (cx.fresh && cx.yielded === this) {
      cx.fresh = false;
      throw misuse('a future is not a list: write `yield* future`');
    }
    if (cx.early !== PENDING) {
      DONE.value = cx.early;
      cx.early = PENDING;
      return DONE as IteratorReturnResult<T>;
    }
    const polled = this.poll(cx);
    if (polled !== PENDING) {
      if (!cx.starting) {
        DONE.value = polled;
        return DONE as IteratorReturnResult<T>;
      }
      cx.early = polled; // Ready at the first step: one yield all the same, to tell a spread.
    }
    cx.starting = false;
    cx.fresh = true;
    cx.yielded = this;
    return YIELD as IteratorYieldResult<Future<unknown>>;
  }

  /** The generator that waits here is ended; or a destructuring has read one element. */
  return(value?: T): IteratorResult<Future<unknown>, T> {
    const cx = current;
    if (cx?.fresh && cx.yielded === this) {
      cx.fresh = false;
      throw misuse('a future is not a list: write `yield* future`');
    }
    return { done: true, value: value as T };
  }

  /** An error thrown into the generator that waits here is its own. */
  throw(error: unknown): never {
    throw error;
  }

  then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return react<T, A | PromiseLike<A>, B | PromiseLike<B>>(this, fulfilled, rejected) as Promise<
      A | B
    >;
  }

  catch<B = never>(rejected?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<T | B> {
    return promiseOf(this).catch(rejected);
  }

  finally(action?: (() => void) | null): Promise<T> {
    return promiseOf(this).finally(action);
  }

  /** A future without an outcome of its own is driven by a task made for it. */
  react(reaction: Reaction<T>): void {
    this.drive().react(reaction as Reaction<unknown>);
  }

  /** The task that polls it when nobody else does. */
  protected drive(): JoinHandle<unknown> {
    this.driven ??= late.drive(this as Future<unknown>);
    return this.driven;
  }
}

/** A TypeError for what the types forbid and JavaScript allows. */
export function misuse(text: string): TypeError {
  return Object.assign(new TypeError(text), { code: 'ERR_RINGCORE_MISUSE' });
}

const ignore = (): void => {};

const WAITING = 0;
const READY = 1;
const FAILED = 2;

/** A future that is settled once, from outside, and keeps its outcome. */
export abstract class Outcome<T> extends Future<T> {
  protected state: number = WAITING;
  protected result: unknown = undefined;
  private waker: Waker | null = null;
  private wakers: Waker[] | null = null;
  /** Not of T: what settles an Op<number> is an Op<unknown> to whoever cancels it. */
  private reaction: Reaction<unknown> | null = null;
  private unhandled: Unhandled | null = null;

  // The implied one forwards its arguments, which the engine does not inline.
  // biome-ignore lint/complexity/noUselessConstructor: making an Op took 14 ns, now 12
  constructor() {
    super();
  }

  /** Starts what leads to the outcome, when it was only described so far: a task, by default. */
  begin(): void {
    // The outcome tells those who wait; the handle of the driving task has nothing to add.
    this.drive().react(new Reaction<unknown>(ignore, ignore));
  }

  override poll(cx: Context): Poll<T> {
    if (this.state === WAITING) return this.wait(cx);
    return this.take();
  }

  /** Whether the outcome is there. */
  get settled(): boolean {
    return this.state !== WAITING;
  }

  /** The outcome: returned, or thrown. */
  protected take(): T {
    if (this.state === FAILED) {
      this.unhandled?.take();
      throw this.error();
    }
    return this.result as T;
  }

  /** The outcome, for who has settled it: returned, or thrown. */
  outcome(): T {
    if (this.state === FAILED) {
      this.unhandled?.take();
      throw this.error();
    }
    return this.result as T;
  }

  /** Somebody else reports its failure. */
  heard(): void {
    this.unhandled?.take();
  }

  /** The error of a failure. Op makes it here, late, where a generator's frames are. */
  protected error(): unknown {
    return this.result;
  }

  /** Keeps the waker. */
  protected wait(cx: Context): typeof PENDING {
    if (this.waker === null || this.waker === cx.waker) this.waker = cx.waker;
    else if (this.wakers === null) this.wakers = [cx.waker];
    else if (!this.wakers.includes(cx.waker)) this.wakers.push(cx.waker);
    return PENDING;
  }

  /** Forgets a waker; whether anybody is left who waits. */
  protected leave(waker: Waker): boolean {
    if (this.waker === waker) this.waker = this.wakers?.pop() ?? null;
    else this.wakers = this.wakers?.filter((other) => other !== waker) ?? null;
    return this.waker !== null || this.reaction !== null;
  }

  /** Tasks that wait; 0 as soon as somebody awaits, who gets the value whatever they do. */
  protected get takers(): number {
    if (this.reaction !== null) return 0;
    return (this.waker === null ? 0 : 1) + (this.wakers?.length ?? 0);
  }

  /** Settles with a value. Later calls change nothing. */
  protected settle(value: T): void {
    if (this.state === WAITING) this.finish(READY, value);
  }

  /** Settles with an error. `quiet`: nobody needs to hear of it when nobody waits. */
  protected fail(error: unknown, quiet = false): void {
    if (this.state !== WAITING) return;
    const alone = this.waker === null && this.reaction === null;
    this.finish(FAILED, error);
    if (alone && !quiet) this.unhandled = new Unhandled(this.error());
  }

  /** Takes an outcome back that nobody has received. */
  protected revoke(error: unknown): void {
    this.state = FAILED;
    this.result = error;
  }

  /** Calls the wakers, once. */
  protected wakeAll(): void {
    const { waker, wakers } = this;
    if (waker !== null) {
      this.waker = null;
      waker.wake();
    }
    if (wakers !== null) {
      this.wakers = null;
      for (const other of wakers) other.wake();
    }
  }

  private finish(state: number, result: unknown): void {
    this.state = state;
    this.result = result;
    this.wakeAll();
    let reaction = this.reaction;
    this.reaction = null;
    while (reaction !== null) {
      const next: Reaction<unknown> | null = reaction.next;
      reaction.run(state === FAILED, state === FAILED ? this.error() : result);
      reaction = next;
    }
  }

  override react(reaction: Reaction<T>): void {
    // First of all, so that what fails here calls back later, as everything does.
    if (this.state === WAITING) this.begin();
    if (this.state === WAITING) {
      const added = reaction as Reaction<unknown>;
      if (this.reaction === null) {
        this.reaction = added;
      } else {
        let last = this.reaction;
        while (last.next !== null) last = last.next;
        last.next = added;
      }
      return;
    }
    this.unhandled?.take();
    const failed = this.state === FAILED;
    RESOLVED.then(() => reaction.run(failed, failed ? this.error() : this.result));
  }
}
