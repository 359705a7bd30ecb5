// What the mock kernel knows: operations that run, descriptors that are open, faults.
// PAIR: only-typescript world.ts -- mock.rs has it beside its driver; there the real border stands
// above, here the mock must play the border as well, which makes it two files.

import * as C from './cqe.ts';
import type { Faults, Random } from './mock.ts';
import * as S from './sqe.ts';

const [ENOENT, EIO, EBADF, ETIME, EALREADY, ECANCELED] = [2, 5, 9, 62, 114, 125];

/** Words that TypeScript writes when it needs them only. */
export const RARE: readonly number[] = [
  S.D_IOPRIO,
  S.D_WORD2,
  S.D_INPUT,
  S.D_INPUT_LENGTH,
  S.D_FILE_INDEX,
];

/** A piece of memory that the kernel may hold. */
export interface Region {
  readonly view: Uint8Array;
  busy: boolean;
}

/** A descriptor as Rust would have made an SQE of it. */
export interface Taken {
  readonly ticket: number;
  readonly opcode: number;
  readonly fd: number;
  readonly region: Region | null;
  readonly bytes: Uint8Array | null;
  /** What a nop completes with. */
  readonly result: number;
  /** What a read gives, and a write must bring. */
  readonly pattern: number;
  /** What a cancel is about. */
  readonly target: Taken | null;
  done: boolean;
}

/** A completion on its way into the list. */
export interface Finished {
  readonly entry: Taken | null;
  readonly ticket: number;
  readonly res: number;
}

/** The simulated kernel; the test looks into it. */
export class World {
  readonly random: Random;
  readonly faults: Faults;
  /** Descriptors given out and not closed. */
  readonly open: Set<number> = new Set();
  /** Closes of something that was not open: a double close, or a wrong number. */
  badCloses = 0;
  /** Writes whose bytes were not those of their own operation any more. */
  badWrites = 0;
  /** Opcodes of the entries that were taken, for tests that look at the order. */
  log: number[] | null = null;
  /** The errno of the next enters, tried first. */
  readonly enters: number[] = [];
  /** Nothing completes any more. */
  stuck = false;
  /** Wake-ups that were due. */
  signals = 0;
  /** Taken, not completed. */
  readonly running: Taken[] = [];
  /** Completed, not in the list yet. */
  readonly finished: Finished[] = [];
  private nextFd = 1_000_000;

  constructor(random: Random, faults: Faults) {
    this.random = random;
    this.faults = faults;
  }

  /** The kernel takes an entry: it completes now or later. */
  take(entry: Taken): void {
    this.log?.push(entry.opcode);
    if (entry.done) return; // Cancelled while it waited; its completion is out already.
    if (entry.opcode === S.IORING_OP_CLOSE) {
      const known = this.open.delete(entry.fd);
      if (!known) this.badCloses++;
      this.post(entry, known ? 0 : -EBADF);
    } else if (entry.opcode === S.IORING_OP_ASYNC_CANCEL) {
      this.post(entry, this.cancel(entry.target));
    } else if (
      this.stuck ||
      (entry.opcode !== S.IORING_OP_NOP && this.random.chance(this.faults.late))
    ) {
      this.running.push(entry);
    } else {
      this.finish(entry);
    }
  }

  private cancel(target: Taken | null): number {
    if (target === null || target.done) return -ENOENT;
    const place = this.running.indexOf(target);
    if (place >= 0) {
      if (this.stuck || this.random.chance(20)) return -EALREADY;
      this.running.splice(place, 1);
    }
    this.post(target, -ECANCELED);
    return 0;
  }

  /** A running operation completes: buffers are touched now. */
  private finish(entry: Taken): void {
    const { random, faults } = this;
    const { opcode, bytes } = entry;
    if (opcode === S.IORING_OP_NOP) this.post(entry, entry.result);
    else if (opcode === S.IORING_OP_TIMEOUT) this.post(entry, -ETIME);
    else if (random.chance(faults.error)) this.post(entry, -EIO);
    else if (opcode === S.IORING_OP_OPENAT) {
      this.open.add(++this.nextFd);
      this.post(entry, this.nextFd);
    } else if (opcode === S.IORING_OP_READ || opcode === S.IORING_OP_WRITE) {
      const whole = bytes?.length ?? 0;
      const count = random.chance(faults.short) ? random.below(whole + 1) : whole;
      if (opcode === S.IORING_OP_READ) bytes?.fill(entry.pattern, 0, count);
      else if (bytes?.some((byte) => byte !== entry.pattern)) this.badWrites++;
      this.post(entry, count);
    } else this.post(entry, opcode === S.LANE_OP_COPY_FILE ? 0 : 1);
  }

  post(entry: Taken, res: number): void {
    entry.done = true;
    if (entry.region !== null) entry.region.busy = false;
    if (entry.ticket !== S.NO_TICKET) this.finished.push({ entry, ticket: entry.ticket, res });
  }

  /** Some of what runs completes, in any order. */
  advance(atLeast: number): void {
    const { running, random } = this;
    if (this.stuck) return;
    const count = Math.max(random.below((running.length >> 1) + 1), atLeast);
    for (let i = 0; i < count && running.length > 0; i++) {
      const place = random.below(running.length);
      const entry = running[place];
      running[place] = running[running.length - 1];
      running.pop();
      this.finish(entry);
    }
  }

  /** The ring closes: what runs is cancelled, or was faster. Whether everything ended. */
  end(): boolean {
    if (!this.stuck) {
      for (const entry of this.running.splice(0)) {
        if (this.random.chance(20)) this.finish(entry);
        else this.post(entry, -ECANCELED);
      }
    }
    return this.running.length === 0;
  }
}

/** Whether the inputs that a descriptor names are so many paths. */
export function arePaths(memory: ArrayBuffer, d: Int32Array, count: number): boolean {
  const [from, bytes] = [d[S.D_INPUT] >>> 0, d[S.D_INPUT_LENGTH] >>> 0];
  if (from + bytes > C.INPUTS_BYTES || bytes === 0) return false;
  const text = new Uint8Array(memory, C.BORDER_INPUTS + from, bytes);
  return text[bytes - 1] === 0 && text.filter((byte) => byte === 0).length === count;
}
