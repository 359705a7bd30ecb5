// The executor: 1 poll ready tasks, 2 submit what they queued, 3 reap completions, 4 park.
// Pair: crates/ringcore/src/executor.rs

import * as C from './cqe.ts';
import type { Driver } from './driver.ts';
import { RESOLVED } from './promise.ts';
import { Queue } from './queue.ts';
import { Reactor } from './reactor.ts';
import type { Runtime } from './runtime.ts';
import { type JoinHandle, Task, type TaskSource } from './task.ts';

/** The budget of one event-loop iteration (I8): microseconds, and completions. */
const BUDGET_US = 500;
const BUDGET_COMPLETIONS = 256;
/** Descriptors that are submitted at once instead of at the end of the microtasks. */
const FLUSH = 64;
/** How often polls, or work that begins, look at the clock without any turn of the ring. */
const POLLS = 32;

/**
 * While a thread of ours keeps waking it, Deno's event loop goes on as long as there is an
 * immediate, unreferenced or not: a worker whose busy runtime was unreferenced did not end.
 */
const DENO = process.versions.deno !== undefined;

// Those of the event loop, whatever a test has put in the place of the global ones.
const { clearImmediate, clearTimeout, setImmediate, setTimeout } =
  process.getBuiltinModule('node:timers');

/** What waits for a budget. `begin` throws nothing. */
export interface Later {
  begin(): void;
}

// PAIR: Executor
/** Tasks, their ready queue, and the rule when a turn runs. */
export class Executor {
  readonly reactor: Reactor;
  readonly tasks: Set<Task<unknown>> = new Set();
  private queue: Task<unknown>[] = [];
  private polling = false;
  private turning = false;
  /** A turn is on its way. */
  private requested = false;
  /** A window of the budget is open; it belongs to one event-loop iteration. */
  private open = false;
  private windowStart = 0;
  private windowCompletions = 0;
  private spent = false;
  private closed = false;
  private readonly onTurn = () => this.turn();
  /** A turn waits for the next iteration. */
  private deferred = false;
  /** What ends the iteration: an immediate; a timer where that would not end the loop's sleep. */
  private mark: NodeJS.Immediate | null = null;
  private alarm: NodeJS.Timeout | null = null;
  /** This iteration, on Deno: it ends with a timer, whatever waits. */
  private timed = false;
  private readonly waiting: Queue<Later> = new Queue();
  private working = false;
  private workFirst = false;

  /** Tells the runtime when the ring is beyond use. */
  private readonly fatal: (errno: number) => void;

  constructor(driver: Driver, memoryLimit: number, fatal: (errno: number) => void) {
    this.fatal = fatal;
    this.reactor = new Reactor(driver, memoryLimit, () => this.request());
  }

  // PAIR: Executor.spawn
  /** Queues a task; it is polled in the next turn, not here. */
  spawn<T>(source: TaskSource<T>, runtime: Runtime): JoinHandle<T> {
    const task = new Task<T>(source, runtime, this);
    this.tasks.add(task as Task<unknown>);
    task.wake();
    return task.handle;
  }

  /** A task was woken. */
  ready(task: Task<unknown>): void {
    this.queue.push(task);
    if (!this.requested || this.alarm !== null) this.request();
  }

  /** A task has ended. */
  ended(task: Task<unknown>): void {
    this.tasks.delete(task);
  }

  /**
   * When a turn runs: with the microtasks after those that are queued now, so that every
   * continuation of a delivery has added its operation; at once when 64 descriptors wait; with the
   * next iteration when this one's budget is spent. (One at a time, always setImmediate costs
   * half as much again per file. A promise's microtask and process.nextTick fill the batches alike;
   * the microtask costs less, see benchmark/README.md.)
   */
  private request(): void {
    if (!this.requested) {
      this.requested = true;
      this.deferred = this.spent;
      if (this.deferred) this.arm();
      else RESOLVED.then(this.onTurn);
    } else if (this.alarm !== null) {
      this.arm(); // Somebody may wait by now: an immediate, not the millisecond of a timer.
    }
    if (this.reactor.ring.border.count >= FLUSH && !this.spent && !this.turning && !this.closed) {
      // Submitted and reaped, not delivered: the caller's code is on the stack.
      this.reactor.ring.submit(C.TURN_ENTER);
    }
  }

  /** Whether something that waits for the next turn holds the process. */
  private holds(): boolean {
    const { reactor, queue } = this;
    return reactor.holds || (reactor.holding && queue.some((task) => task.context.referenced));
  }

  /**
   * The parker's call: completions wait. It is no new iteration of the event loop: Node answers up
   * to 1000 such calls in one go, and a window each let nothing else run for seconds (I8).
   */
  woken(): void {
    if (this.closed) return;
    this.reactor.ring.words[C.H_WAKES] = (this.reactor.ring.words[C.H_WAKES] as number) + 1;
    if (this.spent) this.request();
    else this.turn();
  }

  // PAIR: Executor.turn
  /** Rounds of the loop, until there is nothing to do, somebody else's turn, or no budget. */
  private turn(): void {
    this.requested = false;
    if (this.closed || this.turning) return;
    this.turning = true;
    const { ring } = this.reactor;
    let more = true;
    try {
      if (!this.open) this.openWindow();
      while (more && !this.spent) {
        this.pollReady(); // 1 poll
        const delivered = this.reactor.turn(); // 2 submit, 3 reap, and 4 park if nothing is left
        this.charge(delivered);
        more = !ring.park() || this.queue.length > 0;
        // Continuations of awaits run as microtasks: let them add to the next batch.
        if (this.queue.length === 0 && delivered > 0) break;
      }
    } finally {
      this.turning = false;
    }
    const errno = ring.words[C.H_FATAL] as number;
    if (errno !== 0) {
      this.fatal(errno);
      return;
    }
    if (more || this.reactor.wants) this.request();
    this.reactor.keepAlive();
  }

  /** 1 poll: the tasks that are ready now. Those that wake themselves wait for the next round. */
  private pollReady(): void {
    if (this.queue.length === 0 || this.polling) return;
    const batch = this.queue;
    this.queue = [];
    this.polling = true;
    let polled = 0;
    const start = performance.now();
    try {
      for (; polled < batch.length; polled++) {
        // Tasks that never touch the ring are charged here (I8).
        const look = polled % POLLS === POLLS - 1;
        if (look && (performance.now() - start) * 1000 > BUDGET_US) {
          this.spent = true;
          break;
        }
        this.pollTask(batch[polled] as Task<unknown>);
      }
    } finally {
      this.polling = false;
      if (polled < batch.length) this.queue = batch.slice(polled).concat(this.queue);
    }
  }

  // PAIR: Executor.pollTask
  /** Polls one task. Whatever it throws is its handle's. */
  private pollTask(task: Task<unknown>): void {
    task.run();
  }

  /** The budget belongs to the event-loop iteration; an immediate marks its end. */
  private openWindow(): void {
    this.open = true;
    this.windowCompletions = 0;
    this.beside = 0;
    this.besideSince = 0;
    this.windowStart = this.reactor.ring.words[C.H_CLOCK] as number;
    this.firstTurn = true;
    this.arm();
  }

  /**
   * The end of the iteration comes: in time for what waits for it and holds the process. An
   * immediate would hold it as well, and an unreferenced one does not end the event loop's sleep.
   * Deno asks for its sockets only once in some sixteen immediates: there, behind an iteration that
   * was spent, every other one ends with a timer, for which it asks them.
   */
  private arm(): void {
    const waits = this.waiting.length > 0 && !this.working;
    const held = waits || (this.deferred && this.holds());
    if (!this.timed && (!DENO || held || this.reactor.holds)) {
      this.mark ??= setImmediate(this.onEnd).unref();
      if (held) this.mark.ref();
    }
    if (this.timed || (!held && (this.deferred || this.mark === null))) {
      this.alarm ??= setTimeout(this.onEnd, 0).unref();
      if (held) this.alarm.ref();
    }
  }

  /**
   * An iteration has ended. Nothing else makes a window: a budget for each of those that wait let
   * one iteration take three of them (I8).
   */
  private readonly onEnd = () => {
    clearImmediate(this.mark as NodeJS.Immediate);
    clearTimeout(this.alarm as NodeJS.Timeout);
    this.mark = null;
    this.alarm = null;
    this.open = false;
    this.timed = DENO && this.spent && !this.timed;
    this.spent = false;
    const { deferred } = this;
    this.deferred = false;
    // Either may need all there is: each comes first every other time.
    const workFirst = deferred && this.workFirst;
    this.workFirst = deferred && !workFirst;
    try {
      if (workFirst) this.work();
      else if (deferred) this.turn();
    } finally {
      if (workFirst) this.turn();
      else this.work();
    }
    if (!this.closed && this.reactor.ring.border.idle > 0) this.request();
  };

  private firstTurn = false;
  /** Microseconds of this window that went into work beside the ring. */
  private beside = 0;
  /** When the first work of this window began that is charged by the clock; 0: none did. */
  private besideSince = 0;

  /** Whether this iteration of the event loop has something left for work beside the ring. */
  get affords(): boolean {
    if (!this.open) this.openWindow();
    return !this.spent;
  }

  /** So much went into it (I8). */
  spend(us: number): void {
    this.beside += us;
    if (this.beside > BUDGET_US) this.spent = true;
  }

  /** The same by the clock, from the first of it on: with what the caller did in between. */
  spendBetween(start: number, end: number): void {
    if (this.besideSince === 0) this.besideSince = start;
    if ((end - this.besideSince) * 1000 > BUDGET_US) this.spent = true;
  }

  /** It begins in a later iteration of the event loop, when there is a budget for it. */
  postpone(work: Later): void {
    this.waiting.push(work);
    this.arm();
  }

  /** What waits begins, as long as the budget lasts. */
  private work(): void {
    const { waiting } = this;
    // What begins may wait once more: for another iteration.
    const all = waiting.length;
    if (all === 0) return;
    this.working = true; // Most often nothing waits at the end: that holds no process.
    const start = performance.now();
    try {
      if (!this.open) this.openWindow();
      for (let begun = 0; begun < all && (this.closed || !this.spent); begun++) {
        waiting.take().begin();
        // What goes to the ring is charged here (I8).
        const look = begun % POLLS === POLLS - 1;
        if (look && (performance.now() - start) * 1000 > BUDGET_US) this.spent = true;
      }
    } finally {
      this.working = false;
      if (waiting.length > 0) this.arm();
    }
  }

  /** Everything between two turns is charged: polls, copies, the user's microtasks. */
  charge(delivered: number): void {
    const now = this.reactor.ring.words[C.H_CLOCK] as number;
    if (this.firstTurn) {
      // The clock word is of the last turn; this window begins with the end of its first.
      this.firstTurn = false;
      this.windowStart = now;
    }
    this.windowCompletions += delivered;
    const elapsed = (now - this.windowStart) | 0;
    if (this.windowCompletions >= BUDGET_COMPLETIONS || elapsed > BUDGET_US) this.spent = true;
  }

  // PAIR: Executor.close
  /** I7: no turn runs any more; operations that got no completion are returned. */
  close(error: () => unknown): ReturnType<Reactor['close']> {
    this.turning = true; // Completions are delivered below; no turn in between.
    const left = this.reactor.close(error);
    this.closed = true;
    return left;
  }
}
