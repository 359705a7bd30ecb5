// PAIR: only-typescript gate.ts -- in Rust a caller limits its own tasks, with the types it likes
//
// How many files the operations of the library itself hold open at the same time. A program may ask
// for a hundred thousand files at once: so many are open, the others wait in line, and nobody ever
// sees EMFILE.

import { AbortError } from './error.ts';
import { Queue } from './queue.ts';

/** Open at once; more make nothing faster, and half of what a process may have is its own. */
const MOST = 256;
/** Where the kernel has no table of files, and the limit of the process is not known. */
const FEW = 64;

/** An operation that opens a file, and closes it before its end. */
export interface Opener {
  /** It waits in line. */
  queued: boolean;
  readonly settled: boolean;
  readonly signal: AbortSignal | null;
  begin(): void;
  /** It ends before it began. */
  refuse(error: unknown): void;
}

/** The line. `slots` says how many direct descriptors there are. */
export class Gate {
  private readonly slots: () => number;
  private open = 0;
  private readonly line: Queue<Opener> = new Queue();
  private letting = false;
  /** How those of them that have a signal stop to listen. */
  private readonly stops: Map<Opener, () => void> = new Map();

  constructor(slots: () => number) {
    this.slots = slots;
  }

  /** Goes in, or waits: then `begin` is called when there is room. */
  enter(op: Opener): boolean {
    // One that was aborted before goes in to fail.
    if (this.open < this.limit || op.signal?.aborted === true) {
      this.open++;
      return true;
    }
    op.queued = true;
    this.line.push(op);
    if (op.signal !== null) this.watch(op, op.signal);
    return false;
  }

  /** Whether one may go in without waiting. */
  get roomy(): boolean {
    return this.open < this.limit;
  }

  private get limit(): number {
    const slots = this.slots();
    return slots === 0 ? FEW : Math.min(MOST, slots >> 1);
  }

  /** Its file is closed, or it never opened one. */
  ended(op: Opener): void {
    if (op.queued) {
      op.queued = false; // It was in line; it is passed over when its turn comes.
      this.stops.get(op)?.();
      return;
    }
    this.open--;
    // What begins may end at once: a loop, since a hundred thousand of those are no recursion.
    if (this.letting) return;
    this.letting = true;
    while (this.open < this.limit && this.line.length > 0) this.letIn();
    this.letting = false;
  }

  private letIn(): void {
    const op = this.line.take();
    this.stops.get(op)?.();
    if (!op.queued || op.settled) return;
    op.queued = false;
    this.open++;
    op.begin();
  }

  /** One that waits ends with its signal, not when its turn comes. */
  private watch(op: Opener, signal: AbortSignal): void {
    const abort = () => op.refuse(new AbortError(signal.reason));
    signal.addEventListener('abort', abort);
    this.stops.set(op, () => {
      signal.removeEventListener('abort', abort);
      this.stops.delete(op);
    });
  }
}
