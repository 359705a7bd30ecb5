// PAIR: only-typescript train.ts -- what a turn costs, Rust pays once for all its tasks
//
// One submission for a whole small file, when nothing else is on the ring:
//
//   open into a slot ── link ──> read 16 or 68 KiB ══ hardlink ══> read 4 KiB: proves the end
//
// A short read breaks a plain link, hence the hard one. The close goes out with whatever comes
// next, nobody waits for it; the slot is free at the close's own completion.

import { MAX_DESCRIPTORS } from '../cqe.ts';
import { fdOf } from '../direct.ts';
import type { Reactor, Started } from '../reactor.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import { IORING_OP_READ, IOSQE_IO_HARDLINK, IOSQE_IO_LINK } from '../sqe.ts';

/** Operations on the ring beside the open: the close of the file before. */
const ALONE = 2;
const MEMBERS = 3;
const PROOF_BYTES = 4096;
const ECANCELED = 125;

/** The operation that the train is of: the open has its ticket, until that is over. */
interface Whole {
  ticket: number;
  referenced: boolean;
  readonly abandoned: boolean;
  /** All members have ended: an error of `call`, or the bytes of the first read. */
  arrive(res: number, call: 'open' | 'read', ring: Ring<Started>): number;
  lost(error: unknown): void;
}

/** A member behind the open. */
class Wagon implements Started {
  ticket = -1;
  referenced = false;
  readonly signal = null;
  res = 0;
  private readonly train: Train;

  constructor(train: Train) {
    this.train = train;
  }

  prepare(): void {}

  complete(res: number, _flags: number, _opened: boolean, ring: Ring<Started>): number {
    this.res = res;
    return this.train.came(ring);
  }

  aborted(): void {}

  lost(error: unknown): void {
    this.train.op.lost(error);
  }
}

/** Open, read and read again as one chain on a slot. */
export class Train {
  readonly op: Whole;
  private readonly reactor: Reactor;
  private readonly slot: number;
  private readonly bytes: number;
  private readonly read: Wagon = new Wagon(this);
  private readonly proof: Wagon = new Wagon(this);
  private regions: readonly number[] | null = null;
  private left: number = MEMBERS;
  private open = 0;
  private opening = true;

  private constructor(op: Whole, reactor: Reactor, slot: number, bytes: number) {
    this.op = op;
    this.reactor = reactor;
    this.slot = slot;
    this.bytes = bytes;
  }

  /** A train, where nothing else is going on; `bytes`: of the first read into the slot. */
  static make(op: Whole, runtime: Runtime, ring: Ring, slot: number, bytes: number): Train | null {
    const { border, slots, regions } = ring;
    if (slots.size > ALONE || runtime.entries < MEMBERS) return null;
    if (border.count + MEMBERS > MAX_DESCRIPTORS) return null;
    const { reactor } = runtime.executor;
    const train = new Train(op, reactor, slot, bytes);
    const held: number[] = [];
    try {
      held.push(regions.hold(bytes), regions.hold(PROOF_BYTES));
    } catch {
      for (const region of held) regions.release(region);
      return null; // One step at a time needs less memory.
    }
    train.regions = held;
    return train;
  }

  /** Members are on their way. */
  get running(): boolean {
    return this.left > 0;
  }

  /** Links the open, which was written just now, to the reads. */
  follow(ring: Ring): void {
    const { border, slots } = ring;
    const { bytes, read, proof } = this;
    const fd = fdOf(this.slot);
    const [first, second] = this.regions as [number, number];
    border.link(IOSQE_IO_LINK);
    read.ticket = slots.insert(read);
    proof.ticket = slots.insert(proof);
    const hard = IOSQE_IO_HARDLINK;
    border.start(IORING_OP_READ, read.ticket, fd, first, 0, bytes, -1, -1, 0, 0, hard);
    border.start(IORING_OP_READ, proof.ticket, fd, second, 0, PROOF_BYTES, -1, -1, 0, 0, 0);
  }

  /** The open has ended. */
  opened(res: number, ring: Ring<Started>): number {
    this.open = res;
    this.opening = false;
    // The whole goes on, and holds the process as before.
    if (this.op.referenced) this.reactor.referenced++;
    return this.came(ring);
  }

  /** One member has ended. The others stay within reach of a cancel. */
  came(ring: Ring<Started>): number {
    const { op, read, proof, reactor } = this;
    this.left--;
    if (this.left > 0) {
      // -1: it has ended; before the open has, the whole still has the open's ticket.
      if (this.opening) return 0; // Until the open has ended, its ticket is the one to cancel.
      const next = read.ticket >= 0 ? read.ticket : proof.ticket;
      op.ticket = next;
      // What starts behind a cancelled one is cancelled as well: a FIFO would keep it for ever.
      if (op.abandoned || read.res === -ECANCELED) ring.cancel(next);
      return 0;
    }
    op.ticket = -1;
    if (op.referenced) reactor.referenced--;
    if (this.open < 0) return op.arrive(this.open, 'open', ring);
    if (read.res >= 0 && proof.res < 0) return op.arrive(proof.res, 'read', ring);
    return op.arrive(read.res, 'read', ring);
  }

  /** What came, in order: each view is valid until `unload` returns. */
  unload(ring: Ring, take: (bytes: number, view: Uint8Array) => void): void {
    const { views } = ring.regions;
    const [first, second] = this.regions as [number, number];
    if (this.read.res > 0) take(this.read.res, views[first] as Uint8Array);
    if (this.proof.res > 0) take(this.proof.res, views[second] as Uint8Array);
    this.release(ring);
  }

  /** Whether the last read brought nothing: that was all. */
  get whole(): boolean {
    return this.proof.res === 0;
  }

  private release(ring: Ring): void {
    if (this.regions === null) return;
    for (const region of this.regions) ring.regions.release(region);
    this.regions = null;
  }

  /** What it holds goes back; the slot is the whole's. */
  end(ring: Ring): void {
    this.release(ring);
  }
}
