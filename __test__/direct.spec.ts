// Pair: crates/ringcore/tests/direct.rs
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { AT_FDCWD, type Direct, op, type Runtime, timeout } from '../src/index.ts';
import { DIRECT_SLOTS } from '../src/sqe.ts';
import {
  collector,
  descriptors,
  failure,
  folder,
  many,
  pipe,
  runtime,
  settle,
  until,
} from './support.ts';

const { O_RDONLY, O_RDWR, O_WRONLY, O_NONBLOCK, O_CREAT } = constants;
const CLOEXEC = 0o2000000;

/** Two files with different bytes, and one that is not there. */
function files(t: ExecutionContext): [a: string, b: string, missing: string] {
  const path = folder(t);
  const [a, b] = [join(path, 'a'), join(path, 'b')];
  writeFileSync(a, 'a'.repeat(100));
  writeFileSync(b, 'b'.repeat(100));
  return [a, b, join(path, 'missing')];
}

function fifo(t: ExecutionContext): string {
  const path = join(folder(t), 'pipe');
  execFileSync('mkfifo', [path]);
  return path;
}

/** Slots that are not free. */
const used = (rt: Runtime) => rt.executor.reactor.directs.used;

/** All slots are free, when everything that was asked for has happened. */
const unused = (rt: Runtime) => until(() => used(rt) === 0);

const open = (rt: Runtime, path: string, direct: Direct, flags = O_RDWR | CLOEXEC) =>
  rt.op.openat(AT_FDCWD, path, flags, 0o666, { direct });

/** Whether nobody reads a pipe. */
function unread(path: string): boolean {
  try {
    closeSync(openSync(path, O_WRONLY | O_NONBLOCK));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENXIO';
  }
}

test.serial('a file is opened, read, written and closed without a descriptor', async (t) => {
  const rt = await runtime(t);
  const [a] = files(t);
  const before = descriptors();
  const direct = rt.op.direct();
  t.is(await open(rt, a, direct), direct);
  t.is(descriptors(), before);
  t.is(await rt.op.write(direct, Buffer.from('hello'), 50), 5);
  const bytes = Buffer.alloc(10);
  t.is(await rt.op.read(direct, bytes, 48), 10);
  t.is(bytes.toString(), 'aahelloaaa');
  t.is((await rt.op.pollAdd(direct, 1)) & 1, 1);
  t.is(await rt.op.close(direct), undefined);
  t.is(readFileSync(a, 'latin1').slice(48, 54), 'aahell');
  t.is(used(rt), 0);
});

test.serial('a chain opens, reads and closes, and the slots stay flat', async (t) => {
  const rt = await runtime(t);
  const [a] = files(t);
  const [before, rounds] = [descriptors(), many(1000)];
  const view = rt.buffer.alloc(100);
  for (let i = 0; i < rounds; i++) {
    const direct = rt.op.direct();
    const read = rt.op.read(direct, view, 0);
    const chain = rt.op.link(open(rt, a, direct), read, rt.op.close(direct));
    const [opened, count] = await chain;
    if (opened !== direct || count !== 100 || used(rt) !== 0) t.fail(`${count} ${used(rt)}`);
  }
  t.is(Buffer.from(view).toString(), 'a'.repeat(100));
  t.is(descriptors(), before);
});

test('an open that fails leaves the slot usable, and a close that was cut frees it', async (t) => {
  const rt = await runtime(t);
  const [a, , missing] = files(t);
  const held = rt.op.direct();
  t.like(await failure(open(rt, missing, held)), { code: 'ENOENT', path: missing });
  t.like(await failure(rt.op.read(held, new Uint8Array(1), 0)), { code: 'EBADF' });
  await open(rt, a, held);
  t.is(await rt.op.read(held, new Uint8Array(9), 0), 9);
  t.is(used(rt), 1);
  await rt.op.close(held);
  t.is(used(rt), 0);
  // More often than there are slots: the open fails, or the read is short, and the close is cut.
  for (let round = 0; round < DIRECT_SLOTS * 2 + 5; round++) {
    const direct = rt.op.direct();
    const close = rt.op.close(direct);
    const path = round % 2 === 0 ? missing : a;
    const read = rt.op.read(direct, new Uint8Array(200), 0);
    const chain = rt.op.link(open(rt, path, direct), read, close);
    const { code } = await failure(chain);
    if (code !== (round % 2 === 0 ? 'ENOENT' : 'ECANCELED')) t.fail(code);
    if ((await failure(close)).code !== 'ECANCELED') t.fail('it was not cut');
    if (round % 100 === 0) t.throws(() => rt.op.close(direct), { code: 'EBADF' });
  }
  await unused(rt);
  t.pass();
});

test('after its close a direct descriptor is no longer usable', async (t) => {
  const rt = await runtime(t);
  const [a, b] = files(t);
  const old = rt.op.direct();
  await open(rt, a, old);
  const late = rt.op.read(old, new Uint8Array(10), 0);
  const chain = rt.op.link(rt.op.nop(), rt.op.read(old, new Uint8Array(10), 0));
  await rt.op.close(old);
  const next = rt.op.direct();
  await open(rt, b, next);
  t.is(next.place.slot, old.place.slot, 'the same slot again');
  t.like(await failure(late), { code: 'EBADF' }, 'it would have read the next file');
  t.like(await failure(chain), { code: 'EBADF' });
  for (const use of [
    () => rt.op.read(old, new Uint8Array(1)),
    () => rt.op.close(old),
    () => open(rt, a, old),
    () => rt.op.pollAdd(old, 1),
  ]) {
    t.throws(use, { code: 'EBADF', message: /direct descriptor is closed/ });
  }
  const bytes = Buffer.alloc(10);
  t.is(await rt.op.read(next, bytes, 0), 10);
  t.is(bytes.toString(), 'b'.repeat(10));
});

test('a late close never hits the next file of the slot', async (t) => {
  const [a, b] = files(t);
  for (const entries of [4, 8, 256]) {
    const rt = await runtime(t, { entries });
    const round = async (index: number) => {
      const direct = rt.op.direct();
      await open(rt, index % 2 === 0 ? a : b, direct);
      const views = [0, 1, 2].map(() => Buffer.alloc(100));
      await Promise.all(views.map((view) => rt.op.read(direct, view, 0)));
      const wanted = (index % 2 === 0 ? 'a' : 'b').repeat(100);
      if (views.some((view) => view.toString() !== wanted)) t.fail('bytes of another file');
      // Closed by hand, with others, or abandoned on its way.
      if (index % 3 === 0) await rt.op.close(direct);
      else if (index % 3 === 1) await rt.op.hardlink(rt.op.nop(), rt.op.close(direct));
      else await rt.run(() => timeout(rt.op.close(direct), 0)).catch(() => {});
    };
    await Promise.all(Array.from({ length: many(100) }, (_, index) => round(index)));
    await unused(rt);
  }
  t.pass();
});

test('a slot is free only when its last operation has ended', async (t) => {
  const rt = await runtime(t);
  const [a, b] = files(t);
  const old = rt.op.direct();
  await open(rt, a, old);
  // A chain whose read starts late, by the slot.
  const late = Buffer.alloc(10);
  const gate = pipe(t);
  const chain = rt.op.hardlink(rt.op.pollAdd(gate, 1), rt.op.read(old, late, 0));
  const ended = failure(chain);
  await settle();
  await rt.op.close(old);
  t.is(used(rt), 1, 'closed, and not free');
  const next = rt.op.direct();
  await open(rt, b, next);
  writeSync(gate, 'x');
  t.like(await ended, { code: 'EBADF' });
  t.deepEqual(late, Buffer.alloc(10));
  const bytes = Buffer.alloc(10);
  await rt.op.read(next, bytes, 0);
  t.is(bytes.toString(), 'b'.repeat(10));
  await rt.op.close(next);
  t.is(used(rt), 0);
  // A pipe that is closed while a read waits for it: the kernel keeps the file for the read.
  const path = fifo(t);
  const waiting = rt.op.direct();
  await open(rt, path, waiting);
  const read = rt.op.read(waiting, bytes.subarray(0, 3));
  read.begin();
  await settle();
  await rt.op.close(waiting);
  const writer = openSync(path, O_WRONLY | O_NONBLOCK);
  writeSync(writer, 'xyz');
  closeSync(writer);
  t.is(await read, 3);
  t.is(bytes.toString('latin1', 0, 3), 'xyz');
  await unused(rt);
});

test('what comes into a slot after its close is closed, too', async (t) => {
  const rt = await runtime(t);
  const path = fifo(t);
  // The read is short and cuts the close.
  const first = rt.op.direct();
  const opening = open(rt, path, first, O_RDONLY | O_NONBLOCK);
  const read = rt.op.read(first, new Uint8Array(10));
  t.like(await failure(rt.op.link(opening, read, rt.op.close(first))), { code: 'ECANCELED' });
  t.is(await read, 0);
  await unused(rt);
  t.true(unread(path));
  // An open that waits for a writer, and a close that is faster. O_CREAT: it may wait in io-wq.
  const direct = rt.op.direct();
  const waiting = open(rt, path, direct, O_RDONLY | O_CREAT);
  waiting.begin();
  await settle();
  t.like(await failure(rt.op.close(direct)), { code: 'EBADF' }, 'there is nothing to close yet');
  await settle();
  t.is(used(rt), 1, 'the open will fill the slot');
  const writer = openSync(path, O_RDWR | O_NONBLOCK);
  await waiting;
  await unused(rt);
  closeSync(writer);
  t.true(unread(path));
});

test.serial('a direct descriptor that was forgotten is closed', async (t) => {
  const gc = collector();
  const rt = await runtime(t);
  const [a] = files(t);
  const path = fifo(t);
  const warnings: string[] = [];
  const listener = ({ code }: Error & { code?: string }) => warnings.push(code ?? '');
  process.on('warning', listener);
  t.teardown(() => process.off('warning', listener));
  const round = async () => {
    const all = Array.from({ length: DIRECT_SLOTS }, () => rt.op.direct());
    const full = { code: 'EMFILE', message: /all 1024 direct descriptors/ };
    t.throws(() => rt.op.direct(), full);
    await open(rt, a, all[0] as Direct);
    await open(rt, path, all[1] as Direct, O_RDONLY | O_NONBLOCK);
    t.false(unread(path));
  };
  for (let i = 0; i < 3; i++) {
    await round();
    await until(() => {
      gc();
      return used(rt) === 0;
    });
    t.true(unread(path));
  }
  t.deepEqual(warnings, ['RINGCORE_FD_GC'], 'once');
  // An operation in flight, or one that was not started, has its handle.
  const started = (() => {
    const direct = rt.op.direct();
    return { lazy: rt.op.read(direct, new Uint8Array(1), 0), opening: open(rt, a, direct) };
  })();
  for (let i = 0; i < 5; i++) {
    gc();
    await settle();
  }
  t.is(used(rt), 1);
  await started.opening;
  t.is(await started.lazy, 1);
});

test('a direct descriptor of another runtime is refused', async (t) => {
  const [rt, other] = [await runtime(t), await runtime(t)];
  const [a] = files(t);
  const wrong = { code: 'ERR_RINGCORE_WRONG_RUNTIME' };
  const foreign = other.op.direct();
  t.throws(() => open(rt, a, foreign), wrong);
  t.throws(() => rt.op.read(foreign, new Uint8Array(1)), wrong);
  t.throws(() => rt.op.close(foreign), wrong);
  const unbound = op.openat(AT_FDCWD, a, 0, 0, { direct: foreign });
  t.like(await failure(rt.run(() => unbound)), wrong);
  // Operations of no runtime are those of the descriptor's.
  await op.openat(AT_FDCWD, a, 0, 0, { direct: foreign });
  t.is(await op.read(foreign, new Uint8Array(10), 0), 10);
  await op.close(foreign);
});

// PAIR: only-typescript -- Rust's types allow none of these
test('what is no direct descriptor is an error at the call', async (t) => {
  const rt = await runtime(t);
  const [a] = files(t);
  for (const direct of [null, 0, '1', {}, true]) {
    const options = { direct } as unknown as { direct: Direct };
    t.throws(() => rt.op.openat(AT_FDCWD, a, 0, 0, options), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  for (const fd of [{}, null, 'x']) {
    const bad = fd as unknown as Direct;
    t.throws(() => rt.op.read(bad, new Uint8Array(1)), { code: 'ERR_INVALID_ARG_TYPE' });
    t.throws(() => rt.op.close(bad), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  // Numbers that would stand for a slot on their way to the border.
  const direct = rt.op.direct();
  await open(rt, a, direct);
  const slot = -0x40000001 - direct.place.slot;
  t.throws(() => rt.op.read(slot, new Uint8Array(1)), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => rt.op.close(slot), { code: 'ERR_OUT_OF_RANGE' });
  t.like(await failure(rt.op.openat(slot, 'x', 0)), { code: 'EBADF' });
  await rt.op.close(direct);
});

// PAIR: only-typescript -- in Rust a runtime that is closed runs nothing any more
test('a runtime that closes takes its slots with it', async (t) => {
  const rt = await runtime(t);
  const path = fifo(t);
  const direct = rt.op.direct();
  await open(rt, path, direct, O_RDONLY | O_NONBLOCK);
  let closed = false;
  const task = rt.spawn(function* () {
    const own = rt.op.direct();
    yield* open(rt, path, own, O_RDONLY | O_NONBLOCK);
    try {
      yield* rt.op.timeout(60_000);
    } finally {
      yield* rt.op.close(own);
      closed = true;
    }
  });
  const ended = failure(task);
  await settle();
  t.is(used(rt), 2);
  await rt.close();
  await ended;
  t.true(closed, 'its finally block could close');
  await until(() => unread(path));
  t.throws(() => rt.op.direct(), { code: 'ERR_RINGCORE_CLOSED' });
  t.like(await failure(rt.op.read(direct, new Uint8Array(1))), { code: 'ERR_RINGCORE_CLOSED' });
});

// PAIR: only-typescript -- in Rust one type, Fd, is what every operation takes
test('every operation on an open file takes a slot', async (t) => {
  const rt = await runtime(t);
  const [path] = files(t);
  const direct = rt.op.direct();
  await open(rt, path, direct);
  t.is(await rt.op.writev(direct, [Buffer.from('one '), Buffer.from('two')], 0), 7);
  const parts = [Buffer.alloc(4), Buffer.alloc(3)];
  t.is(await rt.op.readv(direct, parts, 0), 7);
  t.is(Buffer.concat(parts).toString(), 'one two');
  await rt.op.fsync(direct);
  await rt.op.fdatasync(direct);
  await rt.op.fadvise(direct, 0, 0, 0);
  await rt.op.fallocate(direct, 0, 0, 300);
  await rt.op.ftruncate(direct, 7);
  t.is(readFileSync(path, 'utf8'), 'one two');
  t.is((await failure(rt.op.listen(direct))).code, 'ENOTSOCK');
  t.is((await failure(rt.op.shutdown(direct, 0))).code, 'ENOTSOCK');
  await rt.op.close(direct);
  t.throws(() => rt.op.fsync(direct), { code: 'EBADF' });
  await unused(rt);
});
