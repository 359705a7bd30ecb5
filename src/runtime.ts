// Runtime: a ring of its own and the tasks on it; run, spawn and yieldNow.
// Pair: crates/ringcore/src/runtime.rs

import { internalError } from './binding.ts';
import * as C from './cqe.ts';
import type { Driver } from './driver.ts';
import { closedError, RingcoreError, typeError } from './error.ts';
import { Executor } from './executor.ts';
import type { Files } from './fs/options.ts';
import { type Context, Future, late, PENDING, type Poll } from './future.ts';
import { Buffers } from './group.ts';
import { Kernel } from './kernel.ts';
import type { Op } from './op.ts';
import { Ops } from './ops/index.ts';
import type { Wake } from './probe.ts';
import { promiseOf } from './promise.ts';
import { allowedNames, type CheckedOptions, checkOptions, type Options } from './setup.ts';
import type { JoinHandle, TaskSource } from './task.ts';

/** Counters of a runtime since it was made, as they were at the end of its last turn. */
export interface Stats {
  turns: number;
  enters: number;
  submitted: number;
  completed: number;
  inline: number;
  wakes: number;
  overflows: number;
  stale: number;
  /** Files, or what is known of them, in the kernel's caches: calls that took no operation. */
  looks: number;
  inFlight: number;
  /** Bytes of slabs for copies. */
  regionBytes: number;
  /** Bytes of `buffer.alloc` that were not collected, in whole pages. */
  allocBytes: number;
  /** Those of them that are registered. */
  registeredBytes: number;
  /** Bytes of the arena for inputs. */
  arenaBytes: number;
  /** Of provided buffers. */
  groupBytes: number;
}

const NO_STATS: Stats = {
  turns: 0,
  enters: 0,
  submitted: 0,
  completed: 0,
  inline: 0,
  wakes: 0,
  overflows: 0,
  stale: 0,
  looks: 0,
  inFlight: 0,
  regionBytes: 0,
  allocBytes: 0,
  registeredBytes: 0,
  arenaBytes: 0,
  groupBytes: 0,
};

/** Set by what stands above: dependencies point one way. */
export const above: { files: (runtime: () => Runtime) => Files } = {
  files: () => {
    throw new RingcoreError('ERR_RINGCORE_MISUSE', 'fs/options.ts is not loaded');
  },
};

/** How a runtime gets its driver: the kernel's, or a mock in tests. */
export type OpenDriver = (options: CheckedOptions, wake: () => void) => Driver;

/** How often one looks until a wake-up has arrived, and after how many looks none ever will. */
const PROOF_POLL_MS = 10;
const PROOF_LOOKS = 50;

// PAIR: Runtime
/** A ring of its own and the tasks on it. It belongs to the thread that made it (I6). */
export class Runtime {
  /** The raw operations, bound to this runtime. */
  readonly op: Ops;
  /** Memory that the kernel reads and writes itself. */
  readonly buffer: Buffers;
  private readonly options: CheckedOptions;
  private readonly openDriver: OpenDriver;
  private started: Executor | null = null;
  private driver: Driver | null = null;
  private state: 'open' | 'closing' | 'closed' = 'open';
  private closing: Promise<void> | null = null;
  private referenced = true;
  private proof: Wake = 'unproved';
  private proofTimer: NodeJS.Timeout | null = null;
  private finalStats: Stats = NO_STATS;
  private files: Files | null = null;

  /** Nothing is opened before the first use (I9). Wrong options throw here. */
  constructor(options?: Options, openDriver: OpenDriver = Kernel.open) {
    this.options = checkOptions(options);
    const { attach } = this.options;
    if (attach !== null && !(attach instanceof Runtime)) {
      throw typeError('options.attach', 'an instance of Runtime', attach);
    }
    this.openDriver = openDriver;
    this.op = new Ops(this);
    this.buffer = new Buffers(() => this);
  }

  /** Options for the thread's default runtime, before its first use; later it throws. */
  static init(options: Options = {}): void {
    if (defaultRuntime !== null && defaultRuntime.started !== null) {
      const text = 'Runtime.init comes before the first use of the default runtime';
      throw new RingcoreError('ERR_RINGCORE_INITIALIZED', text);
    }
    defaultRuntime = new Runtime(options);
  }

  /** How files of this runtime are opened: `rt.File.open(path)`. */
  get File(): Files {
    this.files ??= above.files(() => this);
    return this.files;
  }

  /** The executor; the first call makes the ring, or throws ERR_RINGCORE_UNAVAILABLE. */
  get executor(): Executor {
    if (this.started !== null && this.state !== 'closed') return this.started;
    if (this.state !== 'open') throw closedError();
    let executor: Executor | null = null;
    let proving = true;
    const driver = this.openDriver(this.options, () => {
      if (proving) {
        proving = false;
        this.proved('ok');
      }
      executor?.woken();
    });
    executor = new Executor(driver, this.options.memoryLimit, (errno) => this.fatal(errno));
    this.started = executor;
    this.driver = driver;
    if (!this.referenced) executor.reactor.hold(false);
    this.prove(executor);
    return executor;
  }

  // PAIR: Runtime.run
  /** Runs a task and gives its outcome. Other tasks live on and keep the process alive. */
  run<T>(task: TaskSource<T>): Promise<T> {
    try {
      return promiseOf(this.spawn(task));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  // PAIR: Runtime.spawn
  /** Queues a task: `(signal) => generator or promise`, a generator object, or a Future. */
  spawn<T>(task: TaskSource<T>): JoinHandle<T> {
    const generator = typeof (task as Generator)?.next === 'function';
    if (typeof task !== 'function' && !(task instanceof Future) && !generator) {
      throw typeError('task', 'a function, a generator object or a Future', task);
    }
    if (this.state !== 'open') throw closedError();
    return this.executor.spawn(task, this);
  }

  // PAIR: Runtime.stats
  /** Counters since the ring was made; all 0 before its first use. */
  stats(): Stats {
    const { started } = this;
    if (started === null || this.state === 'closed') return { ...this.finalStats };
    const { words } = started.reactor.ring;
    const count = (word: number) => (words[word] as number) >>> 0;
    return {
      turns: count(C.H_TURNS),
      enters: count(C.H_ENTERS),
      submitted: count(C.H_SUBMITTED),
      completed: count(C.H_COMPLETED),
      inline: count(C.H_INLINE),
      wakes: count(C.H_WAKES),
      overflows: count(C.H_OVERFLOWS),
      stale: count(C.H_STALE),
      looks: count(C.H_LOOKS),
      inFlight: started.reactor.ring.slots.size,
      regionBytes: count(C.H_REGION_KIB) * 1024,
      allocBytes: count(C.H_ALLOC_KIB) * 1024,
      registeredBytes: count(C.H_REGISTERED_KIB) * 1024,
      arenaBytes: count(C.H_ARENA_KIB) * 1024,
      groupBytes: count(C.H_GROUP_KIB) * 1024,
    };
  }

  // PAIR: Runtime.close
  /**
   * Aborts all tasks, lets their finally blocks end, then closes the ring (I7). Operations outside
   * of tasks end with ERR_RINGCORE_CLOSED, unless they were done already.
   */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    const { started } = this;
    this.state = 'closing';
    if (this === defaultRuntime) defaultRuntime = null;
    if (started !== null) {
      const handles = [...started.tasks].map((task) => task.handle);
      for (const handle of handles) {
        // Their owners learn of it; here only the end matters.
        const ended = promiseOf(handle).catch(() => {});
        handle.abort();
        await ended;
      }
      this.shut(started, () => closedError());
    }
    this.state = 'closed';
  }

  /** The ring's end. What has no completion gets an error. */
  private shut(executor: Executor, error: () => unknown): void {
    this.proved(this.proof === 'unproved' ? 'ok' : this.proof);
    if (!this.referenced) executor.reactor.hold(true);
    const left = executor.close(error) as unknown as Op<unknown>[];
    this.finalStats = { ...this.stats(), inFlight: 0 };
    this.state = 'closed';
    for (const op of left) op.lost(error());
  }

  /** The ring is beyond use (EBADR, or a bug of ours): every operation has got its error. */
  private fatal(errno: number): void {
    if (this.state === 'closed' || this.started === null) return;
    if (this === defaultRuntime) defaultRuntime = null;
    const { started } = this;
    this.state = 'closing';
    this.closing ??= Promise.resolve();
    this.shut(started, () => internalError(errno));
  }

  /** Bytes of the ring's memory at most. */
  get memoryLimit(): number {
    return this.options.memoryLimit;
  }

  /** Whether the ring is gone. */
  get closed(): boolean {
    return this.state === 'closed';
  }

  /** Whether the runtime closes or is closed. */
  get ended(): boolean {
    return this.state !== 'open';
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Operations in flight hold the process (the default). */
  ref(): this {
    this.referenced = true;
    this.started?.reactor.hold(true);
    return this;
  }

  /** Nothing of this runtime holds the process. */
  unref(): this {
    this.referenced = false;
    this.started?.reactor.hold(false);
    return this;
  }

  /** State of the proof that wake-ups arrive. */
  get wake(): Wake {
    return this.proof;
  }

  /** SQ entries: as many as were asked for, rounded up to a power of two. The longest chain. */
  get entries(): number {
    if (this.driver instanceof Kernel) return this.driver.entries[0];
    return 2 ** Math.ceil(Math.log2(this.options.entries));
  }

  /** Operations that its allow list lets through; null when it has none. */
  get allowed(): readonly string[] | null {
    const { allow } = this.options;
    return allow === null ? null : allowedNames(allow);
  }

  /** The kernel's ring, made now if need be, for another one that attaches to it. */
  kernel(): Kernel {
    void this.executor;
    if (this.driver instanceof Kernel) return this.driver;
    throw typeError('options.attach', 'a runtime on a ring of the kernel', this.driver);
  }

  /** IORING_SETUP_* flags of the ring; none before its first use. */
  get flags(): readonly string[] {
    return this.driver instanceof Kernel ? this.driver.flags : [];
  }

  /**
   * Some sandboxes accept the set-up and never wake. One unreferenced timer of 1 ms proves the
   * opposite; until it has, the ring is looked at every 10 ms as well, for ever if it never does.
   * Nothing in flight is ever issued twice.
   */
  private prove(executor: Executor): void {
    const start = () => {
      const op = this.op.timeout(1).unref();
      op.begin();
      op.catch(() => {});
      return op;
    };
    let op = start();
    let missed = 0;
    const look = () => {
      if (this.proof === 'ok' || this.state === 'closed') return;
      // Evidence is a parked ring whose timer is long over. A busy ring finds the completion in one
      // of its turns, before anybody needs a wake-up: that proves nothing, so it is tried again.
      if (executor.reactor.ring.park() && !op.settled) missed++;
      if (missed === PROOF_LOOKS) this.proved('failed');
      executor.woken();
      if (op.settled && this.proof === 'unproved') op = start();
      // Unreferenced: what is in flight holds the process by itself.
      this.proofTimer = setTimeout(look, PROOF_POLL_MS).unref();
    };
    this.proofTimer = setTimeout(look, PROOF_POLL_MS).unref();
  }

  private proved(wake: Wake): void {
    this.proof = wake;
    if (wake !== 'failed' && this.proofTimer !== null) {
      clearTimeout(this.proofTimer);
      this.proofTimer = null;
    }
  }
}

let defaultRuntime: Runtime | null = null;

/** The thread's default runtime: made on first use, and anew after close(). */
export function current(): Runtime {
  defaultRuntime ??= new Runtime();
  return defaultRuntime;
}

/** The default runtime if there is one, without making it. */
export function existing(): Runtime | null {
  return defaultRuntime;
}

/** Memory of whichever runtime is the thread's default one at the call. */
export const buffer: Buffers = new Buffers(current);

late.drive = (future) => runtimeOf(future).spawn(future);
late.current = current;

/** Where a future that nobody polls is driven: its own runtime, or the default one. */
function runtimeOf(future: Future<unknown>): Runtime {
  return (future as { runtime?: Runtime | null }).runtime ?? current();
}

// PAIR: spawn
/** Queues a task on the thread's default runtime. */
export function spawn<T>(task: TaskSource<T>): JoinHandle<T> {
  return current().spawn(task);
}

// PAIR: run
/** Runs a task on the thread's default runtime and gives its outcome. */
export function run<T>(task: TaskSource<T>): Promise<T> {
  return current().run(task);
}

// PAIR: yieldNow
/** Lets every other ready task and the ring have a turn: `yield* yieldNow()`. */
export function yieldNow(): Future<void> {
  return new YieldNow();
}

class YieldNow extends Future<void> {
  private yielded = false;

  override poll(cx: Context): Poll<void> {
    if (this.yielded) return undefined;
    this.yielded = true;
    cx.waker.wakeByRef();
    return PENDING;
  }
}
