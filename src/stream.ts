// Stream: a multishot operation, one submission with many results.
// Pair: crates/ringcore/src/stream.rs
//
//             arm              results wait here (bytes in their provided buffers)
//   next() ────────> kernel ───────────────────────────> next() takes the oldest
//      ^               │ the shot ended (CQ overflow, no buffer left, too many wait)
//      └── arm again ──┘ at once, when they are taken, or when a buffer came back
//
// Closed, it is cancelled: descriptors that nobody took are closed (I3), buffers are returned.

import { checkOpOptions } from './check.ts';
import { IORING_CQE_F_MORE } from './cqe.ts';
import { beginDirect, descriptorOf, endDirect, takeBack } from './direct.ts';
import { AbortError, wrongRuntimeError } from './error.ts';
import { type Future, late } from './future.ts';
import type { BufferGroup } from './group.ts';
import { Done, errorOf, type Failure, iterate, Next } from './next.ts';
import type { Fd, OpOptions } from './op.ts';
import type { Started } from './reactor.ts';
import type { Ring } from './ring.ts';
import type { Runtime } from './runtime.ts';

// PAIR: BACKLOG
/**
 * So many results wait at most; then the operation is ended, and armed again when half of them are
 * taken. What comes meanwhile waits in the kernel, as connections do in the listen queue.
 */
export const BACKLOG = 1024;

const [ENOENT, ENOBUFS, ECANCELED] = [2, 105, 125];

/** Where a stream stands. */
const State = {
  /** Described, nothing armed yet. */
  Fresh: 0,
  /** The kernel has its shot. */
  Armed: 1,
  /** The same, and it was cancelled because too many results wait. */
  Pausing: 2,
  /** Its shot has ended; armed again when results are taken. */
  Idle: 3,
  /** The same, when a buffer came back. */
  Starved: 4,
  /** The kernel has its shot, nobody wants its results any more. */
  Ending: 5,
  Ended: 6,
} as const;
type State = (typeof State)[keyof typeof State];

// PAIR: Stream
/**
 * The results of a multishot operation, in order: `await stream.next()`, `yield* stream.next()`, or
 * `for await`. Nothing happens before the first result is awaited. Started, it lives until it ends,
 * is closed, or its runtime is, and holds the process meanwhile (unless unreferenced).
 */
export abstract class Stream<T> implements Started, AsyncIterable<T> {
  ticket = -1;
  referenced = true;
  /** It listens by itself, also while nothing is armed. */
  readonly signal: null = null;
  /** The runtime it is bound to: at once when it was made by one, else at the first poll. */
  runtime: Runtime | null;
  private state: State = State.Fresh;
  private readonly abortSignal: AbortSignal | undefined;
  private readonly onAbort = () => this.abort();
  /** Results and flags in turn, as they came. */
  private readonly queue: number[] = [];
  /** Values that somebody stopped waiting for. */
  private readonly returned: T[] = [];
  private readonly waiting: Next<T>[] = [];
  private failure: Failure | null = null;
  private closing: Done | null = null;
  /** Where the runtime finds it when it ends. */
  private live: Set<unknown> | null = null;

  constructor(runtime: Runtime | null, options: OpOptions | undefined) {
    this.runtime = runtime;
    const { signal, ref } = checkOpOptions(options);
    this.abortSignal = signal;
    if (ref === false) this.referenced = false;
  }

  /** A descriptor as the border takes it. Called by constructors. */
  protected descriptor(fd: Fd): number {
    return descriptorOf(this, fd);
  }

  /** Writes the descriptor of the next shot. */
  abstract prepare(ring: Ring, ticket: number): void;
  /** The value of a result, when it is handed over. */
  protected abstract value(res: number, flags: number): T;
  /** The system call's name, for errors. */
  protected abstract get syscall(): string;
  /** A result that nobody takes: its descriptor is closed, its buffer returned. */
  protected abstract drop(res: number, flags: number): void;
  /** The same for a value. */
  protected abstract dropValue(value: T): void;

  /** Results that are no error. */
  protected succeeds(res: number): boolean {
    return res >= 0;
  }

  /** A result came: whether it is one that `next` gives, and whether it is the last one. */
  protected step(_res: number, _flags: number): 'item' | 'last' | 'end' {
    return 'item';
  }

  /** A result is queued; what is queued beside it, by default its flags. */
  protected keep(_res: number, flags: number): number {
    return flags;
  }

  /** It leaves the queue. */
  protected unkeep(_kept: number): void {}

  /** Results that may wait. */
  protected get backlog(): number {
    return BACKLOG;
  }

  /** Where its bytes come from. */
  protected get group(): BufferGroup | null {
    return null;
  }

  // PAIR: Stream.next
  /**
   * The next result; undefined when the stream has ended. Several wait in the order in which they
   * were awaited. An error ends the stream: one `next` rejects, later ones give undefined. One that
   * is abandoned (a race, a timeout) loses nothing.
   */
  next(): Future<T | undefined> {
    return new Next<T>(this);
  }

  /** `for await (const value of stream)`: leaving the loop closes the stream. */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return iterate(this);
  }

  /** Binds to the runtime that polls it first. */
  bind(runtime: Runtime | null, referenced: boolean): void {
    const wanted = runtime ?? this.runtime ?? late.current();
    this.runtime ??= wanted;
    if (this.runtime !== wanted) throw wrongRuntimeError('This stream');
    if (!referenced && this.state === State.Fresh) this.referenced = false;
  }

  /** Somebody waits for the next result. */
  join(next: Next<T>): void {
    if (this.returned.length > 0) {
      next.give(this.returned.shift() as T);
    } else if (this.queue.length > 0) {
      const { queue } = this;
      const [res, kept] = [queue.shift() as number, queue.shift() as number];
      this.unkeep(kept);
      next.give(this.value(res, kept));
    } else if (this.failure !== null) {
      next.refuse(this.failure);
      this.failure = null;
    } else if (this.state >= State.Ending) {
      next.give(undefined);
      return;
    } else {
      this.waiting.push(next);
    }
    this.drained();
  }

  /** It does not wait any more. */
  leave(next: Next<T>): void {
    const place = this.waiting.indexOf(next);
    if (place >= 0) this.waiting.splice(place, 1);
  }

  /** A value that its taker did not want after all. */
  giveBack(value: T): void {
    const next = this.waiting.shift();
    if (next !== undefined) next.give(value);
    else if (this.closing !== null || this.runtime?.ended === true) this.dropValue(value);
    else this.returned.unshift(value);
  }

  /** Results were taken, or are wanted: what has stopped goes on. */
  private drained(): void {
    const { state } = this;
    const armable = state === State.Fresh || state === State.Idle;
    if (armable && this.relaxed) this.arm();
    else if (state === State.Ended) this.forget();
  }

  /** Half of the results that may wait, or fewer, do: there are two numbers of each. */
  private get relaxed(): boolean {
    return this.queue.length <= this.backlog;
  }

  // PAIR: Stream.arm
  /** One more shot. */
  private arm(): void {
    const runtime = this.runtime as Runtime;
    const { abortSignal } = this;
    try {
      if (abortSignal?.aborted === true) throw new AbortError(abortSignal.reason);
      this.group?.check(runtime);
      const { reactor } = runtime.executor;
      beginDirect(this);
      reactor.start(this);
      if (this.state === State.Fresh) {
        this.live = reactor.streams;
        this.live.add(this);
        this.group?.add(this);
        abortSignal?.addEventListener('abort', this.onAbort, { once: true });
      }
      this.state = State.Armed;
    } catch (error) {
      takeBack(this);
      this.end(() => error as Error);
    }
  }

  // PAIR: Stream.complete
  /** One completion. How many bytes were copied for it. */
  complete(res: number, flags: number, _opened: boolean): number {
    const last = (flags & IORING_CQE_F_MORE) === 0;
    endDirect(this, res, flags);
    if (this.state === State.Ending) {
      if (this.succeeds(res)) {
        this.step(res, flags);
        this.drop(res, flags);
      }
      if (last) this.end(this.failure);
      return 0;
    }
    if (!this.succeeds(res)) {
      this.failed(-res, last);
      return 0;
    }
    const step = this.step(res, flags);
    const copied = step === 'end' ? 0 : this.item(res, flags);
    if (step !== 'item') this.end(null);
    else if (last) this.rest(State.Idle);
    else if (this.state === State.Armed && this.queue.length >= this.backlog * 2) {
      this.state = State.Pausing;
      (this.runtime as Runtime).executor.reactor.cancel(this);
    }
    return copied;
  }

  /** To who waits longest, or into the queue. */
  private item(res: number, flags: number): number {
    const next = this.waiting.shift();
    if (next === undefined) {
      this.queue.push(res, this.keep(res, flags));
      return 0;
    }
    next.give(this.value(res, flags));
    return this.group === null ? 0 : res;
  }

  /** A completion with an errno. */
  private failed(errno: number, last: boolean): void {
    const paused = this.state === State.Pausing && last;
    // Before 6.5 a cancelled shot may end with the latter two instead.
    if (paused && (errno === ECANCELED || errno === ENOENT || errno === ENOBUFS)) {
      this.rest(State.Idle);
    } else if (errno === ENOBUFS && last && this.group !== null) {
      // Armed again before one is back, it would spin.
      this.rest(this.group.available > 0 ? State.Idle : State.Starved);
    } else {
      this.end(() => errorOf(errno, this.syscall, this.runtime?.ended === true));
    }
  }

  /** The shot has ended and the stream has not. */
  private rest(state: State): void {
    this.state = state;
    if (state === State.Starved) this.group?.starve(this);
    else if (this.relaxed) this.arm();
  }

  /** A buffer came back. */
  fed(): void {
    if (this.state === State.Starved) this.arm();
  }

  // PAIR: Stream.end
  /** No more results: who waits longest gets the error, all others undefined. */
  private end(failure: Failure | null): void {
    if (this.state === State.Ended) return;
    if (this.ticket >= 0) {
      // The kernel has a shot all the same: it ends first.
      this.stop(failure);
      return;
    }
    this.state = State.Ended;
    // Who closed it wants no error.
    this.failure = this.closing === null ? failure : null;
    this.group?.leave(this);
    this.abortSignal?.removeEventListener('abort', this.onAbort);
    const waiting = this.waiting.splice(0);
    if (this.failure !== null && waiting.length > 0) {
      (waiting.shift() as Next<T>).refuse(this.failure);
      this.failure = null;
    }
    for (const next of waiting) next.give(undefined);
    this.forget();
    this.closing?.ended();
  }

  /** Ended, and nothing of it is left to be closed by the runtime. */
  private forget(): void {
    if (this.queue.length === 0 && this.returned.length === 0) this.live?.delete(this);
  }

  private stop(failure: Failure | null): void {
    const { state } = this;
    this.failure = failure;
    this.state = State.Ending;
    if (state === State.Armed) (this.runtime as Runtime).executor.reactor.cancel(this);
  }

  /** What nobody took. */
  private dropAll(): void {
    const { queue, returned } = this;
    for (let i = 0; i < queue.length; i += 2) {
      this.unkeep(queue[i + 1] as number);
      this.drop(queue[i] as number, queue[i + 1] as number);
    }
    queue.length = 0;
    for (const value of returned.splice(0)) this.dropValue(value);
  }

  // PAIR: only-typescript Stream.close -- in Rust a stream is closed by being dropped
  /**
   * Ends it; who waits gets undefined. What was not taken is dropped: descriptors are closed,
   * buffers returned. Resolves when its last completion is in.
   */
  close(): Future<void> {
    if (this.closing !== null) return this.closing;
    this.closing = new Done();
    this.failure = null;
    this.dropAll();
    if (this.state === State.Ended) {
      this.forget();
      this.closing.ended();
    } else {
      for (const next of this.waiting.splice(0)) next.give(undefined);
      this.end(null);
    }
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close().then(() => {});
  }

  /** Its signal was aborted: the next `next` rejects, what was not taken is dropped. */
  private abort(): void {
    if (this.state >= State.Ending) return;
    const reason: unknown = this.abortSignal?.reason;
    this.dropAll();
    this.end(() => new AbortError(reason));
  }

  /** The reactor's word of an abort; here it listens by itself. */
  aborted(): void {}

  /** The runtime ends: what was not taken is dropped while the ring still closes something. */
  shut(error: unknown): void {
    this.dropAll();
    if (this.state === State.Ending) return;
    this.end(() => error as Error);
  }

  /** The ring ended without its completion. */
  lost(error: unknown): void {
    this.ticket = -1;
    this.end(() => error as Error);
  }

  /** Holds the process while it is armed (the default). */
  ref(): this {
    this.reference(true);
    return this;
  }

  /** Does not hold the process. */
  unref(): this {
    this.reference(false);
    return this;
  }

  private reference(wanted: boolean): void {
    if (this.ticket < 0) this.referenced = wanted;
    else (this.runtime as Runtime).executor.reactor.reference(this, wanted);
  }
}
