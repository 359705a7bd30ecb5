// PAIR: only-typescript fs-now.spec.ts -- in Rust an operation's bytes are its caller's
//
// Cached reads on this thread, straight into the caller's bytes; all others take the ring.

import {
  closeSync,
  constants,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import test, { type ExecutionContext } from 'ava';
import { native } from '../src/binding.ts';
import type { Done } from '../src/fs/quick.ts';
import * as callbacks from '../src/node/fs.ts';
import { open, readFile } from '../src/node/fs-promises.ts';
import { current, Runtime } from '../src/runtime.ts';
import { descriptors, failure, folder, many, pipe, runtime, until } from './support.ts';

const KIB = 1024;
const MIB = 1 << 20;
const EFAULT = -14;
const EOPNOTSUPP = -95;
const POSIX_FADV_DONTNEED = 4;

function leadsTo(fd: string, path: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === path;
  } catch {
    return false; // The one that lists them.
  }
}

const TOO_LARGE = 'File size (2147483648) is greater than 2 GiB';

/** Bytes that say where they belong. */
function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i + (i >> 8) * 7 + (i >> 16) * 13 + seed) & 255;
  return bytes;
}

function made(t: ExecutionContext, bytes: Uint8Array): string {
  const path = join(folder(t), 'file');
  writeFileSync(path, bytes);
  return path;
}

const submitted = () => current().stats().submitted;

/** Whether files of this folder can be read so: some file systems cannot. */
function cached(path: string): boolean {
  const fd = openSync(path, 'r');
  try {
    return native().readNow(fd, new Uint8Array(1), 0, 1, 0) === 1;
  } finally {
    closeSync(fd);
  }
}

/** Whole files are read so after one that was large. */
async function afterLarge(t: ExecutionContext): Promise<void> {
  const path = made(t, pattern(80 * KIB));
  await readFile(path);
  await readFile(path);
}

const SIZES = [0, 1, 4 * KIB, 16 * KIB, 64 * KIB, 68 * KIB, 256 * KIB, MIB, 4 * MIB]
  .flatMap((size) => [size - 1, size, size + 1])
  .filter((size) => size >= 0);

test.serial('whole files of every size are what they hold, alone and together', async (t) => {
  await afterLarge(t);
  const files = SIZES.map((size) => ({ path: made(t, pattern(size, size)), size }));
  for (const { path, size } of files) {
    const bytes = await readFile(path);
    t.true(bytes.equals(pattern(size, size)), `${size}`);
    t.is(bytes.buffer.byteLength, size, 'exact, and nobody else’s');
  }
  const all = await Promise.all(files.map(({ path }) => readFile(path)));
  for (const [i, { size }] of files.entries()) {
    t.true((all[i] as Buffer).equals(pattern(size, size)), `${size} together`);
  }
});

test.serial('a file of a large size may be without an end, or end before it', async (t) => {
  await afterLarge(t);
  for (const path of ['/proc/self/status', '/sys/kernel/mm/transparent_hugepage/enabled']) {
    let there: Buffer;
    try {
      there = readFileSync(path);
    } catch {
      continue; // Not every container shows it.
    }
    const found = await readFile(path);
    t.is(found.toString().split('\n')[0], there.toString().split('\n')[0]);
    t.is(found.length > 0, there.length > 0);
  }
  const path = made(t, pattern(3 * MIB));
  const reading = Array.from({ length: 20 }, () => readFile(path));
  truncateSync(path, MIB + 5);
  for (const bytes of await Promise.all(reading)) {
    t.true(bytes.length >= MIB + 5 && bytes.length <= 3 * MIB);
    t.true(bytes.subarray(0, MIB + 5).equals(pattern(MIB + 5)));
  }
});

test.serial(
  'results are ordinary memory: transferred, they are gone here and whole there',
  async (t) => {
    await afterLarge(t);
    const path = made(t, pattern(5 * MIB));
    const bytes = await readFile(path);
    const moved = structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
    t.is(bytes.length, 0);
    t.true(Buffer.from(moved).equals(pattern(5 * MIB)));
  },
);

test.serial('what was read before is not touched by what is read later', async (t) => {
  await afterLarge(t);
  const paths = [1, 2, 3].map((seed) => made(t, pattern(300 * KIB, seed)));
  const kept: Buffer[] = [];
  for (let i = 0; i < many(60); i++) kept.push(await readFile(paths[i % 3] as string));
  for (const [i, bytes] of kept.entries()) {
    if (!bytes.equals(pattern(300 * KIB, (i % 3) + 1))) t.fail(`result ${i}`);
  }
  t.is(kept.length, many(60));
});

test.serial('reads of a handle: at the cursor in order, at places, to the end', async (t) => {
  const whole = pattern(4 * MIB + 77);
  const path = made(t, whole);
  const handle = await open(path);
  const sizes = [16 * KIB, 32 * KIB - 1, 32 * KIB, 64 * KIB, 256 * KIB + 1, MIB, MIB + 1];
  let at = 0;
  for (const size of sizes) {
    const room = Buffer.alloc(size + 8, 255);
    const { bytesRead, buffer } = await handle.read(room, 4, size, null);
    t.is(buffer, room);
    t.is(bytesRead, size);
    t.true(room.subarray(4, 4 + size).equals(whole.subarray(at, at + size)), `${size} at ${at}`);
    t.true(room.subarray(0, 4).every((byte) => byte === 255));
    t.true(room.subarray(4 + size).every((byte) => byte === 255));
    at += size;
  }
  const rest = Buffer.alloc(MIB);
  t.is((await handle.read(rest)).bytesRead, MIB);
  at += MIB;
  t.is((await handle.read(rest)).bytesRead, whole.length - at);
  t.true(rest.subarray(0, whole.length - at).equals(whole.subarray(at)));
  t.is((await handle.read(rest)).bytesRead, 0);
  // A place leaves the cursor where it was.
  t.is((await handle.read(rest, 0, MIB, 5)).bytesRead, MIB);
  t.true(rest.equals(whole.subarray(5, 5 + MIB)));
  t.is((await handle.read(rest)).bytesRead, 0);
  const words = new Uint16Array(32 * KIB);
  t.is((await handle.read(words, 0, 64 * KIB, 2)).bytesRead, 64 * KIB);
  t.true(Buffer.from(words.buffer).equals(whole.subarray(2, 2 + 64 * KIB)));
  await handle.close();
});

test.serial('reads at the cursor that nobody awaited come in their order', async (t) => {
  const whole = pattern(4 * MIB);
  const handle = await open(made(t, whole));
  const rooms = Array.from({ length: 64 }, () => Buffer.alloc(64 * KIB));
  const reads = rooms.map((room) => handle.read(room, 0, room.length, null));
  await handle.close();
  t.true((await Promise.all(reads)).every(({ bytesRead }) => bytesRead === 64 * KIB));
  t.true(Buffer.concat(rooms).equals(whole));
});

test.serial('cached reads are no operations of the ring, small ones are', async (t) => {
  const path = made(t, pattern(MIB));
  const handle = await open(path);
  const room = Buffer.alloc(MIB);
  await handle.read(room, 0, MIB, 0);
  const before = submitted();
  await handle.read(room, 0, 64 * KIB, 0);
  t.is(submitted() === before, cached(path));
  await handle.read(room, 0, 4 * KIB, 0);
  t.true(submitted() > before);
  await handle.close();
});

test.serial('what is not in memory, or in part, is read all the same', async (t) => {
  const whole = pattern(2 * MIB);
  const path = made(t, whole);
  const fd = openSync(path, 'r+');
  fsyncSync(fd);
  const handle = await open(path);
  const forget = (from: number) =>
    current().op.fadvise(fd, from, 0, POSIX_FADV_DONTNEED) as PromiseLike<unknown>;
  for (const from of [0, 100 * KIB, 700 * KIB]) {
    await forget(from);
    const room = Buffer.alloc(MIB);
    t.is((await handle.read(room, 0, MIB, 0)).bytesRead, MIB);
    t.true(room.equals(whole.subarray(0, MIB)), `a place, from ${from}`);
  }
  for (const from of [0, MIB + 100 * KIB]) {
    await forget(from);
    const room = Buffer.alloc(MIB);
    t.is((await handle.read(room, 0, MIB, null)).bytesRead, MIB);
    const at = from === 0 ? 0 : MIB;
    t.true(room.equals(whole.subarray(at, at + MIB)), `the cursor, from ${from}`);
  }
  await afterLarge(t);
  for (const from of [0, 900 * KIB]) {
    await forget(from);
    t.true((await readFile(path)).equals(whole), `the whole file, from ${from}`);
  }
  await handle.close();
  closeSync(fd);
});

test.serial('the event loop turns while many large reads are made', async (t) => {
  const path = made(t, pattern(MIB));
  const handle = await open(path);
  let turns = 0;
  let ended = false;
  const counting = (async () => {
    while (!ended) {
      await immediate();
      turns++;
    }
  })();
  const room = Buffer.alloc(MIB);
  for (let i = 0; i < 100; i++) await handle.read(room, 0, MIB, 0);
  await Promise.all(Array.from({ length: 100 }, () => handle.read(room, 0, MIB, 0)));
  const between = turns;
  await afterLarge(t);
  await Promise.all(Array.from({ length: 100 }, () => readFile(path)));
  ended = true;
  await counting;
  await handle.close();
  // 200 MiB take 10 ms at the least, half a millisecond an iteration.
  t.true(between >= 5 && turns >= between + 3, `${between} and ${turns} iterations`);
});

test.serial(
  'a buffer that is gone when its turn comes is an error, the others are read',
  async (t) => {
    const whole = pattern(256 * KIB);
    const handle = await open(made(t, whole));
    const rooms = Array.from({ length: 200 }, () => Buffer.alloc(256 * KIB));
    const reads = rooms.map((room) => handle.read(room, 0, room.length, 0));
    const gone = new Uint8Array(256 * KIB);
    const outcome = failure(handle.read(gone, 0, gone.length, 0));
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    t.truthy((await outcome).code);
    const view = new DataView(new ArrayBuffer(256 * KIB));
    const before = handle.read(Buffer.alloc(64), 0, 64);
    const behind = failure(handle.read(view as never, 0, view.byteLength));
    structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
    t.is((await behind).code, 'ERR_RINGCORE_BUFFER_DETACHED');
    t.is((await before).bytesRead, 64);
    t.true((await Promise.all(reads)).every(({ bytesRead }) => bytesRead === 256 * KIB));
    t.true(rooms.every((room) => room.equals(whole)));
    await handle.close();
  },
);

test.serial('a large file that waits for its iteration ends with its signal', async (t) => {
  const path = made(t, pattern(MIB));
  await readFile(path); // Large ones come.
  for (let iterations = 0; iterations < 8; iterations++) {
    const others = Array.from({ length: 100 }, () => readFile(path));
    const aborter = new AbortController();
    const outcome = readFile(path, { signal: aborter.signal }).then(
      ({ length }) => length,
      ({ code }) => code,
    );
    for (let i = 0; i < iterations; i++) await immediate();
    aborter.abort();
    // It may be read by then, but not before the first iteration.
    const ends = iterations === 0 ? ['ABORT_ERR'] : ['ABORT_ERR', MIB];
    t.true(ends.includes(await outcome), `${iterations}`);
    t.true((await Promise.all(others)).every(({ length }) => length === MIB));
  }
});

test.serial('callbacks at a cursor keep their order when one fails', async (t) => {
  const fd = openSync(made(t, pattern(MIB)), 'r');
  t.teardown(() => closeSync(fd));
  const ends: unknown[] = [];
  const gone = Buffer.alloc(64 * KIB);
  await new Promise<void>((resolve) => {
    for (let i = 0; i < 200; i++)
      callbacks.read(fd, Buffer.alloc(64 * KIB), 0, 64 * KIB, 0, () => {});
    callbacks.read(fd, gone, 0, 64 * KIB, null, (error) => ends.push(error?.code));
    callbacks.read(fd, Buffer.alloc(64 * KIB), 0, 64 * KIB, null, (error, count) => {
      ends.push(error ?? count);
      resolve();
    });
    structuredClone(gone.buffer, { transfer: [gone.buffer as ArrayBuffer] });
  });
  t.deepEqual(ends, ['ERR_RINGCORE_BUFFER_DETACHED', 64 * KIB]);
});

test.serial(
  'a result that finds no memory is a rejection, at once or in a later iteration',
  async (t) => {
    const path = made(t, pattern(100));
    await readFile(path);
    const { allocUnsafeSlow } = Buffer;
    t.teardown(() => {
      Buffer.allocUnsafeSlow = allocUnsafeSlow;
    });
    Buffer.allocUnsafeSlow = () => {
      throw new RangeError('no memory');
    };
    const reads = Array.from({ length: 2000 }, () =>
      readFile(path).catch((error) => error.message),
    );
    t.deepEqual(new Set(await Promise.all(reads)), new Set(['no memory']));
    Buffer.allocUnsafeSlow = allocUnsafeSlow;
    t.is((await readFile(path)).length, 100);
  },
);

test.serial(
  'a read of several steps that is begun around the end of its runtime fails',
  async (t) => {
    for (const first of [true, false]) {
      const rt = new Runtime();
      const file = await rt.File.open(made(t, pattern(100)));
      const read = file.readToEnd();
      const begun = first ? failure(read) : null;
      const closed = rt.close();
      t.is((await (begun ?? failure(read))).code, 'ERR_RINGCORE_CLOSED');
      await closed;
    }
  },
);

test.serial('a runtime that ends fails the reads that wait for their iteration', async (t) => {
  const rt = await runtime(t);
  const file = await rt.File.open(made(t, pattern(MIB)));
  const read = () =>
    new Promise<unknown>((moved, failed) => {
      file.move(true, new Uint8Array(MIB), 0, { moved, failed } as Done);
    }).catch((error) => error.code);
  const first = read();
  // Whatever this machine can read until then, and whether it is in memory.
  while (rt.executor.affords) rt.executor.spend(100);
  const { submitted } = rt.stats();
  const late = [read(), read()];
  t.is(rt.stats().submitted, submitted);
  await rt.close();
  t.deepEqual(await Promise.all(late), ['ERR_RINGCORE_CLOSED', 'ERR_RINGCORE_CLOSED']);
  t.true([MIB, 'ERR_RINGCORE_CLOSED'].includes((await first) as number));
});

test.serial('fs.read of a large part: positions, the cursor, the end', async (t) => {
  const whole = pattern(2 * MIB + 3);
  const fd = openSync(made(t, whole), 'r');
  const read = (length: number, position: number | bigint | null) =>
    new Promise<Buffer>((resolve, reject) => {
      const room = Buffer.alloc(length);
      callbacks.read(fd, room, 0, length, position as number, (error, count) =>
        error ? reject(error) : resolve(room.subarray(0, count)),
      );
    });
  t.true((await read(64 * KIB, null)).equals(whole.subarray(0, 64 * KIB)));
  t.true((await read(MIB, 7)).equals(whole.subarray(7, 7 + MIB)));
  t.true((await read(MIB, 7n)).equals(whole.subarray(7, 7 + MIB)));
  t.true((await read(2 * MIB, null)).equals(whole.subarray(64 * KIB)));
  t.is((await read(MIB, null)).length, 0);
  t.true((await read(4 * MIB, 0)).equals(whole));
  closeSync(fd);
});

test.serial('streams bring the file, whatever their chunks are', async (t) => {
  const whole = pattern(5 * MIB + 11);
  const path = made(t, whole);
  for (const highWaterMark of [64 * KIB, 300 * KIB, MIB, 3 * MIB]) {
    const chunks: Buffer[] = [];
    const stream = callbacks.createReadStream(path, { highWaterMark, start: 3, end: 5 * MIB });
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    t.true(Buffer.concat(chunks).equals(whole.subarray(3, 5 * MIB + 1)), `${highWaterMark}`);
    t.is(stream.bytesRead, 5 * MIB - 2);
  }
});

test.serial('only what cannot wait is read so', (t) => {
  const path = made(t, pattern(8 * KIB));
  const { kindNow, readNow, sizeNow } = native();
  const { S_IFDIR, S_IFIFO, S_IFREG } = constants;
  const fd = openSync(path, 'r');
  const room = new Uint8Array(4 * KIB);
  t.is(readNow(fd, room, 0, 4 * KIB + 1, 0), EFAULT, 'beyond the view');
  t.is(readNow(fd, room, 4 * KIB, 1, 0), EFAULT);
  t.is(readNow(fd, room, 0xffff_ffff, 0xffff_ffff, 0), EFAULT);
  t.is(readNow(fd, new Uint16Array(64) as never, 0, 64, 0), EFAULT);
  t.is(readNow(fd, {} as never, 0, 1, 0), EFAULT);
  const gone = new Uint8Array(64);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  t.is(readNow(fd, gone, 0, 64, 0), EFAULT);
  t.is(sizeNow(fd), 8 * KIB);
  t.is(kindNow(fd), S_IFREG);
  t.true(readNow(fd, room.subarray(1, 3), 1, 1, 5) !== EFAULT);
  closeSync(fd);
  t.is(readNow(fd, room, 0, 1, 0), EOPNOTSUPP, 'closed');
  t.is(kindNow(fd), -1);
  t.is(readNow(-1, room, 0, 1, -1), EOPNOTSUPP);
  const waits = pipe(t);
  t.is(readNow(waits, room, 0, 1, -1), EOPNOTSUPP, 'a pipe');
  t.is(sizeNow(waits), -1);
  t.is(kindNow(waits), S_IFIFO);
  const inside = join(folder(t), 'folder');
  mkdirSync(inside);
  const opened = openSync(inside, 'r');
  t.is(sizeNow(opened), -1, 'a folder');
  t.is(kindNow(opened), S_IFDIR);
  closeSync(opened);
  let direct = -1;
  try {
    direct = openSync(path, constants.O_RDONLY | constants.O_DIRECT);
  } catch {
    return; // This file system has no O_DIRECT.
  }
  t.is(readNow(direct, room, 0, 1, 0), EOPNOTSUPP, 'past the page cache');
  closeSync(direct);
});

test.serial('the rest behind the cursor of a handle is no operation of the ring', async (t) => {
  const whole = pattern(200 * KIB + 3);
  const path = made(t, whole);
  for (const from of [0, 1, 64 * KIB, 200 * KIB]) {
    let without = 0;
    for (let i = 0; i < 20; i++) {
      const handle = await open(path);
      if (from > 0) await handle.read(Buffer.alloc(from), 0, from, null);
      await immediate();
      const before = submitted();
      t.true(((await handle.readFile()) as Buffer).equals(whole.subarray(from)), `${from}`);
      if (submitted() === before) without++;
      t.is(((await handle.readFile()) as Buffer).length, 0);
      await handle.close();
    }
    // On a busy machine the budget may be spent in the middle.
    t.is(without > 0, cached(path) && from < 200 * KIB, `${from}: ${without}`);
  }
  const fd = openSync(path, 'r');
  const text = () =>
    new Promise<string>((resolve, reject) => {
      callbacks.readFile(fd, 'latin1', (error, data) => (error ? reject(error) : resolve(data)));
    });
  t.is(await text(), whole.toString('latin1'));
  t.is(await text(), '');
  closeSync(fd);
});

test.serial('no descriptor, no region and no memory is left behind', async (t) => {
  await afterLarge(t);
  const path = made(t, pattern(5 * MIB));
  const handle = await open(path);
  const room = Buffer.alloc(MIB);
  const round = async () => {
    for (let i = 0; i < 20; i++) {
      await readFile(path);
      await handle.read(room, 0, MIB, 0);
    }
    await immediate();
    await until(() => current().stats().inFlight === 0);
  };
  for (let i = 0; i < 3; i++) await round();
  const [fds, { regionBytes }] = [descriptors(), current().stats()];
  let most = 0;
  for (let i = 0; i < many(8); i++) {
    await round();
    most = Math.max(most, process.memoryUsage.rss());
  }
  await until(() => descriptors() <= fds);
  t.is(current().stats().regionBytes, regionBytes);
  // 800 MiB were read.
  t.true(most < 600 * MIB, `${most >> 20} MiB`);
  await handle.close();
});

test.serial('text of a larger file is decoded, and what is too large is refused', async (t) => {
  const bytes = pattern(100 * KIB);
  const path = made(t, bytes);
  for (const encoding of ['utf8', 'latin1', 'hex', 'utf16le'] as const) {
    t.is(await readFile(path, encoding), bytes.toString(encoding));
  }
  truncateSync(path, 2 ** 29); // Of a string the engine makes less.
  t.is((await failure(readFile(path, 'latin1'))).code, 'ERR_STRING_TOO_LONG');
  truncateSync(path, 2 ** 31);
  const { code, message } = await failure(readFile(path));
  t.deepEqual([code, message], ['ERR_FS_FILE_TOO_LARGE', TOO_LARGE]);
  const handle = await open(path);
  t.is((await failure(handle.readFile())).code, 'ERR_FS_FILE_TOO_LARGE');
  await handle.close();
});

test.serial('a worker that is terminated while it reads harms nobody', async (t) => {
  const path = made(t, pattern(3 * MIB));
  const middle = made(t, pattern(64 * KIB));
  const module = new URL('../dist/node/fs-promises.js', import.meta.url);
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.module).then(async ({ open, readFile }) => {
      const handle = await open(workerData.path);
      const room = Buffer.alloc(1 << 20);
      for (let i = 0; ; i++) {
        await Promise.all([readFile(workerData.path), handle.read(room, 0, room.length, 0)]);
        for (let n = 0; n < 50; n++) await readFile(workerData.middle);
        if (i === 2) parentPort.postMessage('reads');
      }
    });`;
  for (let i = 0; i < many(8); i++) {
    const worker = new Worker(code, {
      eval: true,
      workerData: { module: module.href, path, middle },
    });
    await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    await new Promise((resolve) => setTimeout(resolve, i % 5));
    t.is(await worker.terminate(), 1);
  }
  t.true((await readFile(path)).equals(pattern(3 * MIB)));
  const open = () => readdirSync('/proc/self/fd').filter((fd) => leadsTo(fd, middle)).length;
  await until(() => open() === 0);
});
