// linked_cat: prints a file by chains of two operations: read, then write, one submission for both.
// Beside it: linked_cat.rs; without ringcore: linked_cat.node.mjs, linked_cat.std.rs.
//
//   npm start -- --example linked_cat FILE
//
// Both name the same bytes, so that the kernel writes what it has just read and JavaScript never
// looks at it. The last read is short, which ends its chain: the write behind it never runs.

import { AT_FDCWD, type Future, Runtime, type SystemError } from 'ringcore';

const STDOUT = 1;
const POLLOUT = 4;

const rt = new Runtime();
const { op } = rt;

type Steps<T> = Generator<Future<unknown>, T, unknown>;

/** What a member of a chain that was cut has moved: nothing. */
function* moved(operation: Future<number>): Steps<number> {
  try {
    return yield* operation;
  } catch (error) {
    const { code } = error as SystemError;
    if (code === 'ECANCELED' || code === 'EAGAIN') return 0;
    throw error;
  }
}

function* writeAll(chunk: Uint8Array): Steps<void> {
  let rest = chunk;
  while (rest.length > 0) {
    const count = yield* moved(op.write(STDOUT, rest));
    if (count === 0) yield* op.pollAdd(STDOUT, POLLOUT);
    rest = rest.subarray(count);
  }
}

function* linkedCat(path: string): Steps<number> {
  const fd = yield* op.openat(AT_FDCWD, path, 0);
  const buffer = new Uint8Array(64 * 1024);
  let [offset, chains] = [0, 0];
  for (;;) {
    const read = op.read(fd, buffer, offset);
    const write = op.write(STDOUT, buffer);
    chains++;
    try {
      yield* op.link(read, write);
    } catch {
      // Which of the two it was, each of them says itself.
    }
    const count = yield* read;
    const written = yield* moved(write);
    if (count === 0) break;
    yield* writeAll(buffer.subarray(written, count));
    offset += count;
  }
  yield* op.close(fd);
  return chains;
}

const [path] = process.argv.slice(2);
if (path === undefined) {
  console.error('usage: linked_cat FILE');
  process.exitCode = 2;
} else {
  try {
    const chains = await rt.run(() => linkedCat(path));
    if (process.stderr.isTTY) console.error(`${chains} chains, ${rt.stats().enters} enters`);
  } catch (error) {
    if ((error as SystemError).code !== 'EPIPE') {
      console.error(`linked_cat: ${(error as Error).message}`);
      process.exitCode = 1;
    }
  }
}
await rt.close();
