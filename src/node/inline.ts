// Small writes on this thread.
//
// A buffered write on ext4 never completes inline: the ring gives it to a kernel thread, and two
// threads wake each other for what is a copy into the page cache (kernel side 1.3 µs of 4 KiB, the
// way there and back 20 to 60). So a small write into a file on a local disk is a plain pwrite(2)
// while the event loop's budget lasts (I8); when it is spent, those at positions wait for the next
// iteration. One that took long, since too much waits for the disk, sends the next ones through the
// ring, for twice as long each time; a thousand quick ones make it forgotten. (For good was tried:
// on a busy machine any call may be interrupted for a millisecond.)

import { native } from '../binding.ts';
import { checkView } from '../check.ts';
import { closedError, errnoError } from '../error.ts';
import type { Executor, Later } from '../executor.ts';
import type { File } from '../fs/file.ts';
import type { Done } from '../fs/quick.ts';
import { nodeFs } from './builtin.ts';

const MOST_BYTES = 64 << 10;
const SLOW_MS = 1;
/** After a slow one the disk is behind: so long at first, and at the most. */
const [PAUSE_MS, LONGEST_PAUSE_MS] = [100, 6400];
/** Quick ones after which a slow one is the first again. */
const FORGOTTEN = 1000;

/** Deno's node:fs refuses descriptors that it has not opened itself. */
const OWN = process.versions.deno === undefined;

let pausedUntil = 0;
let pause = PAUSE_MS;
let quick = 0;

function tookLong(now: number): void {
  pausedUntil = now + pause;
  pause = Math.min(LONGEST_PAUSE_MS, pause * 2);
  quick = 0;
}

/** What decides for one open file. */
export class Inline {
  /** null: nobody has asked. */
  private local: boolean | null = null;

  /** Whether writes of so many bytes are made on this thread. */
  takes(fd: number, length: number): boolean {
    if (length > MOST_BYTES) return false;
    this.local ??= OWN && native().localNow(fd);
    return this.local && performance.now() >= pausedUntil;
  }

  /** pwrite(2), or write(2) where `at` is null. Throws node's error. */
  write(
    fd: number,
    view: NodeJS.ArrayBufferView,
    offset: number,
    length: number,
    at: number | null,
    executor: Executor,
  ): number {
    const start = performance.now();
    try {
      return nodeFs.writeSync(fd, view, offset, length, at);
    } catch (error) {
      // The synchronous functions of node 20 set the same fields in another order.
      const { errno } = error as NodeJS.ErrnoException;
      throw typeof errno === 'number' ? errnoError(-errno, 'write') : error;
    } finally {
      const end = performance.now();
      executor.spend((end - start) * 1000);
      if (end - start > SLOW_MS) tookLong(end);
      else if (++quick === FORGOTTEN) pause = PAUSE_MS;
    }
  }
}

let waiting = 0;

/** Whether writes wait: then the next one comes behind them. */
export const behind = (): boolean => waiting > 0;

/** A write that waits for a later iteration of the event loop, in the order of the calls. */
export class LateWrite implements Later {
  private readonly inline: Inline;
  private readonly file: File;
  private readonly view: NodeJS.ArrayBufferView;
  private readonly offset: number;
  private readonly length: number;
  private readonly at: number;
  private readonly done: Done;

  constructor(
    inline: Inline,
    file: File,
    view: NodeJS.ArrayBufferView,
    offset: number,
    length: number,
    at: number,
    done: Done,
  ) {
    this.inline = inline;
    this.file = file;
    this.view = view;
    this.offset = offset;
    this.length = length;
    this.at = at;
    this.done = done;
    waiting++;
    file.runtime.executor.postpone(this);
  }

  begin(): void {
    waiting--;
    const { inline, file, view, offset, length, at, done } = this;
    try {
      const { fd } = file;
      if (fd < 0) throw closedError(); // Its runtime has ended.
      checkView('buffer', view); // It may be gone since the call.
      // The disk may have fallen behind meanwhile.
      if (inline.takes(fd, length)) {
        done.moved(inline.write(fd, view, offset, length, at, file.runtime.executor));
      } else {
        const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, length);
        file.move(false, bytes, at, done);
      }
    } catch (error) {
      done.failed(error);
    }
  }
}
