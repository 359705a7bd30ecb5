// Small writes on this thread.
//
// A buffered write on ext4 never completes inline: the ring gives it to a kernel thread, and two
// threads wake each other for what is a copy into the page cache (kernel side 1.3 µs of 4 KiB, the
// way there and back 20 to 60). So a small write into a file on a local disk is a plain pwrite(2)
// while the event loop's budget lasts (I8). One that took long, since too much waits for the disk,
// sends that file's next ones through the ring for good, and everybody's for a while.

import { errnoError } from '../error.ts';
import type { Executor } from '../executor.ts';
import { nodeFs } from './builtin.ts';

const MOST_BYTES = 64 << 10;
const SLOW_MS = 1;
/** After a slow one the disk is behind: for all files. */
const PAUSE_MS = 100;

const { O_DIRECT, O_DSYNC, O_SYNC } = nodeFs.constants;
/** Each of these waits for the disk. */
const WAITS = O_DIRECT | O_DSYNC | O_SYNC;

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;

/** f_type of file systems whose writes end in this machine's page cache: statfs(2). */
const LOCAL: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0x01021994, // tmpfs
  0xf2f52010, // f2fs
]);

/** Devices, and whether they are local. */
const devices: Map<number, boolean> = new Map();

let pausedUntil = 0;

/** What decides for one handle. */
export class Inline {
  private readonly flags: number;
  /** null: nobody has asked. */
  private local: boolean | null = null;

  /** `flags`: those of open(2). */
  constructor(flags: number) {
    this.flags = flags;
  }

  /** Whether a write of so many bytes may be done here and now. */
  allows(fd: number, length: number, executor: Executor): boolean {
    if (length > MOST_BYTES) return false;
    this.local ??= (this.flags & WAITS) === 0 && isLocal(fd);
    return this.local && executor.affords && performance.now() >= pausedUntil;
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
      if (end - start > SLOW_MS) {
        this.local = false;
        pausedUntil = end + PAUSE_MS;
      }
    }
  }
}

function isLocal(fd: number): boolean {
  try {
    const { dev, mode } = nodeFs.fstatSync(fd);
    if ((mode & S_IFMT) !== S_IFREG) return false;
    let local = devices.get(dev);
    if (local === undefined) {
      local = LOCAL.has(Number(nodeFs.statfsSync(`/proc/self/fd/${fd}`).type));
      devices.set(dev, local);
    }
    return local;
  } catch {
    return false; // No /proc, or a runtime without statfs.
  }
}
