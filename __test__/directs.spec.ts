// Pair: crates/ringcore/tests/directs.rs
import { constants, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  type AddressLike,
  AT_FDCWD,
  type Direct,
  constants as linux,
  op,
  type Runtime,
  type Stream,
} from '../src/index.ts';
import { name } from './sockets.ts';
import { descriptors, failure, folder, many, runtime, settle, until } from './support.ts';

const { AF_UNIX, SOCK_STREAM, RESOLVE_BENEATH } = linux;
const [POLLIN, CLOEXEC, NO_FD] = [1, 0o2000000, 0x7ffffff];

/** Slots that are not free. */
const used = (rt: Runtime) => rt.executor.reactor.directs.used;

/** Everything was given back, when what was asked for has happened. */
async function flat(t: ExecutionContext, rt: Runtime, before: number): Promise<void> {
  await until(() => used(rt) === 0 && descriptors() === before);
  t.pass();
}

/** A socket in a slot. */
const socket = (rt: Runtime) => rt.op.socket(AF_UNIX, SOCK_STREAM, 0, { direct: rt.op.direct() });

/** One that listens, on a name of its own. */
async function listener(rt: Runtime): Promise<[Direct, AddressLike]> {
  const [direct, at] = [await socket(rt), name()];
  await rt.op.bind(direct, at);
  await rt.op.listen(direct, 16);
  return [direct, at];
}

/** Both ends of a connection. */
async function connection(rt: Runtime): Promise<[Direct, Direct]> {
  const [listening, at] = await listener(rt);
  const client = await socket(rt);
  await rt.op.connect(client, at);
  const server = await rt.op.accept(listening, { direct: rt.op.direct() });
  await rt.op.close(listening);
  return [client, server];
}

async function close(rt: Runtime, ...slots: Direct[]): Promise<void> {
  for (const slot of slots) await rt.op.close(slot);
}

/** What a stream gives next; it is armed. */
const next = <T>(stream: Stream<T>): Promise<T | undefined> => stream.next().then((value) => value);

test.serial('sockets, connections and files are opened into slots', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'a');
  writeFileSync(path, 'a'.repeat(100));
  const before = descriptors();
  for (let round = 0; round < many(300); round++) {
    const [listening, at] = await listener(rt);
    const client = await socket(rt);
    await rt.op.connect(client, at);
    const direct = rt.op.direct();
    // Close-on-exec is for descriptors of the process, and means nothing here.
    if (round % 2 === 0) {
      t.is(await rt.op.accept(listening, { direct, flags: CLOEXEC }), direct);
    } else {
      const accepted = await rt.op.accept(listening, { direct, wantAddress: true });
      t.deepEqual(accepted, { fd: direct, address: { family: 'unix', path: '' } });
    }
    const bytes = Buffer.alloc(20);
    t.is(await rt.op.send(client, Buffer.from('question')), 8);
    t.is(await rt.op.recv(direct, bytes), 8);
    t.is(bytes.toString('latin1', 0, 8), 'question');
    const file = rt.op.direct();
    const how = { flags: constants.O_RDONLY | CLOEXEC };
    t.is(await rt.op.openat2(AT_FDCWD, path, how, { direct: file }), file);
    t.is(await rt.op.read(file, bytes, 97), 3);
    t.is(bytes.toString('latin1', 0, 3), 'aaa');
    t.is(descriptors(), before);
    await close(rt, client, file);
    t.is(await rt.op.recv(direct, bytes), 0, "the client's end is closed");
    await close(rt, direct, listening);
  }
  await flat(t, rt, before);
});

test.serial('what fails leaves the slot as it was', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'a');
  writeFileSync(path, 'a');
  const before = descriptors();
  const direct = rt.op.direct();
  await rt.op.openat(AT_FDCWD, path, constants.O_RDWR, 0, { direct });
  const byte = new Uint8Array(1);
  for (let round = 0; round < many(100); round++) {
    const beneath = rt.op.openat2(AT_FDCWD, '/etc', { resolve: RESOLVE_BENEATH }, { direct });
    t.like(await failure(beneath), { code: 'EXDEV', path: '/etc' });
    const missing = rt.op.openat2(AT_FDCWD, '/no/file', {}, { direct });
    t.like(await failure(missing), { code: 'ENOENT', path: '/no/file' });
    const { code } = await failure(rt.op.socket(AF_UNIX, 77, 0, { direct }));
    t.true(code === 'EINVAL' || code === 'ESOCKTNOSUPPORT', code);
    t.like(await failure(rt.op.accept(direct, { direct })), { code: 'ENOTSOCK' });
    const accept = rt.op.accept(NO_FD, { direct, wantAddress: true });
    t.like(await failure(accept), { code: 'EBADF' });
    t.is(await rt.op.read(direct, byte, 0), 1);
    t.is(byte[0], 97);
  }
  // What is opened into a slot that is full takes the place of what was there.
  await rt.op.socket(AF_UNIX, SOCK_STREAM, 0, { direct });
  t.is((await failure(rt.op.fsync(direct))).code, 'EINVAL');
  await close(rt, direct);
  await flat(t, rt, before);
});

test.serial('an accept that is abandoned leaves its slot to be closed', async (t) => {
  const rt = await runtime(t);
  const before = descriptors();
  for (let round = 0; round < many(200); round++) {
    const [listening, at] = await listener(rt);
    const [client, direct] = [await socket(rt), rt.op.direct()];
    const controller = new AbortController();
    const { signal } = controller;
    const wantAddress = round % 4 < 2;
    const accept = wantAddress
      ? rt.op.accept(listening, { direct, signal, wantAddress })
      : rt.op.accept(listening, { direct, signal });
    const ended = (accept as PromiseLike<unknown>).then(
      () => 'accepted',
      (error) => (error as Error).name,
    );
    if (round % 2 === 0) await settle(round % 3);
    // Its connection comes before it is aborted, at the same time, or after.
    const connecting = rt.op.connect(client, at);
    connecting.begin();
    if (round % 3 === 0) await connecting;
    controller.abort();
    await connecting;
    t.true(['accepted', 'AbortError'].includes(await ended));
    // The handle is the caller's still: what came is closed with it, and with the listener.
    const closed = await rt.op.close(direct).then(
      () => 'closed',
      (error) => (error as NodeJS.ErrnoException).code,
    );
    t.is(closed, (await ended) === 'accepted' ? 'closed' : 'EBADF');
    await close(rt, listening);
    const last = await rt.op.recv(client, new Uint8Array(1)).then(
      (count) => count,
      (error) => (error as NodeJS.ErrnoException).code,
    );
    t.true(last === 0 || last === 'ECONNRESET', `${last}`);
    await close(rt, client);
  }
  await flat(t, rt, before);
});

test.serial('streams work on a slot', async (t) => {
  const rt = await runtime(t);
  const before = descriptors();
  for (let round = 0; round < many(20); round++) {
    const [listening, at] = await listener(rt);
    const connections = rt.op.acceptMultishot(listening);
    for (let i = 0; i < 3; i++) {
      const client = await socket(rt);
      await rt.op.connect(client, at);
      await rt.op.close((await next(connections)) as number);
      t.is(await rt.op.recv(client, new Uint8Array(1)), 0);
      await close(rt, client);
    }
    await connections.close();
    const [client, server] = await connection(rt);
    const group = rt.buffer.provide({ count: 4, size: 64 });
    const polls = rt.op.pollMultishot(server, POLLIN);
    const chunks = rt.op.recvMultishot(server, group);
    for (const text of ['one', 'two']) {
      t.is(await rt.op.send(client, Buffer.from(text)), 3);
      t.is(((await next(polls)) as number) & POLLIN, POLLIN);
      t.is(Buffer.from((await next(chunks)) as Uint8Array).toString(), text);
    }
    await close(rt, client);
    t.is(await next(chunks), undefined, 'the peer has ended');
    await polls.close();
    await close(rt, server, listening);
  }
  await flat(t, rt, before);
});

test.serial('a stream goes on when its slot is closed, and cannot start any more', async (t) => {
  const rt = await runtime(t);
  const before = descriptors();
  const [listening, at] = await listener(rt);
  const stream = rt.op.acceptMultishot(listening);
  const late = rt.op.acceptMultishot(listening);
  for (let round = 0; round < 2; round++) {
    const first = next(stream);
    const client = await socket(rt);
    await rt.op.connect(client, at);
    await rt.op.close((await first) as number);
    await close(rt, client);
    if (round === 0) await close(rt, listening);
  }
  t.is(used(rt), 1, 'closed, and not free: its file is in use');
  await stream.close();
  await until(() => used(rt) === 0);
  const [other] = await listener(rt);
  // It would take connections of the slot's next file.
  t.like(await failure(next(late)), { code: 'EBADF' });
  t.is(await next(late), undefined);
  t.throws(() => rt.op.pollMultishot(listening, POLLIN), { code: 'EBADF' });
  await close(rt, other);
  await flat(t, rt, before);
});

test.serial('a cancel by a slot that was closed reaches nothing of its next file', async (t) => {
  const [rt, another] = [await runtime(t), await runtime(t)];
  const before = descriptors();
  const [first, old] = await connection(rt);
  const late = rt.op.cancelFd(old);
  await close(rt, old, first);
  const [client, server] = await connection(rt);
  const [bytes, back] = [Buffer.alloc(5), Buffer.alloc(5)];
  const reading = rt.op.recv(server, bytes);
  const writing = rt.op.recv(client, back);
  reading.begin();
  writing.begin();
  await settle();
  t.like(await failure(late), { code: 'EBADF' });
  t.throws(() => rt.op.cancelFd(old), { code: 'EBADF' });
  await rt.op.send(client, Buffer.from('to it'));
  await rt.op.send(server, Buffer.from('back!'));
  t.deepEqual([await reading, await writing], [5, 5], 'nobody cancelled it');
  t.is(`${bytes}${back}`, 'to itback!');
  // One that is open is cancelled.
  const ended = failure(rt.op.recv(server, bytes));
  await settle();
  t.is(await rt.op.cancelFd(server), 1);
  t.is((await ended).name, 'AbortError');
  const wrong = { code: 'ERR_RINGCORE_WRONG_RUNTIME' };
  t.throws(() => another.op.cancelFd(server), wrong);
  t.throws(() => another.op.acceptMultishot(server), wrong);
  await close(rt, client, server);
  await flat(t, rt, before);
});

// PAIR: only-typescript -- Rust's types allow none of these
test('what no slot can be opened into is an error at the call', async (t) => {
  const rt = await runtime(t);
  const [listening] = await listener(rt);
  const type = { code: 'ERR_INVALID_ARG_TYPE' };
  for (const direct of [null, 0, 'x', {}, true]) {
    const options = { direct } as unknown as { direct: Direct };
    t.throws(() => rt.op.openat2(AT_FDCWD, 'x', {}, options), type);
    t.throws(() => rt.op.socket(AF_UNIX, SOCK_STREAM, 0, options), type);
    t.throws(() => rt.op.accept(listening, options), type);
    t.throws(() => rt.op.accept(listening, { ...options, wantAddress: true }), type);
    t.throws(() => rt.op.acceptMultishot(listening, options as object), type);
  }
  for (const fd of [null, {}, 'x']) {
    const bad = fd as unknown as Direct;
    t.throws(() => rt.op.acceptMultishot(bad), type);
    t.throws(() => rt.op.pollMultishot(bad, POLLIN), type);
    t.throws(() => rt.op.recvMultishot(bad, rt.buffer.provide({ count: 1, size: 1 })), type);
  }
  // The kernel would choose the slots: among those that were given out here.
  const direct = rt.op.direct();
  const options = { direct } as object;
  const message = /must be absent \(use op\.accept with one slot each\)/;
  t.throws(() => rt.op.acceptMultishot(listening, options), { ...type, message });
  // A stream of no runtime is its slot's.
  const stream = op.acceptMultishot(listening);
  t.is(stream.runtime, rt);
  const waiting = next(stream);
  await settle();
  await stream.close();
  t.is(await waiting, undefined);
  await close(rt, listening);
  await failure(rt.op.close(direct));
  t.throws(() => rt.op.accept(0, { direct }), { code: 'EBADF', message: /is closed/ });
  t.is(used(rt), 0);
});
