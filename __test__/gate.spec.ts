// PAIR: only-typescript gate.spec.ts -- in Rust a caller limits its own tasks

import '../src/runtime.ts'; // First: the operations and the runtime import each other.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ReadFile } from '../src/fs/read.ts';
import { WriteFile } from '../src/fs/write.ts';
import { type Runtime, race, sleep } from '../src/index.ts';
import { Queue } from '../src/queue.ts';
import { report } from './lifecycle/child.ts';
import { failure, folder, many, runtime, settle, until } from './support.ts';

const COUNT = 2000;

/** A read of a whole file; that of a FIFO that nobody writes waits for ever. */
const opening = (rt: Runtime, path: string) => new ReadFile(rt, path, 0, -1);

/** So many are open at once. */
const MOST = 256;

async function crowd(rt: Runtime, root: string): Promise<ReadFile[]> {
  execFileSync('mkfifo', [join(root, 'fifo')]);
  const reads = Array.from({ length: MOST }, () => opening(rt, join(root, 'fifo')));
  for (const read of reads) read.begin();
  // Some wait for the next iteration of the event loop.
  await until(() => !rt.executor.reactor.gate.roomy);
  return reads;
}

async function leave(reads: ReadFile[]): Promise<void> {
  const ends = reads.map((read) => failure(read));
  for (const read of reads) read.cancel();
  for (const error of await Promise.all(ends)) if (error.name !== 'AbortError') throw error;
}

test.serial('thousands of files at once never need more than a few descriptors', async (t) => {
  const under = ['sh', '-c', 'ulimit -n 128 && exec "$0" "$@"'];
  const count = many(5000);
  const args = [String(count), folder(t)];
  interface Found {
    codes: Record<string, number>;
    most: number;
    after: number;
  }
  const found = await report<Found>(t, 'fs-crowd.mjs', args, { under });
  t.deepEqual(found.codes, { right: count });
  t.true(found.most <= 70, `${found.most} descriptors`);
  t.is(found.after, 0);
});

test.serial('what waits in line goes in when another one has ended', async (t) => {
  const rt = await runtime(t);
  const root = folder(t);
  writeFileSync(join(root, 'file'), 'content');
  const reads = await crowd(rt, root);
  const waiting = opening(rt, join(root, 'file'));
  let value: Buffer | null = null;
  const ended = waiting.then((bytes) => {
    value = bytes;
  });
  await settle();
  t.is(value, null);
  t.true(waiting.queued);
  await leave(reads.splice(0, 1));
  await ended;
  t.is(String(value), 'content');
  await leave(reads);
  await rt.op.nop();
  await until(() => rt.executor.reactor.directs.used === 0);
});

test.serial('a signal ends what waits in line at once, and its place is passed over', async (t) => {
  const rt = await runtime(t);
  const root = folder(t);
  const reads = await crowd(rt, root);
  const abort = new AbortController();
  const path = join(root, 'new');
  const data = Buffer.from('x');
  const waiting = new WriteFile(rt, path, 0o101, 0o600, -1, data, false, { signal: abort.signal });
  const error = failure(waiting);
  await settle();
  abort.abort('enough');
  t.like(await error, { name: 'AbortError', cause: 'enough' });
  await leave(reads);
  mkdirSync(path); // Nothing was made there.
  writeFileSync(join(root, 'file'), 'content');
  t.is(String(await opening(rt, join(root, 'file'))), 'content');
});

test.serial('what is abandoned in line never opens anything', async (t) => {
  const rt = await runtime(t);
  const root = folder(t);
  writeFileSync(join(root, 'file'), 'content');
  const reads = await crowd(rt, root);
  const path = join(root, 'new');
  await rt.run(function* () {
    const write = new WriteFile(rt, path, 0o101, 0o600, -1, Buffer.from('x'), false);
    yield* race([write, sleep(1)]);
  });
  await leave(reads);
  t.is(String(await opening(rt, join(root, 'file'))), 'content');
  t.false(existsSync(path));
});

test.serial('failures give their places back', async (t) => {
  const rt = await runtime(t);
  const root = folder(t);
  const missing = Array.from({ length: COUNT }, () => opening(rt, join(root, 'missing')));
  const errors = await Promise.all(missing.map((read) => failure(read)));
  t.true(errors.every(({ code }) => code === 'ENOENT'));
  const long = 'x'.repeat(5000);
  for (let i = 0; i < MOST + 1; i++) {
    t.is((await failure(opening(rt, long))).code, 'ENAMETOOLONG');
  }
  writeFileSync(join(root, 'file'), 'content');
  t.is(String(await opening(rt, join(root, 'file'))), 'content');
  await rt.op.nop(); // The close travels with what comes next.
  t.is(rt.executor.reactor.directs.used, 0);
});

test.serial('a runtime that closes ends everybody in line', async (t) => {
  const rt = await runtime(t);
  const root = folder(t);
  const reads = await crowd(rt, root);
  const waiting = Array.from({ length: many(20_000) }, () => opening(rt, join(root, 'file')));
  const ends = [...reads, ...waiting].map((read) => failure(read));
  await rt.close();
  for (const error of await Promise.all(ends)) t.is(error.code, 'ERR_RINGCORE_CLOSED');
});

test.serial('a long queue keeps its order, and moves no item more than once', (t) => {
  const queue = new Queue<number>();
  const all = 100_000;
  const { slice } = Array.prototype;
  let moved = 0;
  Array.prototype.slice = function (this: unknown[], ...args: []) {
    const part = slice.apply(this, args);
    moved += part.length;
    return part;
  };
  t.teardown(() => {
    Array.prototype.slice = slice;
  });
  let right = 0;
  for (let i = 0; i < all; i++) queue.push(i);
  for (let i = 0; i < all; i++) {
    if (i % 2 === 0) queue.push(all + i / 2);
    if (queue.take() === i) right++;
  }
  Array.prototype.slice = slice;
  t.deepEqual([right, queue.length], [all, all / 2]);
  t.true(moved > 0 && moved <= all * 1.5, `${moved} moved`);
});
