// The descriptor of an open file: who uses it, in which order, and how it ends.
// Pair: crates/ringcore/src/fs/handle.rs
//
//   enter ──> [ line of those who use the cursor ] ──> one operation after the other ──> leave
//        └──────────── with an offset: at once ──> any number ─────────────────────────> leave
//   close: nobody may enter any more; when the last one has left, the descriptor is closed
//
// Reads at the file position that run at once would read the same bytes, or skip some
// (nodejs/node#50717): the kernel looks at it when one starts and moves it when it ends. Hence the
// line, in the order of the calls.

import { AbortError, errnoError } from '../error.ts';
import { Outcome } from '../future.ts';
import { FieldsOp, nothing } from '../ops/fields.ts';
import type { Runtime } from '../runtime.ts';
import { IORING_OP_CLOSE } from '../sqe.ts';

const EBADF = 9;

/** The position that the kernel keeps, as an offset. */
export const CURSOR = -1;

/** An operation of a file: the file's handle knows when it ends, and may let it wait. */
export interface User {
  /** It waits for the cursor. */
  queued: boolean;
  readonly settled: boolean;
  begin(): void;
}

/** One that its signal may end while it waits. Those of several steps look at it themselves. */
interface Signalled extends User {
  readonly signal: AbortSignal | null;
  refuse(error: unknown): void;
}

/** The number is the ring's from here on, whatever the result: see settle.rs. */
class CloseOp extends FieldsOp<void> {
  constructor(runtime: Runtime, fd: number) {
    super(runtime, IORING_OP_CLOSE, 'close', { fd }, nothing, undefined);
  }

  /** Nobody waits for it any more; it closes all the same. */
  override abandon(): boolean {
    return false;
  }
}

/** The future of a close. */
class Closing extends Outcome<void> {
  override begin(): void {}

  ended(): void {
    this.settle(undefined);
  }

  failed(error: unknown): void {
    this.fail(error);
  }
}

let warned = false;

/** I3: a file that was forgotten is closed, and that is said once. */
const FORGOTTEN = new FinalizationRegistry<Handle>((handle) => handle.forget());

// PAIR: Handle
/** A descriptor and those who use it. */
export class Handle {
  readonly runtime: Runtime;
  /** EAGAIN is waited for. */
  readonly waits: boolean;
  private number: number;
  /** Where teardown finds the descriptor, should this thread end first; -1: it does not. */
  private readonly place: number;
  /** Who uses the cursor, and those who wait for it. */
  private busy: User | null = null;
  private readonly line: User[] = [];
  /** How those of them that have a signal stop to listen. */
  private readonly stops: Map<User, () => void> = new Map();
  /** Operations between enter and leave. */
  private users = 0;
  private letting = false;
  private closing: Closing | null = null;
  private forgotten = false;

  /** A descriptor that is nobody else's; `owner` is what may be forgotten. */
  constructor(runtime: Runtime, fd: number, waits: boolean, owner: object) {
    this.runtime = runtime;
    this.number = fd;
    this.waits = waits;
    this.place = runtime.executor.reactor.ring.border.keep(fd);
    FORGOTTEN.register(owner, this, this);
  }

  /** The descriptor; -1 when it is closed. */
  get fd(): number {
    return this.runtime.closed ? -1 : this.number;
  }

  /** Whether anything is under way. */
  get used(): boolean {
    return this.users > 0;
  }

  /** EBADF when it is closed or closes. */
  check(syscall: string): number {
    if (this.closing !== null || this.fd < 0) {
      const error = errnoError(EBADF, syscall);
      error.message = 'file closed';
      throw error;
    }
    return this.number;
  }

  // PAIR: Handle.enter
  /** Begins an operation; one on the cursor when all before it have ended. */
  enter<U extends User>(user: U, cursor: boolean): U {
    this.users++;
    if (cursor) {
      const { signal } = user as Partial<Signalled>;
      if (this.busy !== null && signal?.aborted !== true) {
        user.queued = true;
        this.line.push(user);
        if (signal) this.watch(user as User as Signalled, signal);
        return user;
      }
      this.busy ??= user;
    }
    user.begin();
    return user;
  }

  /** One that waits ends with its signal, not when its turn comes. */
  private watch(user: Signalled, signal: AbortSignal): void {
    const stop = () => {
      signal.removeEventListener('abort', abort);
      this.stops.delete(user);
    };
    const abort = () => {
      stop();
      this.line.splice(this.line.indexOf(user), 1);
      user.queued = false;
      user.refuse(new AbortError(signal.reason));
    };
    signal.addEventListener('abort', abort);
    this.stops.set(user, stop);
  }

  // PAIR: Handle.leave
  /** An operation has ended: the next one in line begins, or the close. */
  leave(user: object): void {
    this.users--;
    if (user === this.busy) this.busy = null;
    // One that begins may end at once: a loop, since thousands of those are no recursion.
    if (this.letting) return;
    this.letting = true;
    while (this.busy === null && this.line.length > 0) this.letIn(this.line.shift() as User);
    this.letting = false;
    if (this.users === 0 && (this.closing !== null || this.forgotten)) this.end();
  }

  private letIn(next: User): void {
    next.queued = false;
    this.stops.get(next)?.();
    if (next.settled) {
      this.users--; // Abandoned before its turn came.
      return;
    }
    this.busy = next;
    next.begin();
  }

  /** As `leave`, for those of composite.ts. */
  ended(user: object): void {
    this.leave(user);
  }

  // PAIR: Handle.close
  /** Lets nobody enter any more, waits until all have left, closes. A second call is the same. */
  close(): Outcome<void> {
    if (this.closing === null) {
      this.closing = new Closing();
      if (this.users === 0) this.end();
    }
    return this.closing;
  }

  private end(): void {
    const { closing } = this;
    const fd = this.release();
    if (closing === null) {
      if (fd >= 0) this.runtime.executor.reactor.closeFd(fd);
    } else if (fd < 0) {
      closing.ended();
    } else {
      const failed = (error: unknown) => closing.failed(error);
      new CloseOp(this.runtime, fd).then(() => closing.ended(), failed);
    }
  }

  /** The descriptor, the caller's to close from here on; -1: it is closed. */
  release(): number {
    const { runtime, number, place } = this;
    if (number < 0) return -1;
    this.number = -1;
    FORGOTTEN.unregister(this);
    if (runtime.closed) {
      // Teardown has closed those that were kept.
      if (place < 0) process.getBuiltinModule('node:fs').closeSync(number);
      return -1;
    }
    runtime.executor.reactor.ring.border.unkeep(place);
    return number;
  }

  // PAIR: only-typescript Handle.forget -- in Rust it is dropped
  /** Nobody has the file any more; what is in flight ends first. */
  forget(): void {
    const { fd } = this;
    this.forgotten = true;
    if (this.users === 0) this.end();
    if (warned || fd < 0) return;
    warned = true;
    const text = `File descriptor ${fd} was closed by the garbage collector: call close()`;
    process.emitWarning(text, { code: 'RINGCORE_FD_GC' });
  }
}
