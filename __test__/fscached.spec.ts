// Small files that are in the kernel's caches: a look instead of operations of the ring.
// Pair: crates/ringcore/tests/fscached.rs

import '../src/runtime.ts'; // First: the operations and the runtime import each other.

import { execFile } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  constants,
  fsyncSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { CACHED_BYTES, H_CACHED, H_CACHED_FD, H_CACHED_PATH } from '../src/cqe.ts';
import { FILL_BYTES } from '../src/fs/larger.ts';
import { ReadFile } from '../src/fs/read.ts';
import { type Options, Runtime } from '../src/index.ts';
import { Kernel } from '../src/kernel.ts';
import { FAULTS, Mock } from '../src/mock.ts';
import { CACHED_PATTERN } from '../src/world.ts';
import { descriptors, failure, folder, many, settle, until } from './support.ts';

/** Bytes that say where they belong. */
function pattern(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff));
}

/** How many descriptors of this process lead to a path. */
function numbers(path: string): number {
  const leadsTo = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false; // The one that lists them.
    }
  };
  return readdirSync('/proc/self/fd').filter(leadsTo).length;
}

interface Looks {
  all: number;
  whole: number;
  larger: number;
  open: number;
  /** Larger ones whose end was found at once. */
  ended: number;
  /** Called between a look and the read of what it has found larger. */
  between: () => void;
}

/** A runtime that counts its looks. With `blind` none of them sees anything. */
function looking(t: ExecutionContext, blind = false, options?: Options): [Runtime, Looks] {
  const looks: Looks = { all: 0, whole: 0, larger: 0, open: 0, ended: 0, between: () => {} };
  const rt = new Runtime(options, (checked, wake) => {
    const kernel = Kernel.open(checked, wake);
    const words = new Int32Array(kernel.memory);
    const look = kernel.look.bind(kernel);
    kernel.look = () => {
      looks.all++;
      if (blind) words[H_CACHED_PATH] = 0;
      look();
      const open = words[H_CACHED_FD] !== 0;
      if ((words[H_CACHED] as number) >= 0) looks[open ? 'larger' : 'whole']++;
      else if (open) looks.open++;
    };
    const fill = kernel.fill.bind(kernel);
    kernel.fill = (bytes) => {
      looks.between();
      fill(bytes);
      if (words[H_CACHED_FD] === 0) looks.ended++;
    };
    return kernel;
  });
  t.teardown(() => rt.close());
  return [rt, looks];
}

const POSIX_FADV_DONTNEED = 4;
const NOTHING = Buffer.alloc(0);

const read = (rt: Runtime, path: string, flags = 0) => new ReadFile(rt, path, flags, -1);

const SIZES = [
  ...[0, 1, 511, 512, 4095, 4096, 4097, CACHED_BYTES - 1, CACHED_BYTES, CACHED_BYTES + 1],
  ...[20_000, 65_535, 65_536, 65_537, 70_000, FILL_BYTES - 1, FILL_BYTES, FILL_BYTES + 1],
];

test.serial('files of every size are whole', async (t) => {
  const root = folder(t);
  const [seeing, looks] = looking(t);
  const [blind] = looking(t, true);
  for (const size of SIZES) {
    const [path, bytes] = [join(root, String(size)), pattern(size)];
    writeFileSync(path, bytes);
    await settle(); // The whole budget is there again.
    const before = { ...looks };
    for (const rt of [seeing, blind]) {
      const found = await read(rt, path);
      t.true(found.equals(bytes), `${size}`);
      t.is(found.buffer.byteLength, size, 'memory of its own');
    }
    const small = size < CACHED_BYTES;
    t.is(looks.whole - before.whole, small ? 1 : 0, `${size}`);
    t.is(looks.larger - before.larger, small ? 0 : 1, `${size}`);
    t.is(looks.ended - before.ended, !small && size <= FILL_BYTES ? 1 : 0, `${size}`);
  }
  t.is(looks.open, 0);
});

test.serial('what is no small file is read all the same', async (t) => {
  const root = folder(t);
  const [rt, looks] = looking(t);
  for (const path of ['/proc/self/status', '/proc/self/maps']) {
    statSync(path); // The name is in the cache now.
    const text = String(await read(rt, path));
    t.true(text.endsWith('\n') && text.length > 100, path);
  }
  t.is(looks.open, 0);
  await settle(); // The whole budget is there again.
  t.is((await read(rt, '/dev/null')).length, 0);
  t.is(looks.open, 1, 'a device is not opened twice');
  t.true((await read(rt, '/proc/filesystems')).length > 100, 'never in the cache');
  const message = 'EISDIR: illegal operation on a directory, read';
  t.true((await failure(read(rt, root))).message.startsWith(message));
  const fifo = join(root, 'fifo');
  await promisify(execFile)('mkfifo', [fifo]);
  const slowly = 'for i in 1 2 3; do echo $i; sleep 0.01; done > "$0"';
  const [bytes] = await Promise.all([
    read(rt, fifo),
    promisify(execFile)('sh', ['-c', slowly, fifo]),
  ]);
  t.is(String(bytes), '1\n2\n3\n');
});

test.serial('a larger file that changes behind the look is what it is by then', async (t) => {
  const path = join(folder(t), 'file');
  const other = `${path}2`;
  const [rt, looks] = looking(t);
  const whole = pattern(100_000);
  const kept = numbers(path);
  const cases: [string, () => void, Buffer][] = [
    ['shrunk', () => truncateSync(path, 65_536), whole.subarray(0, 65_536)],
    ['cut to a small one', () => truncateSync(path, 5), whole.subarray(0, 5)],
    ['empty', () => truncateSync(path, 0), NOTHING],
    ['grown', () => appendFileSync(path, 'more'), Buffer.concat([whole, Buffer.from('more')])],
    ['grown by much', () => appendFileSync(path, whole), Buffer.concat([whole, whole])],
    ['replaced', () => renameSync(other, path), whole],
    ['gone', () => rmSync(path), whole],
  ];
  for (const [name, change, expected] of cases) {
    writeFileSync(path, whole);
    writeFileSync(other, 'another one');
    await settle();
    const before = looks.larger;
    looks.between = () => {
      looks.between = () => {};
      change();
    };
    const found = await read(rt, path);
    t.is(looks.larger, before + 1, name);
    t.true(found.equals(expected), `${name}: ${found.length}`);
    await until(() => numbers(path) === kept && numbers(`${path} (deleted)`) === 0);
  }
});

test.serial('what is not cached of a larger file is read by the ring', async (t) => {
  const path = join(folder(t), 'file');
  const [rt, looks] = looking(t);
  const whole = pattern(3 * FILL_BYTES);
  for (const size of [100_000, FILL_BYTES, whole.length]) {
    for (const from of [0, 64 << 10, size - 4096]) {
      const expected = whole.subarray(0, size);
      writeFileSync(path, expected);
      const fd = openSync(path, 'r+');
      fsyncSync(fd);
      await rt.op.fadvise(fd, from, 0, POSIX_FADV_DONTNEED);
      closeSync(fd);
      await settle();
      const before = looks.larger;
      t.true((await read(rt, path)).equals(expected), `${size} from ${from}`);
      t.is(looks.larger, before + 1, `${size} from ${from}`);
      await until(() => numbers(path) === 0);
    }
  }
});

// PAIR: only-typescript -- in Rust each test of larger files counts the descriptors
test.serial('ten thousand larger files leave no descriptor and no region', async (t) => {
  const root = folder(t);
  const sizes = [5, CACHED_BYTES, 65_536, 200_000];
  const paths = sizes.map((size) => join(root, String(size)));
  for (const [i, path] of paths.entries()) writeFileSync(path, pattern(sizes[i] as number));
  const [rt, looks] = looking(t);
  await rt.op.nop();
  await until(() => rt.stats().inFlight === 0);
  const [fds, { regionBytes }] = [descriptors(), rt.stats()];
  let next = 0;
  const one = async () => {
    while (next < 10_000) {
      const i = next++ % sizes.length;
      const { length } = await read(rt, paths[i] as string);
      if (length !== sizes[i]) t.fail(`${length} of ${sizes[i]}`);
    }
  };
  await Promise.all(Array.from({ length: 16 }, one));
  t.true(looks.ended > 5000, `${looks.ended}`);
  await until(() => descriptors() <= fds);
  t.is(rt.stats().regionBytes, regionBytes);
});

test.serial('a larger file that finds no memory is closed by the next look', async (t) => {
  const root = folder(t);
  const [path, small] = [join(root, 'file'), join(root, 'small')];
  writeFileSync(path, pattern(100_000));
  writeFileSync(small, 'x');
  const [rt] = looking(t);
  const { allocUnsafeSlow } = Buffer;
  t.teardown(() => {
    Buffer.allocUnsafeSlow = allocUnsafeSlow;
  });
  for (let i = 0; i < 3; i++) {
    await settle();
    Buffer.allocUnsafeSlow = () => {
      throw new RangeError('no memory');
    };
    const { message } = await failure(read(rt, path));
    Buffer.allocUnsafeSlow = allocUnsafeSlow;
    t.is(message, 'no memory');
    t.is(numbers(path), 1);
    await settle();
    t.is(String(await read(rt, small)), 'x');
    await until(() => numbers(path) === 0);
  }
  await settle();
  t.true((await read(rt, path)).equals(pattern(100_000)));
});

test.serial('a look fails with the errors of open', async (t) => {
  const root = folder(t);
  const [rt, looks] = looking(t);
  const at = (name: string) => join(root, name);
  writeFileSync(at('file'), 'x');
  symlinkSync('loop', at('loop'));
  symlinkSync('gone', at('broken'));
  const codes = { none: 'ENOENT', broken: 'ENOENT', 'file/x': 'ENOTDIR', loop: 'ELOOP' };
  for (const [name, code] of Object.entries(codes)) {
    for (let i = 0; i < 2; i++) {
      const { message, errno, syscall, path } = await failure(read(rt, at(name)));
      t.regex(message, new RegExp(`^${code}: .*, open '${at(name)}'$`));
      t.deepEqual([typeof errno, syscall, path], ['number', 'open', at(name)]);
    }
  }
  t.is((await failure(read(rt, at('x'.repeat(256))))).code, 'ENAMETOOLONG');
  t.is((await failure(read(rt, at('x'.repeat(5000))))).code, 'ENAMETOOLONG');
  const before = looks.all;
  t.is(String(await read(rt, at('file'), constants.O_NOATIME)), 'x');
  t.is(looks.all, before, 'other flags are for the ring');
});

test.serial('reads that never wait let others run', async (t) => {
  const path = join(folder(t), 'file');
  writeFileSync(path, 'x');
  const [rt, looks] = looking(t);
  let turns = 0;
  let reads = 0;
  const loop = async () => {
    for (; turns < 20; reads++) t.is((await read(rt, path)).length, 1);
  };
  const loops = Promise.all([loop(), loop(), loop()]);
  for (; turns < 20; turns++) await immediate();
  await loops;
  t.true(looks.whole > 20 && reads === looks.whole, `${looks.whole} of ${reads}`);
});

// PAIR: only-typescript -- in Rust nothing waits for an iteration of an event loop
test.serial(
  'reads that wait for their iteration end by a cancel, or with their ring',
  async (t) => {
    const path = join(folder(t), 'file');
    writeFileSync(path, pattern(100_000));
    const [rt, looks] = looking(t);
    await read(rt, path);
    const spend = () => {
      while (rt.executor.affords) rt.executor.spend(100);
    };
    spend();
    const before = looks.all;
    const reads = Array.from({ length: 10 }, () => read(rt, path));
    for (const each of reads) each.begin();
    t.is(looks.all, before);
    const ends = reads.slice(0, 4).map((each) => failure(each));
    for (const each of reads.slice(0, 4)) each.cancel();
    for (const error of await Promise.all(ends)) t.is(error.name, 'AbortError');
    for (const each of reads.slice(4)) t.is((await each).length, 100_000);
    t.is(looks.all, before + 6);
    await settle();
    spend();
    const late = Array.from({ length: 4 }, () => read(rt, path));
    for (const each of late) each.begin();
    const closed = late.map((each) => failure(each));
    await rt.close();
    for (const error of await Promise.all(closed)) t.is(error.code, 'ERR_RINGCORE_CLOSED');
    t.is(looks.all, before + 6);
    t.is(numbers(path), 0);
  },
);

test.serial('a file that was opened is closed, whatever ends its reading', async (t) => {
  const root = folder(t);
  const fifo = join(root, 'fifo');
  await promisify(execFile)('mkfifo', [fifo]);
  const writer = openSync(fifo, constants.O_RDWR);
  t.teardown(() => closeSync(writer));
  const opened = () => numbers(fifo);
  t.is(opened(), 1);
  const [rt, looks] = looking(t);
  const before = looks.open;
  const reads = Array.from({ length: 10 }, () => read(rt, fifo));
  const ends = reads.map((each) => failure(each));
  await settle(); // An await begins them later.
  const more = looks.open - before; // The others found no budget, and are in slots.
  t.true(more > 0);
  t.is(opened(), 1 + more);
  for (const each of reads.slice(0, 4)) each.cancel();
  for (const error of await Promise.all(ends.slice(0, 4))) t.is(error.name, 'AbortError');
  await until(() => opened() === 1 + Math.max(0, more - 4));
  await rt.close();
  for (const error of await Promise.all(ends.slice(4))) t.is(error.code, 'ERR_RINGCORE_CLOSED');
  t.is(opened(), 1);
});

test.serial('a ring that may not read, or has ended, does not look', async (t) => {
  const path = join(folder(t), 'file');
  writeFileSync(path, 'x');
  const [closed, looks] = looking(t);
  t.is(String(await read(closed, path)), 'x');
  await closed.close();
  t.is((await failure(read(closed, path))).code, 'ERR_RINGCORE_CLOSED');
  t.is(looks.all, 1);
  const [rt, others] = looking(t, false, { allow: ['nop', 'read', 'close', 'timeout'] });
  t.is((await failure(read(rt, path))).code, 'EACCES');
  t.is(others.whole + others.open, 0);
});

test.serial(
  'on a kernel that makes faults every file ends once, and nothing stays open',
  async (t) => {
    let whole = 0;
    for (let seed = 0; seed < many(100); seed++) {
      let mock: Mock | null = null;
      const rt = new Runtime({}, (_options, wake) => {
        mock = new Mock(seed, FAULTS, wake);
        return mock;
      });
      const reads = Array.from({ length: 40 }, () => read(rt, 'some/path'));
      const ends = await Promise.allSettled(reads.map((each) => each.then((bytes) => bytes)));
      const { world, busyRegions } = mock as unknown as Mock;
      for (const end of ends) {
        if (end.status === 'rejected') t.true(['EIO', 'ENOENT'].includes(end.reason.code));
        else if (end.value.every((byte) => byte === CACHED_PATTERN)) whole++;
        else
          t.true(
            end.value.every((byte) => byte !== CACHED_PATTERN),
            'bytes of two files',
          );
      }
      await until(() => world.open.size === 0);
      await rt.close();
      t.deepEqual([world.badCloses, busyRegions], [0, 0], `seed ${seed}`);
    }
    t.true(whole > 100, String(whole));
  },
);
