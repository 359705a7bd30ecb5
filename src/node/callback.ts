// Callbacks as node:fs calls them: once, from a macrotask of their own, in the caller's context.
//
// A completion is delivered among the microtasks, several at a time. Node's own callbacks come one
// by one from the event loop, so that what one of them has queued runs before the next, and what
// one throws is an uncaughtException that the others do not notice. An immediate each gives that.

import { AsyncResource } from 'node:async_hooks';
import { setImmediate } from 'node:timers';
import type { Runtime } from '../runtime.ts';
import { lacks } from './backend.ts';
import { isCount } from './plain.ts';

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
    setImmediate(back, this, results);
  }

  /** It has failed, with these beside the error: or nothing has happened, and node can do it. */
  fail(error: unknown, ...results: unknown[]): void {
    if (lacks(error)) this.runInAsyncScope(this.instead);
    else this.end(error, ...results);
  }

  /** The caller's own code, with nothing of ours around it: what it throws is uncaught. */
  back(results: unknown[]): void {
    this.runInAsyncScope(this.callback, undefined, ...results);
  }

  /** Ends with the outcome of one operation: (null), (null, value) or (error). */
  take<T>(outcome: PromiseLike<T>, show?: (value: T) => unknown): void {
    outcome.then(
      (value) => this.show(value, show),
      (error) => this.fail(error),
    );
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

function back(call: Call, results: unknown[]): void {
  call.back(results);
}
