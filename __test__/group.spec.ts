// Pair: crates/ringcore/tests/group.rs
import { writeSync } from 'node:fs';
import test from 'ava';
import { type BufferGroup, buffer, Runtime } from '../src/index.ts';
import { FieldsOp, same } from '../src/ops/fields.ts';
import {
  BORDER_CLOSE_GROUP,
  BORDER_RETURN,
  IORING_OP_READ,
  IORING_OP_RECV,
  IOSQE_BUFFER_SELECT,
  IOSQE_IO_LINK,
} from '../src/sqe.ts';
import { close, pair, SOCK_SEQPACKET, shutdown } from './peers.ts';
import { collector, descriptors, failure, many, runtime, settle, until } from './support.ts';

const NO_FD = 0x7ffffff;

/** A descriptor of the border's own, with a completion; its result, or the errno's name. */
async function tell(rt: Runtime, opcode: number, region: number, length = 0): Promise<unknown> {
  const fields = { region, length };
  return new FieldsOp(rt, opcode, 'test', fields, same, undefined).then(
    (res) => res,
    (error) => (error as NodeJS.ErrnoException).code,
  );
}

const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('latin1');

test('what comes arrives whole and in order', async (t) => {
  const rt = await runtime(t);
  const group = rt.buffer.provide({ count: 8, size: 100 });
  const [near, far] = await pair(rt, t);
  const writing = (async () => {
    for (let number = 0; number < many(2000); number += 50) {
      const numbers = Uint32Array.from({ length: 50 }, (_, i) => number + i);
      t.is(await rt.op.write(far, numbers), 200);
    }
    await shutdown(rt, far);
  })();
  const chunks: Uint8Array[] = [];
  for await (const chunk of rt.op.recvMultishot(near, group)) chunks.push(chunk);
  await writing;
  const bytes = new Uint8Array(Buffer.concat(chunks));
  const numbers = new Uint32Array(bytes.buffer);
  t.is(numbers.length, many(2000));
  t.true(numbers.every((number, i) => number === i));
  t.is(group.available, 8);
});

test('four buffers and a hundred packets unread lose nothing', async (t) => {
  const rt = await runtime(t);
  for (let round = 0; round < many(5); round++) {
    const group = rt.buffer.provide({ count: 4, size: 64 });
    const [near, far] = await pair(rt, t, SOCK_SEQPACKET);
    const stream = rt.op.recvMultishot(near, group);
    const first = stream.next().then((chunk) => chunk);
    await settle(1);
    for (let number = 0; number < 100; number++) writeSync(far, Buffer.alloc(3, number));
    t.deepEqual([...((await first) as Uint8Array)], [0, 0, 0]);
    await until(() => group.available === 0);
    await settle();
    t.is(rt.stats().inFlight, 0, 'four wait in their buffers, the others in the socket');
    for (let number = 1; number < 100; number++) {
      t.deepEqual([...((await stream.next()) as Uint8Array)], [number, number, number]);
    }
    close(far);
    t.is(await stream.next(), undefined);
    t.is(group.available, 4);
    await group.close();
  }
  await until(() => rt.stats().groupBytes === 0);
});

test('a stream that finds no buffer goes on when another one returns them', async (t) => {
  const rt = await runtime(t);
  const group = rt.buffer.provide({ count: 2, size: 64 });
  const [near, far] = await pair(rt, t);
  const [other, peer] = await pair(rt, t);
  const greedy = rt.op.recvMultishot(near, group, { lend: true });
  const kept = [];
  for (const byte of ['a', 'b']) {
    writeSync(far, byte);
    kept.push(await greedy.next());
  }
  t.is(group.available, 0);
  writeSync(peer, 'c');
  let came = '';
  const starved = rt.op.recvMultishot(other, group);
  const waiting = starved.next().then((chunk) => {
    came = text(chunk);
  });
  await settle();
  t.is(came, '');
  const { submitted } = rt.stats();
  await settle(20);
  t.is(rt.stats().submitted, submitted, 'it does not spin');
  kept[1]?.release();
  await waiting;
  t.is(came, 'c');
  t.is(text(kept[0]?.bytes), 'a', 'the other one is untouched');
  kept[0]?.release();
  await Promise.all([greedy.close(), starved.close()]);
});

test('a single receive takes one buffer', async (t) => {
  const rt = await runtime(t);
  const group = rt.buffer.provide({ count: 1, size: 4 });
  const [near, far] = await pair(rt, t);
  writeSync(far, 'hello');
  const lent = await rt.op.recvBuffer(near, group, { lend: true });
  t.is(lent?.length, 4);
  t.is(text(lent?.bytes), 'hell');
  const error = await failure(rt.op.recvBuffer(near, group));
  t.deepEqual([error.code, error.syscall], ['ENOBUFS', 'recv']);
  lent?.release();
  t.is(text(await rt.op.recvBuffer(near, group)), 'o');
  close(far);
  t.is(await rt.op.recvBuffer(near, group), undefined);
  t.is((await failure(rt.op.recvBuffer(NO_FD, group))).code, 'EBADF');
  t.is(group.available, 1);
});

test('an abandoned receive returns its buffer', async (t) => {
  const rt = await runtime(t);
  const group = rt.buffer.provide({ count: 4, size: 16 });
  for (let round = 0; round < many(100); round++) {
    const [near, far] = await pair(rt);
    const handle = rt.spawn(function* () {
      yield* rt.op.recvBuffer(near, group);
    });
    await settle(round % 3);
    writeSync(far, 'x');
    if (round % 2 === 0) await settle(1);
    handle.abort();
    const lost = await handle.catch((error) => (error as NodeJS.ErrnoException).code);
    t.true(lost === 'ABORT_ERR' || lost === undefined);
    close(near);
    close(far);
  }
  await until(() => group.available === 4);
  t.pass();
});

test('a thousand resets leave every buffer', async (t) => {
  t.timeout(120_000);
  const rt = await runtime(t);
  const group = rt.buffer.provide({ count: 4, size: 16 });
  let resets = 0;
  for (let round = 0; round < many(1000); round++) {
    const [near, far] = await pair(rt);
    const stream = rt.op.recvMultishot(near, group);
    const first = stream.next().catch(() => undefined);
    writeSync(far, 'x');
    writeSync(near, 'unread');
    close(far);
    try {
      await first;
      while ((await stream.next()) !== undefined);
    } catch (error) {
      t.is((error as NodeJS.ErrnoException).code, 'ECONNRESET');
      resets++;
    }
    close(near);
  }
  t.is(resets, many(1000));
  t.is(group.available, 4);
});

test('a return of what is not lent is refused and has no effect', async (t) => {
  const rt = await runtime(t);
  const group = rt.buffer.provide({ count: 4, size: 64 });
  const other = rt.buffer.provide({ count: 4, size: 64 });
  for (const id of [0, 3, 4, 0xffff, 0x10000, -1]) {
    t.is(await tell(rt, BORDER_RETURN, group.id, id), 'EINVAL', `${id} is the kernel's`);
  }
  t.is(await tell(rt, BORDER_RETURN, 7, 0), 'EINVAL', 'no such group');
  t.is(await tell(rt, BORDER_RETURN, -1, 0), 'EINVAL');
  const [near, far] = await pair(rt, t);
  writeSync(far, 'x');
  const lent = await rt.op.recvBuffer(near, group, { lend: true });
  const id = (lent as unknown as { buffer: number }).buffer;
  t.is(await tell(rt, BORDER_RETURN, other.id, id), 'EINVAL', 'of another group');
  const bytes = lent?.bytes;
  t.is(lent?.bytes, bytes, 'shown once');
  t.is(await tell(rt, BORDER_RETURN, group.id, id), 'EINVAL', 'somebody has a view of it');
  t.is(text(bytes), 'x');
  lent?.release();
  t.is(await tell(rt, BORDER_RETURN, group.id, id), 'EINVAL', 'a second time');
  t.is(group.available, 4);
});

test('a group that is closed stays as long as somebody uses it', async (t) => {
  const rt = await runtime(t, { memoryLimit: 1 << 20 });
  const size = 1 << 19; // Two of them and their ring do not fit twice.
  const full = { code: 'ERR_RINGCORE_MEMORY' };
  for (let round = 0; round < many(20); round++) {
    const group = rt.buffer.provide({ count: 1, size });
    t.throws(() => rt.buffer.provide({ count: 1, size }), full);
    const [near, far] = await pair(rt);
    writeSync(far, 'bytes');
    const stream = rt.op.recvMultishot(near, group, { lend: true });
    const lent = await stream.next();
    const waiting = stream.next().then((chunk) => chunk);
    await settle(1);
    await group.close();
    t.is(await waiting, undefined, 'its streams are closed');
    t.is(await stream.next(), undefined);
    t.throws(() => rt.buffer.provide({ count: 1, size }), full);
    t.is(text(lent?.bytes), 'bytes', 'readable until it is released');
    t.is((await failure(rt.op.recvBuffer(near, group))).code, 'ERR_RINGCORE_CLOSED');
    lent?.release();
    lent?.release();
    await until(() => rt.stats().groupBytes === 0);
    close(near);
    close(far);
  }
});

test('groups count against the memory limit', async (t) => {
  const rt = await runtime(t, { memoryLimit: 100 << 10 });
  const options = { count: 16, size: 4096 };
  const group = rt.buffer.provide(options);
  t.is(rt.stats().groupBytes, 17 * 4096);
  t.throws(() => rt.buffer.provide(options), { code: 'ERR_RINGCORE_MEMORY' });
  await group.close();
  for (let round = 0; round < many(100); round++) {
    await until(() => rt.stats().groupBytes === 0);
    await rt.buffer.provide(options).close();
  }
  await until(() => rt.stats().groupBytes === 0);
  t.pass();
});

test('impossible sizes and counts are refused', async (t) => {
  const rt = await runtime(t);
  const range = { code: 'ERR_OUT_OF_RANGE' };
  const type = { code: 'ERR_INVALID_ARG_TYPE' };
  const any = (value: unknown) => value as never;
  const [near] = await pair(rt, t);
  for (const [count, size] of [
    [0, 1],
    [3, 1],
    [65536, 1],
    [4, 0],
    [4, (1 << 20) + 1],
    [1.5, 1],
  ]) {
    t.throws(() => rt.buffer.provide({ count: any(count), size: any(size) }), range);
  }
  for (const wrong of [undefined, null, 4, {}, { count: '4', size: 1 }, { count: 4 }]) {
    t.throws(() => rt.buffer.provide(any(wrong)), type);
  }
  const group = rt.buffer.provide({ count: 32768, size: 1 });
  t.is(group.available, 32768);
  t.is(rt.buffer.provide({ count: 1, size: 1 << 20 }).size, 1 << 20);
  for (const wrong of [undefined, null, 1, {}]) {
    t.throws(() => rt.op.recvMultishot(near, any(wrong)), type);
    t.throws(() => rt.op.recvBuffer(near, any(wrong)), type);
  }
  t.throws(() => rt.op.recvMultishot(-1, group), range);
  t.throws(() => rt.op.recvMultishot(near, group, { lend: any(1) }), type);
  t.throws(() => rt.op.recvBuffer(near, group, { lend: any('x') }), type);
});

test('a group belongs to its runtime', async (t) => {
  const [rt, other] = [await runtime(t), await runtime(t)];
  const group = rt.buffer.provide({ count: 1, size: 16 });
  const [near] = await pair(rt, t);
  const wrong = 'ERR_RINGCORE_WRONG_RUNTIME';
  t.is((await failure(other.op.recvBuffer(near, group))).code, wrong);
  const stream = other.op.recvMultishot(near, group);
  t.is((await failure(stream.next())).code, wrong);
  t.is(await stream.next(), undefined);
  t.is(buffer.constructor, rt.buffer.constructor);
});

test('descriptors that name no group end with einval', async (t) => {
  const rt = await runtime(t);
  const group = rt.buffer.provide({ count: 1, size: 64 });
  class Select extends FieldsOp<number> {
    flags = IOSQE_BUFFER_SELECT;
    override prepare(...args: Parameters<FieldsOp<number>['prepare']>): void {
      super.prepare(...args);
      args[0].border.link(this.flags);
    }
  }
  const select = async (opcode: number, id: number, ioprio = 0) => {
    const fields = { fd: 0, ioprio: ioprio | (id << 16) };
    return (await failure(new Select(rt, opcode, 'test', fields, same, undefined))).code;
  };
  for (const id of [group.id + 1, 100, 0xffff]) {
    for (const opcode of [IORING_OP_RECV, IORING_OP_READ]) t.is(await select(opcode, id), 'EINVAL');
  }
  t.is(await select(IORING_OP_RECV, group.id, 1 << 4), 'EINVAL', 'bundles');
  t.is(await tell(rt, BORDER_CLOSE_GROUP, group.id), 0);
  t.is(await tell(rt, BORDER_CLOSE_GROUP, group.id), 'EINVAL', 'closed');
  t.is(await select(IORING_OP_RECV, group.id), 'EINVAL', 'closed');
  const linked = new Select(rt, BORDER_CLOSE_GROUP, 'test', {}, same, undefined);
  linked.flags = IOSQE_IO_LINK;
  t.is((await failure(linked)).code, 'EINVAL', 'in a chain they mean nothing');
});

test.serial('closing the runtime with buffers out and a shot armed is safe', async (t) => {
  const other = await runtime(t);
  await settle();
  const before = descriptors();
  for (let round = 0; round < many(50); round++) {
    const rt = new Runtime();
    const group = rt.buffer.provide({ count: 4, size: 1000 });
    const [near, far] = await pair(other);
    writeSync(far, Buffer.alloc(900, round));
    const stream = rt.op.recvMultishot(near, group, { lend: true });
    const lent = await stream.next();
    const bytes = round % 3 === 0 ? undefined : lent?.bytes;
    writeSync(far, 'queued');
    if (round % 2 === 0) await settle(2);
    await rt.close();
    if (bytes !== undefined) t.true(bytes.every((byte) => byte === (round & 255)));
    else t.throws(() => lent?.bytes, { code: 'ERR_RINGCORE_CLOSED' });
    lent?.release();
    lent?.release();
    await group.close();
    t.throws(() => rt.buffer.provide({ count: 1, size: 1 }), { code: 'ERR_RINGCORE_CLOSED' });
    close(near);
    close(far);
  }
  await until(() => descriptors() === before);
  t.pass();
});

// PAIR: only-typescript -- in Rust the borrow checker says so
test('a released buffer shows nothing any more', async (t) => {
  const rt = await runtime(t);
  const group = rt.buffer.provide({ count: 2, size: 16 });
  const [near, far] = await pair(rt, t);
  const stream = rt.op.recvMultishot(near, group, { lend: true });
  for (let round = 0; round < many(100); round++) {
    writeSync(far, `round ${round}`);
    const lent = await stream.next();
    if (lent === undefined) throw new Error('it ended');
    t.is(lent.length, `round ${round}`.length);
    const bytes = lent.bytes;
    const part = bytes.subarray(2);
    t.is(text(bytes), `round ${round}`);
    t.is(bytes.buffer.byteLength, lent.length, 'nothing beside the bytes is shown');
    lent[Symbol.dispose]();
    t.is(bytes.length, 0);
    t.is(part.length, 0);
    t.throws(() => lent.bytes, { code: 'ERR_RINGCORE_BUFFER_DETACHED' });
    lent.release();
    t.is(group.available, 2);
  }
  await stream.close();
});

// PAIR: only-typescript -- Rust has Drop
test('a forgotten buffer is returned, but not while its bytes are there', async (t) => {
  const rt = await runtime(t);
  const collect = collector();
  const group = rt.buffer.provide({ count: 2, size: 16 });
  const [near, far] = await pair(rt, t);
  writeSync(far, 'bytes');
  let kept: Uint8Array | undefined = await (async () =>
    (await rt.op.recvBuffer(near, group, { lend: true }))?.bytes.subarray(1))();
  writeSync(far, 'more');
  await (async () => {
    t.is((await rt.op.recvBuffer(near, group, { lend: true }))?.length, 4);
  })();
  await until(() => {
    collect();
    return group.available === 1;
  });
  for (let i = 0; i < 10; i++) {
    collect();
    await settle(1);
  }
  t.is(group.available, 1);
  t.is(text(kept), 'ytes');
  kept = undefined;
  await until(() => {
    collect();
    return group.available === 2;
  });
});

// PAIR: only-typescript -- Rust has Drop
test('a forgotten group gives its memory back', async (t) => {
  const rt = await runtime(t);
  const collect = collector();
  const make = (): BufferGroup => rt.buffer.provide({ count: 4, size: 4096 });
  t.is(make().available, 4);
  t.true(rt.stats().groupBytes > 0);
  await until(() => {
    collect();
    return rt.stats().groupBytes === 0;
  });
});
