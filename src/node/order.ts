// The order of operations at the cursor of a descriptor.
//
// io_uring takes the file position when an operation starts and writes it back when it ends: two
// at once of one regular file would get the same bytes, or torn ones (nodejs/node#50717). So they
// run one after the other, in the order of the calls, and close() comes behind them. A pipe or a
// terminal has no position: there reads wait for reads only, writes for writes, and close() for
// nobody, since what waits for data may wait for ever.

import { native } from '../binding.ts';
import { nodeFs } from './builtin.ts';
import { atOnce } from './callback.ts';
import { Inline } from './inline.ts';

const { S_IFBLK, S_IFREG } = nodeFs.constants;

/** What waits for an operation at the cursor. */
interface Waiting {
  readonly start: () => void;
  /** It calls `next` at its end; others let those after it go on. */
  readonly ends: boolean;
}

/** An operation at the cursor is in flight; these come after it. */
interface Line {
  /** Whether the first one writes. Where there are positions, a line has both kinds. */
  readonly writes: boolean;
  readonly waiting: Waiting[];
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
  const kind = native().kindNow(fd);
  // -1: the operation itself says what is wrong with it.
  return kind === S_IFREG || kind === S_IFBLK || kind < 0;
}

/** Whether reads and writes at places are the ring's, or those of a file without any. */
export function hasPlaces(fd: number): boolean {
  const own = busy.get(fd);
  if (own === undefined) return hasPosition(fd);
  // The number stays the file's while some of them are in flight.
  own.positioned ??= hasPosition(fd);
  return own.positioned;
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
      line.waiting.push({ start: () => start(() => next(own, line)), ends: true });
      return;
    }
  }
  const own = lines;
  const line: Line = { writes, waiting: [] };
  own.list.push(line);
  start(() => next(own, line));
}

function next(lines: Lines, line: Line): void {
  let waiting = line.waiting.shift();
  while (waiting !== undefined) {
    atOnce(waiting.start);
    if (waiting.ends) return;
    waiting = line.waiting.shift();
  }
  lines.list.splice(lines.list.indexOf(line), 1);
  if (lines.list.length === 0 && open.get(lines.fd) === lines) open.delete(lines.fd);
}

/** Operations on a descriptor that are in no line, those that wait for one included. */
interface Busy {
  count: number;
  close: (() => void) | null;
  /** Asked by a second one that has a place. */
  positioned: boolean | null;
  readonly inline: Inline;
}

const busy: Map<number, Busy> = new Map();

/**
 * An operation is on its way that needs the descriptor open until its end, which it tells. A sync,
 * or a long read, looks the number up on a worker thread only: after a close that was submitted
 * behind it.
 */
export function during(fd: number): () => void {
  const own = busy.get(fd) ?? { count: 0, close: null, positioned: null, inline: new Inline() };
  if (own.count++ === 0) busy.set(fd, own);
  return () => {
    if (--own.count > 0) return;
    if (own.close !== null) own.close();
    else if (busy.get(fd) === own) busy.delete(fd);
  };
}

/** What decides about small writes, as long as operations are in flight: see `hasPlaces`. */
export function inlineOf(fd: number): Inline {
  return busy.get(fd)?.inline ?? new Inline();
}

/** Starts what looks at the file as the operations before it leave it; those after it wait. */
export function between(fd: number, start: (ended: () => void) => void): void {
  const lines = open.get(fd);
  if (lines !== undefined && positioned(lines)) inOrder(fd, false, start);
  else start(during(fd));
}

/** Starts what comes behind the operations before it, a sync; those after it do not wait. */
export function behind(fd: number, start: (ended: () => void) => void): void {
  const ended = during(fd);
  const lines = open.get(fd);
  const line = lines?.list[0];
  if (line === undefined || !positioned(lines as Lines)) start(ended);
  else line.waiting.push({ start: () => start(ended), ends: false });
}

/** Starts the close of a descriptor: behind what will end, or at once where that may never be. */
export function last(fd: number, close: () => void): void {
  const lines = open.get(fd);
  const others = busy.get(fd);
  // The number may soon be another file's: nobody else gets into these.
  open.delete(fd);
  busy.delete(fd);
  const shut = () => {
    if (others === undefined || others.count === 0) close();
    else others.close = close;
  };
  const line = lines?.list[0];
  if (line !== undefined && positioned(lines as Lines)) {
    line.waiting.push({ start: shut, ends: false });
    return;
  }
  // As with node:fs, what was called before has seen the file.
  for (const { waiting } of lines?.list ?? []) {
    for (const { start } of waiting.splice(0)) start();
  }
  shut();
}
