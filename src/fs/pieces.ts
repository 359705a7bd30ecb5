// PAIR: only-typescript pieces.ts -- in Rust a file is read into a Vec that grows
//
// The bytes of a file as they come: one buffer of its size, where that is known; else several,
// joined at the end.

import type { Executor } from '../executor.ts';
import { readNow } from '../now.ts';
import { INLINE_READ } from '../sqe.ts';
import { LARGEST, tooLarge } from './guess.ts';

/** Proves the end of what seems to be whole. */
export const PROOF_BYTES: number = 4 << 10;

const PROOF = new Uint8Array(PROOF_BYTES);
const NOTHING = Buffer.alloc(0);

/** What has come of a file. */
export class Pieces {
  /** Whole pieces that came before `target`. */
  private pieces: Buffer[] | null = null;
  /** What is being filled, and how many bytes of it are. */
  private target: Buffer = NOTHING;
  private filled = 0;
  total = 0;

  /** The first buffer, and how many of its bytes are there already. */
  start(target: Buffer, filled: number): void {
    this.target = target;
    this.filled = filled;
    this.total = filled;
  }

  /** Bytes that `target` still takes. */
  get room(): number {
    return this.target.length - this.filled;
  }

  /** All that was expected is there. */
  get full(): boolean {
    return this.pieces === null && this.room === 0;
  }

  /** Reads some on this thread (now.ts), or what is behind all that was expected. */
  readNow(executor: Executor, fd: number): number {
    const { target, filled, room } = this;
    if (room === 0) {
      const more = readNow(executor, fd, PROOF, 0, PROOF_BYTES, -1);
      if (more > 0) this.append(more, PROOF);
      return more;
    }
    const count = readNow(executor, fd, target, filled, Math.min(room, INLINE_READ), -1);
    if (count > 0) {
      this.filled += count;
      this.total += count;
    }
    return count;
  }

  /** One buffer of `size` bytes that begins with what has come. */
  gather(size: number): void {
    const whole = Buffer.allocUnsafeSlow(size);
    let at = 0;
    for (const piece of this.pieces ?? []) {
      whole.set(piece, at);
      at += piece.length;
    }
    whole.set(this.target.subarray(0, this.filled), at);
    this.pieces = null;
    this.target = whole;
    this.filled = this.total;
  }

  /** Bytes out of a region, while they are hot in the cache. */
  append(res: number, view: Uint8Array): void {
    const fits = Math.min(res, this.room);
    if (fits > 0) {
      this.target.set(fits === view.length ? view : view.subarray(0, fits), this.filled);
      this.filled += fits;
    }
    this.total += res;
    if (this.total > LARGEST) throw tooLarge(this.total);
    if (fits === res) return;
    // It grows while it is read, or has no size: pieces, joined at the end.
    this.pieces ??= [];
    this.pieces.push(this.target);
    this.target = Buffer.allocUnsafeSlow(Math.max(res - fits, Math.min(this.total, INLINE_READ)));
    this.target.set(view.subarray(fits, res));
    this.filled = res - fits;
  }

  /** All of it, nothing of which is needed any more. */
  made(): Buffer {
    const { target, filled, pieces } = this;
    const last = filled === target.length ? target : target.subarray(0, filled);
    if (pieces === null) return last;
    pieces.push(last);
    return Buffer.concat(pieces);
  }
}
