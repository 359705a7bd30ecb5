// What is known of files whose names are in the kernel's caches: a look instead of operations.
// Pair: crates/ringcore/tests/fsstat.rs

import '../src/runtime.ts'; // First: the operations and the runtime import each other.

import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { H_STAT } from '../src/cqe.ts';
import { PathStat } from '../src/fs/stat.ts';
import { type Options, Runtime } from '../src/index.ts';
import { Kernel } from '../src/kernel.ts';
import { FAULTS, Mock } from '../src/mock.ts';
import type { Statx } from '../src/statx.ts';
import { descriptors, failure, folder, many, settle } from './support.ts';

/** Looks, and those of them that told something. */
interface Looks {
  all: number;
  told: number;
}

/** A runtime that counts its looks. With `blind` none of them sees anything. */
function looking(t: ExecutionContext, blind = false, options?: Options): [Runtime, Looks] {
  const looks: Looks = { all: 0, told: 0 };
  const rt = new Runtime(options, (checked, wake) => {
    const kernel = Kernel.open(checked, wake);
    const words = new Int32Array(kernel.memory);
    const look = kernel.stat.bind(kernel);
    kernel.stat = () => {
      looks.all++;
      if (blind) words[H_STAT] = -11;
      else look();
      if (words[H_STAT] !== -11) looks.told++;
    };
    return kernel;
  });
  t.teardown(() => rt.close());
  return [rt, looks];
}

const ask = (rt: Runtime, path: string, link = false) =>
  new PathStat(rt, path, link, true) as PromiseLike<Statx<bigint>>;

/** Whether the folders of these tests are on a file system whose answers are this machine's. */
const LOCAL = [0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x01021994];
const isLocal = (path: string): boolean => LOCAL.includes(statfsSync(path).type);

/** One of each kind of name. */
function tree(t: ExecutionContext): string {
  const root = folder(t);
  const at = (name: string) => join(root, name);
  writeFileSync(at('file'), 'content');
  writeFileSync(at('old'), '');
  utimesSync(at('old'), -2.25, 5e9 + 0.5);
  mkdirSync(at('folder'));
  symlinkSync('file', at('link'));
  symlinkSync('folder', at('way'));
  symlinkSync('gone', at('dangling'));
  symlinkSync('loop', at('loop'));
  symlinkSync('/proc/self/fd/0', at('magic'));
  execFileSync('mkfifo', [at('fifo')]);
  mkdirSync(at('closed'));
  writeFileSync(at('closed/x'), '');
  chmodSync(at('closed'), 0);
  t.teardown(() => chmodSync(at('closed'), 0o700));
  return root;
}

const NAMES = [
  ...['file', 'old', 'folder', 'folder/', 'folder/..', 'link', 'way', 'way/', 'dangling', 'loop'],
  ...['loop/', 'fifo', 'closed', 'closed/x', 'none', 'none/', 'file/', 'file/x', 'link/x'],
  ...['dangling/x', 'x'.repeat(255), 'x'.repeat(256), 'magic', '.', '..'],
];
const OTHERS = ['/', '/dev/null', '/dev', '/proc/self/status', '/proc/self', '/proc/self/fd/0'];
/** These are no work for a look, wherever they are. */
const RING_ONLY = /loop|magic|file\/|link\/x|x{256}/;

test.serial('a look tells what the ring tells', async (t) => {
  const root = tree(t);
  const [seeing, looks] = looking(t);
  const [blind, others] = looking(t, true);
  for (const path of [...NAMES.map((name) => `${root}/${name}`), ...OTHERS]) {
    for (const link of [false, true]) {
      await outcome(ask(blind, path, link)); // Its name is in the cache now.
      await settle(); // The whole budget is there again.
      const before = looks.told;
      const [seen, expected] = [
        await outcome(ask(seeing, path, link)),
        await outcome(ask(blind, path, link)),
      ];
      t.deepEqual(seen, expected, path);
      const sure =
        path.startsWith(root) && isLocal(root) && !RING_ONLY.test(path.slice(root.length));
      if (sure && !(path.endsWith('closed/x') && process.getuid?.() !== 0)) {
        t.is(looks.told, before + 1, path);
      }
      // Whose answers these are nobody knows.
      if (path.startsWith('/proc/')) t.is(looks.told, before, path);
    }
  }
  t.is(others.told, 0);
});

test.serial('a look sees a change at once', async (t) => {
  const root = folder(t);
  const [rt, looks] = looking(t);
  const [one, two] = [join(root, 'one'), join(root, 'two')];
  const size = async (path: string) => {
    await settle();
    try {
      return Number((await ask(rt, path)).size);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    }
  };
  t.is(await size(one), 'ENOENT');
  for (let i = 1; i < 20; i++) {
    writeFileSync(one, 'x'.repeat(i));
    t.is(await size(one), i);
    appendFileSync(one, 'x');
    t.is(await size(one), i + 1);
    renameSync(one, two);
    t.deepEqual([await size(one), await size(two)], ['ENOENT', i + 1]);
    rmSync(two);
    t.is(await size(two), 'ENOENT');
  }
  writeFileSync(one, '');
  for (const mode of [0o600, 0o644]) {
    chmodSync(one, mode);
    await settle();
    t.is((await ask(rt, one)).mode & 0o777, mode);
  }
  // A name that a file has just lost may be in no cache.
  if (isLocal(root)) t.true(looks.told > looks.all / 2, `${looks.told} of ${looks.all}`);
});

test.serial('a look leaves nothing open', async (t) => {
  const root = tree(t);
  const [rt, looks] = looking(t);
  const paths = ['file', 'link', 'none', 'folder', 'loop', 'file/x', 'fifo', 'closed/x'];
  const all = [...paths.map((name) => join(root, name)), '/proc/self/status', '/dev/null'];
  await outcome(ask(rt, root));
  const before = descriptors();
  for (let i = 0; i < many(10_000) / all.length; i++) {
    await Promise.all(all.map((path, k) => outcome(ask(rt, path, k % 2 === 0))));
  }
  t.is(descriptors(), before);
  t.true(looks.all > 1000);
});

test.serial('looks that never wait let others run', async (t) => {
  const path = join(folder(t), 'file');
  writeFileSync(path, 'x');
  const [rt] = looking(t);
  let turns = 0;
  const loop = async () => {
    while (turns < 20) t.is((await ask(rt, path)).size, 1n);
  };
  const loops = Promise.all([loop(), loop(), loop()]);
  for (; turns < 20; turns++) await immediate();
  await loops;
});

test.serial('a ring that may not ask, or has ended, does not look', async (t) => {
  const path = join(folder(t), 'file');
  writeFileSync(path, 'x');
  const [closed, looks] = looking(t);
  t.is((await ask(closed, path)).size, 1n);
  await closed.close();
  t.is((await failure(ask(closed, path))).code, 'ERR_RINGCORE_CLOSED');
  t.is(looks.all, 1);
  const [rt, others] = looking(t, false, { allow: ['nop', 'openat', 'close', 'timeout'] });
  t.is((await failure(ask(rt, path))).code, 'EACCES');
  t.is(others.told, 0);
});

test.serial('an open file is told of in the same way', async (t) => {
  const root = folder(t);
  const path = join(root, 'file');
  writeFileSync(path, 'content');
  const [seeing, looks] = looking(t);
  const [blind] = looking(t, true);
  const [file, other] = [await seeing.File.open(path), await blind.File.open(path)];
  await settle();
  t.deepEqual(await file.stat(true), await other.stat(true));
  t.is(looks.told, isLocal(root) ? 1 : 0);
  rmSync(path);
  t.is((await file.stat()).nlink, 0);
  appendFileSync(`/proc/self/fd/${file.fd}`, '.');
  t.is((await file.stat()).size, 8);
  await file.close();
  t.throws(() => file.stat(), { code: 'EBADF' });
  await other.close();
  const pipe = seeing.File.fromFd(openSync(fifo(root), constants.O_RDWR));
  const [found, expected] = [await pipe.stat(), fstatSync(pipe.fd)];
  t.deepEqual([found.mode, found.ino], [expected.mode, expected.ino]);
  await pipe.close();
});

test.serial('on a kernel that makes faults every question ends once', async (t) => {
  let [known, absent] = [0, 0];
  for (let seed = 0; seed < many(100); seed++) {
    let mock: Mock | null = null;
    const rt = new Runtime({}, (_options, wake) => {
      mock = new Mock(seed, FAULTS, wake);
      return mock;
    });
    const asked = Array.from({ length: 40 }, (_, i) => ask(rt, 'some/path', i % 2 === 0));
    for (const end of await Promise.allSettled(asked.map((each) => each.then((x) => x)))) {
      if (end.status === 'rejected') {
        t.true(['EIO', 'ENOENT'].includes(end.reason.code));
        if (end.reason.code === 'ENOENT') absent++;
      } else {
        t.deepEqual([end.value.size, end.value.mode], [0n, 0]);
        known++;
      }
    }
    await rt.close();
    t.is((mock as unknown as Mock).busyRegions, 0, `seed ${seed}`);
  }
  t.true(known > 100 && absent > 100, `${known} ${absent}`);
});

function fifo(root: string): string {
  const path = join(root, 'a fifo');
  execFileSync('mkfifo', [path]);
  return path;
}

type Ended = { value: unknown } | { code: unknown; message: string };

/** A value, or what an error says. */
async function outcome(work: PromiseLike<unknown>): Promise<Ended> {
  try {
    return { value: await work };
  } catch (error) {
    const { code, message, errno, syscall, path } = error as NodeJS.ErrnoException;
    return { code, message, errno, syscall, path } as Ended;
  }
}
