// fs.read, readv, write and writev of any length: one operation moves at most 1 MiB.

import { checkView } from '../check.ts';
import { type Done, type Holder, Quick } from '../fs/quick.ts';
import type { Op } from '../op.ts';
import type { Runtime } from '../runtime.ts';
import { MAX_TRANSFER } from '../sqe.ts';
import type { Inline } from './inline.ts';
import { hasPosition } from './order.ts';

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

/** Moves the bytes of the views, in windows. What becomes of it is told to who extends it. */
export abstract class Transfer implements Holder, Done {
  readonly runtime: Runtime;
  readonly fd: number;
  private readonly views: readonly ArrayBufferView[];
  private readonly position: number | bigint;
  /** null: it reads. */
  private readonly inline: Inline | null;
  private readonly total: number;
  private count = 0;
  /** Bytes of the window that is on its way. */
  private length = 0;

  /** `position` -1 is the cursor. */
  constructor(
    runtime: Runtime,
    fd: number,
    views: readonly ArrayBufferView[],
    position: number | bigint,
    inline: Inline | null,
  ) {
    this.runtime = runtime;
    this.fd = fd;
    this.views = views;
    this.position = position;
    this.inline = inline;
    this.total = bytesIn(views);
  }

  /** What node:fs would say after its one system call. */
  protected abstract ended(error: unknown, count: number): void;

  begin(): void {
    const { views, count, total, inline } = this;
    const at = this.at();
    const [first] = views;
    try {
      this.length = Math.min(total - count, MAX_TRANSFER);
      if (views.length === 1 && first !== undefined && typeof at === 'number') {
        if (inline !== null && this.wrote(inline, first, at)) return;
        const whole = this.length === total;
        const view = whole ? first : (part(views, count, this.length)[0] as ArrayBufferView);
        new Quick(this, inline === null, view, at, this).begin();
      } else {
        this.vector(at).then(
          (moved) => this.moved(moved),
          (error) => this.failed(error),
        );
      }
    } catch (error) {
      this.failed(error); // A buffer that was detached between two windows.
    }
  }

  /** A small write is made on this thread, now or in a later iteration. False: the ring does it. */
  private wrote(inline: Inline, view: ArrayBufferView, at: number): boolean {
    const { runtime, fd, count, length } = this;
    if (runtime.ended || !inline.takes(fd, length)) return false;
    const { executor } = runtime;
    if (!executor.affords) {
      executor.postpone(this);
      return true;
    }
    checkView('buffer', view); // It may be gone since the call.
    const place = at < 0 ? null : at;
    this.moved(inline.write(fd, view as NodeJS.ArrayBufferView, count, length, place, executor));
    return true;
  }

  private vector(at: number | bigint): Op<number> {
    const { fd, views, count, length, total, inline } = this;
    const { op } = this.runtime;
    const parts = length === total ? views : part(views, count, length);
    return inline === null ? op.readv(fd, parts, at) : op.writev(fd, parts, at);
  }

  private at(): number | bigint {
    const { position, count } = this;
    if (position < 0) return -1;
    return typeof position === 'bigint' ? position + BigInt(count) : position + count;
  }

  moved(count: number): void {
    this.count += count;
    if (this.more(count)) this.begin();
    else this.ended(null, this.count);
  }

  /** A write goes on until all is out, as in libuv. A read ends where read(2) would. */
  private more(count: number): boolean {
    if (count === 0 || this.count === this.total) return false;
    return this.inline !== null || (count === this.length && hasPosition(this.fd));
  }

  failed(error: unknown): void {
    // What was moved before is the outcome; whoever goes on from there gets the error.
    if (this.count > 0) this.ended(null, this.count);
    else this.ended(error, 0);
  }

  leave(): void {}
}

/** How many bytes they are. */
export function bytesIn(views: readonly ArrayBufferView[]): number {
  let sum = 0;
  for (const { byteLength } of views) sum += byteLength;
  return sum;
}
