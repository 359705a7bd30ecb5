// PAIR: only-typescript work.ts -- in Rust such a method is an async block
//
// A method of several operations as one future: a generator that starts when the method is called,
// or when the cursor is free, and goes on whether or not somebody polls it.

import { AbortError } from '../error.ts';
import { type Context, type Future, PENDING, type Poll } from '../future.ts';
import { Composite, GeneratorFuture } from '../generator.ts';
import type { Runtime } from '../runtime.ts';
import type { User } from './handle.ts';

/** What a task of this module is made of. */
export type Steps<T> = Generator<Future<unknown>, T, unknown>;

/** Who is told of its end. */
interface Place {
  leave(user: object): void;
}

/** Steps that run one after the other. */
export class Work<T> extends Composite<T> implements User {
  queued = false;
  private readonly place: Place | null;
  private readonly generator: GeneratorFuture<T>;

  constructor(runtime: Runtime, place: Place | null, steps: () => Steps<T>) {
    super();
    this.runtime = runtime;
    this.place = place;
    this.generator = new GeneratorFuture(steps);
  }

  override begin(): void {
    if (this.queued) return;
    try {
      super.begin();
    } catch (error) {
      this.fail(error, (this.runtime as Runtime).ended); // There is no ring (any more).
    }
  }

  override poll(cx: Context): Poll<T> {
    return this.queued && !this.settled ? this.wait(cx) : super.poll(cx);
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
    if (this.queued && !this.settled) {
      // It never started; whoever else waits for it still gets it.
      if (!this.leave(cx.waker)) this.fail(new AbortError(), true);
      return false;
    }
    const ending = super.abandon(cx);
    if (ending && !cx.runtime.ended) this.begin();
    return ending;
  }

  protected override settle(value: T): void {
    const first = !this.settled;
    super.settle(value);
    if (first) this.place?.leave(this);
  }

  protected override fail(error: unknown, quiet?: boolean): void {
    const first = !this.settled;
    super.fail(error, quiet);
    // One that waits in line is passed over when its turn comes.
    if (first && !this.queued) this.place?.leave(this);
  }
}

/** Starts steps that belong to no file. */
export function started<T>(runtime: Runtime, steps: () => Steps<T>): Future<T> {
  const work = new Work(runtime, null, steps);
  work.begin();
  return work;
}
