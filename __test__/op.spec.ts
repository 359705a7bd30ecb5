// Pair: crates/ringcore/tests/op.rs
import { getEventListeners } from 'node:events';
import fs, {
  closeSync,
  constants,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay, setImmediate as immediate } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { AT_FDCWD, op, type Runtime } from '../src/index.ts';
import { ERRNO_UNSUPPORTED_OP } from '../src/sqe.ts';
import { collector, descriptors, failure, folder, many, pipe, runtime, until } from './support.ts';

const NO_FD = 0x7ffffff;

test('an operation does nothing before it is polled', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'new');
  const before = rt.stats().submitted;
  const opening = rt.op.openat(AT_FDCWD, path, constants.O_CREAT | constants.O_WRONLY);
  for (let i = 0; i < 5; i++) await immediate();
  t.is(rt.stats().submitted, before);
  t.false(fs.existsSync(path));
  closeSync(await opening);
  t.is(rt.stats().submitted, before + 1);
  t.true(fs.existsSync(path));
});

test('a nop resolves to its result or fails with its errno', async (t) => {
  const rt = await runtime(t);
  t.is(await rt.op.nop(), 0);
  t.is(await rt.op.nop({ result: 123_456 }), 123_456);
  t.is((await failure(rt.op.nop({ result: -28 }))).code, 'ENOSPC');
});

test('bytes are written and read at an offset and at the file position', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'file');
  const fd = await rt.op.openat(AT_FDCWD, path, constants.O_RDWR | constants.O_CREAT);
  t.is(await rt.op.write(fd, Buffer.from('hello ')), 6);
  t.is(await rt.op.write(fd, Buffer.from('world')), 5);
  t.is(await rt.op.write(fd, Buffer.from('H'), 0), 1);
  const bytes = Buffer.alloc(16);
  t.is(await rt.op.read(fd, bytes, 6), 5);
  t.is(bytes.toString('latin1', 0, 5), 'world');
  t.is(await rt.op.read(fd, bytes), 0, 'the position is the end');
  await rt.op.close(fd);
  t.is(readFileSync(path, 'latin1'), 'Hello world');
});

test('opening what is not there fails with ENOENT and the path', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'missing');
  const error = await failure(rt.op.openat(AT_FDCWD, path, 0));
  t.is(error.code, 'ENOENT');
  t.is(error.path, path);
});

test('closing what is not open fails with EBADF', async (t) => {
  const rt = await runtime(t);
  t.is((await failure(rt.op.close(NO_FD))).code, 'EBADF');
});

test('poll tells that a pipe has bytes', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  const polled = rt.op.pollAdd(fd, 1).then((events) => events);
  await until(() => rt.stats().inFlight === 1);
  writeSync(fd, 'x');
  t.is((await polled) & 1, 1);
});

test('cancel ends an operation in flight', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  for (const target of [rt.op.timeout(60_000), rt.op.pollAdd(fd, 1), read(rt, fd)]) {
    const ended = failure(target);
    await until(() => rt.stats().inFlight === 1);
    await rt.op
      .cancel(target)
      .catch((error: unknown) => t.is((error as NodeJS.ErrnoException).code, 'EALREADY'));
    t.is((await ended).code, 'ABORT_ERR', target.constructor.name);
  }
});

const read = (rt: Runtime, fd: number, options?: Maker) =>
  rt.op.read(fd, new Uint8Array(8), -1, options);

test('cancel of what is not in flight fails with ENOENT', async (t) => {
  const rt = await runtime(t);
  const done = rt.op.nop();
  await done;
  t.is((await failure(rt.op.cancel(done))).code, 'ENOENT');
  t.is((await failure(rt.op.cancel(rt.op.nop()))).code, 'ENOENT');
});

test('an empty path fails with ENOENT and a long one with ENAMETOOLONG', async (t) => {
  const rt = await runtime(t);
  t.is((await failure(rt.op.openat(AT_FDCWD, '', 0))).code, 'ENOENT');
  for (const length of [4096, 5000]) {
    const path = `/${'a/'.repeat(length / 2)}`.slice(0, length);
    t.is((await failure(rt.op.openat(AT_FDCWD, path, 0))).code, 'ENAMETOOLONG', `${length}`);
    t.throws(() => openSync(path, 0), { code: 'ENAMETOOLONG' });
  }
  // 4095 bytes fit: the kernel itself answers.
  const fits = `/${'a/'.repeat(2047)}`;
  t.is((await failure(rt.op.openat(AT_FDCWD, fits, 0))).code, 'ENOENT');
});

test('a path of invalid utf 8 opens the file of that name', async (t) => {
  const rt = await runtime(t);
  const name = Buffer.concat([Buffer.from(`${folder(t)}/`), Buffer.from([0xff, 0xfe, 0x41])]);
  writeFileSync(name, 'odd');
  const fd = await rt.op.openat(AT_FDCWD, name, 0);
  const bytes = Buffer.alloc(8);
  t.is(await rt.op.read(fd, bytes), 3);
  closeSync(fd);
});

test('a path with a zero byte is an error of its own and nothing is submitted', async (t) => {
  const rt = await runtime(t);
  const before = rt.stats().submitted;
  t.throws(() => rt.op.openat(AT_FDCWD, 'a\0b', 0), { code: 'ERR_INVALID_ARG_VALUE' });
  t.throws(() => rt.op.openat(AT_FDCWD, Buffer.from('a\0b'), 0), { code: 'ERR_INVALID_ARG_VALUE' });
  await immediate();
  t.is(rt.stats().submitted, before);
});

test('an offset is 63 bits wide', async (t) => {
  const rt = await runtime(t);
  const fd = openSync(join(folder(t), 'sparse'), 'w+');
  t.teardown(() => closeSync(fd));
  const far = 5 * 2 ** 32 + 7;
  t.is(await rt.op.write(fd, Buffer.from('far'), far), 3);
  t.is(fs.fstatSync(fd).size, far + 3);
  const bytes = Buffer.alloc(3);
  t.is(await rt.op.read(fd, bytes, BigInt(far)), 3);
  t.is(bytes.toString(), 'far');
  t.is(await rt.op.read(fd, bytes, 2n ** 53n + 1n), 0);
  t.is((await failure(rt.op.write(fd, bytes, 2n ** 62n))).code, 'EFBIG');
});

// PAIR: only-typescript -- a Rust future that is dropped is cancelled
test('an operation in flight lives on when its caller forgets it', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  const gc = collector();
  const bytes = new Uint8Array(4);
  let got = 0;
  (() => {
    void rt.op.read(fd, bytes).then((count) => {
      got = count;
    });
  })();
  await until(() => rt.stats().inFlight === 1);
  for (let i = 0; i < 5; i++) {
    gc();
    await immediate();
  }
  writeSync(fd, 'abc');
  await until(() => got === 3);
  t.is(Buffer.from(bytes).toString('latin1'), 'abc\0');
});

// PAIR: only-typescript -- a Rust future is polled by one task and gives its value once
test('the same operation gives the same value or error to all who wait', async (t) => {
  const rt = await runtime(t);
  for (const result of [5, -28]) {
    const before = rt.stats().submitted;
    const nop = rt.op.nop({ result });
    const outcome = (future: PromiseLike<number>) =>
      Promise.resolve(future).catch((error: unknown) => error);
    const task = () =>
      rt.run(function* () {
        return yield* nop;
      });
    const early = [outcome(nop), outcome(nop), outcome(task()), outcome(task())];
    const first = await early[0];
    const all = await Promise.all([...early, outcome(nop), outcome(task()), outcome(nop.then())]);
    for (const each of all) t.is(each, first);
    t.is(rt.stats().submitted, before + 1);
    if (result > 0) t.is(first, 5);
    else t.is((first as NodeJS.ErrnoException).code, 'ENOSPC');
  }
});

// PAIR: only-typescript -- Rust operations bind to the runtime that polls them
test('an operation of one runtime fails in another and is not submitted', async (t) => {
  const [one, other] = [await runtime(t), await runtime(t)];
  const before = one.stats().submitted;
  const foreign = one.op.nop();
  const polled = other.run(function* () {
    return yield* foreign;
  });
  t.is((await failure(polled)).code, 'ERR_RINGCORE_WRONG_RUNTIME');
  t.is(one.stats().submitted, before);
  const flying = one.op.timeout(60_000);
  const ended = failure(flying);
  await until(() => one.stats().inFlight === 1);
  t.is((await failure(other.op.cancel(flying))).code, 'ERR_RINGCORE_WRONG_RUNTIME');
  flying.cancel();
  t.is((await ended).code, 'ABORT_ERR');
  const submitted = other.stats().submitted;
  t.is(
    await other.run(function* () {
      return yield* op.nop();
    }),
    0,
  );
  t.is(other.stats().submitted, submitted + 1, 'a free operation binds to who polls it');
});

// PAIR: only-typescript -- Rust has no AbortSignal
test('the completion decides what an aborted operation becomes', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  const before = rt.stats().submitted;
  const reason = new Error('why');
  const aborted = AbortSignal.abort(reason);
  const never = await failure(rt.op.nop({ signal: aborted }));
  t.is(never.code, 'ABORT_ERR');
  t.is(never.cause, reason);
  t.is(rt.stats().submitted, before, 'already aborted: no submit');
  for (const when of ['same tick', 'in flight']) {
    for (const make of [read, poll, timeout]) {
      const controller = new AbortController();
      // then() with two functions starts it inside of this call.
      const started = make(rt, fd, { signal: controller.signal });
      const ended = failure(new Promise((resolve, reject) => started.then(resolve, reject)));
      if (when === 'in flight') await until(() => rt.stats().inFlight === 1);
      controller.abort(reason);
      const error = await ended;
      t.is(error.code, 'ABORT_ERR', `${when} ${make.name}`);
      t.is(error.cause, reason);
      t.is(rt.stats().inFlight, 0);
    }
  }
  // Both are done in one turn, and the first one's callback runs before the second is delivered.
  const controller = new AbortController();
  const abort = () => controller.abort();
  rt.op.nop().then(abort, abort);
  const second = rt.op.nop({ result: 4, signal: controller.signal });
  const outcome = await new Promise((resolve, reject) => second.then(resolve, reject));
  t.is(outcome, 4, 'it was done: the result counts');
  t.true(controller.signal.aborted);
});

type Maker = { signal: AbortSignal };
const poll = (rt: Runtime, fd: number, options: Maker) => rt.op.pollAdd(fd, 1, options);
const timeout = (rt: Runtime, _fd: number, options: Maker) => rt.op.timeout(60_000, options);

// PAIR: only-typescript -- Rust has no AbortSignal
test('signals keep no listener of what has ended', async (t) => {
  const rt = await runtime(t);
  const shared = new AbortController();
  const listeners = () => getEventListeners(shared.signal, 'abort').length;
  for (let i = 0; i < many(1000); i++) {
    const controller = new AbortController();
    const aborted = failure(rt.op.timeout(60_000, { signal: controller.signal }));
    const [one, two] = [rt.op.nop({ signal: shared.signal }), rt.op.nop({ signal: shared.signal })];
    const both = Promise.all([one.then((value) => value), two.then((value) => value)]);
    t.true(listeners() <= 1, 'one listener, whatever the number of operations');
    await both;
    controller.abort();
    t.is((await aborted).code, 'ABORT_ERR');
    t.is(getEventListeners(controller.signal, 'abort').length, 0);
  }
  t.is(listeners(), 0);
  await rt.op.nop({ signal: shared.signal });
  shared.abort();
  t.is((await failure(rt.op.nop({ signal: shared.signal }))).code, 'ABORT_ERR');
});

// PAIR: only-typescript -- Rust has no AbortSignal
test.serial('an aborted open leaves no descriptor, or gives it', async (t) => {
  const rt = await runtime(t);
  const before = descriptors();
  for (let i = 0; i < many(200); i++) {
    const controller = new AbortController();
    const opening = rt.op.openat(AT_FDCWD, '/dev/null', 0, 0, { signal: controller.signal });
    const outcome = new Promise<number>((resolve, reject) => opening.then(resolve, reject));
    controller.abort();
    await outcome.then(closeSync, (error) => t.is(error.code, 'ABORT_ERR'));
  }
  await until(() => rt.stats().inFlight === 0);
  t.is(descriptors(), before);
});

// PAIR: only-typescript -- Rust's types refuse most of these at compile time
test('wrong arguments are typed errors at the call and nothing is submitted', async (t) => {
  const rt = await runtime(t);
  const before = rt.stats().submitted;
  const bytes = new Uint8Array(8);
  const any = (value: unknown) => value as never;
  const TYPE = 'ERR_INVALID_ARG_TYPE';
  const RANGE = 'ERR_OUT_OF_RANGE';
  for (const fd of ['3', null, undefined, {}, 3n]) {
    t.throws(() => rt.op.read(any(fd), bytes, 0), { code: TYPE }, `fd ${String(fd)}`);
    t.throws(() => rt.op.write(any(fd), bytes, 0), { code: TYPE });
    t.throws(() => rt.op.close(any(fd)), { code: TYPE });
    t.throws(() => rt.op.pollAdd(any(fd), 1), { code: TYPE });
  }
  for (const fd of [-1, 1.5, Number.NaN, 2 ** 31, Number.POSITIVE_INFINITY]) {
    t.throws(() => rt.op.read(fd, bytes, 0), { code: RANGE }, `fd ${fd}`);
    t.throws(() => rt.op.write(fd, bytes, 0), { code: RANGE });
    t.throws(() => rt.op.close(fd), { code: RANGE });
    t.throws(() => rt.op.pollAdd(fd, 1), { code: RANGE });
  }
  for (const buffer of ['text', null, undefined, 5, [], new ArrayBuffer(8)]) {
    t.throws(() => rt.op.read(0, any(buffer), 0), { code: TYPE }, `buffer ${String(buffer)}`);
    t.throws(() => rt.op.write(0, any(buffer), 0), { code: TYPE });
  }
  for (const offset of ['0', null, {}]) {
    t.throws(() => rt.op.read(0, bytes, any(offset)), { code: TYPE }, `offset ${offset}`);
  }
  for (const offset of [-2, Number.NaN, 0.5, 2 ** 53, -2n, 2n ** 63n]) {
    t.throws(() => rt.op.read(0, bytes, offset), { code: RANGE }, `offset ${offset}`);
    t.throws(() => rt.op.write(0, bytes, offset), { code: RANGE });
  }
  for (const path of [5, null, undefined, {}, ['a']]) {
    t.throws(() => rt.op.openat(AT_FDCWD, any(path), 0), { code: TYPE });
  }
  t.throws(() => rt.op.openat(AT_FDCWD, new URL('http://example.com/'), 0), { name: 'TypeError' });
  t.throws(() => rt.op.openat(any('.'), 'a', 0), { code: TYPE });
  t.throws(() => rt.op.openat(AT_FDCWD, 'a', any('r')), { code: TYPE });
  t.throws(() => rt.op.openat(AT_FDCWD, 'a', -1), { code: RANGE });
  t.throws(() => rt.op.openat(AT_FDCWD, 'a', 0, -1), { code: RANGE });
  for (const ms of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(() => rt.op.timeout(ms), { code: RANGE });
  }
  t.throws(() => rt.op.timeout(any('1')), { code: TYPE });
  t.throws(() => rt.op.pollAdd(0, -1), { code: RANGE });
  t.throws(() => rt.op.nop({ result: -4096 }), { code: RANGE });
  t.throws(() => rt.op.cancel(any({})), { code: TYPE });
  for (const options of [null, 5, 'ref']) {
    t.throws(() => rt.op.nop(any(options)), { code: TYPE }, `options ${options}`);
  }
  for (const signal of [null, 5, {}, new EventTarget()]) {
    t.throws(() => rt.op.nop({ signal: any(signal) }), { code: TYPE });
  }
  t.throws(() => rt.op.nop({ ref: any('yes') }), { code: TYPE });
  await immediate();
  t.is(rt.stats().submitted, before);
});

// PAIR: only-typescript -- Rust takes any path type of the standard library
test('a path may be a URL and keeps what it was at the call', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'a file with spaces');
  writeFileSync(path, 'x');
  closeSync(await rt.op.openat(AT_FDCWD, pathToFileURL(path), 0));
  const bytes = Buffer.from(path);
  const opening = rt.op.openat(AT_FDCWD, bytes, 0);
  bytes.fill(0x61);
  const fd = await opening;
  t.true(fd > 2);
  closeSync(fd);
});

// PAIR: only-typescript -- Rust has no process to hold
test('an operation without ref does not stop one with it', async (t) => {
  const rt = await runtime(t);
  await rt.op.timeout(1, { ref: false });
  const unreferenced = rt.op.timeout(1).unref();
  const both = await Promise.all([unreferenced, rt.op.nop({ result: 2 }).ref()]);
  t.is(both[1], 2);
  await delay(0);
});

// PAIR: only-typescript -- in Rust the border answers it, see tests/border.rs
test('an operation that this kernel lacks says so and since when there is one', async (t) => {
  const rt = await runtime(t);
  const error = await failure(rt.op.nop({ result: -ERRNO_UNSUPPORTED_OP }));
  t.is(error.code, 'ERR_RINGCORE_UNSUPPORTED_OP');
  t.regex(error.message, /no nop.*Linux 5\.1/);
});
