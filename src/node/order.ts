// The order of operations at the cursor of a descriptor.
//
// io_uring takes the file position when an operation starts and writes it back when it ends: two
// at once of one regular file would get the same bytes, or torn ones (nodejs/node#50717). So they
// run one after the other, in the order of the calls, and close() comes behind them. A pipe or a
// terminal has no position: there reads wait for reads only, writes for writes, and close() for
// nobody, since what waits for data may wait for ever.

import { nodeFs } from './builtin.ts';

/** Operations that wait for the one in flight. */
type Line = (() => void)[];

/** By descriptor; of writes to what has no position by its complement. */
const lines: Map<number, Line> = new Map();

/** Whether descriptors have positions, of those that somebody asked about. */
const positions: Map<number, boolean> = new Map();

/**
 * Whether the descriptor is of a file with positions. Asked once for each: whoever closes it by
 * other means than ours and gets the number anew for a pipe has a positional read of a pipe taken
 * for a plain one, where node:fs has ESPIPE.
 */
export function hasPosition(fd: number): boolean {
  const known = positions.get(fd);
  if (known !== undefined) return known;
  try {
    const stats = nodeFs.fstatSync(fd);
    const found = stats.isFile() || stats.isBlockDevice();
    positions.set(fd, found);
    return found;
  } catch {
    return true; // The operation itself says what is wrong with it.
  }
}

/** The number stands for another file from now on. */
export function renewed(fd: number): void {
  positions.delete(fd);
}

/**
 * Starts an operation at the cursor when those before it have ended. It gets a function to call
 * at its own end, once.
 */
export function inOrder(fd: number, writes: boolean, start: (ended: () => void) => void): void {
  const key = writes && !hasPosition(fd) ? ~fd : fd;
  const line = lines.get(key);
  if (line !== undefined) {
    line.push(() => start(() => next(key, line)));
    return;
  }
  const own: Line = [];
  lines.set(key, own);
  start(() => next(key, own));
}

function next(key: number, line: Line): void {
  const start = line.shift();
  if (start !== undefined) start();
  else if (lines.get(key) === line) lines.delete(key);
}

/** Starts what works on the file as it is after the operations before it: a sync, a truncate. */
export function behind(fd: number, start: (ended: () => void) => void): void {
  if (lines.has(fd) && hasPosition(fd)) inOrder(fd, false, start);
  else start(() => {});
}

/** Starts the close of a descriptor: behind what will end, or at once where that may never be. */
export function last(fd: number, close: () => void): void {
  const line = lines.get(fd);
  // The number may soon be another file's: nobody else gets into this line.
  lines.delete(fd);
  if (line !== undefined && hasPosition(fd)) {
    line.push(() => shut(fd, close));
    return;
  }
  // As with node:fs, what was called before has seen the file.
  for (const start of line ?? []) start();
  for (const start of lines.get(~fd) ?? []) start();
  lines.delete(~fd);
  shut(fd, close);
}

function shut(fd: number, close: () => void): void {
  positions.delete(fd);
  close();
}
