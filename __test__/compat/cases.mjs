// Cases of the smoke set that live in one process and end as any program does.

import assert from 'node:assert/strict';
import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import { constants, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as wait } from 'node:timers/promises';
import * as ringcore from '../../dist/index.js';
import { bigFile, descriptors, fifo, folder, threadCounts, until } from '../lifecycle/common.mjs';

const { AT_FDCWD, Runtime, all, fromPromise, future, op, probe, race, run, sleep, spawn, timeout } =
  ringcore;
const nothing = () => {};
const { bun, deno } = process.versions;

/** The error of a promise or future. */
async function failure(outcome) {
  try {
    await outcome;
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

/** A case: what it runs, and how its process is to end. */
const one = (run, expected = {}) => ({ run, ...expected });

export const importIsSilent = one(async () => {
  // The threads of a runtime's own pool are Node's alone to keep still.
  const others = bun || deno ? { others: null } : {};
  const inside = () => ({ fds: descriptors().size, ...threadCounts(), ...others });
  const before = inside();
  // Second copies of the modules, since the first ones are there already.
  const dist = new URL('../../dist/', import.meta.url);
  const chunks = readdirSync(dist).filter((name) => /^chunk-[\w-]+\.js$/.test(name));
  const copies = await Promise.all(chunks.map((name) => import(`../../dist/${name}?again`)));
  assert.deepEqual(inside(), before);
  assert.ok(!readFileSync('/proc/self/maps', 'utf8').includes('ringcore.linux'));
  const runtimes = copies.map((copy) => copy.Runtime).filter((copy) => copy !== undefined);
  assert.equal(runtimes.length, 1);
  assert.notEqual(runtimes[0], Runtime);
});

export const require = one(
  async () => {
    const required = createRequire(import.meta.url)('../../dist/index.js');
    assert.equal(await required.op.nop(), 0);
    assert.equal(await required.run(async () => 7), 7);
  },
  // Node before 22.13 says that require() of a module is an experiment.
  { stderr: /^(\(node:.*Warning:[\s\S]*)?$/ },
);

export const probeFindsTheRing = one(async () => {
  const found = probe();
  assert.deepEqual([found.available, found.reason, found.backend], [true, null, 'io_uring']);
  assert.ok(found.ops.read && found.flags.length > 0 && found.kernel.length > 0);
});

export const generatorTasks = one(async () => {
  const nested = function* (depth) {
    if (depth === 0) return yield* op.nop({ result: 5 });
    return 1 + (yield* nested(depth - 1));
  };
  assert.equal(await run(() => nested(10)), 15);
  assert.equal(await run(nested(3)), 8);
  const handles = Array.from({ length: 100 }, (_, i) =>
    spawn(function* () {
      for (let j = 0; j < 10; j++) yield* op.nop();
      yield* sleep(1);
      return i;
    }),
  );
  let sum = 0;
  for (const handle of handles) sum += await handle;
  assert.equal(sum, 4950);
});

export const finallyBlocksMayWait = one(async () => {
  const seen = [];
  const handle = spawn(function* () {
    try {
      yield* sleep(10_000);
    } finally {
      seen.push('finally');
      yield* sleep(1);
      seen.push('waited');
    }
  });
  await wait(5);
  handle.abort();
  assert.equal((await failure(handle)).code, 'ABORT_ERR');
  assert.deepEqual(seen, ['finally', 'waited']);
});

export const asyncTasks = one(async () => {
  const file = `${folder()}/a`;
  writeFileSync(file, 'hello');
  const text = await run(async () => {
    const fd = await op.openat(AT_FDCWD, file, 0);
    const buffer = new Uint8Array(10);
    const count = await op.read(fd, buffer, 0);
    await op.close(fd);
    return Buffer.from(buffer.subarray(0, count)).toString();
  });
  assert.equal(text, 'hello');
  let seen = null;
  const handle = spawn(async (signal) => {
    seen = signal;
    await op.timeout(10_000, { signal });
  });
  await wait(5);
  handle.abort();
  assert.equal((await failure(handle)).name, 'AbortError');
  assert.ok(seen.aborted);
});

export const promisesAndFutures = one(async () => {
  const value = await run(function* () {
    return yield* fromPromise(Promise.resolve(3));
  });
  assert.equal(value, 3);
  const shared = future(function* () {
    yield* sleep(1);
    return 4;
  });
  assert.deepEqual([await shared, await shared], [4, 4]);
  assert.deepEqual(await all([op.nop({ result: 1 }), sleep(1).then(() => 2)]), [1, 2]);
  assert.equal(await race([sleep(10_000), op.nop({ result: 9 })]), 9);
  assert.equal((await failure(timeout(sleep(10_000), 5))).code, 'ETIMEDOUT');
  assert.ok((await failure(timeout(sleep(10_000), 5))) instanceof ringcore.TimeoutError);
});

export const misuseIsNamed = one(async () => {
  const bad = [
    function* () {
      yield op.nop();
    },
    function* () {
      return [...op.nop()];
    },
    function* () {
      const [first] = op.nop();
      return first;
    },
    function* () {
      yield Promise.resolve(1);
    },
    function* () {
      yield;
    },
  ];
  for (const task of bad) assert.equal((await failure(run(task))).code, 'ERR_RINGCORE_MISUSE');
  assert.throws(() => [...op.nop()], { code: 'ERR_RINGCORE_MISUSE' });
});

export const filesByteForByte = one(async () => {
  const path = `${folder()}/file`;
  const { O_CREAT, O_RDWR } = constants;
  const fd = await op.openat(AT_FDCWD, path, O_CREAT | O_RDWR, 0o600);
  const bytes = new Uint8Array(3 << 20).map((_, i) => (i * 7) & 255);
  for (let at = 0; at < bytes.length; ) at += await op.write(fd, bytes.subarray(at), at);
  assert.ok(Buffer.from(bytes).equals(readFileSync(path)));
  const back = new Uint8Array(bytes.length);
  for (let at = 0; at < back.length; ) at += await op.read(fd, back.subarray(at), at);
  assert.ok(Buffer.from(bytes).equals(back));
  assert.equal(await op.read(fd, new Uint8Array(8), bytes.length), 0);
  // The file position: it moves.
  const small = new Uint8Array(4);
  assert.deepEqual([await op.read(fd, small), await op.read(fd, small)], [4, 4]);
  assert.equal(small[0], 28);
  assert.equal(await op.close(fd), undefined);
});

export const manyReadsAtOnce = one(async () => {
  const file = openSync(bigFile(`${folder()}/big`, 16), 'r');
  const rt = new Runtime({ entries: 8 });
  const buffers = Array.from({ length: 2000 }, () => new Uint8Array(512));
  const counts = await Promise.all(
    buffers.map((buffer, i) => rt.op.read(file, buffer, (i % 16) << 20)),
  );
  assert.ok(counts.every((count) => count === 512));
  for (const [i, buffer] of buffers.entries()) {
    assert.ok(buffer.every((byte) => byte === (i % 16) + 1));
  }
  const large = Array.from({ length: 16 }, () => new Uint8Array(1 << 20));
  await Promise.all(large.map((buffer, i) => rt.op.read(file, buffer, i << 20)));
  for (const [i, buffer] of large.entries()) assert.ok(buffer.every((byte) => byte === i + 1));
  await rt.close();
});

export const aPipeWakesTheLoop = one(async () => {
  const rt = new Runtime();
  const pipe = fifo(`${folder()}/fifo`, 0);
  await until(() => rt.wake === 'ok' || rt.op.nop().then(() => false));
  for (let i = 0; i < 20; i++) {
    const buffer = new Uint8Array(4);
    const read = rt.op.read(pipe, buffer);
    const before = rt.stats().wakes;
    setTimeout(() => writeSync(pipe, 'abc'), 2);
    assert.equal(await read, 3);
    assert.equal(Buffer.from(buffer.subarray(0, 3)).toString(), 'abc');
    // Nobody turned the ring meanwhile: only the parker can have said so.
    assert.ok(rt.stats().wakes > before);
  }
  assert.equal(await timeout(rt.op.pollAdd(pipe, 4), 5000), 4);
  await rt.close();
});

export const sleepWakes = one(async () => {
  const rt = new Runtime();
  const start = performance.now();
  for (let i = 0; i < 5; i++) await rt.op.timeout(20);
  assert.ok(performance.now() - start >= 99);
  assert.ok(await until(() => rt.wake === 'ok'));
  assert.ok(rt.stats().wakes > 0);
  await rt.close();
});

export const errorsHaveCodes = one(async () => {
  const missing = await failure(op.openat(AT_FDCWD, '/does/not/exist', 0));
  const { code, errno, syscall, path } = missing;
  assert.deepEqual(
    { code, errno, syscall, path },
    { code: 'ENOENT', errno: -2, syscall: 'open', path: '/does/not/exist' },
  );
  assert.match(missing.message, /^ENOENT: no such file or directory, open '\/does\/not\/exist'$/);
  assert.equal((await failure(op.read(12345, new Uint8Array(1)))).code, 'EBADF');
  assert.throws(() => op.read('0', new Uint8Array(1)), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => op.read(-2, new Uint8Array(1)), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => new Runtime({ entries: 0 }), { code: 'ERR_OUT_OF_RANGE' });
});

export const failuresAreTyped = one(async () => {
  const pipe = fifo(`${folder()}/fifo`, 0);
  const buffer = new Uint8Array(8);
  const read = op.read(pipe, buffer);
  read.then(nothing, nothing);
  await op.nop();
  structuredClone(buffer.buffer, { transfer: [buffer.buffer] });
  writeSync(pipe, 'abc');
  const detached = await failure(read);
  assert.equal(detached.code, 'ERR_RINGCORE_BUFFER_DETACHED');
  assert.equal(detached.bytesRead, 3);
  const small = new Runtime({ memoryLimit: 1 << 16 });
  const full = await failure(
    (async () => {
      const reads = Array.from({ length: 64 }, () => small.op.read(pipe, new Uint8Array(65536)));
      for (const one of reads) one.then(nothing, nothing);
      return Promise.all(reads);
    })(),
  );
  assert.equal(full.code, 'ERR_RINGCORE_MEMORY');
  await small.close();
});

export const abortBySignal = one(async () => {
  const pipe = fifo(`${folder()}/fifo`, 0);
  const controller = new AbortController();
  const { signal } = controller;
  const reads = Array.from({ length: 10 }, () => op.read(pipe, new Uint8Array(4), -1, { signal }));
  const outcomes = Promise.all(reads.map((read) => failure(read)));
  await op.nop();
  const why = new Error('why');
  controller.abort(why);
  for (const error of await outcomes) {
    assert.deepEqual([error.name, error.code], ['AbortError', 'ABORT_ERR']);
    assert.equal(error.cause, why);
  }
  assert.equal((await failure(op.read(pipe, new Uint8Array(4), -1, { signal }))).code, 'ABORT_ERR');
  // What was cancelled takes nothing from the pipe.
  writeSync(pipe, 'xyz');
  assert.equal(await op.read(pipe, new Uint8Array(4)), 3);
});

export const asyncLocalStorage = one(async () => {
  const storage = new AsyncLocalStorage();
  const check = (name) => assert.equal(storage.getStore(), name);
  const generator = (name) =>
    storage.run(name, () =>
      spawn(function* () {
        for (let i = 0; i < 20; i++) {
          check(name);
          yield* i % 3 === 0 ? sleep(1) : op.nop();
        }
        check(name);
        return name;
      }),
    );
  const asynchronous = (name) =>
    storage.run(name, () =>
      run(async () => {
        for (let i = 0; i < 20; i++) {
          check(name);
          await (i % 3 === 0 ? op.timeout(1) : op.nop());
        }
        check(name);
        return name;
      }),
    );
  const names = Array.from({ length: 10 }, (_, i) => [generator(`g${i}`), asynchronous(`a${i}`)]);
  const found = await Promise.all(names.flat());
  assert.equal(found.length, 20);
  assert.equal(storage.getStore(), undefined);
});

export const tasksAreAsyncResources = one(
  async () => {
    const types = [];
    const hook = createHook({ init: (_id, type) => types.push(type) }).enable();
    await run(function* () {
      yield* op.nop();
    });
    hook.disable();
    assert.ok(types.includes('RINGCORE_TASK'));
  },
  { skip: { bun: 'Bun calls no hook of async_hooks.createHook' } },
);

export const timersRunBesideTheRing = one(async () => {
  const file = openSync(bigFile(`${folder()}/data`, 1), 'r');
  let [ticks, immediates, stop] = [0, 0, false];
  const interval = setInterval(() => ticks++, 1);
  const immediate = () => {
    immediates++;
    if (!stop) setImmediate(immediate);
  };
  setImmediate(immediate);
  const busy = Array.from({ length: 64 }, async () => {
    const buffer = new Uint8Array(4096);
    while (!stop) await op.read(file, buffer, 0);
  });
  // Starved, there would be none or a few: the ring is busy until somebody stops it.
  const ran = await until(() => ticks >= 20 && immediates >= 20);
  stop = true;
  clearInterval(interval);
  await Promise.all(busy);
  assert.ok(ran, `${ticks} ticks, ${immediates} immediates`);
});

export const tenRings = one(async () => {
  const pipe = fifo(`${folder()}/fifo`, 0);
  const before = descriptors().size;
  const rings = Array.from({ length: 10 }, (_, i) => new Runtime({ entries: 1 << i }));
  const work = rings.map(async (rt, i) => {
    for (let j = 0; j < 50; j++) assert.equal(await rt.op.nop({ result: i }), i);
    return rt.run(function* () {
      yield* rt.op.timeout(2);
      return i;
    });
  });
  assert.deepEqual(await Promise.all(work), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const waiting = rings.map((rt) => failure(rt.op.read(pipe, new Uint8Array(1))));
  await Promise.all(rings.map((rt) => rt.op.nop()));
  await Promise.all(rings.map((rt) => rt.close()));
  for (const error of await Promise.all(waiting)) assert.equal(error.code, 'ERR_RINGCORE_CLOSED');
  assert.ok(await until(() => threadCounts().parkers === 0));
  assert.ok(await until(() => descriptors().size <= before));
});

export const closeAndAnew = one(async () => {
  await op.nop();
  const rt = new Runtime();
  const task = rt.spawn(function* () {
    yield* rt.op.timeout(10_000);
  });
  const pending = failure(rt.op.timeout(10_000));
  await rt.op.nop();
  const closed = rt.close();
  assert.equal((await failure(task)).code, 'ABORT_ERR');
  assert.equal((await pending).code, 'ERR_RINGCORE_CLOSED');
  await closed;
  assert.equal((await failure(rt.op.nop())).code, 'ERR_RINGCORE_CLOSED');
  assert.throws(() => rt.spawn(function* () {}), { code: 'ERR_RINGCORE_CLOSED' });
  assert.ok(rt.stats().completed > 0);
  await rt.close();
  assert.equal(await run(() => op.nop({ result: 2 })), 2);
  await rt[Symbol.asyncDispose]?.();
});

export const forgottenBuffersLand = one(async () => {
  const path = folder();
  const pipe = fifo(`${path}/fifo`, 0);
  const file = openSync(bigFile(`${path}/data`, 8), 'r');
  for (let round = 0; round < 20; round++) {
    const reads = Array.from({ length: 8 }, (_, i) => {
      const buffer = new Uint8Array(1 << 18);
      return op.read(file, buffer, i << 20).then((count) => {
        assert.equal(count, 1 << 18);
        assert.ok(buffer.every((byte) => byte === i + 1));
      });
    });
    const small = op.read(pipe, new Uint8Array(16)).then((count) => assert.equal(count, 5));
    // Enough garbage for a collection or two.
    for (let i = 0; i < 50; i++) new Uint8Array(1 << 16).fill(0xee);
    writeSync(pipe, 'bytes');
    await Promise.all([...reads, small]);
  }
});

export const aFailureNobodyTakesIsReported = one(async () => {
  const seen = [];
  process.on('unhandledRejection', (error) => seen.push(error.code ?? error.message));
  op.read(12345, new Uint8Array(1)).then();
  spawn(function* () {
    yield* op.nop();
    throw new Error('of a task');
  });
  // The end of what was aborted is no failure.
  const aborted = spawn(function* () {
    yield* sleep(10_000);
  });
  await op.nop();
  aborted.abort();
  await wait(50);
  assert.deepEqual(seen.sort(), ['EBADF', 'of a task']);
});
