// The order of operations at the cursor of a descriptor.
//
// io_uring takes the file position when an operation starts and writes it back when it ends: two
// at once of one regular file would get the same bytes, or torn ones (nodejs/node#50717). So they
// run one after the other, in the order of the calls, and close() comes behind them. A pipe or a
// terminal has no position: there reads wait for reads only, writes for writes, and close() for
// nobody, since what waits for data may wait for ever.

import { nodeFs } from './builtin.ts';
import { atOnce } from './callback.ts';

/** An operation at the cursor is in flight; these come after it. */
interface Line {
  /** Whether the first one writes. Where there are positions, a line has both kinds. */
  readonly writes: boolean;
  readonly waiting: (() => void)[];
}

/** The lines of a descriptor that has some in flight. */
interface Lines {
  readonly fd: number;
  /** Two of them only where there are no positions. */
  readonly list: Line[];
  /** Asked when a second operation comes; the number stays the file's while one is in flight. */
  positioned: boolean | null;
}

const open: Map<number, Lines> = new Map();

/**
 * Whether the descriptor is of a file with positions. Never remembered for longer than operations
 * are in flight: anybody may close a number, and the next open gets it for something else.
 */
export function hasPosition(fd: number): boolean {
  try {
    const stats = nodeFs.fstatSync(fd);
    return stats.isFile() || stats.isBlockDevice();
  } catch {
    return true; // The operation itself says what is wrong with it.
  }
}

function positioned(lines: Lines): boolean {
  lines.positioned ??= hasPosition(lines.fd);
  return lines.positioned;
}

/**
 * Starts an operation at the cursor when those before it have ended. It gets a function to call
 * at its own end, once.
 */
export function inOrder(fd: number, writes: boolean, start: (ended: () => void) => void): void {
  let lines = open.get(fd);
  if (lines === undefined) {
    lines = { fd, list: [], positioned: null };
    open.set(fd, lines);
  } else {
    const [line] = positioned(lines)
      ? lines.list
      : lines.list.filter((one) => one.writes === writes);
    if (line !== undefined) {
      const own = lines;
      line.waiting.push(() => start(() => next(own, line)));
      return;
    }
  }
  const own = lines;
  const line: Line = { writes, waiting: [] };
  own.list.push(line);
  start(() => next(own, line));
}

function next(lines: Lines, line: Line): void {
  const start = line.waiting.shift();
  if (start !== undefined) {
    atOnce(start);
    return;
  }
  lines.list.splice(lines.list.indexOf(line), 1);
  if (lines.list.length === 0 && open.get(lines.fd) === lines) open.delete(lines.fd);
}

/** Starts what works on the file as it is after the operations before it: a sync, a truncate. */
export function behind(fd: number, start: (ended: () => void) => void): void {
  const lines = open.get(fd);
  if (lines !== undefined && positioned(lines)) inOrder(fd, false, start);
  else start(() => {});
}

/** Starts the close of a descriptor: behind what will end, or at once where that may never be. */
export function last(fd: number, close: () => void): void {
  const lines = open.get(fd);
  if (lines === undefined) {
    close();
    return;
  }
  // The number may soon be another file's: nobody else gets into these lines.
  open.delete(fd);
  const [line] = lines.list;
  if (line !== undefined && positioned(lines)) {
    line.waiting.push(close);
    return;
  }
  // As with node:fs, what was called before has seen the file.
  for (const { waiting } of lines.list) for (const start of waiting.splice(0)) start();
  close();
}
