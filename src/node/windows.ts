// Transfers of a FileHandle that are longer than what one operation moves.

import type { At, File } from '../fs/file.ts';
import { MAX_TRANSFER } from '../sqe.ts';
import { bytesIn, part } from './transfer.ts';

type Views = readonly ArrayBufferView[];

/** No position: the file's own. */
export const CURSOR = -1;

/** Whether one operation is not enough. */
export function isLong(views: Views): boolean {
  return bytesIn(views) > MAX_TRANSFER;
}

/** Where an operation begins, so many bytes behind a place. */
export function placeAt(at: number | bigint, count = 0): At {
  if (at === CURSOR) return {};
  return { offset: typeof at === 'bigint' ? at + BigInt(count) : at + count };
}

/**
 * Moves all bytes, window by window. A write goes on until all is out, as in libuv; a read ends
 * where read(2) would, and goes on only in a file that has positions: elsewhere it would wait.
 */
export async function move(
  file: File,
  name: 'readv' | 'writev',
  views: Views,
  at: number | bigint,
  hasPositions: () => boolean,
): Promise<number> {
  const total = bytesIn(views);
  for (let count = 0; ; ) {
    const length = Math.min(total - count, MAX_TRANSFER);
    let moved: number;
    try {
      moved = await one(file, name, part(views, count, length), at, count);
    } catch (error) {
      // What was moved before is the outcome; whoever goes on from there gets the error.
      if (count > 0) return count;
      throw error;
    }
    count += moved;
    if (moved === 0 || count === total) return count;
    if (name === 'readv' && (moved < length || !hasPositions())) return count;
  }
}

/** One transfer of at most 1 MiB; a read of one view may be made on this thread. */
export function one(
  file: File,
  name: 'readv' | 'writev',
  views: Views,
  at: number | bigint,
  count = 0,
): PromiseLike<number> {
  const [view] = views;
  if (views.length > 1 || view === undefined) return file[name](views, placeAt(at, count));
  if (name === 'writev') return file.write(view, placeAt(at, count));
  if (typeof at === 'bigint') return file.read(view, placeAt(at, count));
  return new Promise((moved, failed) => {
    file.move(true, view, at === CURSOR ? CURSOR : at + count, { moved, failed });
  });
}

/** Keeps the order at a cursor where one transfer takes several operations. */
export class Line {
  private last: Promise<unknown> | null = null;

  /** Whether somebody must wait. */
  get busy(): boolean {
    return this.last !== null;
  }

  /** Starts the work when what is long has ended; others wait for it if it is long itself. */
  enter<T>(long: boolean, work: () => PromiseLike<T>): PromiseLike<T> {
    if (this.last === null && !long) return work();
    const mine = this.last === null ? Promise.resolve(work()) : this.last.then(work);
    const last: Promise<unknown> = mine.then(
      () => this.leave(last),
      () => this.leave(last),
    );
    this.last = last;
    return mine;
  }

  private leave(one: Promise<unknown>): void {
    if (this.last === one) this.last = null;
  }
}
