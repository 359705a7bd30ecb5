// Tasks: spawned futures, and the handles that wait for them.
// Pair: crates/ringcore/src/task.rs

import type { AsyncResource } from 'node:async_hooks';
import { AbortError } from './error.ts';
import { Context, Future, Outcome, PENDING, type Poll, type Waker } from './future.ts';
import { GeneratorFuture, PromiseFuture } from './generator.ts';
import type { Runtime } from './runtime.ts';

/** What `run` and `spawn` take. */
export type TaskSource<T> =
  | ((signal: AbortSignal) => Generator<Future<unknown>, T, unknown> | PromiseLike<T> | T)
  | Generator<Future<unknown>, T, unknown>
  | Future<T>;

let Resource: typeof AsyncResource | null = null;

/** Of a class that is loaded with the first task: Bun takes a millisecond for it. */
function newResource(): AsyncResource {
  Resource ??= process.getBuiltinModule('node:async_hooks').AsyncResource;
  return new Resource('RINGCORE_TASK');
}

// PAIR: Task
/** A spawned future, its waker, and the async context it was spawned in. */
export class Task<T> implements Waker {
  readonly handle: JoinHandle<T>;
  readonly context: Context;
  private readonly executor: { ready(task: Task<unknown>): void; ended(task: Task<unknown>): void };
  private source: TaskSource<T> | null;
  private future: Future<T> | null = null;
  private controller: AbortController | null = null;
  private readonly resource = newResource();
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
    const { future, source } = this;
    this.controller?.abort(new AbortError());
    if (future === null && source !== null) {
      this.source = null;
      // Others may wait for it as well.
      if (source instanceof Future) source.abandon(this.context);
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

  /** Where its task runs. */
  get runtime(): Runtime {
    return this.task.context.runtime;
  }

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
