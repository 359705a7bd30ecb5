// Transfers of an open file that go on until all is done. They run while their file's handle is
// entered, inside of work.ts.
// Pair: crates/ringcore/src/fs/transfer.rs

import { bytesOf } from '../buffer.ts';
import { constants } from '../constants.ts';
import { DetachedError, errnoError, RingcoreError } from '../error.ts';
import type { TransferOptions } from '../op.ts';
import { INLINE_READ, MAX_TRANSFER } from '../sqe.ts';
import { CURSOR, type Handle } from './handle.ts';
import type { Steps } from './work.ts';

const EIO = 5;
const POLLIN = 1;
const POLLOUT = 4;
/** A file of 64 KiB still ends in a short read. */
const FIRST_BYTES = 68 << 10;

type Place = number | bigint;

/** Waits where the descriptor must not, then goes on; any other error ends the transfer. */
function* ready(
  handle: Handle,
  events: number,
  error: unknown,
  options: TransferOptions,
): Steps<void> {
  if (!handle.waits || (error as { code?: string }).code !== 'EAGAIN') throw error;
  const { signal, ref } = options;
  yield* handle.runtime.op.pollAdd(handle.fd, events, { signal, ref });
}

/** The place behind so many bytes. */
function behind(offset: Place, count: number): Place {
  if (offset === CURSOR) return CURSOR;
  return typeof offset === 'bigint' ? offset + BigInt(count) : offset + count;
}

// PAIR: read
/** Reads once. */
export function* read(
  handle: Handle,
  view: ArrayBufferView,
  offset: Place,
  options: TransferOptions,
): Steps<number> {
  for (;;) {
    try {
      return yield* handle.runtime.op.read(handle.fd, view, offset, options);
    } catch (error) {
      yield* ready(handle, POLLIN, error, options);
    }
  }
}

// PAIR: write
/** Writes once. */
export function* write(
  handle: Handle,
  view: ArrayBufferView,
  offset: Place,
  options: TransferOptions,
): Steps<number> {
  for (;;) {
    try {
      return yield* handle.runtime.op.write(handle.fd, view, offset, options);
    } catch (error) {
      yield* ready(handle, POLLOUT, error, options);
    }
  }
}

/** What is left of a view, whose buffer may go away between two steps. */
function rest(view: ArrayBufferView, from: number, length: number): Uint8Array {
  const bytes = bytesOf(view);
  if (bytes.length < length) throw new DetachedError(from);
  return bytes.subarray(from, length);
}

// PAIR: readExact
/** Fills the view. An end before that is ERR_RINGCORE_UNEXPECTED_END. */
export function* readExact(
  handle: Handle,
  view: ArrayBufferView,
  offset: Place,
  options: TransferOptions,
): Steps<void> {
  const length = view.byteLength;
  for (let done = 0; done < length; ) {
    const room = rest(view, done, length);
    const count = yield* read(handle, room, behind(offset, done), options);
    if (count === 0) {
      const text = `The file ended after ${done} bytes`;
      const error = new RingcoreError('ERR_RINGCORE_UNEXPECTED_END', text);
      throw Object.assign(error, { bytesRead: done });
    }
    done += count;
  }
}

// PAIR: readToEnd
/** Reads until nothing comes: no size is asked for, a size may be a lie (/proc says 0). */
export function* readToEnd(handle: Handle, options: TransferOptions): Steps<Buffer> {
  const pieces: Buffer[] = [];
  for (let wanted = FIRST_BYTES; ; wanted = Math.min(wanted * 2, INLINE_READ)) {
    const room = Buffer.allocUnsafe(wanted);
    const count = yield* read(handle, room, CURSOR, options);
    if (count === 0) return Buffer.concat(pieces);
    pieces.push(room.subarray(0, count));
  }
}

/** What a write of some bytes says that moved none: it would be called for ever. */
function moved(count: number): number {
  if (count === 0) throw errnoError(EIO, 'write');
  return count;
}

// PAIR: writeAll
/** Writes all of the view. */
export function* writeAll(
  handle: Handle,
  view: ArrayBufferView,
  offset: Place,
  options: TransferOptions,
): Steps<void> {
  const length = view.byteLength;
  for (let done = 0; done < length; ) {
    const left = rest(view, done, length);
    done += moved(yield* write(handle, left, behind(offset, done), options));
  }
}

// PAIR: appendDurable
/**
 * Writes all of the view at the end of the file and brings it to the disk: the last write and its
 * fdatasync are one submission. A write that is short or fails cuts the chain, and the sync does
 * not run: what is left goes on in a chain of its own.
 */
export function* appendDurable(
  handle: Handle,
  view: ArrayBufferView,
  options: TransferOptions,
): Steps<void> {
  const { op } = handle.runtime;
  const { signal, ref } = options;
  const length = view.byteLength;
  const appends = { ...options, rwFlags: constants.RWF_APPEND };
  let done = 0;
  for (;;) {
    const left = rest(view, done, length);
    if (left.length > MAX_TRANSFER) {
      // Not the last one: nothing is promised before the end.
      const piece = left.subarray(0, MAX_TRANSFER);
      done += moved(yield* write(handle, piece, CURSOR, appends));
      continue;
    }
    const written = op.write(handle.fd, left, CURSOR, appends);
    const synced = op.fdatasync(handle.fd, { signal, ref });
    let cut: unknown = null;
    try {
      yield* op.link(written, synced);
    } catch (error) {
      if (!written.settled || !synced.settled) throw error;
      cut = error;
    }
    let count: number;
    try {
      count = written.outcome();
    } catch (error) {
      synced.heard();
      yield* ready(handle, POLLOUT, error, options);
      continue;
    }
    if (count === left.length) {
      if (cut !== null) throw cut;
      return;
    }
    done += moved(count);
  }
}
