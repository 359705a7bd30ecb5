// PAIR: only-typescript composite.ts -- in Rust the compiler makes such a machine of an async fn
//
// Several operations one after the other, with one object and one promise for all of them: a
// completion does not settle the future, it makes the next step's descriptor.
//
//   prepare ──> ring ──> complete ── step ──> prepare ──> ...  ──> settle
//                                      └ the descriptor it opened is its own until the end (I3)

import { AbortError } from '../error.ts';
import type { Context, Poll } from '../future.ts';
import { Op, type OpOptions } from '../op.ts';
import type { Started } from '../reactor.ts';
import type { Ring } from '../ring.ts';
import { current, type Runtime } from '../runtime.ts';
import { Lifecycle } from '../slot.ts';

/** What a step says when another one follows. */
export const AGAIN = true;
/** What the last step says. */
export const DONE = false;

/** Who is told when it ends: the file at whose cursor it works, or those who open files. */
export interface Owner {
  ended(op: Composite<unknown>): void;
}

/** Several operations in a row as one future. */
export abstract class Composite<T> extends Op<T> {
  /** The descriptor that a step has opened, or -1. */
  protected fd = -1;
  /** Where teardown finds it, should this thread end first. */
  private place = -1;
  /** The system call of the step that is going on, for errors. */
  protected call = 'open';
  /** The file whose cursor it uses, or the line; and whether it still waits there. */
  owner: Owner | null = null;
  queued = false;

  constructor(runtime: Runtime | null, options?: OpOptions) {
    super(runtime, options);
  }

  /** A step's result ≥ 0: AGAIN, and `prepare` writes the next one, or DONE. */
  protected abstract step(res: number, ring: Ring): boolean;
  /** The value, after the last step. */
  protected abstract made(): T;

  protected get syscall(): string {
    return this.call;
  }

  /** The runtime that it runs on. */
  protected get reactor(): { start(op: Started): void; closeFd(fd: number): void } {
    return (this.runtime as Runtime).executor.reactor;
  }

  /** Whether it opens a file; one on an open file has an owner instead. */
  protected get opens(): boolean {
    return false;
  }

  override begin(): void {
    if (this.queued) return;
    try {
      if (!this.admitted()) return;
    } catch (error) {
      this.refuse(error); // There is no ring.
      return;
    }
    super.begin();
  }

  /** Whether it may open its file now; else it waits in line. */
  private admitted(): boolean {
    if (!this.opens || this.owner !== null || this.lifecycle !== Lifecycle.Fresh) return true;
    this.runtime ??= current();
    const { gate } = this.runtime.executor.reactor;
    const inside = gate.enter(this);
    this.owner = gate;
    return inside;
  }

  override poll(cx: Context): Poll<T> {
    const fresh = this.lifecycle === Lifecycle.Fresh && this.opens && this.owner === null;
    if (fresh && (this.runtime ?? cx.runtime) === cx.runtime) {
      this.runtime = cx.runtime;
      if (!cx.referenced) this.referenced = false;
      this.begin();
    }
    return this.queued && !this.settled ? this.wait(cx) : super.poll(cx);
  }

  override abandon(cx: Context): boolean {
    // It waits in line; whoever else waits for it still gets it.
    if (this.queued && !this.settled && this.leave(cx.waker)) return false;
    return super.abandon(cx);
  }

  override complete(res: number, flags: number, opened: boolean, ring: Ring<Started>): number {
    const own = ring as unknown as Ring;
    if (opened && res >= 0) this.own(res, own);
    let again = false;
    let wrong: unknown = null;
    if (res >= 0 && this.lifecycle !== Lifecycle.Abandoned) {
      try {
        again = this.step(res, own);
        if (again) {
          this.drop();
          // The kernel did not see the abort of a signal between two steps.
          this.checkSignal();
          this.reactor.start(this);
          return res;
        }
      } catch (error) {
        wrong = error;
      }
    }
    this.closeOwn(own);
    if (wrong !== null) {
      this.refuse(wrong);
      return 0;
    }
    const copied = super.complete(res, flags, false, ring);
    this.owner?.ended(this as Composite<unknown>);
    return copied;
  }

  override refuse(error: unknown): void {
    super.refuse(error);
    this.owner?.ended(this as Composite<unknown>);
  }

  protected checkSignal(): void {
    if (this.signal?.aborted === true) throw new AbortError(this.signal.reason);
  }

  /** A descriptor is its own from here on. */
  protected own(fd: number, ring: Ring): void {
    this.place = ring.border.keep(fd);
    this.fd = fd;
  }

  /** The descriptor is somebody else's from here on. */
  protected giveAway(ring: Ring): number {
    const { fd } = this;
    ring.border.unkeep(this.place);
    this.fd = -1;
    return fd;
  }

  /** Closes it, and waits for nobody. */
  protected closeOwn(ring: Ring): void {
    if (this.fd < 0) return;
    const fd = this.giveAway(ring);
    this.reactor.closeFd(fd);
  }

  protected override value(): T {
    return this.made();
  }

  override lost(error: unknown): void {
    this.fd = -1; // Teardown has closed what was kept.
    super.lost(error);
    this.owner?.ended(this as Composite<unknown>);
  }
}
