// PAIR: only-typescript read.ts -- in Rust an async fn of fs/mod.rs
//
// The whole content of a file: open, reads until one brings nothing, close. A short read is not the
// end (/proc/self/maps comes in pieces), a size may be a lie (/proc says 0) or grow meanwhile.

import { fdOf } from '../direct.ts';
import type { Executor } from '../executor.ts';
import { sizeNow } from '../now.ts';
import type { OpOptions } from '../op.ts';
import { AT_FDCWD } from '../ops/paths.ts';
import type { Started } from '../reactor.ts';
import type { Ring } from '../ring.ts';
import { existing, type Runtime } from '../runtime.ts';
import { Lifecycle } from '../slot.ts';
import {
  INLINE_READ,
  IORING_OP_NOP,
  IORING_OP_OPENAT,
  IORING_OP_READ,
  IORING_OP_STATX,
  NO_REGION,
  STATX_BYTES,
} from '../sqe.ts';
import { LARGER, OPEN, opened, ownBytes, SPENT, UNKNOWN } from './cached.ts';
import { AGAIN, Composite, DONE } from './composite.ts';
import { guess, had, LARGE, LARGEST, lookAt, SMALL, sizeIn, tooLarge } from './guess.ts';
import { FILL_BYTES, type Filled, readLarger, wholeOf } from './larger.ts';
import { inputPath, pathText } from './path.ts';
import { Pieces, PROOF_BYTES } from './pieces.ts';
import { Train } from './train.ts';

const { O_RDONLY } = process.getBuiltinModule('node:fs').constants;

const AT_EMPTY_PATH = 0x1000;
const STATX_TYPE_SIZE = 0x1 | 0x200;

const NONE = NO_REGION | 0;
const [EINTR, ECANCELED] = [4, 125];

/** Since Node 26 the errors of its readFile name the path when a read failed, too. */
const NAMED = Number.parseInt(process.versions.node, 10) >= 26;

const OPENING = 0;
const FIRST = 1;
const SIZING = 2;
const READING = 3;
/** One submission has brought it all, or nearly. */
const ARRIVED = 4;
/** The budget is spent: an operation without effect, which waits for the next iteration. */
const WAITING = 5;

/** Reads a file that it opens itself, or the rest of an open one. */
export class ReadFile extends Composite<Buffer> {
  private readonly name: string | Uint8Array | null;
  private readonly flags: number;
  private readonly source: number;
  private stage: number;
  private wanted = guess.first;
  /**
   * It is opened into a slot of the ring's own table, which costs the kernel less than a descriptor
   * of the process; -1: there is none, or it was not opened here.
   */
  private slot = -1;
  /** It has a descriptor of its own, and what is in memory is read on this thread (now.ts). */
  private plain = false;
  /** Something is open in the slot. */
  private open = false;
  /** Somebody has looked whether it is in the kernel's caches. */
  private seen = false;
  /** Alone on the ring it is one submission first. */
  private train: Train | null = null;
  /** What has come of it. */
  private readonly came = new Pieces();

  /** A checked path; or null, and `source` is the descriptor, read from its position. */
  constructor(
    runtime: Runtime | null,
    path: string | Uint8Array | null,
    flags: number,
    source: number,
    options?: OpOptions,
  ) {
    super(runtime, options);
    this.name = path;
    this.flags = flags;
    this.source = source;
    this.stage = path === null ? FIRST : OPENING;
  }

  protected override get opens(): boolean {
    return this.name !== null;
  }

  protected override get path(): string | undefined {
    const { name } = this;
    return name !== null && (this.stage === OPENING || NAMED) ? pathText(name) : undefined;
  }

  override begin(): void {
    // A signal may end what is still to come: nothing would be left of it.
    const fresh = this.lifecycle === Lifecycle.Fresh && this.signal === null && !this.queued;
    if (fresh && !this.seen && this.flags === O_RDONLY) {
      const runtime = this.runtime ?? existing();
      if (runtime !== null && !runtime.ended) {
        this.runtime = runtime;
        try {
          this.atOnce(runtime);
        } catch (error) {
          this.refuse(error); // No memory.
        }
      }
    }
    if (!this.settled) super.begin();
  }

  /** What this thread can do of it without waiting, in this iteration or a later one. */
  private atOnce(runtime: Runtime): void {
    const { name } = this;
    const { executor } = runtime;
    if (name === null && runtime.allowed !== null) return;
    const open = executor.affords ? OPEN : SPENT;
    const res = name === null ? open : lookAt(runtime, name);
    if (res === SPENT) {
      this.postpone(executor);
      return;
    }
    if (name !== null) {
      this.looked(res);
      return;
    }
    this.seen = true;
    this.plain = true;
    if (this.sizedNow(SMALL) === AGAIN) return;
    this.lifecycle = Lifecycle.Completed;
    this.settle(this.made());
    this.owner?.ended(this);
  }

  private postpone(executor: Executor): void {
    this.queued = true;
    executor.postpone({
      begin: () => {
        this.queued = false;
        if (!this.settled) this.begin();
      },
    });
  }

  /** What a look at its file has come to; of a larger one, what is there of it. */
  looked(res: number, filled: Filled | null = null): void {
    this.seen = true;
    if (res === UNKNOWN || res === SPENT) return;
    const ring = (this.runtime as Runtime).executor.reactor.ring as unknown as Ring;
    if (res >= 0) {
      this.lifecycle = Lifecycle.Completed;
      this.settle(ownBytes(ring.border, res));
    } else if (res === LARGER) {
      this.larger(filled ?? readLarger(this.runtime as Runtime), ring);
    } else if (res === OPEN) {
      opened(ring, (fd) => this.own(fd, ring));
      this.stage = FIRST;
    } else {
      this.complete(res, 0, false, ring as unknown as Ring<Started>);
    }
  }

  /** A file that a look has opened, and what has come of it. */
  private larger(filled: Filled, ring: Ring): void {
    const { bytes, count, ended } = filled;
    if (ended) {
      had(count);
      this.lifecycle = Lifecycle.Completed;
      this.settle(wholeOf(filled));
      return;
    }
    opened(ring, (fd) => this.own(fd, ring));
    this.came.start(bytes, count);
    // More than one call brings is read on this thread; what is not cached, or has grown, is not.
    this.plain = (this.runtime as Runtime).allowed === null;
    this.stage = this.plain && count === FILL_BYTES ? WAITING : READING;
    this.wanted = count === bytes.length ? PROOF_BYTES : INLINE_READ;
  }

  private get from(): number {
    if (this.slot >= 0) return fdOf(this.slot);
    return this.fd >= 0 ? this.fd : this.source;
  }

  override prepare(ring: Ring, ticket: number): void {
    const { border } = ring;
    const { stage } = this;
    if (stage === OPENING) {
      const { flags } = this;
      const at = inputPath(ring, this.name as string | Uint8Array, 'open');
      // What is read on this thread needs a descriptor.
      const { allowed, executor } = this.runtime as Runtime;
      const plain = guess.first === LARGE && allowed === null;
      const slot = plain ? -1 : executor.reactor.directs.borrow();
      this.slot = slot;
      this.plain = slot < 0 && allowed === null;
      // Signals reach one ticket, and a train has three.
      const alone = slot >= 0 && this.signal === null;
      this.train = alone
        ? Train.make(this, this.runtime as Runtime, ring, slot, this.wanted)
        : null;
      border.start(IORING_OP_OPENAT, ticket, AT_FDCWD, NONE, 0, 0o666, 0, 0, flags, 0, 0);
      border.extra(0, 0, at, border.inputBytes, slot + 1);
      this.train?.follow(ring);
      return;
    }
    if (stage === SIZING) {
      this.call = 'fstat';
      // A direct descriptor has no stat: its path's is as good, for all it is used for is room.
      const direct = this.slot >= 0;
      const at = inputPath(ring, direct ? (this.name as string | Uint8Array) : '', 'stat');
      const [fd, flags] = direct ? [AT_FDCWD, 0] : [this.from, AT_EMPTY_PATH];
      this.region = ring.regions.hold(STATX_BYTES);
      const { region } = this;
      border.start(IORING_OP_STATX, ticket, fd, region, 0, STATX_TYPE_SIZE, 0, 0, flags, 0, 0);
      border.extra(0, 0, at, border.inputBytes, 0);
      return;
    }
    this.call = 'read';
    if (stage === WAITING) {
      border.start(IORING_OP_NOP, ticket, -1, NONE, 0, 0, 0, 0, 0, 0, 0);
      return;
    }
    this.region = ring.regions.hold(this.wanted);
    border.start(IORING_OP_READ, ticket, this.from, this.region, 0, this.wanted, -1, -1, 0, 0, 0);
  }

  override complete(res: number, flags: number, opened: boolean, ring: Ring<Started>): number {
    const { train } = this;
    if (this.stage === OPENING && this.slot >= 0) this.open = res >= 0;
    // Its path was asked, and is another file's by now, or nobody's: it goes without its size.
    if (this.stage === SIZING && this.slot >= 0 && res < 0 && !this.stopped(res)) {
      return super.complete(0, flags, opened, ring);
    }
    if (train === null || !train.running) return super.complete(res, flags, opened, ring);
    return train.opened(res, ring);
  }

  /** All of the train is over. `res` is an error, or what the first read brought. */
  arrive(res: number, call: 'open' | 'read', ring: Ring<Started>): number {
    if (call === 'read') {
      this.stage = ARRIVED;
      this.call = call;
    }
    return super.complete(res, 0, false, ring);
  }

  protected override closeOwn(ring: Ring): void {
    const { train, slot } = this;
    this.train = null;
    train?.end(ring);
    this.slot = -1;
    if (slot >= 0) {
      const { directs } = (this.runtime as Runtime).executor.reactor;
      if (this.open) directs.close(slot);
      else directs.giveBack(slot);
    }
    super.closeOwn(ring);
  }

  /** The slot goes with the ring. */
  override lost(error: unknown): void {
    this.slot = -1;
    super.lost(error);
  }

  override refuse(error: unknown): void {
    if (this.slot >= 0 || this.fd >= 0)
      this.closeOwn((this.runtime as Runtime).executor.reactor.ring as unknown as Ring);
    super.refuse(error);
  }

  get abandoned(): boolean {
    return this.lifecycle === Lifecycle.Abandoned;
  }

  /** Whether somebody wished the end of a step that has failed. */
  private stopped(res: number): boolean {
    return this.abandoned || res === -ECANCELED || res === -EINTR;
  }

  /** What the train has brought. */
  private unload(res: number, ring: Ring): boolean {
    const train = this.train as Train;
    train.unload(ring, (bytes, view) => {
      if (this.came.total === 0) this.came.start(Buffer.allocUnsafeSlow(bytes), 0);
      this.came.append(bytes, view);
    });
    if (train.whole) return this.done();
    this.goOn(res);
    return AGAIN;
  }

  /** After a first read that was not all. */
  private goOn(res: number): void {
    const full = res === this.wanted;
    if (full && this.wanted < LARGE) {
      guess.first = LARGE;
      this.wanted = LARGE;
      this.stage = FIRST;
      return;
    }
    this.stage = full ? SIZING : READING;
    if (!full) this.wanted = PROOF_BYTES;
  }

  private done(): boolean {
    had(this.came.total);
    return DONE;
  }

  protected step(res: number, ring: Ring): boolean {
    switch (this.stage) {
      case ARRIVED:
        return this.unload(res, ring);
      case OPENING:
        this.stage = FIRST;
        return this.plain ? this.sizedNow(1) : AGAIN;
      case WAITING:
        return this.readNow();
      case FIRST:
        return this.first(res, ring);
      case SIZING:
        return this.sized(ring);
      default:
        if (res === 0) return this.done();
        this.came.append(res, ring.regions.views[this.region] as Uint8Array);
        // The last one proves the end; where that is not known, more and more is asked for.
        if (this.came.full) this.wanted = PROOF_BYTES;
        else this.wanted = Math.min(INLINE_READ, this.wanted * 4);
        // The kernel reads ahead.
        return this.plain && this.came.room > 0 ? this.readNow() : AGAIN;
    }
  }

  /** Most files are whole now; what is left to see is that there is nothing more. */
  private first(res: number, ring: Ring): boolean {
    if (res === 0) return this.done();
    const view = ring.regions.views[this.region] as Uint8Array;
    const { came } = this;
    if (came.total > 0) came.gather(came.total + res);
    else came.start(Buffer.allocUnsafeSlow(res), 0); // Of most files all of them.
    came.append(res, view);
    this.goOn(res);
    return AGAIN;
  }

  /** It is longer: room for all of it at once, if its size says how much that is. */
  private sized(ring: Ring): boolean {
    const size = sizeIn(ring.regions.views[this.region] as Uint8Array);
    // What a path says may be of another file: whether it is too large is seen as it comes.
    if (size > LARGEST && this.slot < 0) throw tooLarge(size);
    if (size > this.came.total && size <= LARGEST) this.came.gather(size);
    this.stage = READING;
    this.wanted = INLINE_READ;
    return AGAIN;
  }

  /** What is left of an open file of a known size: what is in memory is read on this thread. */
  private sizedNow(least: number): boolean {
    const { executor } = this.runtime as Runtime;
    this.checkSignal();
    const size = sizeNow(executor, this.from);
    if (size < least) return AGAIN; // Or it is too large, which is seen later.
    this.came.start(Buffer.allocUnsafeSlow(size), 0);
    return this.readNow();
  }

  /** Goes on with that, and lets the ring do what is not in memory. */
  private readNow(): boolean {
    const { executor } = this.runtime as Runtime;
    const { from, came } = this;
    this.call = 'read';
    for (;;) {
      this.checkSignal();
      if (!executor.affords) {
        this.stage = WAITING;
        return AGAIN;
      }
      const { full } = came;
      const count = came.readNow(executor, from);
      if (count === 0) return this.done();
      if (count > 0 && !full) continue;
      this.stage = READING; // A part is not in memory, or it has grown.
      this.wanted = full ? PROOF_BYTES : INLINE_READ;
      return AGAIN;
    }
  }

  protected made(): Buffer {
    return this.came.made();
  }
}
