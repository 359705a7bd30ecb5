// Pair: crates/ringcore/tests/alloc.rs
import { closeSync, constants, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { allocationOf } from '../src/alloc.ts';
import { type AllocOptions, buffer, op, Runtime } from '../src/index.ts';
import { Kernel } from '../src/kernel.ts';
import { collector, failure, folder, many, pipe, runtime, settle, until } from './support.ts';

const MIB = 1 << 20;

/** A file of so many bytes, and what is in it. */
function file(t: ExecutionContext, length: number, flags = 'r+'): { fd: number; bytes: Buffer } {
  const path = join(folder(t), 'data');
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 7 + (i >> 12)) & 0xff;
  writeFileSync(path, bytes);
  const fd = openSync(path, flags);
  t.teardown(() => closeSync(fd));
  return { fd, bytes };
}

/** Node 20 has nothing that detaches external memory: structuredClone copies it. */
const MOVABLE = 'transfer' in ArrayBuffer.prototype;

/** Takes the bytes of a view away from it, where that is possible. */
function moved(view: Uint8Array): Uint8Array {
  const memory = view.buffer as ArrayBuffer & { transfer: () => ArrayBuffer };
  if (MOVABLE) return new Uint8Array(memory.transfer());
  return structuredClone(view, { transfer: [memory] });
}

const contents = (fd: number) => readFileSync(`/proc/self/fd/${fd}`);

test.serial('memory is zeroed, aligned and as long as it was asked for', async (t) => {
  const rt = await runtime(t);
  for (const length of [0, 1, 511, 4096, 4097, 3 * MIB]) {
    const view = rt.buffer.alloc(length);
    t.deepEqual([view.length, view.byteOffset], [length, 0]);
    t.true(view.every((byte) => byte === 0));
  }
  // The kernel takes nothing else with O_DIRECT.
  const { fd, bytes } = file(t, 8192);
  const direct = openSync(`/proc/self/fd/${fd}`, constants.O_RDONLY | constants.O_DIRECT);
  t.teardown(() => closeSync(direct));
  for (const align of [512, 4096, 65536, 2 * MIB]) {
    const view = rt.buffer.alloc(8192, { align });
    t.is(await rt.op.read(direct, view, 0), 8192);
    t.is(await rt.op.read(direct, view.subarray(4096), 0), 4096);
    t.true(bytes.subarray(0, 4096).equals(view.subarray(4096)));
  }
});

test.serial('bytes are read into memory and written from it without a copy', async (t) => {
  const rt = await runtime(t);
  const { fd, bytes } = file(t, 10_000);
  const view = rt.buffer.alloc(16_384);
  t.is(await rt.op.read(fd, view.subarray(100, 5100), 1000), 5000);
  t.true(bytes.subarray(1000, 6000).equals(view.subarray(100, 5100)));
  t.true(view.subarray(5100).every((byte) => byte === 0));
  const words = new DataView(view.buffer, 200, 1000);
  words.setUint32(0, 0xdeadbeef);
  t.is(await rt.op.write(fd, words, 20_000), 1000);
  t.true(contents(fd).subarray(20_000).equals(view.subarray(200, 1200)));
  t.is(rt.stats().regionBytes, 0, 'no region was used');
});

test.serial('lengths beyond one MiB go in one operation', async (t) => {
  const rt = await runtime(t);
  const { fd, bytes } = file(t, 5 * MIB + 3);
  const view = rt.buffer.alloc(6 * MIB);
  t.is(await rt.op.read(fd, view, 0), bytes.length);
  t.true(bytes.equals(view.subarray(0, bytes.length)));
  t.is(await rt.op.write(fd, view.subarray(1), 0), 6 * MIB - 1);
  t.true(contents(fd).equals(view.subarray(1)));
});

test.serial('several operations at once name the same memory', async (t) => {
  const rt = await runtime(t);
  const { fd, bytes } = file(t, 64 * 4096);
  const view = rt.buffer.alloc(64 * 4096);
  const reads = Array.from({ length: 64 }, (_, i) =>
    rt.op.read(fd, view.subarray(i * 4096, (i + 1) * 4096), i * 4096),
  );
  t.deepEqual(await Promise.all(reads), new Array(64).fill(4096));
  t.true(bytes.equals(view));
});

test.serial('members of a chain pass bytes on through it', async (t) => {
  const rt = await runtime(t);
  const { fd, bytes } = file(t, 3 * MIB);
  const to = file(t, 0);
  const view = rt.buffer.alloc(3 * MIB);
  const copied = rt.op.link(rt.op.read(fd, view, 0), rt.op.write(to.fd, view, 0));
  t.deepEqual(await copied, [3 * MIB, 3 * MIB]);
  t.true(contents(to.fd).equals(bytes));
  t.is(rt.stats().regionBytes, 0);
});

test.serial('registered memory is read and written by its index', async (t) => {
  const rt = await runtime(t);
  const { fd, bytes } = file(t, 2 * MIB);
  const view = rt.buffer.alloc(2 * MIB, { registered: true });
  t.is(rt.stats().registeredBytes, 2 * MIB);
  t.is(await rt.op.readFixed(fd, view, 0), 2 * MIB);
  t.true(bytes.equals(view));
  t.is(await rt.op.readFixed(fd, view.subarray(5, 105), 1000), 100);
  t.true(bytes.subarray(1000, 1100).equals(view.subarray(5, 105)));
  t.is(await rt.op.writeFixed(fd, view.subarray(5, 105), 0), 100);
  t.true(contents(fd).subarray(0, 100).equals(view.subarray(5, 105)));
  t.is(await rt.op.readFixed(fd, view.subarray(7, 7), 0), 0);
  t.is(await rt.op.read(fd, view, 0), 2 * MIB, 'other operations name it as well');
  const bad = await failure(rt.op.readFixed(0x7ffffff, view, 0));
  t.like(bad, { code: 'EBADF', syscall: 'read' });
});

test.serial('registered memory is let go of with its last handle', async (t) => {
  const gc = collector();
  const rt = await runtime(t);
  const { fd } = file(t, 4096);
  const use = async () => {
    const view = rt.buffer.alloc(4096, { registered: true });
    t.is(await rt.op.readFixed(fd, view, 0), 4096);
  };
  // In all more than the kernel's table has places.
  for (let i = 0; i < 12; i++) {
    for (let k = 0; k < 100; k++) await use();
    await until(() => {
      gc();
      rt.op.nop().begin(); // The counters are those of the last turn.
      return rt.stats().registeredBytes === 0;
    });
  }
  t.is(rt.stats().allocBytes, 0);
});

test.serial('memory of another runtime is refused', async (t) => {
  const [rt, other] = [await runtime(t), await runtime(t)];
  const { fd } = file(t, 4096);
  const wrong = { code: 'ERR_RINGCORE_WRONG_RUNTIME' };
  const view = other.buffer.alloc(4096, { registered: true });
  t.like(await failure(rt.op.read(fd, view, 0)), wrong);
  t.like(await failure(rt.op.writeFixed(fd, view, 0)), wrong);
  const chain = rt.op.link(rt.op.nop(), rt.op.read(fd, view, 0));
  t.like(await failure(chain), wrong);
  t.like(await failure(op.read(fd, view, 0)), wrong);
  t.is(await other.op.read(fd, view, 0), 4096);
});

test.serial('beyond the limit memory is refused at the call', async (t) => {
  const rt = await runtime(t, { memoryLimit: 4 * MIB });
  const { fd } = file(t, 4096);
  const view = rt.buffer.alloc(2 * MIB);
  t.throws(() => rt.buffer.alloc(2 * MIB + 1), { code: 'ERR_RINGCORE_MEMORY' });
  await rt.op.read(fd, new Uint8Array(4096), 0); // A slab of 1 MiB.
  t.is(rt.stats().regionBytes, MIB);
  t.is(rt.buffer.alloc(2 * MIB).length, 2 * MIB, 'free slabs make room');
  t.deepEqual([rt.stats().regionBytes, rt.stats().allocBytes], [0, 4 * MIB]);
  t.like(await failure(rt.op.read(fd, new Uint8Array(4096), 0)), { code: 'ERR_RINGCORE_MEMORY' });
  t.is(await rt.op.read(fd, view, 0), 4096);
});

test.serial('memory that is forgotten in flight is freed after its completion', async (t) => {
  const gc = collector();
  const rt = await runtime(t);
  const pipes = [pipe(t), pipe(t), pipe(t)];
  const start = (fd: number) => {
    const view = rt.buffer.alloc(4096);
    const read = rt.op.read(fd, view);
    read.begin();
    moved(view);
    return read;
  };
  // A function of its own: the registers of this one would keep the last operation.
  const round = async () => {
    const reads = pipes.map(start);
    await settle();
    for (let i = 0; i < 3; i++) {
      gc();
      await settle();
    }
    // Nobody but the operations has it by now.
    t.is(rt.stats().allocBytes, 3 * 4096);
    for (const [index, read] of reads.entries()) {
      writeSync(pipes[index] as number, 'abc');
      // The kernel wrote its 3 bytes; they are of no use to a view that is gone.
      const gone = { code: 'ERR_RINGCORE_BUFFER_DETACHED', bytesRead: 3 };
      if (MOVABLE) t.like(await failure(read), gone);
      else t.is(await read, 3);
    }
  };
  const rounds = many(5);
  for (let i = 0; i < rounds; i++) {
    await round();
    await until(() => {
      gc();
      // The counters are those of the last turn, and nothing else asks for one.
      rt.op.nop().begin();
      return rt.stats().allocBytes === 0;
    });
  }
});

// PAIR: only-typescript -- a Rust buffer cannot be taken away from its operation
test.serial(
  'a view that was detached is refused, one that was transferred stays valid',
  async (t) => {
    const rt = await runtime(t);
    const { fd, bytes } = file(t, 4096);
    const view = rt.buffer.alloc(4096);
    const lazy = rt.op.read(fd, view, 0);
    await rt.op.read(fd, view, 0);
    const other = moved(view);
    if (MOVABLE) {
      t.like(await failure(lazy), { code: 'ERR_RINGCORE_BUFFER_DETACHED' });
      t.throws(() => rt.op.read(fd, view, 0), { code: 'ERR_RINGCORE_BUFFER_DETACHED' });
    } else {
      t.is(await lazy, 4096, 'it was copied');
    }
    await rt.close();
    collector()();
    t.true(bytes.equals(other), 'its memory lives as long as something shows it');
    other.fill(1);
    t.is(other[4095], 1);
  },
);

// PAIR: only-typescript -- Rust's types allow neither of these
test.serial('what is not memory of its kind is an error at the call', async (t) => {
  const rt = await runtime(t);
  const bad = (bytes: unknown, options?: unknown) => () =>
    rt.buffer.alloc(bytes as number, options as AllocOptions);
  for (const bytes of ['1', undefined, null, 1n, {}]) {
    t.throws(bad(bytes), { code: 'ERR_INVALID_ARG_TYPE' }, String(bytes));
  }
  for (const bytes of [-1, Number.NaN, 1.5, 2 ** 32, Number.POSITIVE_INFINITY]) {
    t.throws(bad(bytes), { code: 'ERR_OUT_OF_RANGE' }, String(bytes));
  }
  t.throws(bad(2 ** 30 + 1, { registered: true }), { code: 'ERR_OUT_OF_RANGE' });
  for (const align of [0, 256, 2 ** 22, Number.NaN, 1000.5]) {
    t.throws(bad(1, { align }), { code: 'ERR_OUT_OF_RANGE' }, String(align));
  }
  t.throws(bad(1, { align: 1000 }), { code: 'ERR_INVALID_ARG_VALUE' });
  for (const options of [1, null, { align: '512' }, { registered: 1 }]) {
    t.throws(bad(1, options), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  const wrong = { code: 'ERR_INVALID_ARG_TYPE', message: /registered: true/ };
  for (const view of [new Uint8Array(8), rt.buffer.alloc(8)]) {
    t.throws(() => rt.op.readFixed(0, view, 0), wrong);
    t.throws(() => rt.op.writeFixed(0, view, 0), wrong);
  }
  t.throws(() => rt.op.readFixed(0, 'x' as never), { code: 'ERR_INVALID_ARG_TYPE' });
  t.is(rt.stats().allocBytes, 4096);
});

// PAIR: only-typescript -- Rust has no event loop whose collector frees it
test.serial('memory that was collected is given back', async (t) => {
  const gc = collector();
  const rt = await runtime(t);
  const { fd } = file(t, 4096);
  const rounds = many(10);
  for (let i = 0; i < rounds; i++) {
    const views = Array.from({ length: 20 }, () => rt.buffer.alloc(MIB));
    await Promise.all(views.map((view) => rt.op.read(fd, view, 0)));
    t.true(rt.stats().allocBytes >= 20 * MIB);
    views.length = 0;
    await until(() => {
      gc();
      rt.op.nop().begin();
      return rt.stats().allocBytes === 0;
    });
  }
  // The ids of those were used again and again: none of them is held.
  const view = rt.buffer.alloc(4096);
  t.true((allocationOf(view)?.id as number) < 2 ** 29 + 21);
});

// PAIR: only-typescript -- tests/region.rs shows it in Rust, where nobody keeps free regions
test.serial('free slabs are given back and mapped again', async (t) => {
  const rt = await runtime(t);
  const { fd, bytes } = file(t, MIB);
  const read = () => {
    const view = new Uint8Array(MIB);
    return rt.op.read(fd, view, 0).then(() => t.true(bytes.equals(view)));
  };
  await Promise.all(Array.from({ length: 9 }, read));
  await rt.op.read(fd, new Uint8Array(100), 0);
  const waiting = rt.op.read(pipe(t), new Uint8Array(100));
  const ended = t.throwsAsync(async () => waiting, { name: 'AbortError' });
  await settle();
  const before = rt.stats().regionBytes;
  t.is(before, 12 * MIB + 65_536);
  t.is(rt.buffer.trim(), 12 * MIB, 'all but the slab of the read that waits');
  t.is(rt.stats().regionBytes, 65_536);
  t.is(rt.buffer.trim(), 0);
  await Promise.all(Array.from({ length: 9 }, read));
  t.is(rt.stats().regionBytes, before, 'the same ids again');
  t.is(rt.executor.reactor.ring.regions.held, 1);
  waiting.cancel();
  await ended;
  t.is(rt.buffer.trim(), before);
  await read();
});

// PAIR: only-typescript -- only JavaScript has runtimes without external buffers
test.serial('where external buffers are forbidden memory is ordinary and copied', async (t) => {
  const rt = new Runtime(undefined, (options, wake) => {
    const kernel = Kernel.open(options, wake);
    kernel.alloc = () => ({ id: 2 ** 29 });
    return kernel;
  });
  t.teardown(() => rt.close());
  const { fd, bytes } = file(t, 4096);
  const view = rt.buffer.alloc(4096);
  t.is(await rt.op.read(fd, view, 0), 4096);
  t.true(bytes.equals(view));
  t.true(rt.stats().regionBytes > 0);
});

// PAIR: only-typescript -- the thread's default runtime is JavaScript's
test.serial('the default memory is that of the default runtime', async (t) => {
  const { fd, bytes } = file(t, 4096);
  const view = buffer.alloc(4096);
  t.is(await op.read(fd, view, 0), 4096);
  t.true(bytes.equals(view));
});
