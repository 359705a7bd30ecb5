// Operations on open files: vectors, flags, sizes, syncs, pipes.
// Pair: crates/ringcore/tests/files.rs

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs, { closeSync, fstatSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { unsupportedError } from '../src/error.ts';
import { constants, type Op, type OpOptions, type Runtime } from '../src/index.ts';
import { large } from '../src/ops/vectors.ts';
import {
  INLINE_READ,
  IORING_OP_READ,
  IORING_OP_READV,
  IORING_OP_WRITEV,
  IOSQE_ASYNC,
} from '../src/sqe.ts';
import { alike, failure, folder, many, pipe, runtime, settle, until } from './support.ts';

const NO_FD = 0x7ffffff;
const MIB = 1 << 20;

/** A new file with these bytes, open for reading and writing. */
function file(t: ExecutionContext, bytes: string | Uint8Array = ''): number {
  const path = join(folder(t), 'file');
  fs.writeFileSync(path, bytes);
  const fd = openSync(path, 'r+');
  t.teardown(() => closeSync(fd));
  return fd;
}

/** All bytes of an open file. */
const contents = (fd: number) => readFileSync(`/proc/self/fd/${fd}`);

const held = (rt: Runtime) => rt.executor.reactor.ring.regions.held;

test('several buffers are read and written in their order', async (t) => {
  const rt = await runtime(t);
  const fd = file(t);
  const parts = [Buffer.from('one '), new Uint8Array(0), new Uint16Array([0x7774, 0x206f])];
  t.is(await rt.op.writev(fd, [Buffer.from('at ')]), 3);
  t.is(await rt.op.writev(fd, parts), 8);
  t.is(contents(fd).toString(), 'at one two ');
  t.is(await rt.op.writev(fd, [Buffer.from('TW'), Buffer.from('O')], 7), 3);
  const [a, b, c] = [new DataView(new ArrayBuffer(8), 2, 3), Buffer.alloc(0), Buffer.alloc(20)];
  t.is(await rt.op.readv(fd, [a, b, c], 0), 11);
  t.is(Buffer.from(a.buffer).toString('latin1'), '\0\0at \0\0\0');
  t.is(c.toString('latin1', 0, 10), 'one TWO \0\0');
  t.is(await rt.op.readv(fd, [c], 100), 0, 'the end of the file');
  for (const nothing of [[], [b], [b, b]]) {
    t.is(await rt.op.readv(fd, nothing, 0), 0);
    t.is(await rt.op.writev(fd, nothing, 0), 0);
  }
  const list = [Buffer.from('X')];
  const late = rt.op.writev(fd, list, 0);
  list.push(Buffer.from('Y'));
  t.is(await late, 1, 'the list is as it was at the call');
  t.is(held(rt), 0);
});

test('a vector of more than a mebibyte is short', async (t) => {
  const rt = await runtime(t);
  const fd = file(t);
  const bytes = Uint8Array.from({ length: MIB + 999 }, (_, i) => i * 31 + (i >> 8));
  const cut = (at: number) => [bytes.subarray(0, at), bytes.subarray(at)];
  for (const at of [0, 1, 700_000, MIB, MIB + 5]) {
    t.is(await rt.op.writev(fd, cut(at), 0), MIB, `${at}`);
    t.is(fstatSync(fd).size, MIB);
    t.deepEqual(contents(fd), Buffer.from(bytes.subarray(0, MIB)));
    const back = new Uint8Array(MIB + 999);
    const [left, right] = [back.subarray(0, at), back.subarray(at)];
    t.is(await rt.op.readv(fd, [left, right], 0), MIB);
    t.is(Buffer.compare(back.subarray(0, MIB), bytes.subarray(0, MIB)), 0);
    t.true(back.subarray(MIB).every((byte) => byte === 0));
  }
});

test('a short read leaves the buffers behind it as they were', async (t) => {
  const rt = await runtime(t);
  const fd = file(t, 'abcde');
  const parts = [3, 4, 5].map((length) => Buffer.alloc(length, 0x2e));
  t.is(await rt.op.readv(fd, parts, 0), 5);
  t.deepEqual(parts.map(String), ['abc', 'de..', '.....']);
});

/** A connected socket to which nobody writes. */
async function socket(t: ExecutionContext): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [[peer]] = await Promise.all([once(server, 'connection'), once(client, 'connect')]);
  t.teardown(() => {
    for (const each of [server.close(), client, peer]) (each as { destroy?(): void }).destroy?.();
  });
  return (client as unknown as { _handle: { fd: number } })._handle.fd;
}

test('flags of a single transfer reach the kernel', async (t) => {
  const rt = await runtime(t);
  const [fd, empty] = [file(t, 'abc'), await socket(t)];
  const { RWF_APPEND, RWF_DSYNC, RWF_SYNC, RWF_NOWAIT, RWF_HIPRI } = constants;
  const bytes = Buffer.from('de');
  t.is(await rt.op.write(fd, bytes, 0, { rwFlags: RWF_APPEND | RWF_DSYNC }), 2);
  t.is(await rt.op.writev(fd, [bytes, bytes], 0, { rwFlags: RWF_APPEND | RWF_SYNC }), 4);
  t.is(contents(fd).toString(), 'abcdedede');
  const moves = (target: number, rwFlags: number, length = 2) => [
    rt.op.read(target, Buffer.alloc(length), -1, { rwFlags }),
    rt.op.readv(target, [Buffer.alloc(length)], -1, { rwFlags }),
    rt.op.write(target, Buffer.alloc(length), -1, { rwFlags }),
    rt.op.writev(target, [Buffer.alloc(length)], -1, { rwFlags }),
  ];
  // Where it must not wait it does not, however long the read.
  for (const length of [2, 300_000]) {
    for (const read of moves(empty, RWF_NOWAIT, length).slice(0, 2)) {
      t.is((await failure(read)).code, 'EAGAIN', `${length}`);
    }
  }
  for (const move of moves(fd, 1 << 20)) t.is((await failure(move)).code, 'ENOTSUP', 'unknown');
  for (const move of moves(fd, RWF_HIPRI)) t.is((await failure(move)).code, 'EINVAL', 'no polling');
  t.is(contents(fd).toString(), 'abcdedede');
});

test('syncs succeed on a file and fail on a pipe', async (t) => {
  const rt = await runtime(t);
  const [fd, other] = [file(t, 'abc'), pipe(t)];
  t.is(await rt.op.fsync(fd), undefined);
  t.is(await rt.op.fdatasync(fd), undefined);
  await alike(t, rt.op.fsync(other), () => fs.fsyncSync(other));
  await alike(t, rt.op.fdatasync(other), () => fs.fdatasyncSync(other));
});

test('a file is cut and extended', async (t) => {
  const rt = await runtime(t);
  const fd = file(t, 'abcdef');
  t.is(await rt.op.ftruncate(fd, 3), undefined);
  t.is(contents(fd).toString(), 'abc');
  await rt.op.ftruncate(fd, 5n);
  t.is(contents(fd).toString(), 'abc\0\0');
  await rt.op.ftruncate(fd, 3 * 2 ** 32 + 1);
  t.is(fstatSync(fd).size, 3 * 2 ** 32 + 1);
  await rt.op.ftruncate(fd);
  t.is(fstatSync(fd).size, 0);
  t.is((await failure(rt.op.ftruncate(fd, 2n ** 63n - 1n))).code, 'EFBIG');
  const readOnly = openSync('/proc/self/exe', 'r');
  await alike(t, rt.op.ftruncate(readOnly, 1), () => fs.ftruncateSync(readOnly, 1));
  closeSync(readOnly);
});

test('space is reserved and given back', async (t) => {
  const rt = await runtime(t);
  const { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } = constants;
  const fd = file(t, 'x'.repeat(16384));
  await rt.op.fallocate(fd, 0, 16384, 4096);
  t.is(fstatSync(fd).size, 20480);
  await rt.op.fallocate(fd, FALLOC_FL_KEEP_SIZE, 2 ** 32, 8192n);
  t.is(fstatSync(fd).size, 20480);
  await rt.op.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096n, 4096);
  const bytes = contents(fd);
  t.is(bytes.indexOf(0), 4096);
  t.is(bytes.indexOf('x', 4096), 8192);
  const fails = async (op: Op<void>) => (await failure(op)).message;
  t.is(await fails(rt.op.fallocate(fd, 0, 0, 0)), 'EINVAL: invalid argument, fallocate');
  t.is(
    await fails(rt.op.fallocate(fd, 1 << 30, 0, 1)),
    'ENOTSUP: operation not supported on socket, fallocate',
  );
  t.is(await fails(rt.op.fallocate(pipe(t), 0, 0, 1)), 'ESPIPE: invalid seek, fallocate');
  t.is(fstatSync(fd).size, 20480);
});

test('advice is taken or refused', async (t) => {
  const rt = await runtime(t);
  const fd = file(t, 'abc');
  for (const [name, advice] of Object.entries(constants)) {
    if (!name.startsWith('POSIX_FADV_')) continue;
    for (const length of [0, 1, 2 ** 32 - 1, 2 ** 32, 2n ** 40n]) {
      t.is(await rt.op.fadvise(fd, 2 ** 33, length, advice), undefined, `${name} ${length}`);
    }
  }
  const fails = async (op: Op<void>) => (await failure(op)).message;
  t.is(await fails(rt.op.fadvise(fd, 0, 0, 99)), 'EINVAL: invalid argument, fadvise');
  t.is(await fails(rt.op.fadvise(pipe(t), 0, 0, 0)), 'ESPIPE: invalid seek, fadvise');
});

test('bytes are moved between a pipe and a file', async (t) => {
  const rt = await runtime(t);
  const [from, to, between] = [file(t, 'hello world'), file(t, '12345678901234567890'), pipe(t)];
  t.is(await rt.op.splice(from, 6, between, -1, 5), 5);
  t.is(await rt.op.splice(between, -1, to, 2n ** 32n, 3, constants.SPLICE_F_MOVE), 3);
  t.is(fstatSync(to).size, 2 ** 32 + 3);
  t.is(await rt.op.splice(between, -1, to, -1, 100), 2);
  t.is(contentsAt(to, 0, 4), 'ld34');
  t.is(contentsAt(to, 2 ** 32, 3), 'wor');
  t.is(await rt.op.splice(from, -1, between, -1, 5), 5, 'the file position');
  t.is(await rt.op.splice(between, -1, to, -1, 5), 5);
  t.is(contentsAt(to, 2, 5), 'hello');
  t.is(await rt.op.splice(from, 11, between, -1, 5), 0, 'the end');
  const nonblock = constants.SPLICE_F_NONBLOCK;
  t.is((await failure(rt.op.splice(between, -1, to, 0, 1, nonblock))).code, 'EAGAIN');
  const error = await failure(rt.op.splice(from, 0, to, 0, 1));
  t.is(error.message, 'EINVAL: invalid argument, splice');
  t.is((await failure(rt.op.splice(between, 0, to, 0, 1))).code, 'ESPIPE');
});

/** Some bytes of an open file. */
function contentsAt(fd: number, position: number, length: number): string {
  const bytes = Buffer.alloc(length);
  readSync(fd, bytes, { position });
  return bytes.toString('latin1');
}

test('bytes are copied between pipes and stay', async (t) => {
  const rt = await runtime(t);
  const [from, to] = [pipe(t), pipe(t)];
  writeSync(from, 'hello');
  t.is(await rt.op.tee(from, to, 4), 4);
  t.is(contentsAt(to, -1, 4), 'hell');
  t.is(await rt.op.tee(from, to, 0xffffffff), 5);
  const bytes = Buffer.alloc(9);
  t.is(readSync(from, bytes), 5);
  t.is(readSync(to, bytes), 5);
  t.is(bytes.toString('latin1', 0, 5), 'hello');
  const { SPLICE_F_NONBLOCK } = constants;
  t.is((await failure(rt.op.tee(from, to, 1, SPLICE_F_NONBLOCK))).code, 'EAGAIN');
  const error = await failure(rt.op.tee(file(t, 'abc'), to, 1));
  t.is(error.message, 'EINVAL: invalid argument, tee');
});

test('every operation on a descriptor that is not open fails with ebadf', async (t) => {
  const rt = await runtime(t);
  const [fd, bytes] = [file(t, 'abc'), Buffer.alloc(1)];
  const { op } = rt;
  await alike(t, op.readv(NO_FD, [bytes]), () => fs.readvSync(NO_FD, [bytes]));
  await alike(t, op.writev(NO_FD, [bytes]), () => fs.writevSync(NO_FD, [bytes]));
  await alike(t, op.fsync(NO_FD), () => fs.fsyncSync(NO_FD));
  await alike(t, op.fdatasync(NO_FD), () => fs.fdatasyncSync(NO_FD));
  await alike(t, op.ftruncate(NO_FD), () => fs.ftruncateSync(NO_FD));
  for (const [operation, syscall] of [
    [op.fallocate(NO_FD, 0, 0, 1), 'fallocate'],
    [op.fadvise(NO_FD, 0, 1, 0), 'fadvise'],
    [op.splice(NO_FD, -1, fd, 0, 1), 'splice'],
    [op.splice(fd, 0, NO_FD, -1, 1), 'splice'],
    [op.tee(NO_FD, fd, 1), 'tee'],
    [op.tee(fd, NO_FD, 1), 'tee'],
  ] as const) {
    const error = await failure(operation as Op<unknown>);
    t.is(error.message, `EBADF: bad file descriptor, ${syscall}`);
    t.is(error.syscall, syscall);
  }
});

test('a transfer that waits is abandoned and leaves its memory', async (t) => {
  const rt = await runtime(t);
  const [empty, full, other] = [pipe(t), pipe(t), pipe(t)];
  fs.writeSync(full, Buffer.alloc(65536));
  const bytes = [Buffer.alloc(3000, 1), Buffer.alloc(3000, 1)];
  const makers: ((options: OpOptions) => Op<number>)[] = [
    (options) => rt.op.readv(empty, bytes, -1, options),
    (options) => rt.op.writev(full, bytes, -1, options),
    (options) => rt.op.splice(empty, -1, full, -1, 10, 0, options),
    (options) => rt.op.tee(empty, other, 10, 0, options),
  ];
  for (let round = 0; round < many(10); round++) {
    for (const make of makers) {
      const controller = new AbortController();
      const ended = failure(make({ signal: controller.signal }));
      if (round % 2 === 0) await until(() => rt.stats().inFlight === 1);
      controller.abort();
      t.is((await ended).code, 'ABORT_ERR');
      t.is(held(rt), 0);
    }
  }
  t.true(
    bytes.every((part) => part.every((byte) => byte === 1)),
    'nothing was read',
  );
  t.is(readSync(full, Buffer.alloc(70_000)), 65536, 'nothing was written');
  t.is(rt.stats().inFlight, 0);
});

test('an operation on a file that is abandoned ends or has ended', async (t) => {
  const rt = await runtime(t);
  const fd = file(t, 'abc');
  const { op } = rt;
  const makers: ((options: OpOptions) => Op<unknown>)[] = [
    (options) => op.readv(fd, [Buffer.alloc(9)], 0, options),
    (options) => op.writev(fd, [Buffer.from('abc')], 0, options),
    (options) => op.fsync(fd, options),
    (options) => op.fdatasync(fd, options),
    (options) => op.ftruncate(fd, 3, options),
    (options) => op.fallocate(fd, constants.FALLOC_FL_KEEP_SIZE, 0, 4096, options),
    (options) => op.fadvise(fd, 0, 0, 0, options),
  ];
  for (let round = 0; round < many(20); round++) {
    for (const make of makers) {
      const controller = new AbortController();
      const { signal } = controller;
      const ended = Promise.resolve(make({ signal })).catch((error: unknown) => error);
      if (round % 3 > 0) await settle(round % 3);
      controller.abort();
      const outcome = await ended;
      if (outcome instanceof Error) t.is((outcome as NodeJS.ErrnoException).code, 'ABORT_ERR');
    }
  }
  await until(() => rt.stats().inFlight === 0);
  t.is(held(rt), 0);
  t.is(contents(fd).toString(), 'abc');
});

test('wrong arguments of file operations are errors at the call', async (t) => {
  const rt = await runtime(t);
  const { op } = rt;
  const before = rt.stats().submitted;
  const bytes = [Buffer.alloc(1)];
  const gone = new Uint8Array(8);
  structuredClone(gone, { transfer: [gone.buffer] });
  const bad = <T>(value: unknown) => value as T;
  const type: (() => unknown)[] = [
    () => op.readv(bad('1'), bytes),
    () => op.readv(1, bad(Buffer.alloc(1))),
    () => op.writev(1, bad('text')),
    () => op.writev(1, [bytes[0] as Buffer, bad('text')]),
    () => op.readv(1, bytes, bad('0')),
    () => op.readv(1, bytes, 0, bad(5)),
    () => op.read(1, Buffer.alloc(1), 0, { rwFlags: bad('8') }),
    () => op.fsync(bad(null)),
    () => op.fdatasync(bad({})),
    () => op.ftruncate(1, bad('1')),
    () => op.fallocate(1, bad('0'), 0, 1),
    () => op.fallocate(1, 0, bad(null), 1),
    () => op.fadvise(1, 0, bad('1'), 0),
    () => op.fadvise(1, 0, 1, bad(1n)),
    () => op.splice(1, bad('0'), 1, 0, 1),
    () => op.splice(1, 0, bad('1'), 0, 1),
    () => op.tee(1, 2, bad(1n)),
  ];
  for (const call of type) t.throws(call, { code: 'ERR_INVALID_ARG_TYPE' }, String(call));
  const range: (() => unknown)[] = [
    () => op.readv(-1, bytes),
    () => op.readv(1, bytes, -2),
    () => op.writev(1, bytes, 2n ** 63n),
    () => op.writev(1, bytes, 0.5),
    () => op.writev(1, bytes, 0, { rwFlags: -1 }),
    () => op.read(1, Buffer.alloc(1), 0, { rwFlags: 2 ** 31 }),
    () => op.fsync(Number.NaN),
    () => op.fdatasync(2 ** 31),
    () => op.ftruncate(1, -1),
    () => op.ftruncate(1, -1n),
    () => op.ftruncate(1, Number.NaN),
    () => op.fallocate(1, 0, -1, 1),
    () => op.fallocate(1, 0, 0, 2n ** 63n),
    () => op.fallocate(1, -1, 0, 1),
    () => op.fadvise(1, 0, 2 ** 53, 0),
    () => op.fadvise(1, 0, 0, -1),
    () => op.splice(1, -2, 1, 0, 1),
    () => op.splice(1, 0, 1, 0, 2 ** 32),
    () => op.splice(1, 0, 1, 0, -1),
    () => op.tee(1, 2, Number.POSITIVE_INFINITY),
    () => op.tee(1, -100, 1),
  ];
  for (const call of range) t.throws(call, { code: 'ERR_OUT_OF_RANGE' }, String(call));
  for (const views of [[gone], [...bytes, new DataView(new ArrayBuffer(0)), gone]]) {
    t.throws(() => op.readv(1, views), { code: 'ERR_RINGCORE_BUFFER_DETACHED' });
    t.throws(() => op.writev(1, views), { code: 'ERR_RINGCORE_BUFFER_DETACHED' });
  }
  await settle();
  t.is(rt.stats().submitted, before);
});

test('a chain writes several buffers and syncs and reads them back', async (t) => {
  const rt = await runtime(t);
  const fd = file(t);
  const [a, b] = [Buffer.alloc(4), Buffer.alloc(4)];
  const chain = rt.op.link(
    rt.op.writev(fd, [Buffer.from('some'), Buffer.from('text')], 0),
    rt.op.fdatasync(fd),
    rt.op.readv(fd, [a, b], 0),
  );
  t.deepEqual(await chain, [8, undefined, 8]);
  t.is(`${a}${b}`, 'sometext');
  const short = [rt.op.readv(fd, [a, Buffer.alloc(9)], 0), rt.op.ftruncate(fd, 0)] as const;
  t.is((await failure(rt.op.link(...short))).code, 'ECANCELED', 'a short read ends it');
  t.is(await short[0], 8);
  t.is(fstatSync(fd).size, 8);
  t.is(held(rt), 0);
});

// PAIR: only-typescript -- in Rust clones of one Alloc are the same bytes, whatever moves them
test('a chain passes no bytes on through vectors', async (t) => {
  const rt = await runtime(t);
  const { op } = rt;
  const fd = file(t, 'abcdef');
  const bytes = Buffer.alloc(8);
  const [left, right] = [bytes.subarray(0, 4), bytes.subarray(4)];
  const code = 'ERR_INVALID_ARG_VALUE';
  t.throws(() => op.link(op.readv(fd, [left, right], 0), op.write(fd, left, 0)), { code });
  t.throws(() => op.link(op.read(fd, bytes, 0), op.nop(), op.writev(fd, [right], 0)), { code });
  t.throws(() => op.hardlink(op.readv(fd, [left]), op.writev(fd, [bytes])), { code });
  const long = new Uint8Array(MIB / 2 + 1);
  t.throws(() => op.link(op.writev(fd, [long, long])), { code: 'ERR_OUT_OF_RANGE' });
  // Bytes that only go out, or are read after they went out, lie in as many regions as they like.
  bytes.write('12345678');
  const both = op.link(
    op.writev(fd, [right, left], 0),
    op.write(fd, bytes, 8),
    op.readv(fd, [left, right], 0),
  );
  t.deepEqual(await both, [8, 8, 8]);
  t.is(bytes.toString(), '56781234');
  t.is(contents(fd).toString(), '5678123412345678');
  t.is(held(rt), 0);
});

// PAIR: only-typescript -- Rust's buffers belong to the operation
test('a vector with a buffer that goes away is not written to', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  for (const which of [0, 1]) {
    const parts = [new Uint8Array(4), new Uint8Array(4)] as const;
    const reading = failure(rt.op.readv(fd, parts));
    await until(() => rt.stats().inFlight === 1);
    structuredClone(parts[which], { transfer: [(parts[which] as Uint8Array<ArrayBuffer>).buffer] });
    writeSync(fd, '12345678');
    const error = (await reading) as NodeJS.ErrnoException & { bytesRead?: number };
    t.is(error.code, 'ERR_RINGCORE_BUFFER_DETACHED');
    t.is(error.bytesRead, 8);
    t.deepEqual([...(parts[1 - which] as Uint8Array)], [0, 0, 0, 0], 'nothing was written');
  }
  const parts = [new Uint8Array(4), new Uint8Array(4)] as const;
  const written = rt.op.writev(fd, parts);
  structuredClone(parts[1], { transfer: [parts[1].buffer] });
  t.is((await failure(written)).code, 'ERR_RINGCORE_BUFFER_DETACHED');
  t.is(held(rt), 0);
});

// PAIR: only-typescript -- Rust programs take the numbers from the libc crate
test('constants are frozen and named as in the kernel', (t) => {
  t.true(Object.isFrozen(constants));
  t.is(constants.RWF_NOWAIT, 8);
  t.is(constants.AT_FDCWD, -100);
  t.is(constants.STATX_BASIC_STATS, 0x7ff);
});

// PAIR: only-typescript -- in Rust it is the test beside the function, in ops/vectors.rs
test('long reads leave the thread unless they must not wait', (t) => {
  const { RWF_NOWAIT, RWF_HIPRI } = constants;
  t.is(large(IORING_OP_READ, 0, INLINE_READ + 1), IOSQE_ASYNC);
  t.is(large(IORING_OP_READV, 0, INLINE_READ + 1), IOSQE_ASYNC);
  t.is(large(IORING_OP_READV, 0, INLINE_READ), 0);
  t.is(large(IORING_OP_READ, RWF_NOWAIT, INLINE_READ + 1), 0);
  t.is(large(IORING_OP_READV, RWF_NOWAIT | RWF_HIPRI, INLINE_READ + 1), 0);
  t.is(large(IORING_OP_WRITEV, 0, INLINE_READ + 1), 0);
});

// PAIR: only-typescript -- in Rust the border answers it, see tests/border.rs
test('an operation that this kernel lacks is named by its opcode', (t) => {
  t.regex(unsupportedError('read', IORING_OP_READV).message, /no readv: .*Linux 5\.1$/);
  t.regex(unsupportedError('nop').message, /no nop/);
});

// PAIR: only-typescript -- what is compared with is node:fs
test('descriptors of every kind are read and written as by node:fs', async (t) => {
  const rt = await runtime(t);
  const path = folder(t);
  const [plain, fifo, silence] = ['plain', 'fifo', 'silence'].map((name) => join(path, name)) as [
    string,
    string,
    string,
  ];
  fs.writeFileSync(plain, 'a'.repeat(100));
  execFileSync('mkfifo', [fifo, silence]);
  const { O_RDONLY, O_WRONLY, O_RDWR, O_NONBLOCK, O_DIRECTORY, O_NOCTTY } = fs.constants;
  const O_PATH = 0o10000000;
  const kinds: Record<string, number> = {
    'a file that is only read': openSync(plain, O_RDONLY),
    'a file that is only written': openSync(plain, O_WRONLY),
    'a FIFO without writers': openSync(silence, O_RDONLY | O_NONBLOCK),
    'a FIFO': openSync(fifo, O_RDWR | O_NONBLOCK),
    'a directory': openSync(path, O_RDONLY | O_DIRECTORY),
    'a path': openSync(plain, O_PATH),
    'a terminal': openSync('/dev/ptmx', O_RDWR | O_NONBLOCK | O_NOCTTY),
    'a full device': openSync('/dev/full', O_RDWR),
    'a socket': await rt.op.socket(constants.AF_UNIX, constants.SOCK_STREAM),
    'a socket of datagrams': await rt.op.socket(constants.AF_INET, constants.SOCK_DGRAM),
  };
  const outcome = (call: () => number) => {
    try {
      return call();
    } catch (error) {
      const { code, errno, syscall, message } = error as NodeJS.ErrnoException;
      return { code, errno, syscall, message };
    }
  };
  const settled = async (op: PromiseLike<number>) => {
    try {
      return await op;
    } catch (error) {
      const { code, errno, syscall, message } = error as NodeJS.ErrnoException;
      return { code, errno, syscall, message };
    }
  };
  const all = { ...kinds, 'a closed one': NO_FD, 'the last number': 0x7fffffff };
  // Nothing would ever come: the ring waits there, and a blocking call would.
  const silent = ['a terminal', 'a socket of datagrams'];
  for (const [kind, fd] of Object.entries(all)) {
    // The ring takes no notice of a position in a stream, which is ESPIPE to a system call.
    const streams = /FIFO|terminal|socket/.test(kind);
    for (const position of streams ? [null] : [null, 0, 2 ** 33]) {
      const [offset, at] = [position ?? -1, `${kind} at ${position}`];
      const bytes = Buffer.from('x');
      const [ours, nodes] = [Buffer.alloc(2), Buffer.alloc(2)];
      const empty = silent.includes(kind);
      const mine = [await settled(rt.op.write(fd, bytes, offset))];
      if (!empty) mine.push(await settled(rt.op.read(fd, ours, offset)));
      const theirs = [outcome(() => writeSync(fd, bytes, 0, bytes.length, position))];
      if (!empty) theirs.push(outcome(() => readSync(fd, nodes, 0, 2, position)));
      t.deepEqual(mine, theirs, at);
      t.deepEqual(ours, nodes, at);
    }
  }
  for (const fd of Object.values(kinds)) closeSync(fd);
});
