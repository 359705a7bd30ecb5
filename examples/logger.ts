// logger: appends the lines of standard input to a file, each of them safely on the disk.
// Beside it: logger.rs; without ringcore: logger.node.mjs, logger.std.rs.
//
//   some program | npm start --silent -- --example logger [--max BYTES] [--ack] FILE
//
//   --max BYTES   a file that would grow beyond this is renamed to FILE.1, FILE.2 ... first
//   --ack         prints how many lines are safe, after each batch
//
// While one batch is on its way to the disk the next lines gather in the pipe; one read takes them
// all. So the batches grow as the disk slows down, and no queue is needed here. A batch is a write
// linked to an fdatasync: one submission, and the sync never runs for half a batch.

import { constants as files } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { AT_FDCWD, constants, type Future, Runtime, type SystemError } from 'ringcore';

const STDIN = 0;
const STDOUT = 1;
const POLLIN = 1;
const NEWLINE = 10;
/** Bytes of one write, which is what keeps lines whole: a longer line is broken here. */
const LONGEST = 256 * 1024;

const rt = new Runtime();
const { op } = rt;
const counts = { lines: 0, batches: 0, files: 1 };

type Steps<T> = Generator<Future<unknown>, T, unknown>;

/** The file that lines go to. */
interface Log {
  readonly path: string;
  /** The folder that has its name. */
  readonly folder: number;
  readonly max: number;
  readonly ack: boolean;
  fd: number;
  /** Of the next full file's name; it may be taken. */
  next: number;
}

function code(error: unknown): string | undefined {
  return (error as SystemError).code;
}

/** Reads once; a descriptor that has nothing yet is polled first. */
function* read(fd: number, buffer: Buffer): Steps<number> {
  for (;;) {
    try {
      return yield* op.read(fd, buffer);
    } catch (error) {
      if (code(error) !== 'EAGAIN') throw error;
      yield* op.pollAdd(fd, POLLIN);
    }
  }
}

/** Opens the log at its end. Its name has to last as well, hence the sync of the folder. */
function* open(path: string, folder: number): Steps<number> {
  // O_APPEND: the kernel finds the end anew for each write, so several loggers may share a file.
  const fd = yield* op.openat(AT_FDCWD, path, files.O_RDWR | files.O_APPEND | files.O_CREAT);
  yield* op.fsync(folder);
  const { size } = yield* op.statx(fd, '', constants.AT_EMPTY_PATH);
  const last = Buffer.of(NEWLINE);
  if (size > 0) yield* op.read(fd, last, size - 1);
  // A logger was killed in the middle of a write: what it left is no line, and must not become one
  // together with ours.
  if (last[0] !== NEWLINE) yield* op.write(fd, Buffer.of(NEWLINE));
  return fd;
}

/** Appends and syncs. When this ends, the bytes are on the disk. */
function* append(fd: number, lines: Buffer): Steps<void> {
  let rest = lines;
  for (;;) {
    const write = op.write(fd, rest);
    try {
      yield* op.link(write, op.fdatasync(fd));
      return;
    } catch (error) {
      rest = rest.subarray(yield* write); // Throws if it was the write that failed.
      if (rest.length === 0) throw error;
    }
  }
}

/** Gives the full file another name and opens a new one. */
function* rotate(log: Log): Steps<void> {
  const mine = yield* op.statx(log.fd, '', constants.AT_EMPTY_PATH);
  yield* op.close(log.fd);
  try {
    const named = yield* op.statx(AT_FDCWD, log.path);
    // Another logger may have done it already, and then this name is a new file's.
    if (named.ino === mine.ino) {
      while (!(yield* renamed(log.path, `${log.path}.${log.next++}`)));
    }
  } catch (error) {
    if (code(error) !== 'ENOENT') throw error; // It is doing it right now.
  }
  log.fd = yield* open(log.path, log.folder);
  counts.files++;
}

/** Whether the name was free. Never replaces a file: no line is lost to a race. */
function* renamed(from: string, to: string): Steps<boolean> {
  try {
    yield* op.renameat(AT_FDCWD, from, AT_FDCWD, to, constants.RENAME_NOREPLACE);
    return true;
  } catch (error) {
    if (code(error) !== 'EEXIST') throw error;
    return false;
  }
}

/** How many bytes of whole lines fit into the file. 0: none, it is full. */
function fitting(lines: Buffer, size: number, max: number): number {
  const room = Math.max(0, max - size);
  if (lines.length <= room) return lines.length;
  const fit = lines.subarray(0, room).lastIndexOf(NEWLINE) + 1;
  // A line that is longer than any file gets one for itself.
  return fit > 0 || size > 0 ? fit : lines.indexOf(NEWLINE) + 1;
}

/** Brings whole lines to the disk, into new files where the old one is full. */
function* store(log: Log, batch: Buffer): Steps<void> {
  let lines = batch;
  while (lines.length > 0) {
    const size =
      log.max === Infinity ? 0 : (yield* op.statx(log.fd, '', constants.AT_EMPTY_PATH)).size;
    const fit = fitting(lines, size, log.max);
    if (fit === 0) {
      yield* rotate(log);
      continue;
    }
    yield* append(log.fd, lines.subarray(0, fit));
    counts.batches++;
    for (const byte of lines.subarray(0, fit)) if (byte === NEWLINE) counts.lines++;
    if (log.ack) yield* op.write(STDOUT, Buffer.from(`${counts.lines}\n`));
    lines = lines.subarray(fit);
  }
}

function* main(path: string, max: number, ack: boolean): Steps<void> {
  const folder = yield* op.openat(AT_FDCWD, dirname(path), files.O_DIRECTORY);
  const log: Log = { path, folder, max, ack, fd: yield* open(path, folder), next: 1 };
  const buffer = Buffer.allocUnsafe(LONGEST + 1);
  let held = 0; // Bytes of a line whose end has not come yet.
  for (;;) {
    const count = yield* read(STDIN, buffer.subarray(held, LONGEST));
    let end = held + count;
    let whole = buffer.subarray(0, end).lastIndexOf(NEWLINE) + 1;
    // The last line may come without an end, and a line may be longer than the buffer.
    if (end > whole && (count === 0 || (whole === 0 && end === LONGEST))) {
      buffer[end++] = NEWLINE;
      whole = end;
    }
    yield* store(log, buffer.subarray(0, whole));
    if (count === 0) return;
    buffer.copyWithin(0, whole, end);
    held = end - whole;
  }
}

/** The command line, or undefined where it is wrong. */
function parse(args: string[]): [path: string, max: number, ack: boolean] | undefined {
  try {
    const options = { max: { type: 'string' }, ack: { type: 'boolean' } } as const;
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    const max = values.max === undefined ? Infinity : Number(values.max);
    const [path] = positionals;
    if (path === undefined || positionals.length > 1 || !(max >= 1)) return undefined;
    return [path, max, values.ack === true];
  } catch {
    return undefined;
  }
}

const parsed = parse(process.argv.slice(2));
if (parsed === undefined) {
  console.error('usage: logger [--max BYTES] [--ack] FILE');
  process.exit(2);
}
try {
  await rt.run(() => main(...parsed));
  const { lines, batches, files } = counts;
  console.log(`${lines} lines in ${batches} batches, ${files} files`);
} catch (error) {
  console.error(`logger: ${(error as Error).message}`);
  process.exitCode = 1;
}
await rt.close();
