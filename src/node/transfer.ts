// fs.read, readv, write and writev of any length: one operation moves at most 1 MiB.

import { readNow, worthNow } from '../now.ts';
import type { Op } from '../op.ts';
import type { Runtime } from '../runtime.ts';
import { MAX_TRANSFER } from '../sqe.ts';
import { hasPosition } from './order.ts';

/** How a transfer ended: what node:fs would say after its one system call. */
export type Moved = (error: unknown, count: number) => void;

/** Bytes `from` to `from + length` of several views. */
export function part(
  views: readonly ArrayBufferView[],
  from: number,
  length: number,
): ArrayBufferView[] {
  const parts: ArrayBufferView[] = [];
  let [start, left] = [from, length];
  for (const view of views) {
    if (left === 0) break;
    if (start >= view.byteLength) {
      start -= view.byteLength;
      continue;
    }
    const size = Math.min(left, view.byteLength - start);
    parts.push(new Uint8Array(view.buffer, view.byteOffset + start, size));
    start = 0;
    left -= size;
  }
  return parts;
}

/** Moves the bytes of the views, in windows. */
export class Transfer {
  private readonly runtime: Runtime;
  private readonly fd: number;
  private readonly views: readonly ArrayBufferView[];
  private readonly position: number | bigint;
  private readonly writes: boolean;
  private readonly moved: Moved;
  private readonly total: number;
  private count = 0;

  /** `position` -1 is the cursor. */
  constructor(
    runtime: Runtime,
    fd: number,
    views: readonly ArrayBufferView[],
    position: number | bigint,
    writes: boolean,
    moved: Moved,
  ) {
    this.runtime = runtime;
    this.fd = fd;
    this.views = views;
    this.position = position;
    this.writes = writes;
    this.moved = moved;
    this.total = views.reduce((sum, view) => sum + view.byteLength, 0);
  }

  begin(): void {
    const length = Math.min(this.total - this.count, MAX_TRANSFER);
    try {
      if (this.now(length)) return;
      this.operation(length).then(
        (count) => this.ended(count, length),
        (error) => this.failed(error),
      );
    } catch (error) {
      this.failed(error); // A buffer that was detached between two windows.
    }
  }

  /** What is in memory is read at once, or in the next iteration of the event loop. */
  private now(length: number): boolean {
    const { runtime, fd, views, writes } = this;
    const [view] = views;
    const at = this.at();
    if (writes || views.length !== 1 || view === undefined || typeof at === 'bigint') return false;
    if (!worthNow(length) || runtime.ended) return false;
    const { executor } = runtime;
    if (!executor.affords) {
      executor.postpone(this);
      return true;
    }
    const count = readNow(executor, fd, view, this.count, length, at);
    if (count < 0) return false;
    this.ended(count, length);
    return true;
  }

  private operation(length: number): Op<number> {
    const { fd, views, count, writes } = this;
    const { op } = this.runtime;
    const at = this.at();
    const whole = length === this.total;
    const [first] = views;
    if (whole && views.length === 1 && first !== undefined) {
      return writes ? op.write(fd, first, at) : op.read(fd, first, at);
    }
    const parts = whole ? views : part(views, count, length);
    return writes ? op.writev(fd, parts, at) : op.readv(fd, parts, at);
  }

  private at(): number | bigint {
    const { position, count } = this;
    if (position < 0) return -1;
    return typeof position === 'bigint' ? position + BigInt(count) : position + count;
  }

  private ended(count: number, length: number): void {
    this.count += count;
    if (this.more(count, length)) this.begin();
    else this.moved(null, this.count);
  }

  /** A write goes on until all is out, as in libuv. A read ends where read(2) would. */
  private more(count: number, length: number): boolean {
    if (count === 0 || this.count === this.total) return false;
    return this.writes || (count === length && hasPosition(this.fd));
  }

  private failed(error: unknown): void {
    // What was moved before is the outcome; whoever goes on from there gets the error.
    if (this.count > 0) this.moved(null, this.count);
    else this.moved(error, 0);
  }
}
