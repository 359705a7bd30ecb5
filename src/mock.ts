// The mock driver: a seeded kernel that reorders, overflows, fails and is late.
// Pair: crates/ringcore/src/mock.rs
//
// The same ring, executor and operations run on it as on the kernel. A failing run is its seed: the
// clock is simulated too. It stands for everything below the border, so that it checks descriptors
// as Border::start does in Rust. Buffers are read and written when an operation completes.

import { classBytes, type Growth } from './buffer.ts';
import * as C from './cqe.ts';
import type { Driver } from './driver.ts';
import * as S from './sqe.ts';
import {
  AIMS,
  hasPaths,
  hold,
  moves,
  NUMBERS,
  opens,
  PATHS,
  RARE,
  type Region,
  resultOf,
  type Taken,
  World,
} from './world.ts';

const [EINTR, EBADF, EAGAIN, EBUSY, EINVAL, EOPNOTSUPP, ECANCELED] = [4, 9, 11, 16, 22, 95, 125];
/** The border's bound, and the ring's own eventfd, which close refuses. */
const [MAX_TICKET, PROTECTED] = [1 << 24, 999_999];

// PAIR: Random
/** A small seeded generator (xorshift), the same numbers in both languages. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = Math.imul(seed, 0x9e3779b1) >>> 0 || 1;
  }

  // PAIR: Random.next
  /** The next 32 bits. */
  next(): number {
    let { state } = this;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.state = state;
    return state >>> 0;
  }

  // PAIR: Random.below
  /** A number below `bound`. */
  below(bound: number): number {
    return this.next() % Math.max(bound, 1);
  }

  // PAIR: Random.chance
  /** True `percent` times in a hundred. */
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
}

// PAIR: Faults
/** How bad a kernel it is, in percent. */
export interface Faults {
  /** Enters that answer EINTR, EAGAIN or EBUSY. */
  enter: number;
  /** Operations that do not complete inline. */
  late: number;
  /** Operations that fail with an errno. */
  error: number;
  /** Transfers that are short. */
  short: number;
  /** Turns whose list has no room for all completions. */
  crowded: number;
  /** Wake-ups that never come. */
  lostWake: number;
}

/** A bad day, and all wake-ups come. */
export const FAULTS: Faults = {
  enter: 5,
  late: 60,
  error: 10,
  short: 30,
  crowded: 10,
  lostWake: 0,
};
/** A kernel that makes no mistake and completes inline. */
export const NO_FAULTS: Faults = { ...FAULTS, enter: 0, late: 0, error: 0, short: 0, crowded: 0 };

/** What a read of this file at this offset gives, and a write to it must bring. */
export function patternOf(fd: number, offset: number): number {
  return (Math.imul(fd, 31) + offset) & 0xff;
}

// PAIR: Mock
/** A driver on a simulated kernel, and what that kernel knows. */
export class Mock implements Driver {
  readonly memory: ArrayBuffer = new ArrayBuffer(C.BORDER_BYTES);
  readonly now = null;
  readonly world: World;
  /** The memory was let go. */
  freed = false;
  private readonly words: Int32Array;
  private readonly wake: () => void;
  private readonly regions: Region[] = [];
  private readonly tickets: (Taken | null)[] = [];
  private waiting: Taken[] = [];
  private notify = false;
  private armed = false;
  private holding: NodeJS.Timeout | null = null;

  // PAIR: Mock.new
  /** A kernel with a seed. `wake` is called when something completes while the ring is parked. */
  constructor(seed: number, faults: Faults, wake: () => void) {
    this.world = new World(new Random(seed), faults);
    this.wake = wake;
    this.words = new Int32Array(this.memory);
  }

  // PAIR: Mock.push
  push(descriptors: number): void {
    this.words[C.H_DESCRIPTORS] = descriptors;
  }

  // PAIR: Mock.submit
  submit(mode: number): void {
    const { words } = this;
    words[C.H_MODE] = mode;
    words[C.H_TURNS]++;
    words[C.H_CLOCK] += this.world.random.below(40);
    const entering = (mode & C.TURN_ENTER) !== 0;
    if (entering) this.notify = false;
    this.takeDescriptors();
    let more = true;
    if (words[C.H_CLOSED] === 1) more = this.handOver(C.MAX_COMPLETIONS);
    else if (entering) {
      more = this.enter();
      if ((mode & C.TURN_PARK) !== 0 && !more) more = !this.sleep();
    }
    words[C.H_MORE] = more ? 1 : 0;
    words[C.H_IN_FLIGHT] = this.inFlight;
  }

  // PAIR: Mock.reap
  reap(): number {
    return this.words[C.H_COMPLETIONS];
  }

  // PAIR: Mock.park
  park(): boolean {
    return this.words[C.H_MORE] === 0;
  }

  // PAIR: Mock.look
  look(): void {
    this.world.look(this.words);
  }

  // PAIR: Mock.fill
  fill(bytes: Uint8Array): void {
    this.world.fill(this.words, bytes);
  }

  // PAIR: Mock.stat
  stat(): void {
    this.world.stat(this.words);
  }

  /** Operations between their descriptor and their completion. */
  get inFlight(): number {
    return this.waiting.length + this.world.running.length + this.world.finished.length;
  }

  /** Regions that the kernel holds. */
  get busyRegions(): number {
    return this.regions.filter((region) => region.busy).length;
  }

  /** A timer stands for the threadsafe function's reference. */
  keepAlive(): void {
    const wanted = this.words[C.H_REFERENCED] === 1;
    if (wanted && this.holding === null) this.holding = setInterval(() => {}, 1 << 30);
    if (!wanted && this.holding !== null) {
      clearInterval(this.holding);
      this.holding = null;
    }
  }

  /** No simulated kernel has buffer groups. */
  readonly provide = (): number => -EOPNOTSUPP;
  readonly show = (): null => null;
  readonly hide = (): boolean => false;

  grow(size: number): Growth | null {
    const bytes = classBytes(size);
    const [first, count] = [this.regions.length, bytes > 65536 ? 2 : 8];
    const memory = new ArrayBuffer(count * bytes);
    for (let i = 0; i < count; i++) {
      this.regions.push({ view: new Uint8Array(memory, i * bytes, bytes), busy: false });
    }
    return { first, count, bytes, memory };
  }

  /** Its regions are few: it keeps them. */
  shrink(): number {
    return 0;
  }

  /** It has no memory that two may name. */
  alloc(): null {
    return null;
  }

  /** Nor slots. */
  files(): number {
    return -EINVAL;
  }

  forget(): void {}

  /** What runs is cancelled or was faster; nothing is taken in afterwards. */
  close(): boolean {
    if (this.words[C.H_CLOSED] === 1) return true;
    this.takeDescriptors();
    for (const entry of this.waiting.splice(0)) this.world.take(entry);
    const ended = this.world.end();
    this.words[C.H_CLOSED] = 1;
    this.submit(0);
    return ended;
  }

  free(): void {
    this.freed = true;
    this.words[C.H_REFERENCED] = 0;
    this.keepAlive();
  }

  private takeDescriptors(): void {
    const { words } = this;
    const count = Math.min(words[C.H_DESCRIPTORS] >>> 0, C.MAX_DESCRIPTORS);
    for (let i = 0; i < count; i++) {
      const at = (C.BORDER_DESCRIPTORS >> 2) + i * S.DESCRIPTOR_WORDS;
      const d = words.slice(at, at + S.DESCRIPTOR_WORDS);
      for (const rare of RARE) words[at + rare] = 0;
      const errno = this.start(d);
      if (errno !== 0) this.reject(d[S.D_TICKET] >>> 0, errno);
    }
    words[C.H_DESCRIPTORS] = 0;
  }

  private reject(ticket: number, errno: number): void {
    if (ticket !== S.NO_TICKET) this.world.finished.push({ entry: null, ticket, res: -errno });
  }

  /** One descriptor becomes an entry, or an errno for its ticket. */
  private start(d: Int32Array): number {
    const [opcode, ticket, length] = [d[S.D_OPCODE], d[S.D_TICKET] >>> 0, d[S.D_LENGTH] >>> 0];
    // Chains run on the kernel only.
    if ((d[S.D_SQE_FLAGS] & ~S.IOSQE_ASYNC) !== 0) return EINVAL;
    const waits = ticket !== S.NO_TICKET;
    if (waits && (ticket >= MAX_TICKET || (this.tickets[ticket] ?? null) !== null)) return EINVAL;
    if (opcode === S.IORING_OP_CLOSE && d[S.D_FD] === PROTECTED) return EBADF;
    const target = AIMS.has(opcode) ? (this.tickets[d[S.D_REGION] >>> 0] ?? null) : null;
    const checked = this.check(opcode, d, length);
    if (checked === null) return EINVAL;
    const entry: Taken = {
      ticket,
      opcode,
      fd: d[S.D_FD],
      region: checked.bytes === null ? null : (this.regions[d[S.D_REGION] >>> 0] ?? null),
      bytes: checked.bytes,
      result: resultOf(opcode, d),
      pattern: patternOf(d[S.D_FD], d[S.D_OFFSET_LO]),
      target,
      done: false,
    };
    if (waits) this.tickets[ticket] = entry;
    const { words } = this;
    const ended = words[C.H_FATAL] !== 0 ? words[C.H_FATAL] : ECANCELED;
    const over = words[C.H_FATAL] !== 0 || words[C.H_CLOSED] === 1;
    if (opcode === S.IORING_OP_CLOSE && (over || !waits)) this.takeOwn(entry);
    else if (over) this.world.post(entry, -ended);
    else if (opcode === S.IORING_OP_ASYNC_CANCEL) {
      // As in Ring::cancel: whoever stops waiting for a close, its number is gone all the same.
      if (waits || target?.opcode !== S.IORING_OP_CLOSE) this.waiting.unshift(entry);
    } else this.waiting.push(entry);
    return 0;
  }

  /** A close that the ring owes, or any on a ring that has ended: there it is done at once. */
  private takeOwn(entry: Taken): void {
    if (this.words[C.H_FATAL] !== 0 || this.words[C.H_CLOSED] === 1) this.world.take(entry);
    else this.waiting.unshift(entry);
  }

  /** What Border::start checks of one opcode. Null: EINVAL. */
  private check(
    opcode: number,
    d: Int32Array,
    length: number,
  ): { bytes: Uint8Array | null } | null {
    const nothing = { bytes: null };
    if (opcode === S.IORING_OP_NOP) {
      const known = S.IORING_NOP_INJECT_RESULT | S.IORING_NOP_TW;
      return (d[S.D_WORD0] & ~known) === 0 ? nothing : null;
    }
    if (moves(opcode)) {
      if (length > S.MAX_TRANSFER) return null;
      const none = d[S.D_REGION] >>> 0 === S.NO_REGION && length === 0;
      return none ? nothing : hold(this.regions, d, length);
    }
    if (PATHS.has(opcode)) {
      if (!hasPaths(this.memory, opcode, d)) return null;
      return opcode === S.IORING_OP_STATX ? hold(this.regions, d, S.STATX_BYTES) : nothing;
    }
    if (opcode === S.IORING_OP_TIMEOUT || opcode === S.IORING_OP_TIMEOUT_REMOVE) {
      return d[S.D_OFFSET_HI] >= 0 && d[S.D_WORD1] >>> 0 <= 999_999_999 ? nothing : null;
    }
    return NUMBERS.includes(opcode) ? nothing : null;
  }

  /** One enter and a reap. Whether another turn is needed. */
  private enter(): boolean {
    const { words } = this;
    const { random, faults } = this.world;
    if (words[C.H_FATAL] !== 0) return this.handOver(C.MAX_COMPLETIONS);
    words[C.H_ENTERS]++;
    let errno = this.world.enters.shift() ?? 0;
    if (errno === 0 && random.chance(faults.enter)) errno = [EINTR, EAGAIN, EBUSY][random.below(3)];
    // EINTR is called again at once; after the other two the entries stay where they are.
    const stalled = errno === EAGAIN || errno === EBUSY;
    if (errno !== 0 && errno !== EINTR && !stalled) this.poison(errno);
    if (!stalled && words[C.H_FATAL] === 0) {
      words[C.H_SUBMITTED] += this.waiting.length;
      for (const entry of this.waiting.splice(0)) this.world.take(entry);
      this.world.advance(0);
    }
    const crowded = random.chance(faults.crowded);
    return this.handOver(crowded ? 1 + random.below(3) : C.MAX_COMPLETIONS) || stalled;
  }

  /** The ring is beyond use: everything fails once, and no memory is given back (I2). */
  private poison(errno: number): void {
    this.words[C.H_FATAL] = errno;
    for (const entry of [...this.waiting.splice(0), ...this.world.running.splice(0)]) {
      // A close that was not taken is made all the same (I3).
      if (entry.opcode === S.IORING_OP_CLOSE) this.world.take(entry);
      else this.reject(entry.ticket, errno);
    }
  }

  /** Moves completions into the list. Whether some had no room. */
  private handOver(most: number): boolean {
    const { words } = this;
    const { finished } = this.world;
    const count = Math.min(most, finished.length, C.MAX_COMPLETIONS - words[C.H_COMPLETIONS]);
    for (let i = 0; i < count; i++) {
      const { entry, ticket, res } = finished[i];
      // The ticket is free again only when its own operation has ended.
      if (entry !== null) this.tickets[ticket] = null;
      const at = (C.BORDER_COMPLETIONS >> 2) + words[C.H_COMPLETIONS] * C.COMPLETION_WORDS;
      words[at + C.C_TICKET] = ticket;
      words[at + C.C_RES] = res;
      words[at + C.C_FLAGS] = 0;
      words[at + C.C_AUX] = entry !== null && opens(entry.opcode) ? 1 : 0;
      words[C.H_COMPLETIONS]++;
    }
    words[C.H_COMPLETED] += count;
    finished.splice(0, count);
    return finished.length > 0;
  }

  /** Step 4: asks for a wake-up, then looks once more. False: something is there. */
  private sleep(): boolean {
    // Something may complete between the last reap and the wish to be woken.
    if (this.world.random.chance(10)) this.world.advance(1);
    this.notify = this.world.finished.length === 0;
    if (this.notify) this.arm();
    return this.notify;
  }

  private arm(): void {
    if (this.armed || this.world.stuck || this.world.running.length === 0) return;
    this.armed = true;
    setImmediate(() => {
      this.armed = false;
      if (!this.notify || this.words[C.H_CLOSED] === 1) return;
      this.world.advance(1);
      if (this.world.finished.length === 0) return this.arm();
      this.notify = false;
      this.world.signals++;
      if (!this.world.random.chance(this.world.faults.lostWake)) this.wake();
    });
  }
}
