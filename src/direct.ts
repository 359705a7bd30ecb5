// Direct descriptors: slots of the ring's own table of files. No process has them, a chain can open
// one, use it and close it in a single submission.
// Pair: crates/ringcore/src/direct.rs
//
//   free ── op.direct() ──> owned ── close, or nobody has it ──> closing ──> free
//                             `─ opened, read, written ...          `─ the close's own completion,
//                                                                      and nobody uses the slot
//
// A linked operation, and one in io-wq, looks its slot up when it starts: a slot that is free
// before its last operation has ended would give that one the slot's next file.

import { checkFd } from './check.ts';
import { IORING_CQE_F_MORE } from './cqe.ts';
import type { Driver } from './driver.ts';
import { errnoError, RingcoreError, typeError, wrongRuntimeError } from './error.ts';
import type { Reactor, Started } from './reactor.ts';
import type { Ring } from './ring.ts';
import type { Runtime } from './runtime.ts';
import { IORING_OP_CLOSE, NO_REGION } from './sqe.ts';

const [EBADF, EINVAL, EMFILE] = [9, 22, 24];

/** Descriptors below this stand for slots, on their way to the border. */
const BASE = -0x40000000;

/** Whether a descriptor stands for a slot. */
export function isDirect(fd: number): boolean {
  return fd < BASE;
}

/** Its slot. */
export function slotOf(fd: number): number {
  return BASE - 1 - fd;
}

/** The descriptor that stands for a slot. */
export function fdOf(slot: number): number {
  return BASE - 1 - slot;
}

/** One life of a slot. The handle may be collected while this goes on. */
class Place {
  readonly slot: number;
  readonly table: Directs;
  closing = false;
  /** Something was opened into it, and not closed since. */
  open = false;
  /** Operations in flight that name it, closes among them. */
  users = 0;
  /** The close that was asked for may have come before an open, or not at all. */
  again = false;

  constructor(slot: number, table: Directs) {
    this.slot = slot;
    this.table = table;
  }
}

// PAIR: Direct
/**
 * A slot of the ring's table, empty until something is opened into it. To be closed by its owner;
 * one that was forgotten is closed when it is collected, with a warning (RINGCORE_FD_GC).
 */
export class Direct {
  readonly runtime: Runtime;
  /** Not for users. */
  readonly place: Place;

  constructor(runtime: Runtime, place: Place) {
    this.runtime = runtime;
    this.place = place;
  }

  /** Whether operations may still name it. */
  get closed(): boolean {
    return this.place.closing;
  }
}

/** What an operation does with a slot. */
export type Role = 'uses' | 'opens' | 'closes';

/** An operation holds the handles that it names: none of them is collected before its end. */
interface Use {
  readonly handle: Direct;
  readonly role: Role;
  begun: boolean;
  readonly next: Use | undefined;
}

const USES: WeakMap<object, Use> = new WeakMap();
/** Programs without direct descriptors pay one look at this for each operation. */
let any = false;

// PAIR: direct
/** A slot of a runtime's table; the table is made at the first one. */
export function direct(runtime: Runtime): Direct {
  any = true;
  return runtime.executor.reactor.directs.take(runtime);
}

/** An operation or a stream: it runs on the runtime of the slots that it names. */
interface Named {
  runtime: Runtime | null;
}

/** It will name this slot. The descriptor that stands for the slot. */
export function use(op: Named, handle: Direct, role: Role): number {
  op.runtime ??= handle.runtime;
  if (op.runtime !== handle.runtime) throw wrongRuntimeError('This direct descriptor');
  check(handle);
  USES.set(op, { handle, role, begun: false, next: USES.get(op) });
  return fdOf(handle.place.slot);
}

/** A descriptor as the border takes it: a number that is checked, or what stands for a slot. */
export function descriptorOf(op: Named, fd: number | Direct): number {
  return fd instanceof Direct ? use(op, fd, 'uses') : checkFd(fd);
}

/** The slot that options name, if they do. */
export function slotIn(options: { direct?: Direct | undefined } | undefined): Direct | undefined {
  const direct = options?.direct;
  if (direct === undefined || direct instanceof Direct) return direct;
  throw typeError('options.direct', 'a direct descriptor (op.direct())', direct);
}

function check({ closed }: Direct): void {
  if (!closed) return;
  const error = errnoError(EBADF, 'direct');
  error.message += ': this direct descriptor is closed';
  throw error;
}

// PAIR: Directs
/** All slots of a ring. None before the first is asked for. */
export class Directs {
  private readonly driver: Driver;
  private readonly reactor: Reactor;
  private free: number[] = [];
  private size = 0;
  private failed = false;
  /** The ring has ended, and its table with it. */
  ended = false;
  private readonly collected = new FinalizationRegistry<Place>((place) => this.forget(place));

  constructor(driver: Driver, reactor: Reactor) {
    this.driver = driver;
    this.reactor = reactor;
  }

  /** Slots that are not free. */
  get used(): number {
    return this.size - this.free.length;
  }

  /** All slots; 0: there is no table, or not yet. */
  get slots(): number {
    if (this.size === 0 && !this.failed) this.try();
    return this.size;
  }

  take(runtime: Runtime): Direct {
    if (this.size === 0) this.make();
    const slot = this.free.pop();
    if (slot === undefined) {
      const error = errnoError(EMFILE, 'direct');
      error.message += `: all ${this.size} direct descriptors of the ring are in use`;
      throw error;
    }
    const place = new Place(slot, this);
    const handle = new Direct(runtime, place);
    this.collected.register(handle, place);
    return handle;
  }

  /** A slot for an operation of the library that closes it itself; -1: there is none. */
  borrow(): number {
    return this.slots > 0 ? (this.free.pop() ?? -1) : -1;
  }

  private try(): void {
    try {
      this.make();
    } catch {
      this.failed = true; // An old kernel, or a limit: it goes without.
    }
  }

  /** Nothing was opened into it. */
  giveBack(slot: number): void {
    this.free.push(slot);
  }

  /** Closes it, with the next turn; it is free at the close's own completion. */
  close(slot: number): void {
    if (!this.ended) this.reactor.startIdle(new OwnClose(this, slot));
  }

  private make(): void {
    const count = this.driver.files();
    if (count === -EINVAL) {
      const text = 'This kernel has no table of direct descriptors: it came with Linux 5.19';
      throw new RingcoreError('ERR_RINGCORE_UNSUPPORTED_OP', text);
    }
    if (count < 0) throw errnoError(-count, 'direct');
    this.size = count;
    for (let slot = count - 1; slot >= 0; slot--) this.free.push(slot);
  }

  /** A slot that is to be closed, when nobody uses it any more. */
  settle(place: Place): void {
    if (!place.closing || place.users > 0 || this.ended) return;
    if (place.again) this.reactor.start(new OwnClose(this, place.slot));
    else this.giveBack(place.slot);
  }

  /** Closes what was collected. */
  private forget(place: Place): void {
    if (place.closing || this.ended) return;
    if (place.open) warn();
    place.closing = true;
    place.again = true;
    this.settle(place);
  }
}

// PAIR: Ring.beginDirect
/** An operation is on its way. Throws when something that it names was closed. */
export function beginDirect(op: object): void {
  if (!any) return;
  for (let one = USES.get(op); one !== undefined; one = one.next) {
    check(one.handle);
    const { place } = one.handle;
    one.begun = true;
    place.users++;
    if (one.role === 'closes') place.closing = true;
  }
}

/** It was not submitted after all. */
export function takeBack(op: object): void {
  if (!any) return;
  for (let one = USES.get(op); one !== undefined; one = one.next) {
    if (!one.begun) continue;
    const { place } = one.handle;
    one.begun = false;
    place.users--;
    if (one.role === 'closes') place.closing = false;
    place.table.settle(place);
  }
}

// PAIR: Ring.endDirect
/** A completion of it is in. */
export function endDirect(op: object, res: number, flags: number): void {
  if (!any || (flags & IORING_CQE_F_MORE) !== 0) return;
  for (let one = USES.get(op); one !== undefined; one = one.next) {
    if (!one.begun) continue;
    const { place } = one.handle;
    one.begun = false;
    place.users--;
    if (one.role === 'opens' && res >= 0) place.open = true;
    // EBADF: there was nothing to close. Others in flight may open it after this close.
    if (one.role === 'closes') place.again ||= place.users > 0 || (res < 0 && res !== -EBADF);
    place.table.settle(place);
  }
}

/** The close of a slot that nobody has any more. */
class OwnClose implements Started {
  ticket = -1;
  referenced = false;
  readonly signal = null;
  private readonly table: Directs;
  private readonly slot: number;

  constructor(table: Directs, slot: number) {
    this.table = table;
    this.slot = slot;
  }

  prepare(ring: Ring, ticket: number): void {
    ring.border.start(IORING_OP_CLOSE, ticket, 0, NO_REGION | 0, 0, 0, 0, 0, 0, 0, 0);
    ring.border.extra(0, 0, 0, 0, this.slot + 1);
  }

  complete(): number {
    this.table.giveBack(this.slot);
    return 0;
  }

  aborted(): void {}

  /** The ring ended, and its table with it. */
  lost(): void {}
}

let warned = false;

function warn(): void {
  if (warned) return;
  warned = true;
  const text = 'A direct descriptor was collected while it was open: close it with op.close';
  process.emitWarning(text, { code: 'RINGCORE_FD_GC' });
}
