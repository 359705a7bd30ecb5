// Callbacks as node:fs calls them: once, from a macrotask of their own, in the caller's context.
//
// A completion is delivered among the microtasks, several at a time. Node's own callbacks come one
// by one from the event loop, so that what one of them has queued runs before the next, and what
// one throws is an uncaughtException that the others do not notice. An immediate each gives that.

import type { Runtime } from '../runtime.ts';
import { lacks } from './backend.ts';
import { isCount } from './plain.ts';
import { HandOver } from './trees.ts';

const AsyncResource: typeof import('node:async_hooks').AsyncResource =
  process.getBuiltinModule('node:async_hooks').AsyncResource;
const { setImmediate } = process.getBuiltinModule('node:timers');

/** What the caller gave. */
export type Callback = (...results: unknown[]) => void;

/** Whether the ring takes the call; `instead` is node's own function with the same arguments. */
export type Take = (runtime: Runtime, args: readonly unknown[], instead: () => void) => boolean;

export const isCallback = (value: unknown): value is Callback => typeof value === 'function';

export const isFd = (value: unknown): value is number =>
  isCount(value) && (value as number) < 2 ** 31;

/** A call whose callback is still to come. */
export class Call extends AsyncResource {
  private readonly callback: Callback;
  private readonly instead: () => void;

  /** `instead`: node's own function with the same arguments, for what this kernel lacks. */
  constructor(callback: Callback, instead: () => void) {
    super('RINGCORE_FS');
    this.callback = callback;
    this.instead = instead;
  }

  /** It has ended. Called once. */
  end(...results: unknown[]): void {
    issued++;
    setImmediate(back, this, results);
  }

  /** It has failed, with these beside the error: or node is to do it. */
  fail(error: unknown, ...results: unknown[]): void {
    if (lacks(error) || error instanceof HandOver) this.hand();
    else this.end(error, ...results);
  }

  /** Node does it instead. */
  hand(): void {
    this.runInAsyncScope(this.instead);
  }

  /** The caller's own code, with nothing of ours around it: what it throws is uncaught. */
  back(results: unknown[]): void {
    this.runInAsyncScope(this.callback, undefined, ...results);
  }

  /**
   * Starts an operation, and ends with its outcome: (null), (null, value) or (error). `ended` is
   * told.
   */
  take<T>(outcome: PromiseLike<T>, show?: (value: T) => unknown, ended: () => void = no): void {
    begin(() => {
      outcome.then(
        (value) => {
          // First: the next one may end at once, and comes behind this one.
          this.show(value, show);
          ended();
        },
        (error) => {
          this.fail(error);
          ended();
        },
      );
    });
  }

  private show<T>(value: T, show: ((value: T) => unknown) | undefined): void {
    if (value === undefined) {
      this.end(null);
      return;
    }
    let shown: unknown = value;
    try {
      if (show !== undefined) shown = show(value);
    } catch (error) {
      this.end(error); // A string that is too long, say.
      return;
    }
    this.end(null, shown);
  }
}

function no(): void {}

function back(call: Call, results: unknown[]): void {
  try {
    call.back(results);
  } finally {
    ran++;
    if (held.length > 0 && ran >= until) flush();
  }
}

// Operations that callbacks start go to the ring together: sixty-four callbacks of one iteration of
// the event loop would otherwise be as many turns of it, with a system call each.

/** Callbacks that were given to the event loop, and those of them that it has called. */
let issued = 0;
let ran = 0;
/** Operations that wait for the callbacks that are due, and how many must have run by then. */
let held: (() => void)[] = [];
let until = 0;
/** What starts now waits for nothing. */
let urgent = false;

/** Starts it, at the latest when the callbacks that are due by now have run. */
export function begin(start: () => void): void {
  if (urgent || ran === issued) {
    start();
    return;
  }
  if (held.length === 0) until = issued;
  held.push(start);
}

/** Starts what has waited long enough for something else. */
export function atOnce(start: () => void): void {
  const before = urgent;
  urgent = true;
  try {
    start();
  } finally {
    urgent = before;
  }
}

function flush(): void {
  const starts = held;
  held = [];
  atOnce(() => {
    for (const start of starts) start();
  });
}
