// Pair: crates/ringcore/tests/messages.rs
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import test from 'ava';
import { all, constants, type Received, type Runtime } from '../src/index.ts';
import { rights, rightsControl } from '../src/ops/messages.ts';
import { connection, LOOPBACK, listener, NO_FD, name, portOf, socket } from './sockets.ts';
import { descriptors, failure, folder, many, pipe, runtime, until } from './support.ts';

const { AF_INET, AF_UNIX, MSG_CTRUNC, MSG_DONTWAIT, MSG_TRUNC, MSG_WAITALL, SOCK_DGRAM } =
  constants;
const ROOM = { control: 64 };

/** Sends and receives one byte with descriptors. */
async function pass(rt: Runtime, [from, to]: readonly number[], fds: number[]): Promise<Received> {
  await rt.op.sendmsg(from as number, Buffer.from('x'), 0, { descriptors: fds });
  return await rt.op.recvmsg(to as number, new Uint8Array(1), 0, ROOM);
}

test('a message names its receiver and tells its sender', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'socket');
  for (const [domain, at] of [
    [AF_INET, LOOPBACK],
    [AF_UNIX, { path }],
    [AF_UNIX, name()],
  ] as const) {
    const one = await socket(t, rt, domain, SOCK_DGRAM);
    await rt.op.bind(one, at);
    const port = domain === AF_INET ? portOf(one) : 0;
    const where = 'path' in at ? { family: 'unix', ...at } : { family: 'IPv4', ...at, port };
    const other = await socket(t, rt, domain, SOCK_DGRAM);
    const nobody = domain === AF_INET ? { ...LOOPBACK, family: 'IPv4' } : undefined;
    for (const [sender, address] of [
      [one, where],
      [other, nobody],
    ] as const) {
      t.is(await rt.op.sendmsg(sender, Buffer.from('message'), 0, { to: where }), 7);
      const bytes = Buffer.alloc(16).fill('.');
      const got = await rt.op.recvmsg(one, bytes);
      t.is(bytes.toString(), 'message.........');
      const from = address === nobody && nobody ? { ...nobody, port: portOf(other) } : address;
      const nothing = { flags: 0, control: new Uint8Array(0), descriptors: [] };
      t.deepEqual(got, { count: 7, address: from as never, ...nothing });
    }
  }
});

test('descriptors go over a unix socket and are close on exec', async (t) => {
  const rt = await runtime(t);
  const ends = await connection(t, rt);
  const fds = [pipe(t), openSync('/dev/null', 'r')];
  const { count, descriptors: got, control, flags } = await pass(rt, ends, fds);
  t.deepEqual([count, got.length, flags], [1, 2, 0]);
  t.deepEqual(rights(control), got);
  for (const fd of got) {
    t.false(fds.includes(fd));
    const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
    t.is(Number.parseInt(/flags:\s*(\d+)/.exec(info)?.[1] ?? '', 8) & 0o2000000, 0o2000000);
  }
  writeSync(got[0] as number, 'through');
  const bytes = Buffer.alloc(7);
  t.is(await rt.op.read(fds[0] as number, bytes), 7, 'it is the same pipe');
  for (const fd of [...got, fds[1] as number]) closeSync(fd);
});

test('control data survives its way there and back', (t) => {
  for (const fds of [[], [3], [3, 4], [5, 6, 7]]) {
    const control = rightsControl(fds);
    t.is(control.length % 8, 0);
    t.deepEqual(rights(control), fds);
    t.deepEqual(rights(Buffer.concat([control, rightsControl([9])])), [...fds, 9]);
    t.deepEqual(rights(Buffer.concat([control, new Uint8Array(40)])), fds, 'zeros are its end');
    t.deepEqual(rights(control.subarray(0, 12)), [], 'a head that is cut is none');
    const credentials = Uint8Array.from(control).fill(2, 12, 13);
    t.deepEqual(rights(credentials), [], 'of another type');
  }
  const long = rightsControl([1]).fill(0xff, 0, 8);
  t.deepEqual(rights(long), [], 'a length that cannot be ends it');
});

test.serial('without room for control data descriptors are dropped', async (t) => {
  const rt = await runtime(t);
  const ends = await connection(t, rt);
  const fd = pipe(t);
  const before = descriptors();
  await rt.op.sendmsg(ends[0], Buffer.from('ab'), 0, { descriptors: [fd, fd] });
  const got = await rt.op.recvmsg(ends[1], new Uint8Array(2));
  t.deepEqual([got.count, got.descriptors, got.flags], [2, [], MSG_CTRUNC]);
  t.is(descriptors(), before);
  // With room for one of two the kernel drops the other.
  await rt.op.sendmsg(ends[0], Buffer.from('ab'), 0, { descriptors: [fd, fd] });
  const one = await rt.op.recvmsg(ends[1], new Uint8Array(2), 0, { control: 20 });
  t.deepEqual([one.descriptors.length, one.flags], [1, MSG_CTRUNC]);
  closeSync(one.descriptors[0] as number);
  t.is(descriptors(), before);
});

test('a message that is longer than the buffer is cut and says so', async (t) => {
  const rt = await runtime(t);
  const fd = await socket(t, rt, AF_INET, SOCK_DGRAM);
  await rt.op.bind(fd, LOOPBACK);
  const to = { address: '127.0.0.1', port: portOf(fd) };
  for (const flags of [0, MSG_TRUNC]) {
    await rt.op.sendmsg(fd, Buffer.from('long message'), 0, { to });
    const bytes = Buffer.alloc(4);
    const got = await rt.op.recvmsg(fd, bytes, flags);
    t.is(bytes.toString(), 'long');
    t.deepEqual([got.count, got.flags], [flags === 0 ? 4 : 12, MSG_TRUNC]);
  }
});

test.serial('descriptors of a message that came in parts are all there', async (t) => {
  const rt = await runtime(t);
  const ends = await connection(t, rt);
  const fd = pipe(t);
  const before = descriptors();
  for (let round = 0; round < many(20); round++) {
    const bytes = Buffer.alloc(4);
    const receiving = rt.op.recvmsg(ends[1], bytes, MSG_WAITALL, ROOM).then((got) => got);
    await until(() => rt.stats().inFlight === 1);
    await rt.op.sendmsg(ends[0], Buffer.from('ab'), 0, { descriptors: [fd] });
    await rt.op.sendmsg(ends[0], Buffer.from('cd'));
    const first = await receiving;
    // Where the kernel stops at the descriptors, the rest is another message.
    const left = 4 - first.count;
    if (left > 0) await rt.op.recvmsg(ends[1], new Uint8Array(left), MSG_WAITALL);
    t.is(first.descriptors.length, 1);
    closeSync(first.descriptors[0] as number);
  }
  t.is(descriptors(), before);
});

test.serial('descriptors that came for nobody are closed', async (t) => {
  const rt = await runtime(t);
  const ends = await connection(t, rt);
  const fd = pipe(t);
  const before = descriptors();
  for (let round = 0; round < many(200); round++) {
    const controller = new AbortController();
    const options = { ...ROOM, signal: controller.signal };
    const receiving = rt.op.recvmsg(ends[1], new Uint8Array(1), 0, options);
    const outcome = new Promise<Received>((resolve, reject) => receiving.then(resolve, reject));
    if (round % 3 === 0) await immediate();
    const sending = rt.op.sendmsg(ends[0], Buffer.from('x'), 0, { descriptors: [fd] });
    if (round % 2 === 0) controller.abort();
    const [got] = await Promise.all([outcome.catch(() => undefined), sending]);
    const { descriptors: fds } = got ?? (await rt.op.recvmsg(ends[1], new Uint8Array(1), 0, ROOM));
    t.is(fds.length, 1);
    closeSync(fds[0] as number);
    controller.abort();
  }
  t.is(descriptors(), before);
});

// PAIR: only-typescript -- a Rust future that is dropped closes what it got, see above
test.serial('descriptors that came for a task which fails are closed', async (t) => {
  const rt = await runtime(t);
  const ends = await connection(t, rt);
  const fd = pipe(t);
  const before = descriptors();
  for (let round = 0; round < many(20); round++) {
    await rt.op.sendmsg(ends[0], Buffer.from('x'), 0, { descriptors: [fd] });
    const failing = rt.run(function* () {
      const receiving = rt.op.recvmsg(ends[1], new Uint8Array(1), 0, ROOM);
      yield* all([receiving, rt.op.nop({ result: -28 })]);
    });
    t.is((await failure(failing)).code, 'ENOSPC');
    // Its only task is gone when the message comes.
    const handle = rt.spawn(function* () {
      yield* rt.op.recvmsg(ends[1], new Uint8Array(1), 0, ROOM);
    });
    await rt.op.nop();
    rt.op.sendmsg(ends[0], Buffer.from('x'), 0, { descriptors: [fd] }).begin();
    handle.abort();
    await failure(handle);
    await until(() => rt.stats().inFlight === 0);
    const left = { ...ROOM, signal: AbortSignal.timeout(1) };
    const got = await Promise.resolve(rt.op.recvmsg(ends[1], new Uint8Array(1), 0, left)).catch(
      () => undefined,
    );
    for (const each of got?.descriptors ?? []) closeSync(each);
  }
  t.is(descriptors(), before);
});

// PAIR: only-typescript -- a Rust buffer belongs to its operation
test.serial('a message for a buffer that went away is dropped with its descriptors', async (t) => {
  const rt = await runtime(t);
  const ends = await connection(t, rt);
  const fd = pipe(t);
  const before = descriptors();
  const bytes = new Uint8Array(4);
  const receiving = failure(rt.op.recvmsg(ends[1], bytes, 0, ROOM));
  await until(() => rt.stats().inFlight === 1);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  await rt.op.sendmsg(ends[0], Buffer.from('data'), 0, { descriptors: [fd] });
  const error = await receiving;
  t.is(error.code, 'ERR_RINGCORE_BUFFER_DETACHED');
  await until(() => descriptors() === before);
  t.is(rt.executor.reactor.ring.regions.held, 0);
});

test('what a message cannot do fails with its errno', async (t) => {
  const rt = await runtime(t);
  const { op } = rt;
  const fails = async (operation: PromiseLike<unknown>, text: string) =>
    t.is((await failure(operation)).message, text);
  const bytes = new Uint8Array(4);
  const [tcp, udp] = [await socket(t, rt, AF_INET), await socket(t, rt, AF_INET, SOCK_DGRAM)];
  await fails(op.sendmsg(NO_FD, bytes), 'sendmsg EBADF');
  await fails(op.recvmsg(NO_FD, bytes), 'recvmsg EBADF');
  await fails(op.sendmsg(pipe(t), bytes), 'sendmsg ENOTSOCK');
  await fails(op.recvmsg(tcp, bytes), 'recvmsg ENOTCONN');
  await fails(op.sendmsg(udp, bytes), 'sendmsg EDESTADDRREQ');
  const to = { address: '127.0.0.1', port: 9 };
  await fails(op.sendmsg(udp, new Uint8Array(70_000), 0, { to }), 'sendmsg EMSGSIZE 127.0.0.1:9');
  const ends = await connection(t, rt);
  await fails(op.sendmsg(ends[0], bytes, 0, { descriptors: [NO_FD] }), 'sendmsg EBADF');
  const odd = new Uint8Array(16).fill(0xff);
  await fails(op.sendmsg(ends[0], bytes, 0, { control: odd }), 'sendmsg EINVAL');
  const [, where] = await listener(t, rt);
  const { path } = where as { path: string };
  await fails(op.sendmsg(ends[0], bytes, 0, { to: where }), `sendmsg EISCONN ${path}`);
  t.is(rt.executor.reactor.ring.regions.held, 0);
});

test('messages count among the bytes that one enter moves', async (t) => {
  const rt = await runtime(t);
  const fd = await socket(t, rt, AF_INET, SOCK_DGRAM);
  // Nothing is there to be received, and nowhere to send to: what counts is what could be moved.
  const enters = async (bytes: number, send: boolean) => {
    const before = rt.stats().enters;
    const codes = await Promise.all(
      Array.from({ length: 20 }, () => {
        const buffer = new Uint8Array(bytes);
        const message = send ? rt.op.sendmsg(fd, buffer) : rt.op.recvmsg(fd, buffer, MSG_DONTWAIT);
        return failure(message).then(({ code }) => code);
      }),
    );
    const known = send ? ['EDESTADDRREQ', 'EMSGSIZE'] : ['EAGAIN'];
    t.true(codes.every((code) => known.includes(code as string)));
    return rt.stats().enters - before;
  };
  for (const send of [false, true]) {
    await enters(200 << 10, send); // Whatever grows has grown.
    const [long, short] = [await enters(200 << 10, send), await enters(16, send)];
    t.true(long >= short + 3, `${long} enters for 4 MiB, ${short} for a few bytes`);
  }
});

// PAIR: only-typescript -- Rust's types refuse most of these at compile time
test('wrong arguments of messages are typed errors at the call', async (t) => {
  const rt = await runtime(t);
  const { op } = rt;
  const before = rt.stats().submitted;
  const any = (value: unknown) => value as never;
  const bytes = new Uint8Array(8);
  const [TYPE, RANGE] = [{ code: 'ERR_INVALID_ARG_TYPE' }, { code: 'ERR_OUT_OF_RANGE' }];
  const makes = [
    (fd: number, view: Uint8Array, flags = 0) => op.sendmsg(fd, view, flags),
    (fd: number, view: Uint8Array, flags = 0) => op.recvmsg(fd, view, flags),
  ];
  for (const make of makes) {
    for (const fd of ['3', null, {}]) t.throws(() => make(any(fd), bytes), TYPE);
    for (const fd of [-1, 1.5, 2 ** 31]) t.throws(() => make(fd, bytes), RANGE);
    for (const view of ['text', null, 5, []]) t.throws(() => make(0, any(view)), TYPE);
    for (const flags of [-1, 0.5, 2 ** 31, 0x4000000]) {
      t.throws(() => make(0, bytes, flags), RANGE, `flags ${flags}`);
    }
    const gone = new Uint8Array(8);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    t.throws(() => make(0, gone), { code: 'ERR_RINGCORE_BUFFER_DETACHED' });
  }
  t.throws(() => op.sendmsg(0, bytes, 0, { control: any('x') }), TYPE);
  t.throws(() => op.sendmsg(0, bytes, 0, { control: new Uint8Array(369) }), RANGE);
  t.throws(() => op.sendmsg(0, bytes, 0, { descriptors: any(3) }), TYPE);
  t.throws(() => op.sendmsg(0, bytes, 0, { descriptors: [-1] }), RANGE);
  t.throws(() => op.sendmsg(0, bytes, 0, { descriptors: [any('3')] }), TYPE);
  t.throws(() => op.sendmsg(0, bytes, 0, { descriptors: new Array(100).fill(1) }), RANGE);
  t.throws(() => op.sendmsg(0, bytes, 0, { to: any(5) }), TYPE);
  for (const control of [-1, 369, 0.5]) {
    t.throws(() => op.recvmsg(0, bytes, 0, { control }), RANGE);
  }
  t.throws(() => op.recvmsg(0, bytes, 0, { control: any('8') }), TYPE);
  await immediate();
  t.is(rt.stats().submitted, before);
});
