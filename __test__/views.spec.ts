// PAIR: only-typescript views.spec.ts -- Rust futures own their buffers, nobody can detach them
import { closeSync, constants, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import test, { type ExecutionContext } from 'ava';
import { CLASSES, classBytes, classOf, copyOut } from '../src/buffer.ts';
import { AT_FDCWD, File, type Runtime, race } from '../src/index.ts';
import { failure, folder, many, pipe, runtime, settle, until } from './support.ts';

const held = (rt: Runtime) => rt.executor.reactor.ring.regions.held;

/** A file of some bytes, opened for reading and writing. */
function file(t: ExecutionContext, bytes: Uint8Array): number {
  const path = join(folder(t), 'file');
  writeFileSync(path, bytes);
  const fd = openSync(path, 'r+');
  t.teardown(() => closeSync(fd));
  return fd;
}

const counting = (length: number) => Buffer.from(Array.from({ length }, (_, i) => i & 255));

test('a region is the smallest class that holds the length', (t) => {
  const sizes = Array.from({ length: CLASSES }, (_, size) => classBytes(size));
  t.deepEqual(sizes.slice(0, 4), [64, 512, 4096, 8192]);
  t.is(sizes.at(-1), 1_048_576);
  for (const [size, bytes] of sizes.entries()) {
    t.is(classOf(bytes), size);
    if (size + 1 < sizes.length) t.is(classOf(bytes + 1), size + 1);
  }
  t.is(classOf(1), 0);
});

test('what comes out of a region are its first bytes, few or many, and no more', (t) => {
  for (const length of [64, 512, 4096]) {
    const region = counting(length);
    for (const count of [0, 1, 63, 64, 127, 128, 129, 511, 512, 4095, 4096]) {
      if (count > length) continue;
      const target = Buffer.alloc(5000, 0xee);
      copyOut(target, region, count);
      t.deepEqual(target.subarray(0, count), region.subarray(0, count));
      t.true(
        target.subarray(count).every((byte) => byte === 0xee),
        `${count} of ${length}`,
      );
    }
  }
});

test('views of every kind get the right bytes', async (t) => {
  const rt = await runtime(t);
  const source = counting(64);
  const fd = file(t, source);
  const backing = () => new ArrayBuffer(64);
  const shared = new Uint8Array(new SharedArrayBuffer(64), 8, 16);
  const views: ArrayBufferView[] = [
    new Uint8Array(backing(), 8, 16),
    new DataView(backing(), 8, 16),
    new Float64Array(backing(), 8, 2),
    new Int16Array(backing(), 8, 8),
    new BigUint64Array(backing(), 8, 2),
    shared,
  ];
  for (const view of views) {
    t.is(await rt.op.read(fd, view, 4), 16, view.constructor.name);
    const whole = new Uint8Array(view.buffer);
    t.deepEqual(Buffer.from(whole.slice(8, 24)), Buffer.from(source.subarray(4, 20)));
    t.true(
      whole.slice(0, 8).every((byte) => byte === 0),
      'nothing before the view',
    );
    t.true(
      whole.slice(24).every((byte) => byte === 0),
      'nothing behind the view',
    );
    t.is(await rt.op.write(fd, view, 100), 16);
    const back = new Uint8Array(16);
    await rt.op.read(fd, back, 100);
    t.deepEqual(Buffer.from(back), Buffer.from(source.subarray(4, 20)));
  }
  t.is(held(rt), 0);
});

test('an empty view moves nothing', async (t) => {
  const rt = await runtime(t);
  const fd = file(t, counting(8));
  t.is(await rt.op.read(fd, new Uint8Array(0), 0), 0);
  t.is(await rt.op.write(fd, new Uint8Array(0), 0), 0);
  t.is((await failure(rt.op.read(0x7ffffff, new Uint8Array(0), 0))).code, 'EBADF');
});

test('a view whose buffer is detached is a typed error at the call', async (t) => {
  const rt = await runtime(t);
  const fd = file(t, counting(8));
  const before = rt.stats().submitted;
  for (const make of [
    (buffer: ArrayBuffer) => new Uint8Array(buffer),
    (buffer: ArrayBuffer) => new DataView(buffer),
    (buffer: ArrayBuffer) => new Float64Array(buffer),
  ]) {
    const view = make(new ArrayBuffer(8));
    structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
    const code = 'ERR_RINGCORE_BUFFER_DETACHED';
    t.throws(() => void rt.op.read(fd, view, 0), { code });
    t.throws(() => void rt.op.write(fd, view, 0), { code });
    const later = make(new ArrayBuffer(8));
    const [reading, writing] = [rt.op.read(fd, later, 0), rt.op.write(fd, later, 0)];
    structuredClone(later.buffer, { transfer: [later.buffer as ArrayBuffer] });
    t.is((await failure(reading)).code, code, 'detached before the first poll');
    t.is((await failure(writing)).code, code);
  }
  t.is(rt.stats().submitted, before);
});

test('a buffer that is detached in flight gets nothing, and nobody else does', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  for (let i = 0; i < many(100); i++) {
    const buffer = new ArrayBuffer(4096);
    const view = [new Uint8Array(buffer), new DataView(buffer), new Float64Array(buffer)][i % 3];
    const reading = failure(rt.op.read(fd, view as ArrayBufferView));
    await until(() => rt.stats().inFlight === 1);
    structuredClone(buffer, { transfer: [buffer] });
    const spray = Array.from({ length: 64 }, () => new Uint8Array(4096).fill(0x55));
    writeSync(fd, Buffer.alloc(4096, 0xaa));
    const error = (await reading) as NodeJS.ErrnoException & { bytesRead: number };
    t.is(error.code, 'ERR_RINGCORE_BUFFER_DETACHED', error.stack);
    t.is(error.bytesRead, 4096);
    t.true(spray.every((bytes) => bytes.every((byte) => byte === 0x55)));
  }
  t.is(held(rt), 0);
});

test('a buffer that seems to be there still after it was detached gets nothing', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  // What optimized code of Node 20 sees now and then.
  const seeming = () => Object.defineProperty(new Uint8Array(64), 'length', { value: 64 });
  const gone = { code: 'ERR_RINGCORE_BUFFER_DETACHED', bytesRead: 64 };
  const reads: ((view: Uint8Array) => PromiseLike<unknown>)[] = [
    (view) => rt.op.read(fd, view),
    (view) => rt.op.readv(fd, [view]),
    (view) => File.fromFd(openSync(`/proc/self/fd/${fd}`, 'r+')).read(view),
  ];
  for (const read of reads) {
    const view = seeming();
    const reading = failure(read(view));
    await settle();
    structuredClone(view.buffer, { transfer: [view.buffer] });
    t.is(view.length, 64);
    writeSync(fd, counting(64));
    t.like(await reading, gone, String(read));
    t.is(held(rt), 0);
  }
});

test('a buffer that shrinks in flight gets nothing, one that grows gets its bytes', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  type Resizable = ArrayBuffer & { resize(length: number): void };
  const resizable = (length: number, maxByteLength: number) =>
    new (ArrayBuffer as unknown as new (length: number, options: object) => Resizable)(length, {
      maxByteLength,
    });
  for (const to of [0, 8, 15]) {
    for (const kind of [Uint8Array, DataView, Float64Array]) {
      const view = kind as new (buffer: ArrayBuffer) => ArrayBufferView;
      const buffer = resizable(16, 64);
      const reading = failure(rt.op.read(fd, new view(buffer)));
      await until(() => rt.stats().inFlight === 1);
      buffer.resize(to);
      writeSync(fd, counting(16));
      const error = (await reading) as NodeJS.ErrnoException & { bytesRead: number };
      t.is(error.code, 'ERR_RINGCORE_BUFFER_DETACHED', `${view.name} ${to}`);
      t.is(error.bytesRead, 16);
      t.true(new Uint8Array(buffer).every((byte) => byte === 0));
    }
  }
  const buffer = resizable(16, 64);
  const reading = rt.op.read(fd, new Uint8Array(buffer)).then((count) => count);
  await until(() => rt.stats().inFlight === 1);
  buffer.resize(64);
  writeSync(fd, counting(16));
  t.is(await reading, 16);
  t.deepEqual(Buffer.from(new Uint8Array(buffer, 0, 16)), counting(16));
});

test('a slice of the Buffer pool leaves its neighbours untouched', async (t) => {
  const rt = await runtime(t);
  const fd = file(t, counting(64));
  const [before, slice, after] = [0x11, 0x22, 0x33].map((byte) =>
    Buffer.from('x'.repeat(40)).fill(byte),
  );
  t.is(before?.buffer, slice?.buffer as never, 'they share the pool');
  t.is(await rt.op.read(fd, slice as Buffer, 0), 40);
  t.deepEqual(slice, counting(40));
  t.true(before?.every((byte) => byte === 0x11));
  t.true(after?.every((byte) => byte === 0x33));
});

/** The types of Node leave it to a browser's. */
interface Wasm {
  Memory: new (options: {
    initial: number;
    maximum: number;
    shared?: boolean;
  }) => {
    readonly buffer: ArrayBuffer;
    grow(pages: number): number;
  };
}

// PAIR: only-typescript -- WebAssembly's memory is JavaScript's
test('memory of WebAssembly that grows in flight gets nothing, shared memory does', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  const { Memory } = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;
  const memory = new Memory({ initial: 1, maximum: 9 });
  const old = memory.buffer;
  const ended = failure(rt.op.read(fd, new Uint8Array(old, 100, 3)));
  await settle();
  memory.grow(1);
  writeSync(fd, 'abc');
  t.like(await ended, { code: 'ERR_RINGCORE_BUFFER_DETACHED', bytesRead: 3 });
  t.is(old.byteLength, 0);
  t.true(
    new Uint8Array(memory.buffer).every((byte) => byte === 0),
    'nor what took its place',
  );
  // What was begun before has its bytes, what comes later works on the new memory.
  new Uint8Array(memory.buffer).fill(0x61, 0, 3);
  const writing = rt.op.write(fd, new Uint8Array(memory.buffer, 0, 3));
  writing.begin();
  memory.grow(1);
  t.is(await writing, 3);
  const bytes = new Uint8Array(memory.buffer, 0xffff, 3);
  t.is(await rt.op.read(fd, bytes), 3);
  t.is(Buffer.from(bytes).toString(), 'aaa');
  // Shared memory grows where it is: an old view stays valid.
  const shared = new Memory({ initial: 1, maximum: 9, shared: true });
  const view = new Uint8Array(shared.buffer, 100, 3);
  const reading = rt.op.read(fd, view);
  reading.begin();
  await settle();
  shared.grow(1);
  writeSync(fd, 'xyz');
  t.is(await reading, 3);
  t.is(Buffer.from(view).toString(), 'xyz');
});

// PAIR: only-typescript -- Rust lends a buffer to one operation, and to no thread beside it
test('shared memory under a racing worker moves what was written and nothing else', async (t) => {
  const rt = await runtime(t);
  const fd = file(t, new Uint8Array(0));
  const SIZE = 8192;
  const shared = new SharedArrayBuffer(SIZE * 3 + 8);
  const [before, middle, after] = [0, 1, 2].map((i) => new Uint8Array(shared, i * SIZE, SIZE));
  const flags = new Int32Array(shared, SIZE * 3, 2);
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads');
    const middle = new Uint8Array(workerData, ${SIZE}, ${SIZE});
    const flags = new Int32Array(workerData, ${SIZE * 3});
    for (let i = 0; Atomics.load(flags, 0) === 0; i++) {
      middle.fill(i % 2 === 0 ? 0x55 : 0xaa);
      Atomics.add(flags, 1, 1);
    }`,
    { eval: true, workerData: shared },
  );
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  await until(() => Atomics.load(flags, 1) > 2);
  const [line, back] = [new Uint8Array(SIZE).fill(0x33), new Uint8Array(SIZE)];
  for (let round = 0; round < many(200); round++) {
    t.is(await rt.op.write(fd, line, 0), SIZE);
    t.is(await rt.op.read(fd, middle as Uint8Array, 0), SIZE);
    t.is(await rt.op.write(fd, middle as Uint8Array, 0), SIZE);
    t.is(await rt.op.read(fd, back, 0), SIZE);
    const strange = back.find((byte) => byte !== 0x55 && byte !== 0xaa && byte !== 0x33);
    if (strange !== undefined) t.fail(`a byte that nobody has written: ${strange}`);
  }
  Atomics.store(flags, 0, 1);
  t.is(await ended, 0);
  t.true([before, after].every((neighbour) => neighbour?.every((byte) => byte === 0)));
});

test('the bytes of a write are those of its first poll', async (t) => {
  const rt = await runtime(t);
  const fd = file(t, new Uint8Array(0));
  const bytes = Buffer.from('first');
  const writing = rt.op.write(fd, bytes, 0);
  bytes.write('polld');
  const done = new Promise((resolve, reject) => writing.then(resolve, reject));
  bytes.write('after');
  await done;
  t.is(await rt.op.read(fd, bytes, 0), 5);
  t.is(bytes.toString(), 'polld');
});

test('every region comes back after success, error, abort and a lost race', async (t) => {
  const rt = await runtime(t);
  const fd = pipe(t);
  const data = file(t, counting(64));
  const bytes = () => new Uint8Array(100_000);
  await rt.op.read(data, bytes(), 0);
  await rt.op.write(data, bytes(), 0);
  t.is((await failure(rt.op.read(0x7ffffff, bytes()))).code, 'EBADF');
  const controller = new AbortController();
  const aborted = failure(rt.op.read(fd, bytes(), -1, { signal: controller.signal }));
  await until(() => rt.stats().inFlight === 1);
  t.is(held(rt), 1);
  controller.abort();
  t.is((await aborted).code, 'ABORT_ERR');
  const raced = rt.run(function* () {
    return yield* race([rt.op.read(fd, bytes()), rt.op.nop({ result: 1 })]);
  });
  t.is(await raced, 1);
  const task = rt.spawn(function* () {
    yield* rt.op.read(fd, bytes());
  });
  await until(() => held(rt) > 0);
  task.abort();
  t.is((await failure(task)).code, 'ABORT_ERR');
  await until(() => rt.stats().inFlight === 0);
  await settle();
  t.is(held(rt), 0);
});

test('beyond memoryLimit an operation fails and the others go on', async (t) => {
  const rt = await runtime(t, { memoryLimit: 4 * 1_048_576 });
  const fd = pipe(t);
  const controller = new AbortController();
  const { signal } = controller;
  const reads = Array.from({ length: 64 }, () =>
    failure(rt.op.read(fd, new Uint8Array(1_048_576), -1, { signal })),
  );
  const before = rt.stats().submitted;
  const first = await Promise.race(reads);
  t.is(first.code, 'ERR_RINGCORE_MEMORY');
  t.is(await rt.op.nop({ result: 3 }), 3);
  t.true(rt.stats().submitted - before < 64);
  t.true(rt.stats().regionBytes <= 4 * 1_048_576);
  controller.abort();
  const codes = (await Promise.all(reads)).map((error) => error.code);
  t.true(codes.includes('ABORT_ERR'), 'some were in flight');
  t.is(held(rt), 0);
  t.is(await rt.op.read(file(t, counting(8)), new Uint8Array(8), 0), 8, 'there is room again');
});

test('a transfer of more than one mebibyte is short', async (t) => {
  const rt = await runtime(t);
  const long = Buffer.alloc(1_500_000, 'abcdefg');
  const fd = file(t, long);
  const bytes = Buffer.alloc(1_500_000);
  t.is(await rt.op.read(fd, bytes, 0), 1_048_576);
  t.true(bytes.subarray(0, 1_048_576).equals(long.subarray(0, 1_048_576)));
  t.true(bytes.subarray(1_048_576).every((byte) => byte === 0));
  t.is(await rt.op.write(fd, long, 0), 1_048_576);
});

test('a direct read works with an ordinary Buffer', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'direct');
  writeFileSync(path, counting(16_384));
  const fd = await rt.op.openat(AT_FDCWD, path, constants.O_RDWR | constants.O_DIRECT);
  t.teardown(() => closeSync(fd));
  for (const length of [512, 4096, 8192]) {
    const bytes = Buffer.alloc(length + 1).subarray(1); // Nothing here is aligned.
    t.is(await rt.op.read(fd, bytes, 4096), length, `${length}`);
    t.deepEqual(bytes, counting(16_384).subarray(4096, 4096 + length));
  }
  t.is((await failure(rt.op.read(fd, Buffer.alloc(4096), 1))).code, 'EINVAL');
  t.is(await rt.op.write(fd, Buffer.alloc(4096, 'z'), 8192), 4096);
  t.is(readFileSync(path).toString('latin1', 8190, 8194), '\xfe\xffzz');
});

test('what has been read is copied out in several iterations of the event loop', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'file');
  writeFileSync(path, Buffer.alloc(64 << 20, 7));
  const fd = openSync(path, 'r');
  t.teardown(() => closeSync(fd));
  const iterations = new Set<number>();
  let iteration = 0;
  const chain = () => {
    iteration++;
    next = setImmediate(chain);
  };
  let next = setImmediate(chain);
  const reads = Array.from({ length: 64 }, async (_, i) => {
    const buffer = new Uint8Array(1 << 20);
    t.is(await rt.op.read(fd, buffer, i << 20), 1 << 20);
    t.is(buffer[12_345], 7);
    iterations.add(iteration);
  });
  // All of them are read by io-wq while nobody can take them.
  await null;
  await null;
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
  await Promise.all(reads);
  clearImmediate(next);
  // 64 MiB take tens of milliseconds to copy; an iteration's budget is half of one.
  t.true(iterations.size > 2, `${iterations.size}`);
});
