// Futures, wakers and tasks. "Rust gives it, TypeScript builds it."
// Pair: crates/ringcore/src/task.rs

import { AsyncResource } from 'node:async_hooks';
import { AbortError, closedError, typeError } from './error.ts';
import type { Runtime } from './executor.ts';
import { promiseOf, RESOLVED, Reaction, react, Unhandled } from './promise.ts';

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
  /** The future that an iterator has just yielded; the driver of the generator takes it. */
  yielded: Future<unknown> | null = null;
  /** The future whose iteration has begun and that has not been polled by it. */
  starting: Future<unknown> | null = null;
  /** The yielded future is ready: its value, kept for the driver's immediate return. */
  early: unknown = PENDING;
  constructor(waker: Waker, runtime: Runtime) {
    this.waker = waker;
    this.runtime = runtime;
  }
}

/** The context of the poll that is going on, or null outside of tasks. */
let current: Context | null = null;

/** The context of the poll that is going on. */
export function currentContext(): Context | null {
  return current;
}

// Two result objects for all iterators: the engine reads them before anybody else can. The driver
// knows YIELD by itself and takes the future from the context, so that it has no value to carry.
const YIELD: IteratorYieldResult<unknown> = { done: false, value: undefined };
const DONE: IteratorReturnResult<unknown> = { done: true, value: undefined };

/** Set by executor.ts: how a future that nobody polls gets a task of its own. */
export const late: { drive: (future: Future<unknown>) => JoinHandle<unknown> } = {
  drive: () => {
    throw misuse('executor.ts is not loaded');
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
    current.starting = this;
    current.early = PENDING; // What a spread or a destructuring left is nobody's value.
    return this as unknown as Iterator<Future<unknown>, T, unknown>;
  }

  /** One step of `yield*`. Errors are thrown here, so that they carry every generator's frame. */
  next(): IteratorResult<Future<unknown>, T> {
    const cx = current;
    if (cx === null) throw misuse('yield* works in a generator task; elsewhere, use await');
    // A driver takes what is yielded before it comes again; a spread or a for loop does not.
    if (cx.yielded === this) {
      cx.yielded = null;
      throw misuse('a future is not a list: write `yield* future`');
    }
    if (cx.early !== PENDING) {
      DONE.value = cx.early;
      cx.early = PENDING;
      return DONE as IteratorReturnResult<T>;
    }
    const polled = this.poll(cx);
    if (polled !== PENDING) {
      if (cx.starting !== this) {
        DONE.value = polled;
        return DONE as IteratorReturnResult<T>;
      }
      cx.early = polled; // Ready at the first step: one yield all the same, to tell a spread.
    }
    cx.starting = null;
    cx.yielded = this;
    return YIELD as IteratorYieldResult<Future<unknown>>;
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

function misuse(text: string): TypeError {
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

/** A generator as a future: a task's own. It runs inside the one task that polls it. */
export class GeneratorFuture<T> extends Outcome<T> {
  private make: (() => Generator<Future<unknown>, T, unknown>) | null;
  private generator: Generator<Future<unknown>, T, unknown> | null = null;
  private waiting: Future<unknown> | null = null;
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
    if (this.state !== WAITING) return this.take();
    if (this.running) throw misuse('a generator waits for itself');
    this.running = true;
    const outer = current;
    current = cx;
    try {
      this.resume(cx);
    } catch (error) {
      this.generator = null;
      this.fail(this.aborting && !this.returned ? new AbortError() : error);
    } finally {
      current = outer;
      this.running = false;
      cx.yielded = null;
      cx.starting = null;
      cx.early = PENDING;
    }
    return this.state === WAITING ? PENDING : this.take();
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
        if (this.waiting !== null && this.ending && stillPending(this.waiting, cx)) return;
        this.returned = true;
        step = generator.return(undefined as T);
      } else if (wrong !== null) {
        step = generator.throw(wrong);
        wrong = null;
      } else {
        step = generator.next();
      }
      this.waiting = null;
      if (step.done) {
        this.generator = null;
        if (this.aborting) this.fail(new AbortError(), true);
        else this.settle(step.value);
        return;
      }
      const future = cx.yielded;
      cx.yielded = null;
      if (future === null || (step as IteratorResult<unknown>) !== YIELD) {
        const got = describe(step.value);
        wrong = misuse(`a task waits with \`yield*\`, not with \`yield\`: it yielded ${got}`);
        continue;
      }
      if (cx.early !== PENDING) continue;
      this.waiting = future;
      if (!this.aborting || this.returned) return;
      this.ending = future.abandon(cx); // It aborted itself while it ran.
    }
  }

  override abandon(cx: Context): boolean {
    if (this.state !== WAITING) return false;
    this.abort(cx);
    return !this.settled;
  }

  /** Ends the generator: what it waits for first, then its finally blocks. */
  abort(cx: Context): void {
    if (this.state !== WAITING || this.aborting) return;
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
 * Futures as one. Its parts are polled with a context of its own: they wake it, and it wakes whoever
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

// PAIR: only-typescript future -- Rust has async blocks
/** A generator as a future that can be awaited, raced, timed: `future(function* () { ... })`. */
export function future<T>(make: () => Generator<Future<unknown>, T, unknown>): Future<T> {
  if (typeof make !== 'function') throw typeError('make', 'a generator function', make);
  return new SharedGenerator(make);
}

// PAIR: only-typescript fromPromise -- Rust has no promises
/** Brings a promise into a task: `const v = yield* fromPromise(promise)`. */
export function fromPromise<T>(promise: PromiseLike<T>): Future<T> {
  if (promise instanceof Future) return promise as Future<T>;
  if (typeof promise?.then !== 'function') throw typeError('promise', 'a promise', promise);
  return new PromiseFuture(promise);
}

/** What `run` and `spawn` take. */
export type TaskSource<T> =
  | ((signal: AbortSignal) => Generator<Future<unknown>, T, unknown> | PromiseLike<T> | T)
  | Generator<Future<unknown>, T, unknown>
  | Future<T>;

// PAIR: Task
/** A spawned future, its waker, and the async context it was spawned in. */
export class Task<T> implements Waker {
  readonly handle: JoinHandle<T>;
  readonly context: Context;
  private readonly executor: { ready(task: Task<unknown>): void; ended(task: Task<unknown>): void };
  private source: TaskSource<T> | null;
  private future: Future<T> | null = null;
  private controller: AbortController | null = null;
  private readonly resource = new AsyncResource('RINGCORE_TASK');
  private queued = false;
  private aborted = false;

  constructor(
    source: TaskSource<T>,
    runtime: Runtime,
    executor: { ready(task: Task<unknown>): void; ended(task: Task<unknown>): void },
  ) {
    this.source = source;
    this.executor = executor;
    this.context = new Context(this, runtime);
    this.handle = new JoinHandle<T>(this);
  }

  wake(): void {
    if (this.queued || this.handle.settled) return;
    this.queued = true;
    this.executor.ready(this as Task<unknown>);
  }

  wakeByRef(): void {
    this.wake();
  }

  /** Polls once, inside the task's own async context. */
  run(): void {
    this.queued = false;
    if (this.handle.settled) return;
    this.resource.runInAsyncScope(this.step, this);
  }

  private step(): void {
    try {
      if (this.future === null) this.future = this.open();
      const value = this.future.poll(this.context);
      if (value !== PENDING) this.end(false, value);
    } catch (error) {
      this.end(true, error);
    }
  }

  /** The first poll: before it, nothing of the task has run. */
  private open(): Future<T> {
    const source = this.source as TaskSource<T>;
    this.source = null;
    if (source instanceof Future) return source;
    if (typeof source !== 'function') return new GeneratorFuture(() => source);
    this.controller = new AbortController();
    const made = source(this.controller.signal);
    if (made instanceof Future) return made as Future<T>;
    if (isGenerator<T>(made)) return new GeneratorFuture(() => made);
    return new PromiseFuture(Promise.resolve(made as PromiseLike<T> | T));
  }

  private end(failed: boolean, value: unknown): void {
    if (this.handle.settled) return; // It aborted itself at its first poll.
    this.future = null;
    if (failed) this.handle.reject(value);
    else this.handle.resolve(value as T);
    this.executor.ended(this as Task<unknown>);
  }

  /** See JoinHandle.abort. */
  abort(): void {
    if (this.aborted || this.handle.settled) return;
    this.aborted = true;
    const { future } = this;
    this.controller?.abort(new AbortError());
    if (future === null && this.source !== null) {
      this.source = null;
      this.end(true, new AbortError());
    } else if (future instanceof GeneratorFuture) {
      future.abort(this.context);
    } else {
      future?.abandon(this.context);
      // Nothing here can be driven to an end; an operation's own CQE is waited for by the ring.
      this.end(true, new AbortError());
    }
  }

  /** Whether what the task waits for, and will wait for, holds the process. */
  reference(wanted: boolean): void {
    this.context.referenced = wanted;
    if (wanted) this.future?.ref();
    else this.future?.unref();
  }
}

function isGenerator<T>(value: unknown): value is Generator<Future<unknown>, T, unknown> {
  const generator = value as Generator | null;
  return (
    typeof generator?.next === 'function' &&
    typeof generator.return === 'function' &&
    typeof generator[Symbol.iterator] === 'function'
  );
}

// PAIR: JoinHandle
/** Waits for a task. Dropping it detaches the task; its failure is then an unhandledRejection. */
export class JoinHandle<T> extends Outcome<T> {
  private readonly task: Task<T>;
  constructor(task: Task<T>) {
    super();
    this.task = task;
  }

  override begin(): void {}

  /** What its task is polled with. */
  get context(): Context {
    return this.task.context;
  }

  // PAIR: JoinHandle.abort
  /**
   * Ends the task. A generator: what it waits for is cancelled, its CQE awaited, then `return()`
   * runs its finally blocks, which may `yield*`; the handle rejects with an AbortError after that.
   * Before the first poll nothing runs at all. An async function is told through its signal, and
   * the handle rejects at once.
   */
  abort(): void {
    this.task.abort();
  }

  // PAIR: JoinHandle.finished
  /** Whether the task has ended, in any way. */
  finished(): boolean {
    return this.settled;
  }

  // PAIR: JoinHandle.poll
  override poll(cx: Context): Poll<T> {
    return super.poll(cx);
  }

  /** A handle that nobody waits for any more detaches: the task goes on. */
  override abandon(cx: Context): boolean {
    this.leave(cx.waker);
    return false;
  }

  override ref(): this {
    this.task.reference(true);
    return this;
  }

  override unref(): this {
    this.task.reference(false);
    return this;
  }

  /** Called by the task. */
  resolve(value: T): void {
    this.settle(value);
  }

  /** Called by the task. */
  reject(error: unknown): void {
    this.fail(error, error instanceof AbortError);
  }
}
