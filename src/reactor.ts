// The reactor: which completion wakes whom.
// Pair: crates/ringcore/src/reactor.rs

import type { Take } from './border.ts';
import * as C from './cqe.ts';
import { Directs } from './direct.ts';
import type { Driver, Entry } from './driver.ts';
import { Gate } from './gate.ts';
import { Ring } from './ring.ts';

/** What the reactor needs of an operation. */
export interface Started extends Entry {
  ticket: number;
  /** It holds the process until its completion. */
  referenced: boolean;
  /** The signal it listens to, if any. */
  readonly signal: AbortSignal | null;
  /** A completion: bytes are copied, those who wait are woken. How many bytes. */
  complete(res: number, flags: number, opened: boolean, ring: Ring<Started>): number;
  /** Its signal was aborted. */
  aborted(reason: unknown): void;
}

// PAIR: Reactor
/** The ring, the operations in flight by ticket, and who of them holds the process. */
export class Reactor {
  readonly ring: Ring<Started>;
  readonly directs: Directs;
  /** Files that operations of the library hold open. */
  readonly gate: Gate;
  /** Operations in flight that hold the process. */
  referenced = 0;
  /** Whether operations may hold the process at all (Runtime.unref). */
  holding = true;
  private held = false;
  /** Streams that were started and have not ended, or hold what nobody has taken. */
  readonly streams: Set<{ shut(error: unknown): void }> = new Set();
  private readonly signals = new Map<AbortSignal, { ops: Set<Started>; stop: () => void }>();
  private readonly take: Take;
  private readonly request: () => void;

  constructor(driver: Driver, memoryLimit: number, request: () => void) {
    this.ring = new Ring<Started>(driver, memoryLimit);
    this.request = request;
    this.directs = new Directs(driver, this);
    this.gate = new Gate(() => this.directs.slots);
    this.take = (ticket, res, flags, opened) => this.complete(ticket, res, flags, opened);
  }

  // PAIR: Reactor.start
  /** Hands an operation to the ring; the turn that submits it is requested. */
  start(op: Started): void {
    op.ticket = this.ring.push(op);
    if (op.referenced) this.referenced++;
    if (op.signal !== null) this.watch(op.signal, op);
    this.request();
  }

  /** The same for what nobody waits for: it goes out with the next turn, whenever that is. */
  startIdle(op: Started): void {
    op.ticket = this.ring.push(op);
    this.ring.border.idle++;
  }

  /** The same for the members of a chain, all or none. */
  startChain(ops: readonly Started[]): void {
    const tickets = this.ring.pushChain(ops);
    for (const [index, op] of ops.entries()) {
      op.ticket = tickets[index] as number;
      if (op.referenced) this.referenced++;
      if (op.signal !== null) this.watch(op.signal, op);
    }
    this.request();
  }

  // PAIR: Reactor.cancel
  /** Asks for the end of an operation; its completion decides how it ends. */
  cancel(op: Started): void {
    if (op.ticket < 0) return;
    this.ring.cancel(op.ticket);
    this.request();
  }

  /** Closes a descriptor that nobody received (I3). */
  closeFd(fd: number): void {
    this.ring.closeFd(fd);
    this.request();
  }

  /** A lent buffer is the kernel's again. */
  giveBuffer(group: number, buffer: number): void {
    this.ring.giveBuffer(group, buffer);
    this.request();
  }

  /** Nobody wants a buffer group any more. */
  closeGroup(group: number): void {
    this.ring.closeGroup(group);
    this.request();
  }

  // PAIR: Reactor.turn
  /** 2 submit, 3 reap: one turn of the driver, its completions delivered. How many. */
  turn(): number {
    this.ring.submit(C.TURN_ENTER | C.TURN_PARK);
    return this.deliver();
  }

  // PAIR: Reactor.deliver
  /** Every completion to its operation. */
  private deliver(): number {
    return this.ring.reap(this.take);
  }

  private complete(ticket: number, res: number, flags: number, opened: boolean): number {
    const op = this.ring.slots.get(ticket);
    if (op === null) return 0;
    if ((flags & C.IORING_CQE_F_MORE) === 0) {
      this.ring.slots.remove(ticket);
      op.ticket = -1;
      if (op.referenced) this.referenced--;
      if (op.signal !== null) this.unwatch(op.signal, op);
    }
    return op.complete(res, flags, opened, this.ring);
  }

  /** ref() and unref() of an operation, in flight or not. */
  reference(op: Started, wanted: boolean): void {
    if (op.referenced === wanted) return;
    op.referenced = wanted;
    if (op.ticket < 0) return;
    this.referenced += wanted ? 1 : -1;
    this.request();
  }

  /** ref() and unref() of the whole runtime. */
  hold(wanted: boolean): void {
    this.holding = wanted;
    this.keepAlive();
  }

  /** Whether something was written that wants a turn. */
  get wants(): boolean {
    const { border } = this.ring;
    return border.count > border.idle;
  }

  /** Whether an operation in flight holds the process. */
  get holds(): boolean {
    return this.holding && this.referenced > 0;
  }

  /** At the end of a turn: the process's reference follows the count, at the 0 <-> 1 edge only. */
  keepAlive(): void {
    const wanted = this.holds;
    if (wanted !== this.held) {
      this.held = wanted;
      this.ring.keepAlive(wanted);
    }
  }

  // PAIR: Reactor.close
  /** I7: everything ends; what came is delivered, what did not end is told so by its caller. */
  close(error: () => unknown): Started[] {
    // What they hold is closed while the ring still closes something (I3).
    for (const stream of [...this.streams]) stream.shut(error());
    this.directs.ended = true;
    this.ring.close(this.take);
    for (const { stop } of this.signals.values()) stop();
    this.signals.clear();
    return this.ring.slots.all();
  }

  /** One listener per signal and reactor, whatever the number of operations. */
  private watch(signal: AbortSignal, op: Started): void {
    let watched = this.signals.get(signal);
    if (watched === undefined) {
      const ops = new Set<Started>();
      const listener = () => {
        for (const each of [...ops]) each.aborted(signal.reason);
      };
      signal.addEventListener('abort', listener, { once: true });
      const stop = () => signal.removeEventListener('abort', listener);
      watched = { ops, stop };
      this.signals.set(signal, watched);
    }
    watched.ops.add(op);
  }

  private unwatch(signal: AbortSignal, op: Started): void {
    const watched = this.signals.get(signal);
    if (watched === undefined) return;
    watched.ops.delete(op);
    if (watched.ops.size === 0) {
      watched.stop();
      this.signals.delete(signal);
    }
  }
}
