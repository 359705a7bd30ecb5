// The bytes of a file in pieces.
// Pair: crates/ringcore/src/fs/chunks.rs

import { checkOffset } from '../check.ts';
import { checkInteger, typeError } from '../error.ts';
import type { Future } from '../future.ts';
import type { Op, OpOptions } from '../op.ts';
import type { Runtime } from '../runtime.ts';
import { MAX_TRANSFER } from '../sqe.ts';
import { type Steps, started } from './work.ts';

// PAIR: ChunksOptions
/** Which pieces, of what. */
export interface ChunksOptions extends OpOptions {
  /** Bytes of a piece at most: 1 to 1 MiB. Default 64 KiB. */
  size?: number | undefined;
  /** The first byte. Without `start` and `end`: the cursor, which moves along. */
  start?: number | undefined;
  /** The first byte that is not wanted. Default: the end of the file. */
  end?: number | undefined;
}

/** What it needs of a file. */
interface Source {
  readonly runtime: Runtime;
  read(buffer: Uint8Array, options?: OpOptions): Op<number>;
  readAt(buffer: Uint8Array, offset: number, options?: OpOptions): Op<number>;
}

/** A read that was begun. */
interface Reading {
  readonly room: Buffer;
  readonly op: Op<number>;
}

const ignore = (): void => {};

// PAIR: Chunks
/**
 * Pieces of a file. With an offset the next one is read while one is being looked at; at the cursor
 * it is not, so that the cursor stands behind what was given.
 */
export class Chunks implements AsyncIterable<Buffer> {
  readonly runtime: Runtime;
  private readonly file: Source;
  private readonly size: number;
  private readonly options: OpOptions;
  /** -1: the cursor. */
  private position: number;
  private readonly end: number;
  private ahead: Reading | null = null;
  private ended = false;
  /** The `next` before: each waits for it. */
  private last: Future<unknown> | null = null;

  // PAIR: Chunks.new
  /** Nothing is read before the first piece is asked for. */
  constructor(file: Source, options: ChunksOptions) {
    if (typeof options !== 'object' || options === null) {
      throw typeError('options', 'of type object', options);
    }
    const { size = 64 << 10, start, end, signal, ref } = options;
    this.file = file;
    this.runtime = file.runtime;
    this.size = checkInteger('options.size', size, 1, MAX_TRANSFER);
    if (start !== undefined) checkOffset(start, 'options.start', 0);
    if (end !== undefined) checkOffset(end, 'options.end', 0);
    this.position = start ?? (end === undefined ? -1 : 0);
    this.end = end ?? Number.MAX_SAFE_INTEGER;
    this.options = { signal, ref };
  }

  // PAIR: Chunks.next
  /** The next piece; undefined at the end. An error ends it. */
  next(): Future<Buffer | undefined> {
    const before = this.last;
    const next = started(this.runtime, () => this.steps(before));
    this.last = next;
    return next;
  }

  private *steps(before: Future<unknown> | null): Steps<Buffer | undefined> {
    try {
      if (before !== null) yield* before;
    } catch {
      // Its own caller hears of it.
    }
    if (this.ended) return undefined;
    try {
      const reading = this.ahead ?? this.fetch();
      this.ahead = reading;
      if (reading === null) {
        this.ended = true;
        return undefined;
      }
      const count = yield* reading.op;
      this.ahead = null;
      return this.given(reading.room, count);
    } catch (error) {
      this.ended = true;
      throw error;
    }
  }

  // PAIR: Chunks.fetch
  /** Reads the next piece. null: nothing more is wanted. */
  private fetch(): Reading | null {
    const { file, position, options } = this;
    const wanted = Math.min(this.size, this.end - Math.max(position, 0));
    if (wanted <= 0) return null;
    const room = Buffer.allocUnsafeSlow(wanted);
    const op = position < 0 ? file.read(room, options) : file.readAt(room, position, options);
    return { room, op };
  }

  /** A piece goes out, and the next one is begun: a short one is the last or waits for somebody. */
  private given(room: Buffer, count: number): Buffer | undefined {
    if (count === 0) {
      this.ended = true;
      return undefined;
    }
    if (this.position >= 0) {
      this.position += count;
      if (count === this.size && !this.ended) {
        this.ahead = this.fetch();
        // Its failure is that of the next piece, if anybody wants one.
        this.ahead?.op.catch(ignore);
      }
    }
    return count === room.length ? room : room.subarray(0, count);
  }

  // PAIR: only-typescript Chunks.close -- in Rust they are dropped
  /** No more pieces; what is read ahead is stopped. The file stays open. */
  close(): void {
    this.ended = true;
    this.ahead?.op.cancel();
    this.ahead = null;
  }

  [Symbol.asyncIterator](): AsyncIterator<Buffer, undefined> {
    return {
      next: async (): Promise<IteratorResult<Buffer, undefined>> => {
        const value = (await this.next()) as Buffer | undefined;
        return value === undefined ? { done: true, value } : { done: false, value };
      },
      return: async () => {
        this.close();
        return { done: true, value: undefined };
      },
    };
  }
}
