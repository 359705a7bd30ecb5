// PAIR: only-typescript moves.ts -- in Rust an async fn awaits the raw operation
//
// The raw operations of an open file: each tells the file's handle when it ends, and may have to
// wait for the cursor. Where a descriptor must not wait (O_NONBLOCK) and the file does, EAGAIN is
// answered by a poll, and the operation is tried again; the flags of the description stay.

import { AbortError } from '../error.ts';
import type { Context, Poll } from '../future.ts';
import type { OpOptions, TransferOptions } from '../op.ts';
import { type Fields, FieldsOp } from '../ops/fields.ts';
import { TransferOp } from '../ops/files.ts';
import { VectorOp } from '../ops/vectors.ts';
import type { Started } from '../reactor.ts';
import type { Ring } from '../ring.ts';
import { Lifecycle } from '../slot.ts';
import { IORING_OP_POLL_ADD, NO_REGION } from '../sqe.ts';
import type { Handle, User } from './handle.ts';

const EAGAIN = 11;
const POLLIN = 1;
const POLLOUT = 4;
const NONE = NO_REGION | 0;

/** Writes the descriptor of a poll in place of the transfer's own. */
function preparePoll(ring: Ring, ticket: number, fd: number, reads: boolean): void {
  const events = reads ? POLLIN : POLLOUT;
  ring.border.start(IORING_OP_POLL_ADD, ticket, fd, NONE, 0, 0, 0, 0, events, 0, 0);
}

/** Whether a completion is followed by a poll, or by the transfer once more. */
function goesOn(handle: Handle, polling: boolean, res: number): boolean {
  return handle.waits && (polling ? res >= 0 : res === -EAGAIN);
}

/** A transfer of one view. */
export class FileTransfer extends TransferOp implements User {
  queued = false;
  private polling = false;
  private readonly handle: Handle;

  constructor(
    handle: Handle,
    opcode: number,
    view: ArrayBufferView,
    offset: number | bigint,
    options: TransferOptions | undefined,
  ) {
    super(handle.runtime, opcode, handle.fd, view, offset, options);
    this.handle = handle;
  }

  override begin(): void {
    if (!this.queued) super.begin();
  }

  override poll(cx: Context): Poll<number> {
    return this.queued && !this.settled ? this.wait(cx) : super.poll(cx);
  }

  override prepare(ring: Ring, ticket: number): void {
    if (this.polling) preparePoll(ring, ticket, this.handle.fd, this.reads);
    else super.prepare(ring, ticket);
  }

  override complete(res: number, flags: number, opened: boolean, ring: Ring<Started>): number {
    if (goesOn(this.handle, this.polling, res) && this.lifecycle !== Lifecycle.Abandoned) {
      this.again();
      return 0;
    }
    const copied = super.complete(res, flags, opened, ring);
    this.handle.leave(this);
    return copied;
  }

  private again(): void {
    this.drop();
    this.polling = !this.polling;
    try {
      if (this.signal?.aborted === true) throw new AbortError(this.signal.reason);
      this.handle.runtime.executor.reactor.start(this);
    } catch (error) {
      this.refuse(error);
    }
  }

  override abandon(cx: Context): boolean {
    // It never started; whoever else waits for it still gets it.
    if (this.queued && !this.settled && this.leave(cx.waker)) return false;
    return super.abandon(cx);
  }

  override refuse(error: unknown): void {
    super.refuse(error);
    this.handle.leave(this);
  }

  override lost(error: unknown): void {
    super.lost(error);
    this.handle.leave(this);
  }
}

/** A transfer of several views. */
export class FileVector extends VectorOp implements User {
  queued = false;
  private polling = false;
  private readonly handle: Handle;

  constructor(
    handle: Handle,
    opcode: number,
    views: readonly ArrayBufferView[],
    offset: number | bigint,
    options: TransferOptions | undefined,
  ) {
    super(handle.runtime, opcode, handle.fd, views, offset, options);
    this.handle = handle;
  }

  override begin(): void {
    if (!this.queued) super.begin();
  }

  override poll(cx: Context): Poll<number> {
    return this.queued && !this.settled ? this.wait(cx) : super.poll(cx);
  }

  override prepare(ring: Ring, ticket: number): void {
    if (this.polling) preparePoll(ring, ticket, this.handle.fd, this.reads);
    else super.prepare(ring, ticket);
  }

  override complete(res: number, flags: number, opened: boolean, ring: Ring<Started>): number {
    if (goesOn(this.handle, this.polling, res) && this.lifecycle !== Lifecycle.Abandoned) {
      this.again();
      return 0;
    }
    const copied = super.complete(res, flags, opened, ring);
    this.handle.leave(this);
    return copied;
  }

  private again(): void {
    this.drop();
    this.polling = !this.polling;
    try {
      if (this.signal?.aborted === true) throw new AbortError(this.signal.reason);
      this.handle.runtime.executor.reactor.start(this);
    } catch (error) {
      this.refuse(error);
    }
  }

  override abandon(cx: Context): boolean {
    if (this.queued && !this.settled && this.leave(cx.waker)) return false;
    return super.abandon(cx);
  }

  override refuse(error: unknown): void {
    super.refuse(error);
    this.handle.leave(this);
  }

  override lost(error: unknown): void {
    super.lost(error);
    this.handle.leave(this);
  }
}

/** An operation that moves no bytes. */
export class FileFields<T> extends FieldsOp<T> implements User {
  queued = false;
  private readonly handle: Handle;

  constructor(
    handle: Handle,
    opcode: number,
    syscall: string,
    fields: Fields,
    read: (res: number, output: Uint8Array) => T,
    options: OpOptions | undefined,
  ) {
    super(handle.runtime, opcode, syscall, { ...fields, fd: handle.fd }, read, options);
    this.handle = handle;
  }

  override complete(res: number, flags: number, opened: boolean, ring: Ring<Started>): number {
    const copied = super.complete(res, flags, opened, ring);
    this.handle.leave(this);
    return copied;
  }

  override refuse(error: unknown): void {
    super.refuse(error);
    this.handle.leave(this);
  }

  override lost(error: unknown): void {
    super.lost(error);
    this.handle.leave(this);
  }
}
