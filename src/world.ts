// What the mock kernel knows: operations that run, descriptors that are open, faults; and what it
// answers to each operation of the table.
// Pair: crates/ringcore/src/world.rs

import * as C from './cqe.ts';
import type { Faults, Random } from './mock.ts';
import * as S from './sqe.ts';
import { OPS } from './table.ts';

const [ENOENT, EIO, EBADF, EAGAIN, ETIME, EALREADY, ECANCELED] = [2, 5, 9, 11, 62, 114, 125];

/** Words that TypeScript writes when it needs them only. */
export const RARE: readonly number[] = [
  S.D_IOPRIO,
  S.D_WORD2,
  S.D_INPUT,
  S.D_INPUT_LENGTH,
  S.D_FILE_INDEX,
];

const FILLS: readonly number[] = [S.IORING_OP_READ, S.IORING_OP_READV, S.IORING_OP_RECV];
const SENDS: readonly number[] = [
  S.IORING_OP_WRITE,
  S.IORING_OP_WRITEV,
  S.IORING_OP_SEND,
  S.IORING_OP_SEND_ZC,
];
const OPENS: readonly number[] = OPS.filter((op) => op.opens).map((op) => op.opcode);

/** Whether it moves bytes of a region. */
export const moves = (opcode: number): boolean => FILLS.includes(opcode) || SENDS.includes(opcode);

/** Whether its result is a descriptor. */
export const opens = (opcode: number): boolean => OPENS.includes(opcode);

/** How many paths it has, and the bytes before them. */
export const PATHS: ReadonlyMap<number, readonly [paths: number, before: number]> = new Map([
  [S.IORING_OP_OPENAT, [1, 0]],
  [S.IORING_OP_OPENAT2, [1, 24]],
  [S.IORING_OP_STATX, [1, 0]],
  [S.IORING_OP_UNLINKAT, [1, 0]],
  [S.IORING_OP_MKDIRAT, [1, 0]],
  [S.IORING_OP_RENAMEAT, [2, 0]],
  [S.IORING_OP_SYMLINKAT, [2, 0]],
  [S.IORING_OP_LINKAT, [2, 0]],
  [S.LANE_OP_COPY_FILE, [2, 0]],
  [S.LANE_OP_COPY_TREE, [2, 0]],
  [S.LANE_OP_REMOVE_TREE, [1, 0]],
] as [number, readonly [number, number]][]);

/** What the kernel judges by its numbers alone. */
export const NUMBERS: readonly number[] = [
  S.IORING_OP_CLOSE,
  S.IORING_OP_POLL_ADD,
  S.IORING_OP_POLL_REMOVE,
  S.IORING_OP_ASYNC_CANCEL,
  S.IORING_OP_FSYNC,
  S.IORING_OP_FALLOCATE,
  S.IORING_OP_FADVISE,
  S.IORING_OP_FTRUNCATE,
  S.IORING_OP_SPLICE,
  S.IORING_OP_TEE,
  S.IORING_OP_SHUTDOWN,
  S.IORING_OP_SOCKET,
  S.IORING_OP_ACCEPT,
  S.IORING_OP_CONNECT,
  S.IORING_OP_BIND,
  S.IORING_OP_LISTEN,
];

/** What works on another operation, and on which kind of it. */
export const AIMS: ReadonlyMap<number, number | null> = new Map<number, number | null>([
  [S.IORING_OP_ASYNC_CANCEL, null],
  [S.IORING_OP_POLL_REMOVE, S.IORING_OP_POLL_ADD],
  [S.IORING_OP_TIMEOUT_REMOVE, S.IORING_OP_TIMEOUT],
]);

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
  /** What a nop completes with, the events of a poll, the most of a count. */
  readonly result: number;
  /** What a read gives, and a write must bring. */
  readonly pattern: number;
  /** What a cancel, or another that works on an operation, is about. */
  readonly target: Taken | null;
  done: boolean;
}

/** Bytes of a region, which is the operation's from now on. Null: there are none. */
export function hold(
  regions: readonly Region[],
  d: Int32Array,
  length: number,
): { bytes: Uint8Array } | null {
  const from = (d[S.D_REGION_OFFSET] as number) >>> 0;
  const region = regions[(d[S.D_REGION] as number) >>> 0];
  if (region === undefined || region.busy || from + length > region.view.length) return null;
  region.busy = true;
  return { bytes: region.view.subarray(from, from + length) };
}

/** Whether the input is as many paths as the operation has, each with its NUL. */
export function hasPaths(memory: ArrayBuffer, opcode: number, d: Int32Array): boolean {
  const [count, before] = PATHS.get(opcode) as readonly [number, number];
  const from = (d[S.D_INPUT] as number) >>> 0;
  const bytes = (d[S.D_INPUT_LENGTH] as number) >>> 0;
  if (from + bytes > C.INPUTS_BYTES || bytes <= before) return false;
  const text = new Uint8Array(memory, C.BORDER_INPUTS + from + before, bytes - before);
  return text.at(-1) === 0 && text.filter((byte) => byte === 0).length === count;
}

/** What a nop completes with, the events of a poll, the most of a count. */
export function resultOf(opcode: number, d: Int32Array): number {
  const [length, flags] = [d[S.D_LENGTH] as number, d[S.D_WORD0] as number];
  if (opcode === S.IORING_OP_NOP) return (flags & S.IORING_NOP_INJECT_RESULT) !== 0 ? length : 0;
  return opcode === S.IORING_OP_POLL_ADD ? flags & 0xffff : length;
}

/** A completion on its way into the list. */
export interface Finished {
  readonly entry: Taken | null;
  readonly ticket: number;
  readonly res: number;
}

// PAIR: CACHED_PATTERN
/** What every byte of a file is that a look finds whole. */
export const CACHED_PATTERN = 0xca;

// PAIR: World
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

  // PAIR: World.take
  /** The kernel takes an entry: it completes now or later. */
  take(entry: Taken): void {
    this.log?.push(entry.opcode);
    if (entry.done) return; // Cancelled while it waited; its completion is out already.
    if (entry.opcode === S.IORING_OP_CLOSE) {
      const known = this.open.delete(entry.fd);
      if (!known) this.badCloses++;
      this.post(entry, known ? 0 : -EBADF);
    } else if (AIMS.has(entry.opcode)) {
      this.post(entry, this.aim(entry.opcode, entry.target));
    } else if (
      this.stuck ||
      (entry.opcode !== S.IORING_OP_NOP && this.random.chance(this.faults.late))
    ) {
      this.running.push(entry);
    } else {
      this.finish(entry);
    }
  }

  /** What works on another operation, which may run or wait. */
  private aim(opcode: number, target: Taken | null): number {
    const kind = AIMS.get(opcode) ?? null;
    if (target === null || target.done || (kind !== null && target.opcode !== kind)) return -ENOENT;
    if (opcode === S.IORING_OP_TIMEOUT_REMOVE) return 0; // It goes on, by its new time.
    const place = this.running.indexOf(target);
    if (place >= 0) {
      if (this.stuck || (kind === null && this.random.chance(20))) return -EALREADY;
      this.running.splice(place, 1);
    }
    this.post(target, -ECANCELED);
    return 0;
  }

  // PAIR: World.finish
  /** A running operation completes: buffers are touched now. */
  private finish(entry: Taken): void {
    const { random, faults } = this;
    const { opcode, bytes } = entry;
    if (opcode === S.IORING_OP_NOP) this.post(entry, entry.result);
    else if (opcode === S.IORING_OP_TIMEOUT) this.post(entry, -ETIME);
    else if (random.chance(faults.error)) this.post(entry, -EIO);
    else if (opcode === S.IORING_OP_POLL_ADD) this.post(entry, entry.result);
    else if (opcode === S.IORING_OP_SPLICE || opcode === S.IORING_OP_TEE) {
      this.post(entry, this.count(entry.result));
    } else if (moves(opcode)) {
      const count = this.count(bytes?.length ?? 0);
      if (FILLS.includes(opcode)) bytes?.fill(entry.pattern, 0, count);
      else if (bytes?.some((byte) => byte !== entry.pattern)) this.badWrites++;
      this.post(entry, count);
    } else if (opens(opcode)) {
      this.open.add(++this.nextFd);
      this.post(entry, this.nextFd);
    } else {
      bytes?.fill(0); // statx
      this.post(entry, 0);
    }
  }

  /** A count that may be short. */
  private count(whole: number): number {
    const most = Math.min(whole >>> 0, S.LONGEST_TRANSFER);
    return this.random.chance(this.faults.short) ? this.random.below(most + 1) : most;
  }

  post(entry: Taken, res: number): void {
    entry.done = true;
    if (entry.region !== null) entry.region.busy = false;
    if (entry.ticket !== S.NO_TICKET) this.finished.push({ entry, ticket: entry.ticket, res });
  }

  // PAIR: World.look
  /** A look at a small file: whole, absent, open, or nobody knows. */
  look(words: Int32Array): void {
    const { random, faults } = this;
    words[C.H_CACHED] = -EAGAIN;
    this.open.delete(words[C.H_CACHED_FD] - 1);
    words[C.H_CACHED_FD] = 0;
    if (this.blind(words) || random.chance(faults.late)) return;
    words[C.H_LOOKS]++;
    if (random.chance(faults.error)) {
      words[C.H_CACHED] = -ENOENT;
    } else if (random.chance(faults.short)) {
      this.open.add(++this.nextFd);
      words[C.H_CACHED_FD] = this.nextFd + 1;
      if (random.chance(50)) return;
      words[C.H_CACHED] = C.CACHED_BYTES + random.below(4 * C.CACHED_BYTES);
    } else {
      const length = random.below(C.CACHED_BYTES);
      new Uint8Array(words.buffer, C.BORDER_CACHED, length).fill(CACHED_PATTERN);
      words[C.H_CACHED] = length;
    }
  }

  // PAIR: World.fill
  /** The rest of such a look: all of it, or nothing. */
  fill(words: Int32Array, bytes: Uint8Array): void {
    words[C.H_CACHED] = 0;
    if (this.random.chance(this.faults.late)) return;
    bytes.fill(CACHED_PATTERN);
    words[C.H_CACHED] = bytes.length;
    if (!this.open.delete(words[C.H_CACHED_FD] - 1)) this.badCloses++;
    words[C.H_CACHED_FD] = 0;
  }

  /** A ring that has ended, or is beyond use, looks at nothing. Time goes by. */
  private blind(words: Int32Array): boolean {
    words[C.H_CLOCK] += this.random.below(4);
    return this.stuck || words[C.H_FATAL] !== 0 || words[C.H_CLOSED] === 1;
  }

  // PAIR: World.stat
  /** A look at a file's metadata: all zeros as from the ring, absent, or nobody knows. */
  stat(words: Int32Array): void {
    const { random, faults } = this;
    words[C.H_STAT] = -EAGAIN;
    if (this.blind(words) || random.chance(faults.late)) return;
    words[C.H_LOOKS]++;
    if (random.chance(faults.error)) {
      words[C.H_STAT] = -ENOENT;
    } else {
      new Uint8Array(words.buffer, C.BORDER_CACHED, S.STATX_BYTES).fill(0);
      words[C.H_STAT] = 0;
    }
  }

  // PAIR: World.advance
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
