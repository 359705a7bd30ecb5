// cat: prints files through the ring, byte for byte. Beside it: cat.rs.
//
//   npm start                        this repository's README
//   npm start --silent -- FILE...    those files; `-` is standard input
//
// The same for every chunk: read into a buffer, write what came. A descriptor that would block (a
// slow non-blocking pipe) is waited for by a poll on the ring; its flags are shared with other
// processes and are never changed.

import { fstatSync } from 'node:fs';
import { AT_FDCWD, type Future, Runtime, type SystemError } from 'ringcore';

const STDIN = 0;
const STDOUT = 1;
const O_RDONLY = 0;
const POLLIN = 1;
const POLLOUT = 4;

const started = performance.now();
const rt = new Runtime();
const { op } = rt;
let bytes = 0;

type Steps<T> = Generator<Future<unknown>, T, unknown>;

/** Reads once; a descriptor that has nothing yet is polled first. */
function* read(fd: number, buffer: Buffer): Steps<number> {
  for (;;) {
    try {
      return yield* op.read(fd, buffer);
    } catch (error) {
      if ((error as SystemError).code !== 'EAGAIN') throw error;
      yield* op.pollAdd(fd, POLLIN);
    }
  }
}

/** Writes everything: a count may be short. */
function* writeAll(fd: number, chunk: Buffer): Steps<void> {
  let rest = chunk;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(yield* op.write(fd, rest));
    } catch (error) {
      if ((error as SystemError).code !== 'EAGAIN') throw error;
      yield* op.pollAdd(fd, POLLOUT);
    }
  }
}

/** A failure of the output ends the program; one of an input only that input. */
class OutputError extends Error {}

/** Copies a descriptor to standard output until its end. */
function* copy(fd: number, buffer: Buffer): Steps<void> {
  for (;;) {
    const count = yield* read(fd, buffer);
    if (count === 0) return;
    try {
      yield* writeAll(STDOUT, buffer.subarray(0, count));
    } catch (error) {
      throw new OutputError('output', { cause: error });
    }
    bytes += count;
  }
}

/** A regular file that is its own output would grow for ever. */
function isOutput(fd: number): boolean {
  const [file, output] = [fstatSync(fd), fstatSync(STDOUT)];
  return file.isFile() && file.dev === output.dev && file.ino === output.ino && file.size > 0;
}

function* cat(path: string, buffer: Buffer): Steps<void> {
  if (path === '-') {
    yield* copy(STDIN, buffer);
    return;
  }
  const fd = yield* op.openat(AT_FDCWD, path, O_RDONLY);
  try {
    if (isOutput(fd)) throw new Error('input file is output file');
    yield* copy(fd, buffer);
  } finally {
    yield* op.close(fd);
  }
}

function* main(paths: string[]): Steps<void> {
  // Up to 256 KiB a cached read is done by this thread, inside the call that submits it.
  const buffer = Buffer.allocUnsafe(256 * 1024);
  for (const path of paths) {
    try {
      yield* cat(path, buffer);
    } catch (error) {
      const { code } = ((error as OutputError).cause as SystemError | undefined) ?? {};
      if (code === 'EPIPE') return; // Nobody reads any more, which is not our failure.
      process.exitCode = 1;
      report(path, error as Error);
      if (error instanceof OutputError) return;
    }
  }
}

/** `cat: CODE: text, syscall 'path'`, as Node says it. */
function report(path: string, error: Error): void {
  const { message } = error instanceof OutputError ? (error.cause as Error) : error;
  const named = error instanceof OutputError || message.includes(path) || path === '-';
  console.error(`cat: ${message}${named ? '' : ` '${path}'`}`);
}

const paths = process.argv.slice(2);
await rt.run(() => main(paths.length > 0 ? paths : ['-']));
if (process.stderr.isTTY) {
  const { turns, enters, completed, inline, wakes } = rt.stats();
  const ring = `${turns} turns, ${enters} enters, ${completed} operations, ${inline} inline`;
  console.error(`ring   ${ring}, ${wakes} wakes`);
  console.error(`bytes  ${bytes}`);
  console.error(`time   ${(performance.now() - started).toFixed(1)} ms`);
}
await rt.close();
