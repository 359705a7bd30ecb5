// The text of a file, line by line.
// Pair: crates/ringcore/src/fs/lines.rs

import type { StringDecoder } from 'node:string_decoder';
import { typeError } from '../error.ts';
import type { Future } from '../future.ts';
import type { Chunks, ChunksOptions } from './chunks.ts';
import { type Steps, started } from './work.ts';

/** Options of `File.lines`. */
export interface LinesOptions extends ChunksOptions {
  /** Default 'utf8'; what is wrong in it becomes U+FFFD. (In Rust it is an error.) */
  encoding?: BufferEncoding | undefined;
}

// PAIR: Lines
/**
 * Lines without their ends, `\n` or `\r\n`. What stands behind the last end is a line unless it is
 * empty. What is read ahead of the line that was given is gone from the cursor.
 */
export class Lines implements AsyncIterable<string> {
  private readonly chunks: Chunks;
  private readonly decoder: StringDecoder;
  /** Text that came and was not given. */
  private text = '';
  /** First character of the next line, and the first one that no end was looked for in. */
  private from = 0;
  private looked = 0;
  private ended = false;

  // PAIR: Lines.new
  /** Nothing is read before the first line is asked for. */
  constructor(chunks: Chunks, options: LinesOptions) {
    const { encoding = 'utf8' } = options;
    if (!Buffer.isEncoding(encoding)) throw typeError('options.encoding', 'an encoding', encoding);
    this.chunks = chunks;
    const { StringDecoder } = process.getBuiltinModule('node:string_decoder');
    this.decoder = new StringDecoder(encoding);
  }

  // PAIR: Lines.next
  /** The next line; undefined at the end. An error ends it. */
  next(): Future<string | undefined> {
    return started(this.chunks.runtime, () => this.steps());
  }

  private *steps(): Steps<string | undefined> {
    for (;;) {
      const line = this.take();
      if (line !== undefined || this.ended) return line;
      try {
        this.add(yield* this.chunks.next());
      } catch (error) {
        this.close();
        throw error;
      }
    }
  }

  /** A line that is here already, or what stands behind the last end. */
  private take(): string | undefined {
    const { text, from } = this;
    const end = text.indexOf('\n', this.looked);
    if (end < 0) {
      this.looked = text.length;
      if (!this.ended || from === text.length) return undefined;
      this.from = text.length;
      return text.slice(from);
    }
    this.from = end + 1;
    this.looked = end + 1;
    const carriage = end > from && text.charCodeAt(end - 1) === 13;
    return text.slice(from, carriage ? end - 1 : end);
  }

  // PAIR: Lines.add
  /** More text; what was given makes room. */
  private add(bytes: Buffer | undefined): void {
    const more = bytes === undefined ? this.decoder.end() : this.decoder.write(bytes);
    if (bytes === undefined) this.ended = true;
    this.text = this.text.slice(this.from) + more;
    this.looked -= this.from;
    this.from = 0;
  }

  // PAIR: only-typescript Lines.close -- in Rust they are dropped
  /** No more lines. The file stays open. */
  close(): void {
    this.chunks.close();
    this.ended = true;
    this.text = '';
    this.from = 0;
    this.looked = 0;
  }

  [Symbol.asyncIterator](): AsyncIterator<string, undefined> {
    return {
      next: async (): Promise<IteratorResult<string, undefined>> => {
        // Most lines are here already: no operation, no task.
        const value = this.take() ?? ((await this.next()) as string | undefined);
        return value === undefined ? { done: true, value } : { done: false, value };
      },
      return: async () => {
        this.close();
        return { done: true, value: undefined };
      },
    };
  }
}
