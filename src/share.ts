// PAIR: only-typescript share.ts -- in Rust members share the bytes of clones of one Alloc
//
// The bytes of a chain: members whose views overlap share one region, so that what one of them
// reads the next one writes.

import { allocationOf } from './alloc.ts';
import { bytesOf } from './buffer.ts';
import { checkView } from './check.ts';
import { rangeError } from './error.ts';
import type { Op } from './op.ts';
import { TransferOp } from './ops/files.ts';
import { checkVectors, VectorOp } from './ops/vectors.ts';
import type { Ring } from './ring.ts';
import { IOSQE_IO_LINK, LONGEST_TRANSFER, MAX_TRANSFER } from './sqe.ts';

/** What matters of a member here. */
interface Linked {
  readonly op: Op<unknown>;
  /** How it is linked to the next one. */
  readonly flag: number;
}

/** What a chain cannot do with the bytes of its members is an error when it is made. */
export function checkBytes(ops: readonly Op<unknown>[]): void {
  for (const op of ops) checkLength(op);
  checkVectors(ops.filter((op) => op instanceof TransferOp || op instanceof VectorOp));
}

/** In a chain a short transfer ends it, so that a length that cannot be done whole is an error. */
function checkLength(op: Op<unknown>): void {
  let bytes = 0;
  if (op instanceof TransferOp) bytes = op.view.byteLength;
  else if (op instanceof VectorOp) bytes = op.byteLength;
  if (bytes <= MAX_TRANSFER) return;
  const named = op instanceof TransferOp && allocationOf(op.view) !== null;
  if (named && bytes <= LONGEST_TRANSFER) return;
  const longer = named ? '' : ' (memory of buffer.alloc may be longer)';
  const most = `<= ${named ? LONGEST_TRANSFER : MAX_TRANSFER} in a chain${longer}`;
  throw rangeError('buffer.byteLength', most, bytes);
}

/** The bytes of a member in its ArrayBuffer. */
interface Span {
  readonly op: TransferOp;
  /** Its place in the chain. */
  readonly index: number;
  /** Whether a short read of it ends the chain. */
  readonly cuts: boolean;
  readonly start: number;
  readonly end: number;
}

/**
 * Members whose views overlap in one ArrayBuffer share a region, so that what one of them reads the
 * next one writes.
 */
export function share(members: readonly Linked[], ring: Ring): void {
  const spans: Span[] = [];
  for (const [index, { op, flag }] of members.entries()) {
    if (!(op instanceof TransferOp)) continue;
    if (allocationOf(op.view) !== null) continue; // Named as it is: the bytes are shared anyway.
    const { byteOffset: start, byteLength } = checkView('buffer', op.view);
    const cuts = (flag & IOSQE_IO_LINK) !== 0;
    if (byteLength > 0) spans.push({ op, index, cuts, start, end: start + byteLength });
  }
  if (spans.length < 2) return;
  for (const buffer of new Set(spans.map(({ op }) => op.view.buffer))) {
    const same = spans.filter(({ op }) => op.view.buffer === buffer);
    same.sort((a, b) => a.start - b.start);
    let group: Span[] = [];
    let end = 0;
    for (const span of same) {
      if (span.start >= end) {
        shareGroup(group, ring);
        group = [];
      }
      group.push(span);
      end = Math.max(end, span.end);
    }
    shareGroup(group, ring);
  }
}

/** Overlapping spans; the region is filled now where no earlier member produces the bytes. */
function shareGroup(spans: readonly Span[], ring: Ring): void {
  if (spans.length < 2) return;
  const start = Math.min(...spans.map((span) => span.start));
  const length = Math.max(...spans.map((span) => span.end)) - start;
  if (length > MAX_TRANSFER) {
    throw rangeError('the bytes that the chain shares', `<= ${MAX_TRANSFER}`, length);
  }
  const region = ring.regions.hold(length);
  ring.regions.share(region, spans.length);
  const view = ring.regions.views[region] as Uint8Array;
  for (const { op, index, start: from, end } of spans) {
    op.share(region, from - start);
    // Behind a hard link a read may have failed: then its place holds what was there before.
    const produces = (other: Span) =>
      other.op.reads &&
      other.cuts &&
      other.index < index &&
      other.start <= from &&
      other.end >= end;
    if (!op.reads && !spans.some(produces)) view.set(bytesOf(op.view), from - start);
  }
}
