// The lane: what runs on threads of its own ends like any operation; copyFile.
// Pair: crates/ringcore/tests/lane.rs

import { execFileSync } from 'node:child_process';
import fs, { constants, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { pathToFileURL } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { type Options, Runtime } from '../src/index.ts';
import { FAULTS, Mock } from '../src/mock.ts';
import * as promises from '../src/node/fs-promises.ts';
import { COPYFILE_OWNER } from '../src/sqe.ts';
import {
  alike,
  child,
  descriptors,
  failure,
  folder,
  lanes,
  many,
  runtime,
  settle,
  until,
} from './support.ts';

const { COPYFILE_EXCL, COPYFILE_FICLONE, COPYFILE_FICLONE_FORCE } = constants;
const GIB = 2 ** 30;

type At = (name: string) => string;

function place(t: ExecutionContext): At {
  const path = folder(t);
  return (name) => `${path}/${name}`;
}

function write(path: string, bytes: string | Uint8Array): string {
  writeFileSync(path, bytes);
  return path;
}

/** Bytes that tell their place. */
function pattern(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, i) => Math.trunc(i / 251) + i));
}

/** A file that takes seconds to copy and none to make: its blocks are there, never written. */
async function endless(rt: Runtime, at: At): Promise<string> {
  const fd = fs.openSync(at('endless'), 'w');
  await rt.op.fallocate(fd, 0, 0, 6 * GIB);
  fs.closeSync(fd);
  return at('endless');
}

const written = (path: string): boolean => existsSync(path) && statSync(path).size > 0;

test.serial('a file is copied with its content and its permissions', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  const before = rt.stats().completed;
  for (const [length, mode] of [
    [0, 0o600],
    [1, 0o644],
    [4096, 0o4755],
    [2 ** 20, 0o400],
    [3 * 2 ** 20 + 17, 0o666],
  ] as const) {
    const bytes = pattern(length);
    const from = write(at(`${length}`), bytes);
    fs.chmodSync(from, mode);
    for (const flags of [0, COPYFILE_EXCL, COPYFILE_FICLONE]) {
      const to = at(`${length} ${flags}`);
      const result: undefined = (await rt.op.copyFile(from, to, flags)) as undefined;
      t.is(result, undefined);
      t.true(readFileSync(to).equals(bytes), `${length}`);
      t.is(statSync(to).mode & 0o7777, mode);
    }
  }
  t.is(rt.stats().completed - before, 15);
  await rt.op.copyFile(pathToFileURL(at('1')), Buffer.from(at('new')));
  t.is(statSync(at('new')).size, 1);
});

test.serial('a copy has the owner of its source where that is asked for', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  t.is(process.getuid?.(), 0, 'this test has to be root');
  const from = write(at('from'), 'text');
  fs.chownSync(from, 1234, 2345);
  fs.chmodSync(from, 0o4751);
  for (const [flags, uid, gid] of [
    [0, 0, 0],
    [COPYFILE_OWNER, 1234, 2345],
    [COPYFILE_OWNER | COPYFILE_EXCL, 1234, 2345],
  ] as const) {
    const to = at(`${flags}`);
    await rt.op.copyFile(from, to, flags);
    const found = statSync(to);
    t.deepEqual([found.uid, found.gid, found.mode & 0o7777], [uid, gid, 0o4751]);
    // As Node's own copy of this version.
    if ((flags & COPYFILE_EXCL) !== 0) continue;
    const [node, ours] = [at(`node ${flags}`), at(`ours ${flags}`)];
    fs.copyFileSync(from, node);
    await promises.copyFile(from, ours);
    const [theirs, our] = [statSync(node), statSync(ours)];
    t.deepEqual([our.uid, our.gid, our.mode], [theirs.uid, theirs.gid, theirs.mode]);
  }
});

test.serial('what is there is written over', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  for (const [length, before] of [
    [0, 5000],
    [10, 5000],
    [5000, 10],
    [2 ** 20, 2 ** 20],
    [2 ** 21 + 1, 3 * 2 ** 20],
    [2 ** 20, 2 ** 20 - 1],
  ] as const) {
    const from = write(at('from'), pattern(length));
    const to = write(at('to'), Buffer.alloc(before, 0xaa));
    const { ino } = statSync(to);
    for (const flags of [0, COPYFILE_FICLONE]) {
      await rt.op.copyFile(from, to, flags);
      t.true(readFileSync(to).equals(pattern(length)), `${length} over ${before}`);
      t.is(statSync(to).ino, ino, 'it is the same file');
    }
  }
  // Nothing over nothing is a change as well.
  const [from, to] = [write(at('from'), ''), write(at('to'), '')];
  for (const flags of [0, COPYFILE_FICLONE]) {
    fs.utimesSync(to, 0, 0);
    await rt.op.copyFile(from, to, flags);
    t.true(statSync(to).mtimeMs > 2 ** 30);
  }
  // Nobody has read the empty one.
  fs.utimesSync(from, 0, 0);
  await rt.op.copyFile(from, to);
  t.is(statSync(from).atimeMs, 0);
  // Through a link, whose file is meant.
  fs.symlinkSync('to', at('link'));
  await rt.op.copyFile(write(at('from'), 'new'), at('link'));
  t.is(readFileSync(at('to'), 'utf8'), 'new');
  t.true(fs.lstatSync(at('link')).isSymbolicLink());
});

test.serial('a copy that fails says why and leaves nothing', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  const [file, other, directory] = [write(at('file'), 'text'), at('other'), at('directory')];
  const fresh = at('new');
  write(other, 'other');
  fs.mkdirSync(directory);
  fs.symlinkSync('loop', at('loop'));
  for (const [from, to, flags] of [
    [at('none'), fresh, 0],
    [file, at('none/new'), 0],
    [at('file/x'), fresh, 0],
    [file, directory, 0],
    [file, `${other}/`, 0],
    [directory, fresh, 0],
    [file, other, COPYFILE_EXCL],
    [at('loop'), fresh, 0],
    [at('x'.repeat(256)), fresh, 0],
    ['', fresh, 0],
    [file, '', 0],
  ] as const) {
    await alike(t, rt.op.copyFile(from, to, flags), () => fs.copyFileSync(from, to, flags));
    t.false(existsSync(fresh), from);
  }
  t.is(readFileSync(other, 'utf8'), 'other');
  for (const flags of [16, 0x7fffffff]) {
    t.is((await failure(rt.op.copyFile(file, fresh, flags))).code, 'EINVAL');
  }
  // Where nothing can be shared: on this file system, or on none.
  const forced = rt.op.copyFile(file, fresh, COPYFILE_FICLONE_FORCE);
  const error = await forced.then(
    () => null,
    (caught) => (caught as NodeJS.ErrnoException).code,
  );
  if (error === null) t.is(readFileSync(fresh, 'utf8'), 'text');
  else t.is(error, 'ENOTSUP');
  const { op } = rt;
  t.throws(() => op.copyFile('a\0b', fresh), { code: 'ERR_INVALID_ARG_VALUE' });
  t.throws(() => op.copyFile(file, 1 as never), { code: 'ERR_INVALID_ARG_TYPE' });
  t.throws(() => op.copyFile(file, fresh, -1), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => op.copyFile(file, fresh, '1' as never), { code: 'ERR_INVALID_ARG_TYPE' });
  const long = await failure(op.copyFile('x'.repeat(5000), fresh));
  t.is(long.code, 'ENAMETOOLONG');
});

test.serial('a file that is copied onto itself stays as it is', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  const file = write(at('file'), 'text');
  fs.chmodSync(file, 0o640);
  fs.symlinkSync('file', at('symbolic'));
  fs.linkSync(file, at('hard'));
  for (const to of ['file', 'symbolic', 'hard']) {
    for (const from of ['file', 'symbolic', 'hard']) {
      await rt.op.copyFile(at(from), at(to));
      t.is(readFileSync(file, 'utf8'), 'text');
      t.is(statSync(file).mode & 0o7777, 0o640);
    }
  }
});

test.serial('files with holes of proc and of another file system come whole', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  const to = at('to');
  // Longer than 4 GiB, with three islands of data; over one that is full.
  const from = fs.openSync(at('holes'), 'w');
  const islands = [0, 2 ** 20, 4 * GIB + 5];
  fs.ftruncateSync(from, 5 * GIB + 3);
  for (const island of islands) fs.writeSync(from, pattern(9000), 0, 9000, island);
  fs.closeSync(from);
  write(to, Buffer.alloc(100_000, 0xaa));
  for (let i = 0; i < 2; i++) {
    await rt.op.copyFile(at('holes'), to);
    const copied = fs.openSync(to, 'r');
    const bytes = Buffer.alloc(9000);
    for (const island of islands) {
      fs.readSync(copied, bytes, 0, 9000, island);
      t.true(bytes.equals(pattern(9000)), `${island}`);
    }
    fs.readSync(copied, bytes, 0, 9000, 20_000);
    fs.closeSync(copied);
    t.true(bytes.equals(Buffer.alloc(9000)));
    t.is(statSync(to).size, 5 * GIB + 3);
    t.true(statSync(to).blocks * 512 < 2 ** 20, 'the holes stay holes');
  }
  // A hole only, and one that ends within a page.
  write(at('hole'), '');
  fs.truncateSync(at('hole'), 10_001);
  await rt.op.copyFile(at('hole'), to);
  t.true(readFileSync(to).equals(Buffer.alloc(10_001)));
  // They say that they have no bytes, or more than they have.
  for (const path of ['/proc/version', '/sys/kernel/fscaps'].filter(existsSync)) {
    await rt.op.copyFile(path, to);
    t.deepEqual(readFileSync(to), readFileSync(path), path);
  }
  // To another file system, within it, and back.
  const [far, further] = ['', '-2'].map((end) => `/dev/shm/ringcore-lane-ts-${process.pid}${end}`);
  t.teardown(() => [far, further].map((path) => fs.rmSync(path, { force: true })));
  const bytes = pattern(2 ** 21 + 5);
  await rt.op.copyFile(write(at('from'), bytes), far);
  await rt.op.copyFile(far, further);
  await rt.op.copyFile(further, to);
  for (const path of [far, further, to]) t.true(readFileSync(path).equals(bytes), path);
});

test.serial('what is no regular file is not waited for', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  const [file, fifo, socket] = [write(at('file'), 'text'), at('fifo'), at('socket')];
  execFileSync('mkfifo', [fifo]);
  const server = createServer().listen(socket);
  t.teardown(() => server.close());
  await until(() => existsSync(socket));
  // Nothing of a pipe or of a device is copied.
  for (const from of [fifo, '/dev/zero', '/dev/null']) {
    await rt.op.copyFile(from, at('to'));
    t.is(statSync(at('to')).size, 0);
  }
  const code = async (from: string, to: string) => (await failure(rt.op.copyFile(from, to))).code;
  t.is(await code(file, fifo), 'ENXIO');
  t.is(await code(file, socket), 'ENXIO');
  t.is(await code(socket, at('to')), 'ENXIO');
  const reader = fs.openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  t.is(await code(file, fifo), 'EINVAL');
  fs.closeSync(reader);
  t.true(existsSync(fifo) && existsSync(socket), 'what is no file is not removed');
});

test.serial('an aborted copy ends and removes what it has written', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  const [long, file] = [await endless(rt, at), write(at('file'), 'text')];
  const [waits, kept] = [at('waits'), write(at('kept'), 'kept')];
  await until(() => lanes() === 0);
  const before = descriptors();
  const one = rt.op.copyFile(long, at('one'));
  const two = rt.spawn(function* () {
    yield* rt.op.copyFile(long, at('two'));
  });
  const first = failure(one);
  const second = failure(two);
  // Both threads are busy by the time it has written: these wait.
  await until(() => written(at('one')) && written(at('two')));
  const third = rt.op.copyFile(file, waits);
  const aborter = new AbortController();
  const fourth = rt.op.copyFile(file, kept, 0, { signal: aborter.signal });
  const [thirdEnd, fourthEnd] = [failure(third), fourth.catch(() => {})];
  await settle();
  third.cancel();
  t.is((await thirdEnd).code, 'ABORT_ERR');
  await rt.op.cancel(one);
  t.is((await first).code, 'ABORT_ERR');
  two.abort();
  aborter.abort();
  t.is((await second).code, 'ABORT_ERR');
  await fourthEnd;
  await until(() => rt.stats().inFlight === 0);
  for (const path of [at('one'), at('two'), waits]) t.false(existsSync(path), path);
  t.true(['kept', 'text'].includes(readFileSync(kept, 'utf8')), 'it had not begun, or it ran');
  await until(() => lanes() === 0);
  t.true(descriptors() <= before + 1, "the ring's own copy of its descriptor is left");
});

test.serial('a chain takes nothing of the lane', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  const [from, to] = [write(at('from'), 'text'), at('to')];
  const { op } = rt;
  for (const chain of [
    op.link(op.nop(), op.copyFile(from, to)),
    op.link(op.copyFile(from, to), op.nop()),
    op.hardlink(op.copyFile(from, to), op.copyFile(from, to)),
    op.withTimeout(op.copyFile(from, to), 1000),
  ]) {
    t.is((await failure(chain)).code, 'EINVAL');
    t.false(existsSync(to));
  }
  await until(() => rt.stats().inFlight === 0);
});

test.serial('an allow list holds for the lane', async (t) => {
  const at = place(t);
  const [from, to] = [write(at('from'), 'text'), at('to')];
  const reads = await runtime(t, { allow: ['read'] });
  const error = await failure(reads.op.copyFile(from, to));
  t.is(error.code, 'EACCES');
  t.regex(error.message, /copyFile/);
  t.false(existsSync(to));
  const copies = await runtime(t, { allow: ['copyFile'] });
  await copies.op.copyFile(from, to);
  t.is(readFileSync(to, 'utf8'), 'text');
});

test.serial('two hundred copies at once settle once each', async (t) => {
  const at = place(t);
  const [from, count] = [write(at('from'), pattern(70_000)), 200];
  // One whose queues are too small, one with a thread of the kernel, one that is restricted.
  const kinds: Options[] = [
    { entries: 1, cqEntries: 2 },
    {},
    { entries: 4, sqpoll: { idleMs: 20 } },
    { allow: ['copyFile'] },
  ];
  for (const options of kinds) {
    const rt = new Runtime(options);
    const before = rt.stats();
    const ends = Array.from({ length: count }, () => 0);
    const copies = ends.map(async (_, i) => {
      await rt.op.copyFile(from, at(`to${i}`));
      ends[i]++;
    });
    await Promise.all(copies);
    t.deepEqual(
      ends,
      ends.map(() => 1),
    );
    t.true(lanes() <= 2);
    for (let i = 0; i < count; i++) t.is(statSync(at(`to${i}`)).size, 70_000);
    await until(() => rt.stats().inFlight === 0);
    const { submitted, completed, stale } = rt.stats();
    t.true(submitted - before.submitted >= count && completed - before.completed >= count);
    t.is(stale, 0);
    await rt.close();
  }
});

test.serial('copies leave no descriptor', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  const [from, to] = [write(at('from'), 'text'), at('to')];
  await rt.op.copyFile(from, to);
  const counted = async () => {
    await until(() => lanes() === 0);
    return descriptors();
  };
  const before = await counted();
  for (let i = 0; i < many(500); i++) {
    await rt.op.copyFile(from, to);
    await failure(rt.op.copyFile(at('none'), to));
    await failure(rt.op.copyFile(from, at('none/new')));
    await failure(rt.op.copyFile(at(''), at('directory')));
  }
  t.is(await counted(), before);
});

test.serial('a ring that closes ends its copies and no others', async (t) => {
  const other = await runtime(t);
  const at = place(t);
  const [long, from] = [await endless(other, at), write(at('from'), 'text')];
  await until(() => lanes() === 0);
  const before = descriptors();
  for (let round = 0; round < many(3); round++) {
    const rt = new Runtime(round % 2 === 0 ? {} : { entries: 8, sqpoll: { idleMs: 20 } });
    const targets = Array.from({ length: 8 }, (_, i) => at(`to${i}`));
    const copies = targets.map((to) => failure(rt.op.copyFile(long, to)));
    await until(() => targets.some(written));
    // It waits behind those of the other ring, and is not one of them.
    const waiting = other.op.copyFile(from, at('mine'));
    waiting.begin();
    await settle();
    await rt.close();
    for (const copy of copies) t.is((await copy).code, 'ERR_RINGCORE_CLOSED');
    await waiting;
    t.is(readFileSync(at('mine'), 'utf8'), 'text');
    for (const to of targets) t.false(existsSync(to), to);
  }
  await until(() => lanes() === 0);
  await until(() => descriptors() <= before + 1);
  t.pass("the other ring's own copy of its descriptor is left");
});

test.serial('a simulated kernel copies as well', async (t) => {
  for (let seed = 1; seed <= many(20); seed++) {
    const faults = { ...FAULTS, late: 50, error: seed % 2 === 0 ? 30 : 0 };
    const rt = new Runtime({}, (_options, wake) => new Mock(seed, faults, wake));
    const copies = Array.from({ length: 40 }, (_, i) => rt.op.copyFile(`from${i}`, `to${i}`));
    const ends = await Promise.allSettled(copies);
    const failed = ends.filter((end) => end.status === 'rejected');
    t.true(seed % 2 === 0 || failed.length === 0);
    t.true(failed.every((end) => (end.reason as NodeJS.ErrnoException).code === 'EIO'));
    await rt.close();
  }
});

// PAIR: only-typescript -- an event loop is kept alive, a Rust program ends with its main function
test.serial('a copy keeps the process alive, an unreferenced one does not', async (t) => {
  const at = place(t);
  const rt = await runtime(t);
  const [from, to] = [write(at('from'), pattern(32 * 2 ** 20)), at('to')];
  const held = await child(`await ringcore.op.copyFile('${from}', '${to}'); console.log('done');`);
  t.deepEqual([held.code, held.stdout, held.stderr], [0, 'done\n', '']);
  t.true(readFileSync(to).equals(readFileSync(from)));
  const long = await endless(rt, at);
  const source = `
    import { existsSync } from 'node:fs';
    const { op } = ringcore;
    op.copyFile('${long}', '${at('loose')}', 0, { ref: false }).then(() => console.log('done'));
    while (!existsSync('${at('loose')}')) await op.timeout(1);
    console.log('left');`;
  const loose = await child(source);
  t.is(loose.stdout, 'left\n');
  t.false(existsSync(at('loose')), 'its end stops the copy');
});
