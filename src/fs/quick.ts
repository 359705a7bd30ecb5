// PAIR: only-typescript quick.ts -- a Rust future costs nothing that could be left out
//
// One read or write as node's FileHandle has it: a promise, made by the caller, that nobody polls,
// abandons or aborts. So it is no Future, and has nothing but what its completion needs: half of
// the objects of an awaited FileTransfer, and two microtasks less.

import { allocationIn } from '../alloc.ts';
import { high, low } from '../border.ts';
import { bytesOf, copyOut } from '../buffer.ts';
import { checkView } from '../check.ts';
import { AbortError, closedError, DetachedError, errnoError, withoutStack } from '../error.ts';
import { readNow, worthNow } from '../now.ts';
import { large } from '../ops/vectors.ts';
import type { Started } from '../reactor.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import {
  FIRST_ALLOCATED,
  IORING_OP_READ,
  IORING_OP_WRITE,
  MAX_TRANSFER,
  NO_REGION,
} from '../sqe.ts';
import type { User } from './handle.ts';

const NONE = NO_REGION | 0;
const ECANCELED = 125;

/** Whoever learns of the end: once, with a count, or with an error. */
export interface Done {
  moved(count: number): void;
  failed(error: unknown): void;
}

/** Whose descriptor it is: a `Handle`, or who was given a number. */
export interface Holder {
  readonly runtime: Runtime;
  /** -1: it is closed. */
  readonly fd: number;
  leave(user: object): void;
}

/** Moves the bytes of a view that was checked, at a position that was checked. */
export class Quick implements Started, User {
  ticket = -1;
  referenced = true;
  readonly signal = null;
  queued = false;
  settled = false;
  private region: number = NONE;
  private readonly handle: Holder;
  private readonly reads: boolean;
  private readonly view: ArrayBufferView;
  private readonly offset: number;
  private readonly done: Done;

  /** `offset` -1 is the cursor. */
  constructor(handle: Holder, reads: boolean, view: ArrayBufferView, offset: number, done: Done) {
    this.handle = handle;
    this.reads = reads;
    this.view = view;
    this.offset = offset;
    this.done = done;
  }

  begin(): void {
    if (this.queued) return;
    try {
      if (this.reads && worthNow(bytesOf(this.view).length)) this.now();
      else this.start();
    } catch (error) {
      this.end(error);
    }
  }

  private start(): void {
    this.handle.runtime.executor.reactor.start(this);
  }

  /** What is in memory is read at once, or in the next iteration of the event loop. */
  private now(): void {
    const { handle, view, offset } = this;
    const { fd } = handle;
    // The runtime may have been closed since the call, and has no budget any more.
    if (fd < 0) throw closedError();
    const { executor } = handle.runtime;
    if (!executor.affords) {
      executor.postpone(this);
      return;
    }
    const bytes = bytesOf(view); // None, if they are gone since the call.
    const count = readNow(executor, fd, bytes, 0, bytes.length, offset);
    if (count < 0) this.start();
    else this.moved(count);
  }

  private moved(count: number): void {
    this.settled = true;
    this.done.moved(count);
    this.handle.leave(this);
  }

  prepare(ring: Ring, ticket: number): void {
    const { handle, reads, view, offset } = this;
    checkView('buffer', view); // It may be gone since the call.
    const length = Math.min(view.byteLength, MAX_TRANSFER);
    const own = allocationIn(view, ring);
    const region = own === null ? ring.regions.hold(length) : own.id;
    this.region = region;
    if (!reads && own === null) {
      const bytes = bytesOf(view);
      const room = ring.regions.views[region] as Uint8Array;
      room.set(length === bytes.length ? bytes : bytes.subarray(0, length));
    }
    const opcode = reads ? IORING_OP_READ : IORING_OP_WRITE;
    const from = own === null ? 0 : view.byteOffset;
    const flags = large(opcode, 0, length);
    ring.border.start(
      opcode,
      ticket,
      handle.fd,
      region,
      from,
      length,
      low(offset),
      high(offset),
      0,
      0,
      flags,
    );
  }

  complete(res: number, _flags: number, _opened: boolean, ring: Ring<Started>): number {
    const { region, view } = this;
    if (res < 0) {
      this.end(this.error(-res), ring);
      return 0;
    }
    let copied = 0;
    if (region < FIRST_ALLOCATED) {
      copied = res;
      if (this.reads && res > 0) {
        const target = bytesOf(view);
        // Detached or shrunk while the kernel read: nothing is written anywhere.
        const whole = ring.regions.views[region] as Uint8Array;
        if (target.length < res || !copyOut(target, whole, res)) {
          this.end(
            withoutStack(() => new DetachedError(res)),
            ring,
          );
          return 0;
        }
      }
    }
    this.drop(ring);
    this.moved(res);
    return copied;
  }

  private error(errno: number): Error {
    // The frames of a delivery are nobody's: those of who waits come later.
    return withoutStack(() => {
      if (errno !== ECANCELED) return errnoError(errno, this.reads ? 'read' : 'write');
      return this.handle.runtime.ended ? closedError() : new AbortError();
    });
  }

  /** I2: the region is free only here, after the completion. */
  private drop(ring?: Ring<Started>): void {
    const { region } = this;
    if (region === NONE) return;
    this.region = NONE;
    (ring ?? this.handle.runtime.executor.reactor.ring).regions.release(region);
  }

  private end(error: unknown, ring?: Ring<Started>): void {
    this.drop(ring);
    this.settled = true;
    this.done.failed(error);
    this.handle.leave(this);
  }

  aborted(): void {}

  /** The ring ended without its completion: its memory is never used again. */
  lost(error: unknown): void {
    this.region = NONE;
    this.end(error);
  }
}
