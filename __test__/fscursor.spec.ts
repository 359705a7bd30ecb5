// The cursor of an open file, those who use it, and its end.
// Pair: crates/ringcore/tests/fscursor.rs

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  all,
  type File,
  type Future,
  type Op,
  Runtime,
  race,
  timeout,
  yieldNow,
} from '../src/index.ts';
import { child, collector, failure, folder, many, runtime, settle, until } from './support.ts';

const MIB = 1 << 20;

/** Bytes that say where they belong. */
function pattern(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = i * 31 + (i >> 8) + (i >> 16);
  return bytes;
}

/** A pipe: a file that reads it, and a descriptor that writes. */
function pipe(t: ExecutionContext, rt: Runtime): [File, number] {
  const path = join(folder(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const both = openSync(path, constants.O_RDWR);
  const reader = openSync(path, constants.O_RDONLY);
  const writer = openSync(path, constants.O_WRONLY);
  closeSync(both);
  return [rt.File.fromFd(reader), writer];
}

/** Nobody waits any more for what is in flight. */
function* abandon(
  rt: Runtime,
  future: Future<unknown>,
  passing: number,
): Generator<Future<unknown>, void, unknown> {
  const turns = function* () {
    for (let i = 0; i < passing; i++) yield* yieldNow();
    yield* rt.op.nop();
  };
  const waits = rt.spawn(function* () {
    yield* future;
  });
  yield* rt.spawn(turns);
  waits.abort();
}

/** 64 reads at once, of these sizes in turn, give the file in the order of the calls. */
async function inOrder(t: ExecutionContext, rt: Runtime, ...sizes: number[]): Promise<void> {
  const path = join(folder(t), 'file');
  const rooms = Array.from({ length: 64 }, (_, i) =>
    Buffer.alloc(sizes[i % sizes.length] as number),
  );
  const bytes = pattern(rooms.reduce((sum, room) => sum + room.length, 0) - 50);
  writeFileSync(path, bytes);
  const file = await rt.File.open(path);
  const counts = await Promise.all(rooms.map((room) => file.read(room)));
  const last = (rooms.at(-1) as Buffer).length - 50;
  t.deepEqual(counts, [...rooms.slice(0, -1).map((room) => room.length), last]);
  t.true(Buffer.concat(rooms.map((room, i) => room.subarray(0, counts[i]))).equals(bytes));
  await file.close();
}

test('reads at the cursor come in the order they were begun', async (t) => {
  const rt = await runtime(t);
  for (const size of [100, 4096, 100_000]) await inOrder(t, rt, size);
});

test('the order holds on worker threads of the kernel', async (t) => {
  const rt = await runtime(t);
  // Beyond 256 KiB a read leaves the thread, and what comes behind it could overtake it.
  await inOrder(t, rt, 300_000);
  await inOrder(t, rt, 300_000, 100);
});

test('the order holds when the kernel polls the queue', async (t) => {
  const rt = await runtime(t, { entries: 8, cqEntries: 16, sqpoll: { idleMs: 20 } });
  await inOrder(t, rt, 512);
  await inOrder(t, rt, 300_000, 512);
});

test('writes and reads share the cursor', async (t) => {
  const path = join(folder(t), 'file');
  writeFileSync(path, '0123456789');
  const rt = await runtime(t);
  const file = await rt.File.options().read().write().open(path);
  const [first, beside] = [Buffer.alloc(2), Buffer.alloc(1)];
  const reads = file.read(first);
  const writes = file.writeAll('abc');
  const rest = file.readToEnd();
  const last = file.readAt(beside, 9);
  t.is(await rest.then(String), '56789');
  await all([reads, writes, last]);
  t.is(`${first}${beside}`, '019');
  t.is(readFileSync(path, 'utf8'), '01abc56789');
});

test('an abandoned read leaves the cursor usable', async (t) => {
  const rt = await runtime(t);
  for (const passing of [0, 1, 2, 5]) {
    const [file, writer] = pipe(t, rt);
    const [lost, bytes] = [Buffer.alloc(10), Buffer.alloc(10)];
    await rt.run(function* () {
      const waits = file.read(lost);
      const behind = file.read(bytes);
      yield* abandon(rt, waits, passing);
      // A read that is not stopped yet would take what is written now.
      while (!waits.settled) yield* yieldNow();
      writeSync(writer, 'hello');
      t.is(yield* behind, 5, `${passing}`);
    });
    t.is(bytes.toString('latin1', 0, 5), 'hello');
    await file.close();
    closeSync(writer);
  }
  t.is(rt.stats().inFlight, 0);
});

test('the next read waits until an abandoned one has ended', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'file');
  const bytes = pattern(MIB);
  writeFileSync(path, bytes);
  for (let round = 0; round < many(50); round++) {
    const file = await rt.File.open(path);
    const room = Buffer.alloc(100);
    await rt.run(function* () {
      // On a worker thread: it may be too late to stop it.
      yield* abandon(rt, file.read(Buffer.alloc(400_000)), round % 3);
      // This one does not leave the thread: it would come first.
      t.is(yield* file.read(room), 100);
    });
    // The lost one took its bytes along, or nothing: never a part, and nobody reads the same.
    const from = room.equals(bytes.subarray(0, 100)) ? 0 : 400_000;
    const all = Buffer.concat([room, await file.readToEnd()]);
    t.true(all.equals(bytes.subarray(from)), `${round}: ${from}, ${all.length}`);
    await file.close();
  }
});

test('a place in line that is given up holds nobody up', async (t) => {
  const rt = await runtime(t);
  const [file, writer] = pipe(t, rt);
  const byte = Buffer.alloc(1);
  await rt.run(function* () {
    const first = file.read(byte);
    const second = file.read(Buffer.alloc(1));
    const exact = file.readExact(Buffer.alloc(1));
    const third = file.readToEnd();
    yield* abandon(rt, second, 1);
    yield* abandon(rt, exact, 1);
    t.true(second.settled);
    writeSync(writer, 'ab');
    closeSync(writer);
    t.is(yield* first, 1);
    t.is(`${byte}`, 'a');
    t.is(`${yield* third}`, 'b');
  });
  t.is(await file.close(), undefined);
  const path = join(folder(t), 'file');
  const bytes = pattern(MIB);
  writeFileSync(path, bytes);
  const other = await rt.File.open(path);
  await rt.run(function* () {
    const first = other.read(Buffer.alloc(300_000));
    const rooms = [Buffer.alloc(100), Buffer.alloc(100), Buffer.alloc(100)] as const;
    const [second, third, fourth] = rooms.map((room) => other.read(room)) as Op<number>[];
    yield* abandon(rt, third as Op<number>, 0);
    yield* all([second, fourth] as Op<number>[]);
    t.true(rooms[0].equals(bytes.subarray(300_000, 300_100)), 'nor does it let anybody pass');
    // Given up before or after its turn.
    const from = (third as Op<number>).settled && rooms[1].some((byte) => byte > 0) ? 200 : 100;
    t.true(rooms[2].equals(bytes.subarray(300_000 + from, 300_100 + from)));
    t.is(yield* first, 300_000);
  });
});

// PAIR: only-typescript -- Rust has no signals
test('an abort ends what waits in line at once', async (t) => {
  const rt = await runtime(t);
  const [file, writer] = pipe(t, rt);
  const controller = new AbortController();
  const { signal } = controller;
  const byte = Buffer.alloc(1);
  const first = file.read(byte);
  const lost = [
    failure(file.read(Buffer.alloc(1), { signal })),
    failure(file.readv([Buffer.alloc(1)], { signal })),
  ];
  const last = file.read(Buffer.alloc(1));
  controller.abort('enough');
  // The first one still waits for its byte.
  for (const error of await Promise.all(lost)) {
    t.is(error.code, 'ABORT_ERR');
    t.is(error.cause, 'enough');
  }
  const late = await failure(file.read(Buffer.alloc(1), { signal }));
  t.is(late.code, 'ABORT_ERR');
  writeSync(writer, 'ab');
  t.is(await first, 1);
  t.is(`${byte}`, 'a');
  t.is(await last, 1, 'nothing was taken by those that were given up');
  closeSync(writer);
  t.is(await file.close(), undefined);
});

test('abandoned transfers write to nobodys memory', async (t) => {
  const rt = await runtime(t);
  const [file, writer] = pipe(t, rt);
  for (let round = 0; round < many(20); round++) {
    const lost = Buffer.alloc(3000, 1);
    await rt.run(() => abandon(rt, file.readExact(lost), round % 4));
    const seen = lost.toString('hex');
    writeSync(writer, Buffer.alloc(3000, 0xaa));
    await settle(5);
    t.is(lost.toString('hex'), seen, 'nothing comes later');
    // What was written is still there, unless the read was faster than its end.
    const left = Buffer.alloc(4000);
    const count = await timeout(file.read(left), 5).catch(() => 0);
    t.true(left.subarray(0, count).every((byte) => byte === 0xaa));
  }
  closeSync(writer);
  await file.close();
});

test('close waits for what is in flight', async (t) => {
  const rt = await runtime(t);
  const [file, writer] = pipe(t, rt);
  const { fd } = file;
  const reads = file.read(Buffer.alloc(1));
  const behind = file.read(Buffer.alloc(9));
  await settle();
  let closed = 0;
  const closes = file.close().then(() => closed++);
  const again = file.close().then(() => closed++);
  await settle();
  t.is(closed, 0);
  t.throws(() => file.read(Buffer.alloc(1)), { code: 'EBADF' }, 'nobody may begin any more');
  t.is(file.fd, fd, 'it is open as long as somebody reads');
  writeSync(writer, 'ab');
  t.deepEqual(await Promise.all([reads, behind]), [1, 1]);
  await Promise.all([closes, again]);
  t.is(file.fd, -1);
  t.is(await file.close(), undefined);
  // The pipe has no reader any more.
  t.throws(() => writeSync(writer, 'x'), { code: 'EPIPE' });
  closeSync(writer);
});

test.serial('a close that nobody waits for closes all the same', async (t) => {
  const rt = await runtime(t);
  for (const passing of [0, 1, 2]) {
    const [file, writer] = pipe(t, rt);
    const link = `/proc/self/fd/${file.fd}`;
    await rt.run(function* () {
      const reads = file.read(Buffer.alloc(3));
      const closes = file.close();
      const waits = rt.spawn(function* () {
        yield* closes;
      });
      for (let i = 0; i < passing; i++) yield* yieldNow();
      waits.abort();
      t.true(existsSync(link));
      writeSync(writer, 'abc');
      t.is(yield* reads, 3);
    });
    t.throws(() => file.read(Buffer.alloc(1)), { code: 'EBADF' });
    await until(() => {
      try {
        writeSync(writer, 'x');
        return false;
      } catch (error) {
        return (error as NodeJS.ErrnoException).code === 'EPIPE';
      }
    });
    closeSync(writer);
  }
});

test('a thousand forgotten files leave no descriptor', async (t) => {
  const source = `
    const { readdirSync } = await import('node:fs');
    const warnings = [];
    process.on('warning', (warning) => warnings.push(warning.code));
    const count = () => readdirSync('/proc/self/fd').length;
    await (await ringcore.File.open('/dev/null')).close();
    const before = count();
    const forget = async () => {
      const file = await ringcore.File.open('/dev/null');
      await file.read(Buffer.alloc(3));
    };
    for (let i = 0; i < 1000; i++) {
      await forget();
      if (i % 100 === 99) for (let k = 0; k < 3; k++) { gc(); await new Promise(setImmediate); }
      if (count() > before + 400) throw new Error(\`\${count()} descriptors are open\`);
    }
    for (let k = 0; k < 200 && count() > before; k++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    console.log(JSON.stringify([count() - before, warnings]));
  `;
  const { code, stdout, stderr } = await child(source, {}, ['--expose-gc']);
  t.is(code, 0, stderr);
  t.is(stdout.trim(), '[0,["RINGCORE_FD_GC"]]', 'none is left, and one warning');
});

test.serial('a file that is forgotten in flight is closed afterwards', async (t) => {
  const gc = collector();
  const rt = await runtime(t);
  const bytes = Buffer.alloc(4);
  const path = join(folder(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const both = openSync(path, constants.O_RDWR);
  const writer = openSync(path, constants.O_WRONLY);
  const begin = (): [Future<number>, string, WeakRef<File>] => {
    const file = rt.File.fromFd(openSync(path, constants.O_RDONLY));
    return [file.read(bytes), `/proc/self/fd/${file.fd}`, new WeakRef(file)];
  };
  const [reads, link, file] = begin();
  closeSync(both);
  await until(() => {
    gc();
    return file.deref() === undefined;
  });
  await settle(50);
  t.true(existsSync(link), 'the read still needs it');
  writeSync(writer, 'abcd');
  t.is(await reads, 4);
  t.is(`${bytes}`, 'abcd');
  await until(() => {
    try {
      writeSync(writer, 'x');
      return false;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EPIPE';
    }
  });
  closeSync(writer);
});

test.serial('files of a runtime that closes are closed', async (t) => {
  const path = join(folder(t), 'file');
  writeFileSync(path, 'abc');
  for (const passing of [0, 1, 3]) {
    const rt = new Runtime();
    await rt.op.nop();
    const [waits, writer] = pipe(t, rt);
    const idle = await rt.File.open(path);
    const links = [waits, idle].map((file) => `/proc/self/fd/${file.fd}`);
    const opens = rt.File.open(path);
    const reads = failure(waits.read(Buffer.alloc(9)));
    const behind = failure(waits.readExact(Buffer.alloc(9)));
    await settle(passing);
    await rt.close();
    await opens.catch(() => {});
    t.is((await reads).code, 'ERR_RINGCORE_CLOSED');
    t.regex((await behind).code as string, /^(ERR_RINGCORE_CLOSED|ABORT_ERR)$/);
    t.deepEqual(
      links.map((link) => existsSync(link)),
      [false, false],
      `${passing}`,
    );
    t.is(idle.fd, -1);
    t.throws(() => idle.read(Buffer.alloc(1)), { code: 'EBADF' });
    t.is(await idle.close(), undefined);
    t.throws(() => writeSync(writer, 'x'), { code: 'EPIPE' });
    closeSync(writer);
  }
});

test('a file belongs to the runtime that opened it', async (t) => {
  const [rt, other] = [await runtime(t), await runtime(t)];
  const path = join(folder(t), 'file');
  writeFileSync(path, 'abc');
  const file = await rt.File.open(path);
  const wrong = { code: 'ERR_RINGCORE_WRONG_RUNTIME' };
  await t.throwsAsync(
    other.run(function* () {
      yield* file.read(Buffer.alloc(1), { offset: 0 });
    }),
    wrong,
  );
  await t.throwsAsync(
    other.run(function* () {
      yield* file.stat();
    }),
    wrong,
  );
  t.is(`${await file.readToEnd()}`, 'abc');
  await file.close();
});

test.serial('an open that is abandoned leaves no descriptor', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'file');
  writeFileSync(path, 'abc');
  for (let round = 0; round < many(40); round++) {
    await rt.run(function* () {
      yield* race([rt.op.nop(), rt.File.open(path)]);
      // Before it has ended, and after; whoever has got the file closes it.
      const opens = rt.File.open(path);
      const waits = rt.spawn(function* () {
        yield* (yield* opens).close();
      });
      for (let i = 0; i <= round % 5; i++) yield* yieldNow();
      waits.abort();
    });
  }
  await until(() => rt.stats().inFlight === 0);
  const open = readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false; // That of the listing itself.
    }
  });
  t.deepEqual(open, []);
});

test('a read is stopped by a time limit', async (t) => {
  const rt = await runtime(t);
  const [file, writer] = pipe(t, rt);
  const bytes = Buffer.alloc(9);
  t.is((await failure(timeout(file.read(bytes), 20))).code, 'ETIMEDOUT');
  t.is((await failure(timeout(file.readExact(bytes), 20))).code, 'ETIMEDOUT');
  await until(() => rt.stats().inFlight === 0);
  writeSync(writer, 'next');
  t.is(await file.read(bytes), 4);
  closeSync(writer);
  await file.close();
});
