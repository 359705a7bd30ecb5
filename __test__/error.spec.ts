// PAIR: only-typescript error.spec.ts -- Node's error shapes and stacks have no Rust counterpart
import fs, { constants } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { AT_FDCWD, future } from '../src/index.ts';
import { child, failure, folder, runtime } from './support.ts';

test('errors have the keys, values and message of node:fs', async (t) => {
  const rt = await runtime(t);
  const directory = folder(t);
  const missing = join(directory, "it's missing");
  const bytes = Buffer.alloc(8);
  const dir = fs.openSync(directory, 'r');
  t.teardown(() => fs.closeSync(dir));
  const long = `/${'a'.repeat(5000)}`;
  type Call = (...args: unknown[]) => Promise<unknown>;
  const [open, read, write, close] = [fs.open, fs.read, fs.write, fs.close].map(
    (call) => promisify(call as never) as Call,
  ) as [Call, Call, Call, Call];
  const pairs: [() => PromiseLike<unknown>, () => Promise<unknown>][] = [
    [() => rt.op.openat(AT_FDCWD, missing, 0), () => open(missing, 0)],
    [() => rt.op.openat(AT_FDCWD, '', 0), () => open('', 0)],
    [() => rt.op.openat(AT_FDCWD, long, 0), () => open(long, 0)],
    [
      () => rt.op.openat(AT_FDCWD, directory, constants.O_WRONLY),
      () => open(directory, constants.O_WRONLY),
    ],
    [
      () => rt.op.openat(AT_FDCWD, Buffer.from(missing), 0),
      () => open(Buffer.from(missing).toString(), 0),
    ],
    [() => rt.op.read(0x7ffffff, bytes, 0), () => read(0x7ffffff, bytes, 0, 8, 0)],
    [() => rt.op.read(dir, bytes, 0), () => read(dir, bytes, 0, 8, 0)],
    [() => rt.op.write(dir, bytes, 0), () => write(dir, bytes, 0, 8, 0)],
    [() => rt.op.close(0x7ffffff), () => close(0x7ffffff)],
  ];
  for (const [ours, theirs] of pairs) {
    const expected = await failure(theirs());
    const error = await failure(ours());
    t.deepEqual(Object.keys(error), Object.keys(expected), expected.message);
    t.deepEqual({ ...error }, { ...expected });
    t.is(error.message, expected.message);
    t.is(String(error), String(expected));
    t.is(Object.getPrototypeOf(error), Error.prototype);
  }
});

test('an error in a task carries the frame of every generator', async (t) => {
  const rt = await runtime(t);
  function* innermost() {
    yield* rt.op.close(0x7ffffff);
  }
  function* middle() {
    yield* innermost();
  }
  function* outermost() {
    yield* middle();
  }
  const error = await failure(rt.run(outermost));
  const stack = error.stack ?? '';
  const at = ['innermost', 'middle', 'outermost'].map((name) => stack.indexOf(`at ${name}`));
  t.true(at[0]! > 0 && at[0]! < at[1]! && at[1]! < at[2]!, stack);
  t.regex(stack, /^Error: EBADF: bad file descriptor, close\n\s+at innermost .*error\.spec/);
  const through = await failure(rt.run(() => future(outermost) as never));
  t.true(through.stack?.includes('at outermost'));
});

test('the code that a generator catches from is its own line', async (t) => {
  const rt = await runtime(t);
  const caught = await rt.run(function* catching() {
    try {
      yield* rt.op.nop({ result: -5 });
    } catch (error) {
      return error as NodeJS.ErrnoException;
    }
    return undefined;
  });
  t.is(caught?.code, 'EIO');
  t.true(caught?.stack?.includes('at catching'));
});

test('awaited errors have no frames, with RINGCORE_DEBUG=1 those of the caller', async (t) => {
  const source = `
    async function caller() {
      await ringcore.op.close(0x7ffffff);
    }
    await caller().catch((error) => console.log(error.stack));`;
  const plain = await child(source);
  t.is(plain.stderr, '');
  t.is(plain.stdout.trim(), 'Error: EBADF: bad file descriptor, close');
  const debugged = await child(source, { RINGCORE_DEBUG: '1' });
  t.regex(debugged.stdout, /^Error: EBADF: bad file descriptor, close\n/);
  t.regex(debugged.stdout, /at (async )?caller/);
});

test('errno names that node does not know are still names', async (t) => {
  const rt = await runtime(t);
  const names = new Map([
    [53, 'EBADR'],
    [62, 'ETIME'],
    [11, 'EAGAIN'],
    [3999, 'UNKNOWN'],
  ]);
  for (const [errno, code] of names) {
    const error = await failure(rt.op.nop({ result: -errno }));
    t.is(error.code, code);
    t.is(error.errno, -errno);
    t.is(error.syscall, 'nop');
  }
});
