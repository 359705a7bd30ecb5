// tee: standard input to standard output and to files.
// Beside it: tee.rs; without ringcore: tee.node.mjs, tee.std.rs.
//
//   some program | npm start --silent -- --example tee [-a] FILE... | another program
//
//   -a   appends to the files
//
// Between two pipes nothing is copied: tee(2) gives standard output the same pages that standard
// input has, and splice(2) then moves them into the file. Only what the kernel refuses (EINVAL: no
// pipe on one side, a file opened to append, a second file) is read and written. Waiting is a poll
// on the ring; nothing runs until there is something to do.

import { constants as files } from 'node:fs';
import { AT_FDCWD, all, type Future, future, Runtime, type SystemError } from 'ringcore';

const STDIN = 0;
const STDOUT = 1;
const POLLIN = 1;
const POLLOUT = 4;
/** As much as a pipe holds unless somebody has enlarged it. */
const CHUNK = 64 * 1024;

const rt = new Runtime();
const { op } = rt;
const buffer = Buffer.allocUnsafe(CHUNK);
/** Bytes that standard input brought, and those of them that this program never saw. */
let [bytes, moved] = [0, 0];

type Steps<T> = Generator<Future<unknown>, T, unknown>;

/** What gets a copy. One that fails is told once and left out from then on. */
interface Output {
  fd: number;
  readonly name: string;
  /** False once the kernel has refused to. */
  splices: boolean;
  failed: boolean;
}

const output = (fd: number, name: string): Output => ({ fd, name, splices: true, failed: false });

function code(error: unknown): string | undefined {
  return (error as SystemError).code;
}

/** Nobody reads standard output any more: as quiet an end as SIGPIPE's. */
class NobodyReads extends Error {}

function fail(target: Output, error: unknown): void {
  if (target.fd === STDOUT && code(error) === 'EPIPE') throw new NobodyReads();
  console.error(`tee: '${target.name}': ${(error as Error).message}`);
  process.exitCode = 1;
  [target.failed, target.splices] = [true, false];
}

/** Repeats what would block when `fd` is ready; its flags are shared and never changed. */
function* ready<T>(fd: number, events: number, operation: () => Future<T>): Steps<T> {
  for (;;) {
    try {
      return yield* operation();
    } catch (error) {
      if (code(error) !== 'EAGAIN') throw error;
      yield* op.pollAdd(fd, events);
    }
  }
}

/** Writes everything to one output. */
function* write(target: Output, chunk: Buffer): Steps<void> {
  let rest = chunk;
  try {
    while (rest.length > 0) {
      const part = rest;
      rest = rest.subarray(yield* ready(target.fd, POLLOUT, () => op.write(target.fd, part)));
    }
  } catch (error) {
    fail(target, error);
  }
}

/** Reads at most `most` bytes and writes them to every output. Resolves to the count. */
function* copy(outputs: Output[], most: number): Steps<number> {
  const room = buffer.subarray(0, most);
  const count = yield* ready(STDIN, POLLIN, () => op.read(STDIN, room));
  bytes += count;
  const good = outputs.filter((target) => !target.failed);
  yield* all(good.map((target) => future(() => write(target, room.subarray(0, count)))));
  return count;
}

/** Moves at most `most` bytes into a file. 0: the kernel refuses. */
function* splice(target: Output, most: number): Steps<number> {
  try {
    const count = yield* op.splice(STDIN, -1, target.fd, -1, most);
    [bytes, moved] = [bytes + count, moved + count];
    return count;
  } catch (error) {
    if (code(error) !== 'EINVAL') fail(target, error);
    target.splices = false;
    return 0;
  }
}

/** The bytes that standard output has already go to the files, which takes them off the pipe. */
function* consume(targets: Output[], count: number): Steps<void> {
  const [only] = targets;
  const alone = targets.length === 1;
  for (let left = count; left > 0; ) {
    let gone = alone && only?.splices ? yield* splice(only, left) : 0;
    if (gone === 0) gone = yield* copy(targets, Math.min(left, CHUNK));
    if (gone === 0) return; // Somebody else reads from this pipe as well.
    left -= gone;
  }
}

/** How many bytes standard output shares with standard input now; -1: they cannot. */
function* duplicate(): Steps<number> {
  // The two polls are what waits. A worker thread of the kernel would have to wait in tee(2).
  yield* op.pollAdd(STDIN, POLLIN);
  yield* op.pollAdd(STDOUT, POLLOUT);
  try {
    return yield* ready(STDOUT, POLLOUT, () => op.tee(STDIN, STDOUT, CHUNK));
  } catch (error) {
    if (code(error) === 'EINVAL') return -1;
    if (code(error) === 'EPIPE') throw new NobodyReads();
    throw error;
  }
}

function* main(append: boolean, paths: string[]): Steps<void> {
  const how = files.O_WRONLY | files.O_CREAT | (append ? files.O_APPEND : files.O_TRUNC);
  const targets: Output[] = [];
  for (const path of paths) {
    const target = output(-1, path);
    targets.push(target);
    try {
      target.fd = yield* op.openat(AT_FDCWD, path, how);
    } catch (error) {
      fail(target, error);
    }
  }
  let shared = yield* duplicate();
  while (shared > 0) {
    yield* consume(targets, shared);
    shared = yield* duplicate();
  }
  // No pipes: every byte comes by here.
  const outputs = [output(STDOUT, 'standard output'), ...targets];
  while (shared < 0 && (yield* copy(outputs, CHUNK)) > 0);
}

const args = process.argv.slice(2);
const append = args[0] === '-a';
const paths = args.slice(append || args[0] === '--' ? 1 : 0);
if (!append && args[0]?.startsWith('-') && args[0] !== '--') {
  console.error('usage: tee [-a] FILE...');
  process.exit(2);
}
try {
  await rt.run(() => main(append, paths));
  if (process.stderr.isTTY) console.error(`${bytes} bytes, ${moved} of them never copied`);
} catch (error) {
  // What a shell shows for a program that SIGPIPE has ended.
  process.exitCode = error instanceof NobodyReads ? 141 : 1;
  if (!(error instanceof NobodyReads)) console.error(`tee: ${(error as Error).message}`);
}
await rt.close();
