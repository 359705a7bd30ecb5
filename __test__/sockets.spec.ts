// Pair: crates/ringcore/tests/sockets.rs
import dgram from 'node:dgram';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import test from 'ava';
import { BORDER_DESCRIPTORS } from '../src/cqe.ts';
import { all, constants } from '../src/index.ts';
import { D_OPCODE, D_SQE_FLAGS, DESCRIPTOR_WORDS, IORING_OP_RECV } from '../src/sqe.ts';
import { connection, LOOPBACK, listener, NO_FD, name, portOf, socket } from './sockets.ts';
import { descriptors, failure, folder, many, pipe, runtime, until } from './support.ts';

const { AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM } = constants;
const { MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL, SHUT_RD, SHUT_RDWR, SHUT_WR } = constants;

test('a connection carries bytes both ways until it is shut down', async (t) => {
  const rt = await runtime(t);
  const path = { path: join(folder(t), 'socket') };
  for (const at of [LOOPBACK, { address: '::1', port: 0 }, path, name()]) {
    const [listening, where] = await listener(t, rt, at);
    const inet = 'address' in where && (where.address === '::1' ? AF_INET6 : AF_INET);
    const client = await socket(t, rt, inet || AF_UNIX);
    const accepting = rt.op.accept(listening).then((fd) => fd);
    await rt.op.connect(client, where);
    const server = await accepting;
    const bytes = Buffer.alloc(16);
    t.is(await rt.op.send(client, Buffer.from('question')), 8);
    t.is(await rt.op.recv(server, bytes), 8);
    t.is(bytes.toString('latin1', 0, 8), 'question');
    t.is(await rt.op.send(server, Buffer.from('answer')), 6);
    t.is(await rt.op.recv(client, bytes, MSG_PEEK), 6);
    t.is(await rt.op.recv(client, bytes), 6);
    t.is(bytes.toString('latin1', 0, 8), 'answeron');
    await rt.op.shutdown(client, SHUT_WR);
    t.is(await rt.op.recv(server, bytes), 0, 'the end');
    await rt.op.shutdown(server, SHUT_RDWR);
    t.is((await failure(rt.op.send(server, bytes))).code, 'EPIPE');
    await rt.op.close(server);
  }
});

test('new sockets are close on exec and may be non blocking', async (t) => {
  const rt = await runtime(t);
  const flags = (fd: number) =>
    Number.parseInt(
      /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '',
      8,
    );
  const CLOEXEC = 0o2000000;
  const [listening, where] = await listener(t, rt);
  const plain = await socket(t, rt, AF_UNIX);
  const nonblocking = await socket(t, rt, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK);
  t.is(flags(plain) & (CLOEXEC | SOCK_NONBLOCK), CLOEXEC);
  t.is(flags(nonblocking) & (CLOEXEC | SOCK_NONBLOCK), CLOEXEC | SOCK_NONBLOCK);
  await Promise.all([rt.op.connect(plain, where), rt.op.connect(nonblocking, where)]);
  const first = await rt.op.accept(listening);
  const second = await rt.op.accept(listening, { flags: SOCK_NONBLOCK });
  t.is(flags(first) & (CLOEXEC | SOCK_NONBLOCK), CLOEXEC);
  t.is(flags(second) & (CLOEXEC | SOCK_NONBLOCK), CLOEXEC | SOCK_NONBLOCK);
  for (const fd of [first, second]) closeSync(fd);
});

test('accept tells who connected when it is asked', async (t) => {
  const rt = await runtime(t);
  const [listening, where] = await listener(t, rt, LOOPBACK);
  const client = await socket(t, rt, AF_INET);
  await rt.op.connect(client, where);
  const { fd, address } = await rt.op.accept(listening, { wantAddress: true });
  t.deepEqual(address, { family: 'IPv4', address: '127.0.0.1', port: portOf(client) });
  closeSync(fd);
  const [local, path] = await listener(t, rt);
  for (const mine of [undefined, name()]) {
    const other = await socket(t, rt, AF_UNIX);
    if (mine !== undefined) await rt.op.bind(other, mine);
    await rt.op.connect(other, path);
    const unix = await rt.op.accept(local, { wantAddress: true });
    t.deepEqual(unix.address, { family: 'unix', path: mine?.path ?? '' });
    closeSync(unix.fd);
  }
});

test('datagrams go to the address that they name', async (t) => {
  const rt = await runtime(t);
  const [one, other] = [
    await socket(t, rt, AF_INET, SOCK_DGRAM),
    await socket(t, rt, AF_INET, SOCK_DGRAM),
  ];
  for (const fd of [one, other]) await rt.op.bind(fd, LOOPBACK);
  for (const fd of [one, other]) {
    const to = { address: '127.0.0.1', port: portOf(fd) };
    t.is(await rt.op.send(one, Buffer.from('datagram'), 0, { to }), 8);
    const bytes = Buffer.alloc(8);
    t.is(await rt.op.recv(fd, bytes), 8);
    t.is(bytes.toString(), 'datagram');
    t.is(await rt.op.send(one, new Uint8Array(0), 0, { to }), 0);
    t.is(await rt.op.recv(fd, bytes), 0, 'an empty one arrives as well');
  }
});

test('errors of sockets are those of node', async (t) => {
  const rt = await runtime(t);
  const same = async (mine: PromiseLike<unknown>, emitter: net.Socket | dgram.Socket) => {
    const [theirs] = await once(emitter, 'error').catch((error) => [error]);
    const error = await failure(mine);
    t.is(error.message, theirs.message);
    t.deepEqual({ ...error }, { ...theirs });
  };
  const [closed, where] = await listener(t, rt, LOOPBACK);
  await rt.op.shutdown(closed, SHUT_RD); // It listens no more, and keeps its port.
  const { port, address } = where as { port: number; address: string };
  const client = await socket(t, rt, AF_INET);
  await same(rt.op.connect(client, where), net.connect(port, address) as never);
  const local = await socket(t, rt, AF_UNIX);
  const path = join(folder(t), 'missing');
  await same(rt.op.connect(local, { path }), net.connect(path) as never);
  const udp = await socket(t, rt, AF_INET, SOCK_DGRAM);
  await rt.op.bind(udp, LOOPBACK);
  const taken = { address: '127.0.0.1', port: portOf(udp) };
  const second = await socket(t, rt, AF_INET, SOCK_DGRAM);
  const theirs = dgram.createSocket('udp4');
  t.teardown(() => theirs.close());
  const heard = once(theirs, 'error').then(([error]) => error);
  theirs.bind(taken.port, taken.address);
  const error = await failure(rt.op.bind(second, taken));
  t.is(error.message, (await heard).message);
  t.deepEqual({ ...error }, { ...(await heard) });
});

test('what a socket cannot do fails with its errno', async (t) => {
  const rt = await runtime(t);
  const { op } = rt;
  const bytes = new Uint8Array(4);
  const fails = async (operation: PromiseLike<unknown>, text: string) =>
    t.is((await failure(operation)).message, text);
  const [fd, file] = [await socket(t, rt, AF_INET), pipe(t)];
  await fails(op.socket(12345, SOCK_STREAM), 'socket EAFNOSUPPORT');
  await fails(op.listen(file), 'listen ENOTSOCK');
  await fails(op.accept(fd), 'accept EINVAL');
  await fails(op.accept(fd, { wantAddress: true }), 'accept EINVAL');
  await fails(op.send(fd, bytes), 'send EPIPE');
  await fails(op.recv(fd, bytes), 'recv ENOTCONN');
  await fails(op.shutdown(fd, SHUT_RD), 'shutdown ENOTCONN');
  await fails(op.send(file, bytes), 'send ENOTSOCK');
  await fails(op.bind(fd, { address: '192.0.2.1', port: 9 }), 'bind EADDRNOTAVAIL 192.0.2.1:9');
  const path = '/of/another/family';
  await fails(op.connect(fd, { path }), `connect EAFNOSUPPORT ${path}`);
  for (const operation of [
    op.listen(NO_FD),
    op.accept(NO_FD),
    op.shutdown(NO_FD, SHUT_RD),
    op.send(NO_FD, bytes),
    op.recv(NO_FD, bytes),
    op.sendZc(NO_FD, bytes),
    op.bind(NO_FD, LOOPBACK),
    op.connect(NO_FD, LOOPBACK),
  ]) {
    t.is((await failure(operation)).code, 'EBADF');
  }
  const [listening, where] = await listener(t, rt, LOOPBACK);
  const client = await socket(t, rt, AF_INET);
  await op.connect(client, where);
  await op.send(client, bytes); // Unread bytes at the other end make its close a reset.
  await op.close(await op.accept(listening));
  await fails(op.recv(client, bytes), 'recv ECONNRESET');
});

test('only a flag of the operation gives eagain, which is passed on', async (t) => {
  const rt = await runtime(t);
  const [client] = await connection(t, rt);
  const bytes = new Uint8Array(4);
  t.is((await failure(rt.op.recv(client, bytes, MSG_DONTWAIT))).message, 'recv EAGAIN');
  // The ring waits for a socket with O_NONBLOCK as for any other.
  const fd = await socket(t, rt, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK);
  const where = name();
  await rt.op.bind(fd, where);
  await rt.op.listen(fd, 0);
  const accepting = rt.op.accept(fd).then((accepted) => accepted);
  await until(() => rt.stats().inFlight === 1);
  await rt.op.connect(await socket(t, rt, AF_UNIX), where);
  closeSync(await accepting);
});

test('a receive that polls first gets what comes later', async (t) => {
  const rt = await runtime(t);
  const [client, server] = await connection(t, rt, LOOPBACK);
  const bytes = Buffer.alloc(6);
  const receiving = rt.op.recv(client, bytes, MSG_WAITALL, { pollFirst: true }).then((n) => n);
  await until(() => rt.stats().inFlight === 1);
  t.is(await rt.op.send(server, Buffer.from('abc'), 0, { pollFirst: true }), 3);
  t.is(await rt.op.send(server, Buffer.from('def')), 3);
  t.is(await receiving, 6);
  t.is(bytes.toString(), 'abcdef');
});

test('a send without copies ends when the network has done with the bytes', async (t) => {
  const rt = await runtime(t);
  const { regions } = rt.executor.reactor.ring;
  const [client, server] = await connection(t, rt, LOOPBACK);
  for (let round = 0; round < many(50); round++) {
    const bytes = Buffer.alloc(20_000, round);
    const got = Buffer.alloc(20_000);
    const receiving = rt.op.recv(server, got, MSG_WAITALL).then((count) => count);
    t.is(await rt.op.sendZc(client, bytes), 20_000);
    t.is(await receiving, 20_000);
    t.deepEqual(got, bytes);
  }
  await until(() => rt.stats().inFlight === 0);
  t.is(regions.held, 0);
  const [local] = await connection(t, rt);
  t.is((await failure(rt.op.sendZc(local, Buffer.alloc(8)))).message, 'send ENOTSUP');
  await rt.op.shutdown(client, SHUT_RDWR);
  t.is((await failure(rt.op.sendZc(client, Buffer.alloc(8)))).message, 'send EPIPE');
  t.is(regions.held, 0);
});

test('an abandoned send without copies keeps its memory until its notification', async (t) => {
  const rt = await runtime(t);
  const { regions } = rt.executor.reactor.ring;
  const [client, server] = await connection(t, rt, LOOPBACK);
  // Until nothing more fits, or hardly anything: what is sent from here on waits.
  const fill = () => rt.op.send(client, Buffer.alloc(1 << 20), MSG_DONTWAIT);
  while ((await fill().catch(() => 0)) > 0);
  for (let round = 0; round < many(6); round++) {
    const controllers = Array.from({ length: 8 }, () => new AbortController());
    const sends = controllers.map(({ signal }) => {
      const sending = rt.op.sendZc(client, Buffer.alloc(4096), 0, { signal });
      return sending.then(Number, (error: unknown) => (error as NodeJS.ErrnoException).code);
    });
    for (let i = 0; i < round % 3; i++) await immediate();
    for (const controller of controllers) controller.abort();
    // Those that the network has taken in part end when the other side reads.
    const rest = Buffer.alloc(1 << 20);
    const read = () => rt.op.recv(server, rest, MSG_DONTWAIT).catch(() => 0);
    while (rt.stats().inFlight > 0 || (await read()) > 0) await read();
    for (const end of await Promise.all(sends)) {
      t.true(end === 'ABORT_ERR' || (end as number) > 0, String(end));
    }
    t.is(regions.held, 0);
    while ((await fill().catch(() => 0)) > 0);
  }
  t.is(rt.stats().stale, 0);
});

test('what was sent without copies arrives as it was although its ring was closed', async (t) => {
  const other = await runtime(t);
  const [client, server] = await connection(t, other, LOOPBACK);
  const rt = await runtime(t);
  // More than both ends have room for, and nobody reads: the rest is in the sender's queue.
  const sends = Array.from({ length: 40 }, (_, i) =>
    rt.op.sendZc(client, Buffer.alloc(300_000, 1 + i)).then(
      () => 'sent',
      (error: unknown) => (error as NodeJS.ErrnoException).code,
    ),
  );
  for (let i = 0; i < 10; i++) await immediate();
  await rt.close();
  const ends = await Promise.all(sends);
  t.true(ends.includes('ERR_RINGCORE_CLOSED'), `${ends}`);
  // Another ring's memory, where that was.
  const theirs = await runtime(t);
  const fd = openSync('/dev/null', 'w');
  t.teardown(() => closeSync(fd));
  await Promise.all(sends.map(() => theirs.op.write(fd, Buffer.alloc(300_000, 0xff), -1)));
  await other.op.shutdown(client, SHUT_WR);
  let [last, all] = [1, 0];
  const bytes = Buffer.alloc(1 << 20);
  for (;;) {
    const count = await other.op.recv(server, bytes);
    if (count === 0) break;
    for (const byte of bytes.subarray(0, count)) {
      if (byte < last || byte > 40) t.fail(`${byte} behind ${last}`);
      last = byte;
    }
    all += count;
  }
  t.true(all > 300_000, `${all} bytes`);
});

test('a connect and a send in one chain', async (t) => {
  const rt = await runtime(t);
  const [listening, where] = await listener(t, rt);
  const client = await socket(t, rt, AF_UNIX);
  const [, count] = await rt.op.link(
    rt.op.connect(client, where),
    rt.op.send(client, Buffer.from('linked'), MSG_WAITALL),
  );
  t.is(count, 6);
  const server = await rt.op.accept(listening);
  const bytes = Buffer.alloc(8);
  t.is(await rt.op.recv(server, bytes), 6);
  closeSync(server);
  const other = await socket(t, rt, AF_UNIX);
  const connecting = rt.op.connect(other, { path: '\0nobody is here' });
  const sending = rt.op.send(other, bytes);
  t.is((await failure(rt.op.link(connecting, sending))).code, 'ECONNREFUSED');
  t.is((await failure(sending)).code, 'ECANCELED');
});

test.serial('abandoned operations on sockets leave no descriptor', async (t) => {
  const rt = await runtime(t);
  const [listening, where] = await listener(t, rt);
  const client = await socket(t, rt, AF_INET);
  const before = descriptors();
  const abandon = async <T>(make: (signal: AbortSignal) => PromiseLike<T>) => {
    const controller = new AbortController();
    const started = new Promise<T>((resolve, reject) =>
      make(controller.signal).then(resolve, reject),
    );
    if (Math.random() < 0.5) await immediate();
    controller.abort();
    return started.catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ABORT_ERR') throw error;
      return undefined;
    });
  };
  for (let i = 0; i < many(500); i++) {
    const made = await abandon((signal) => rt.op.socket(AF_UNIX, SOCK_STREAM, 0, { signal }));
    if (made !== undefined) closeSync(made);
    const accepted = await abandon((signal) => rt.op.accept(listening, { signal }));
    t.is(accepted, undefined, 'nobody connected');
    const peer = await rt.op.socket(AF_UNIX, SOCK_STREAM);
    const accepting = abandon((signal) => rt.op.accept(listening, { signal, wantAddress: true }));
    await rt.op.connect(peer, where);
    const got = (await accepting)?.fd ?? (await rt.op.accept(listening));
    closeSync(got);
    closeSync(peer);
    const blocked = { address: '127.0.0.1', port: 9 };
    await abandon((signal) => rt.op.connect(client, blocked, { signal })).catch(() => {});
  }
  await until(() => rt.stats().inFlight === 0);
  t.is(descriptors(), before);
});

// PAIR: only-typescript -- a Rust future that is dropped closes what it got, see above
test.serial('a connection that came for a task which fails is closed', async (t) => {
  const rt = await runtime(t);
  const [listening, where] = await listener(t, rt);
  const [one, other] = [await socket(t, rt, AF_UNIX), await socket(t, rt, AF_UNIX)];
  await Promise.all([rt.op.connect(one, where), rt.op.connect(other, where)]);
  const before = descriptors();
  for (const wantAddress of [true, false] as const) {
    const task = rt.run(function* () {
      const accepting = rt.op.accept(listening, { wantAddress: wantAddress as never });
      yield* all([accepting, rt.op.nop({ result: -28 })]);
    });
    t.is((await failure(task)).code, 'ENOSPC');
  }
  await until(() => rt.stats().inFlight === 0);
  t.is(descriptors(), before);
});

test('a receive that was abandoned never writes into memory of others', async (t) => {
  const rt = await runtime(t);
  const { regions } = rt.executor.reactor.ring;
  const [a, b] = [await connection(t, rt, LOOPBACK), await connection(t, rt, LOOPBACK)];
  for (let round = 0; round < many(200); round++) {
    const controller = new AbortController();
    const lost = Buffer.alloc(4096);
    const receiving = rt.op.recv(a[0], lost, 0, { signal: controller.signal });
    const outcome = Promise.resolve(receiving).catch(() => 0);
    await until(() => rt.stats().inFlight === 1);
    controller.abort();
    const others = [0, 1, 2, 3].map(() => Buffer.alloc(1024));
    const sending = [
      rt.op.send(a[1], Buffer.alloc(4096, 0xaa), MSG_WAITALL).then((count) => count),
      rt.op.send(b[1], Buffer.alloc(4096, 0x55), MSG_WAITALL).then((count) => count),
    ];
    const counts = await Promise.all(others.map((each) => rt.op.recv(b[0], each, MSG_WAITALL)));
    t.deepEqual(counts, [1024, 1024, 1024, 1024]);
    for (const each of others) t.true(each.every((byte) => byte === 0x55));
    await Promise.all(sending);
    const first = await outcome;
    t.true(lost.every((byte, index) => byte === (index < first ? 0xaa : 0)));
    // What was not received before the end of the receive is still there for the next one.
    const rest = Buffer.alloc(4096 - first);
    if (rest.length > 0) t.is(await rt.op.recv(a[0], rest, MSG_WAITALL), rest.length);
    t.true(rest.every((byte) => byte === 0xaa));
  }
  t.is(regions.held, 0);
});

// PAIR: only-typescript -- Rust has no flag to forget: only reads of files set it
test('a long receive does not take a thread to wait', async (t) => {
  const rt = await runtime(t);
  const [client] = await connection(t, rt);
  const { border } = rt.executor.reactor.ring;
  const at = BORDER_DESCRIPTORS / 4 + border.count * DESCRIPTOR_WORDS;
  const controller = new AbortController();
  const receiving = rt.op.recv(client, new Uint8Array(1 << 20), 0, controller);
  receiving.begin();
  t.is(border.words[at + D_OPCODE], IORING_OP_RECV);
  t.is(border.words[at + D_SQE_FLAGS], 0);
  controller.abort();
  t.is((await failure(receiving)).code, 'ABORT_ERR');
});

// PAIR: only-typescript -- Rust's types refuse most of these at compile time
test('wrong arguments of sockets are typed errors at the call', async (t) => {
  const rt = await runtime(t);
  const { op } = rt;
  const before = rt.stats().submitted;
  const any = (value: unknown) => value as never;
  const bytes = new Uint8Array(8);
  const [TYPE, RANGE] = [{ code: 'ERR_INVALID_ARG_TYPE' }, { code: 'ERR_OUT_OF_RANGE' }];
  const withFd = [
    (fd: never) => op.listen(fd),
    (fd: never) => op.accept(fd),
    (fd: never) => op.accept(fd, { wantAddress: true }),
    (fd: never) => op.shutdown(fd, SHUT_RD),
    (fd: never) => op.bind(fd, LOOPBACK),
    (fd: never) => op.connect(fd, LOOPBACK),
    (fd: never) => op.send(fd, bytes),
    (fd: never) => op.recv(fd, bytes),
    (fd: never) => op.sendZc(fd, bytes),
  ];
  for (const make of withFd) {
    for (const fd of ['3', null, undefined, {}, 3n]) t.throws(() => make(any(fd)), TYPE);
    for (const fd of [-1, 1.5, Number.NaN, 2 ** 31]) t.throws(() => make(any(fd)), RANGE);
  }
  for (const make of [op.send, op.recv, op.sendZc] as const) {
    for (const view of ['text', null, undefined, 5, [], new ArrayBuffer(8)]) {
      t.throws(() => make.call(op, 0, any(view)), TYPE);
    }
    for (const flags of [-1, 0.5, Number.NaN, 2 ** 31, 0x4000000]) {
      t.throws(() => make.call(op, 0, bytes, flags), RANGE, `flags ${flags}`);
    }
    t.throws(() => make.call(op, 0, bytes, any('0')), TYPE);
    t.throws(() => make.call(op, 0, bytes, 0, { pollFirst: any(1) }), TYPE);
    const gone = new Uint8Array(8);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    t.throws(() => make.call(op, 0, gone), { code: 'ERR_RINGCORE_BUFFER_DETACHED' });
  }
  t.throws(() => op.send(0, bytes, 0, { to: any('127.0.0.1') }), TYPE);
  t.throws(() => op.send(0, bytes, 0, { to: { address: '127.0.0.1', port: 65536 } }), RANGE);
  t.throws(() => op.connect(0, any(null)), TYPE);
  t.throws(() => op.bind(0, any({ host: 'x' })), TYPE);
  for (const wrong of [-1, 1.5, 2 ** 31]) {
    t.throws(() => op.socket(wrong, SOCK_STREAM), RANGE);
    t.throws(() => op.socket(AF_UNIX, wrong), RANGE);
    t.throws(() => op.socket(AF_UNIX, SOCK_STREAM, wrong), RANGE);
    t.throws(() => op.listen(0, wrong), RANGE);
    t.throws(() => op.accept(0, { flags: wrong }), RANGE);
  }
  t.throws(() => op.socket(any('unix'), SOCK_STREAM), TYPE);
  t.throws(() => op.shutdown(0, 3), RANGE);
  t.throws(() => op.accept(0, { wantAddress: any('yes') }), TYPE);
  t.throws(() => op.accept(0, any(5)), TYPE);
  await immediate();
  t.is(rt.stats().submitted, before);
});
