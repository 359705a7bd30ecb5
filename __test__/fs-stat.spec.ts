// PAIR: only-typescript fs-stat.spec.ts -- the drop-in is TypeScript's alone; its oracle is the
// running Node's own module.
//
// stat, lstat and fstat of the drop-ins, which look before they ask the ring.

import { execFileSync } from 'node:child_process';
import {
  accessSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  type StatOptions,
  type Stats,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay, setImmediate as immediate } from 'node:timers/promises';
import { inspect } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import * as callbacks from '../src/node/fs.ts';
import * as fs from '../src/node/fs-promises.ts';
import { current } from '../src/runtime.ts';
import { descriptors, failure, folder, many } from './support.ts';

type Ask = (path: string, options?: StatOptions) => unknown;

/** What a call comes to, in all that can be seen of it but frames. */
async function outcome(call: () => unknown): Promise<string> {
  try {
    const stats = (await call()) as Stats | undefined;
    if (stats === undefined) return 'it is there';
    return inspect([stats, stats.isFile(), stats.mtime, Object.getPrototypeOf(stats)]);
  } catch (error) {
    const { name, message } = error as Error;
    return inspect([name, message, Object.entries(error as Error).sort()]);
  }
}

/** A callback function as one of promises. */
function promised(name: 'stat' | 'lstat' | 'fstat' | 'access'): Ask {
  const { stat, lstat, fstat, access } = callbacks;
  const call = { stat, lstat, fstat, access }[name] as unknown as (...args: unknown[]) => void;
  return (path, options) =>
    new Promise((resolve, reject) => {
      const done = (error: unknown, stats: unknown) => (error ? reject(error) : resolve(stats));
      if (options === undefined) call(path, done);
      else call(path, options, done);
    });
}

/** One of each kind of name. */
async function tree(t: ExecutionContext): Promise<string[]> {
  const root = folder(t);
  const at = (name: string) => join(root, name);
  writeFileSync(at('file'), 'content');
  writeFileSync(at('ä\ud83d\ude00'), '');
  utimesSync(at('file'), -2.25, 5e9 + 0.5);
  mkdirSync(at('folder'));
  const links = { link: 'file', way: 'folder', dangling: 'gone', loop: 'loop', up: '../../../..' };
  for (const [name, to] of Object.entries(links)) symlinkSync(to, at(name));
  execFileSync('mkfifo', [at('fifo')]);
  const server = createServer().listen(at('socket'));
  t.teardown(() => server.close());
  await immediate();
  const names = [
    ...['file', 'ä\ud83d\ude00', 'folder', 'folder/', 'link', 'way', 'way/', 'dangling', 'loop'],
    ...['up', 'fifo', 'socket', 'none', 'file/', 'file/x', 'link/x', 'x'.repeat(256)],
    ...['x'.repeat(5000), 'a\0b', '.', '..', 'folder/../file'],
  ];
  const others = ['', '/', '/dev/null', '/dev/tty', '/proc/self/status', '/proc/self/cwd', '/sys'];
  return [...names.map((name) => `${root}/${name}`), ...others];
}

test.serial('stat and lstat end as in node:fs, of every kind of name', async (t) => {
  const paths = await tree(t);
  const calls: [Ask, Ask][] = [
    [fs.stat as Ask, statSync as Ask],
    [fs.lstat as Ask, lstatSync as Ask],
    [promised('stat'), statSync as Ask],
    [promised('lstat'), lstatSync as Ask],
  ];
  const before = current().stats().looks;
  for (const path of paths) {
    for (const options of [undefined, {}, { bigint: true }, { bigint: false }]) {
      for (const [ours, theirs] of calls) {
        const expected = await outcome(() => theirs(path, options));
        t.is(await outcome(() => ours(path, options)), expected, `${path} ${inspect(options)}`);
      }
      await immediate();
    }
  }
  t.true(current().stats().looks > before);
});

test.serial('access ends as in node:fs, of every kind of name', async (t) => {
  const paths = await tree(t);
  const before = current().stats().looks;
  for (const path of paths) {
    for (const mode of [undefined, constants.F_OK, constants.R_OK, constants.W_OK]) {
      const expected = await outcome(() => accessSync(path, mode));
      t.is(await outcome(() => fs.access(path, mode)), expected, `${path} ${mode}`);
      const called = await outcome(() => promised('access')(path, mode as never));
      t.is(called, expected, `${path} ${mode}`);
    }
    await immediate();
  }
  t.true(current().stats().looks > before + 10);
});

test.serial('fstat ends as in node:fs, of what is open', async (t) => {
  const root = folder(t);
  const paths = [join(root, 'file'), root, '/dev/null', '/proc/self/status', join(root, 'fifo')];
  writeFileSync(paths[0] as string, 'content');
  execFileSync('mkfifo', [paths[4] as string]);
  for (const path of paths) {
    const flags = path.endsWith('fifo') ? constants.O_RDWR : constants.O_RDONLY;
    const handle = await fs.open(path, flags);
    for (const options of [undefined, { bigint: true }]) {
      const expected = await outcome(() => fstatSync(handle.fd, options));
      t.is(await outcome(() => handle.stat(options as undefined)), expected, path);
      t.is(await outcome(() => promised('fstat')(handle.fd as never, options)), expected, path);
    }
    await handle.close();
    t.is((await failure(handle.stat())).code, 'EBADF');
  }
  t.is((await failure(promised('fstat')(987_654 as never) as Promise<unknown>)).code, 'EBADF');
});

test.serial('the stack of what is not there names the functions that waited for it', async (t) => {
  async function inner() {
    await fs.stat('/none/of it');
  }
  async function outer() {
    await inner();
  }
  statFails('/none/of it');
  for (let i = 0; i < 2; i++) {
    const { stack } = await failure(outer());
    t.regex(String(stack), /^Error: ENOENT: no such file or directory, stat '\/none\/of it'\n/);
    t.regex(String(stack), /at async inner .*\n.*at async outer /);
  }
});

function statFails(path: string): void {
  try {
    statSync(path); // Its absence is in the cache now.
  } catch {
    return;
  }
  throw new Error(`there is ${path}`);
}

test.serial('one stat after the other lets timers run, and leaves nothing open', async (t) => {
  const path = join(folder(t), 'file');
  writeFileSync(path, 'x');
  await fs.stat(path);
  const before = descriptors();
  const count = many(100_000);
  let [fired, done] = [0, false];
  const timers = (async () => {
    for (; !done; fired++) await delay(1);
  })();
  for (let i = 0; i < count; i++) {
    if (i % 2 === 0) await fs.stat(path);
    else if (i % 16 === 1) await fs.stat(`${path}s`).catch(() => {});
    else await fs.lstat(path);
  }
  done = true;
  await timers;
  t.true(fired > 20, `${fired} timers`);
  t.is(descriptors(), before);
});

test.serial('crowds get their answers, each its own', async (t) => {
  const root = folder(t);
  const names = Array.from({ length: many(2000) }, (_, i) => join(root, `f${i}`));
  for (const [i, name] of names.entries()) if (i % 3 > 0) writeFileSync(name, 'x'.repeat(i % 7));
  const sizes = names.map((_, i) => (i % 3 > 0 ? i % 7 : 'ENOENT'));
  const size = async (ask: Promise<Stats>) => {
    try {
      return (await ask).size;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    }
  };
  const { looks } = current().stats();
  t.deepEqual(await Promise.all(names.map((name) => size(fs.stat(name)))), sizes);
  const stat = promised('stat') as (path: string) => Promise<Stats>;
  t.deepEqual(await Promise.all(names.map((name) => size(stat(name)))), sizes);
  t.true(current().stats().looks > looks);
});

const CLOSED = 'ERR_RINGCORE_CLOSED';

test.serial('stats that wait for a budget end, although the runtime is closed', async (t) => {
  const path = join(folder(t), 'file');
  writeFileSync(path, 'content');
  for (const close of [false, true]) {
    const asked = Array.from({ length: 1000 }, () => fs.stat(path));
    const missing = Array.from({ length: 1000 }, () => failure(fs.lstat(`${path}s`)));
    const called = Array.from({ length: 1000 }, () => promised('stat')(path) as Promise<Stats>);
    if (close) await current().close();
    let cut = 0;
    for (const end of await Promise.allSettled([...asked, ...called])) {
      if (end.status === 'fulfilled') t.is(end.value.size, 7);
      else if (end.reason.code === CLOSED) cut++;
      else t.fail(end.reason);
    }
    for (const { code } of await Promise.all(missing)) {
      if (code === CLOSED) cut++;
      else t.is(code, 'ENOENT');
    }
    t.is(cut > 0, close);
  }
});
