// PAIR: only-typescript fs-promises.spec.ts -- the drop-in is TypeScript's alone; its oracle is the
// running Node's own module: every function and every method with every kind of argument.

import {
  chmodSync,
  linkSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import test, { type ExecutionContext } from 'ava';
import { probe } from '../src/index.ts';
import { backend } from '../src/node/backend.ts';
import { FileHandle as Own } from '../src/node/file-handle.ts';
import {
  baseOf,
  enter,
  leave,
  listing,
  ours,
  outcome,
  remove,
  type Side,
  shape,
  sides,
  text,
  theirs,
  tree,
} from './fs-sides.ts';
import { askForBigInts, CALLS, type Make, METHODS, noOracle, VALUES } from './fs-values.ts';
import { child, descriptors, failure, folder, lanes, taken, until } from './support.ts';

type Loose = Record<string, (...args: unknown[]) => unknown>;
/** The ring has descriptors of its own, from the first call on. */
test.before(async () => {
  await ours.readFile('/dev/null');
  await ours.copyFile('/dev/null', join(tmpdir(), `ringcore-${process.pid}`));
  rmSync(join(tmpdir(), `ringcore-${process.pid}`));
  await until(() => lanes() === 0);
  await askForBigInts();
});

test.afterEach.always(leave);

const small = (root: string) => tree(root, ['']);
const NAMES = Object.keys(theirs).filter((name) => name !== 'constants');

/** A call with its arguments, the n-th of them (-1: none) replaced, or without the last ones. */
interface Case {
  readonly name: string;
  readonly text: string;
  readonly args: Make[];
}

/** The call itself, each of its prefixes, one argument more, and every value at every place. */
function* casesOf(name: string, calls: readonly Make[][]): Generator<Case> {
  for (const [index, args] of calls.entries()) {
    const label = `${name}#${index}`;
    for (let count = 0; count <= args.length; count++) {
      yield { name, text: `${label} with ${count} arguments`, args: args.slice(0, count) };
    }
    for (const [kind, make] of VALUES) {
      for (let place = 0; place <= args.length; place++) {
        const changed = [...args.slice(0, place), make, ...args.slice(place + 1)];
        yield { name, text: `${label} with ${kind} at ${place}`, args: changed };
      }
    }
  }
}

/** What is compared of a value, and what must be closed of it. */
async function settled(name: string, value: unknown, side: Side): Promise<unknown> {
  if (name === 'mkdtemp') {
    await theirs.rmdir(value as string);
    return Buffer.from(value as string).subarray(0, -6);
  }
  if (name === 'mkdtempDisposable') {
    const { path, remove } = value as { path: string; remove: () => Promise<void> };
    await remove();
    return [Object.keys(value as object), Buffer.from(path).subarray(0, -6)];
  }
  if (name === 'glob') return await collect(value as AsyncIterable<unknown>);
  if (name === 'watch') {
    const watcher = value as AsyncGenerator;
    await watcher.return(undefined);
    return [typeof watcher.next, typeof watcher[Symbol.asyncIterator]];
  }
  if (name === 'statfs') return [value?.constructor.name, Object.keys(value as object)];
  if (name === 'readLines') return await collect(value as AsyncIterable<unknown>);
  if (name === 'createReadStream') return await collect(value as AsyncIterable<unknown>);
  if (name === 'createWriteStream') {
    const stream = value as NodeJS.WritableStream;
    await finished(stream.end('written'));
    return stream.constructor.name;
  }
  if (name === 'getAsyncId') return typeof value;
  if (name === 'opendir') {
    await (value as { close: () => Promise<void> }).close();
    return value?.constructor.name;
  }
  if (name === 'open') {
    const seen = shape(value, side.root);
    await (value as FileHandle).close();
    return seen;
  }
  return value;
}

async function collect(from: AsyncIterable<unknown>): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const each of from) found.push(each);
  return found.sort();
}

/** Views and the views in lists and options, as the call left them. */
function views(args: unknown[], side: Side): unknown[] {
  const all = args.flatMap((arg) =>
    [arg, (arg as { buffer?: unknown } | null)?.buffer, arg].flat(),
  );
  return all.filter(ArrayBuffer.isView).map((view) => shape(view, side.root));
}

async function ended(side: Side, each: Case, target: (side: Side) => Promise<Loose>) {
  enter(side);
  const after: (() => Promise<unknown>)[] = [];
  const args = await Promise.all(each.args.map((make) => make(side, after)));
  const done = async (found: unknown) => {
    for (const close of after) await close().catch(() => {});
    return found;
  };
  if (noOracle(each.name, args)) return await done('not asked');
  const on = await target(side);
  // Whether it throws or rejects is asked first; what it gives is looked at afterwards.
  let value: unknown;
  const end = await outcome(side, () => {
    value = on[each.name]?.(...args);
    return value instanceof Promise ? value.then((it) => settled(each.name, it, side)) : later();
  });
  async function later() {
    return ['no promise', await settled(each.name, value, side)];
  }
  return await done([end, views(args, side)]);
}

/** Both sides end every case alike and leave the same tree. */
async function alike(
  t: ExecutionContext,
  cases: Iterable<Case>,
  target: (side: Side) => Promise<Loose>,
): Promise<number> {
  const [one, other] = sides(t, small);
  const wrong: string[] = [];
  let count = 0;
  let clean = text(listing(one));
  const fresh = clean;
  try {
    for (const each of cases) {
      const results: string[] = [];
      for (const side of [one, other]) {
        const found = await ended(side, each, target);
        const now = text(listing(side));
        results.push(text(found) + (now === fresh ? '' : now));
        if (now === fresh) continue;
        leave();
        rmSync(side.root, { recursive: true });
        mkdirSync(side.root);
        small(side.root);
        clean = text(listing(side));
        if (clean !== fresh) throw new Error(`the tree is not what it was: ${clean}`);
      }
      count++;
      if (results[0] !== results[1]) wrong.push(`${each.text}\n-${results[0]}\n+${results[1]}`);
    }
  } finally {
    leave();
  }
  t.is(wrong.length, 0, `${wrong.length} of ${count} differ:\n${wrong.slice(0, 400).join('\n\n')}`);
  return count;
}

const expected: string = process.env.RINGCORE_EXPECT ?? 'io_uring';

test.serial(`${expected} serves this process`, async (t) => {
  t.is<string, string>(probe().backend, expected);
  const path = join(folder(t), 'f');
  const count = () => {
    const ring = backend();
    return ring === null ? 0 : taken(ring);
  };
  const calls: Record<string, () => Promise<unknown>> = {
    writeFile: () => ours.writeFile(path, 'x'.repeat(1 << 20)),
    readFile: () => ours.readFile(path),
    stat: () => ours.stat(path),
    lstat: () => ours.lstat(path),
    open: async () => await (await ours.open(path, 'r+')).close(),
    truncate: () => ours.truncate(path, 1),
    link: () => ours.link(path, `${path}1`),
    rename: () => ours.rename(`${path}1`, `${path}2`),
    unlink: () => ours.unlink(`${path}2`),
    symlink: () => ours.symlink('f', `${path}3`),
    mkdir: () => ours.mkdir(`${path}4`),
    rmdir: () => ours.rmdir(`${path}4`),
  };
  for (const [name, call] of Object.entries(calls)) {
    const before = count();
    await call();
    t.is(count() > before, expected === 'io_uring', name);
  }
});

test.serial('it has the names of the running Node, as a whole and one by one', async (t) => {
  t.deepEqual(Object.keys(ours).sort(), Object.keys(theirs).sort());
  const named = (await import('../src/node/fs-promises.ts')) as unknown as Record<string, unknown>;
  for (const name of Object.keys(theirs)) {
    t.is(typeof named[name], typeof theirs[name as keyof typeof theirs], name);
  }
  const signatures = [ours, theirs].map((fs) =>
    NAMES.map((name) => {
      const call = Reflect.get(fs, name) as () => void;
      return `${name}: ${call.name}, ${call.length} arguments`;
    }),
  );
  t.deepEqual(signatures[0], signatures[1]);
  t.deepEqual(
    Object.keys(CALLS).filter((name) => !NAMES.includes(name) && name in theirs),
    [],
  );
  t.deepEqual(
    NAMES.filter((name) => !(name in CALLS)),
    [],
    'the table knows every name',
  );
});

for (const [name, calls] of Object.entries(CALLS)) {
  if (!NAMES.includes(name)) continue;
  test.serial(`${name} takes and refuses arguments as Node's own does`, async (t) => {
    const [own, node] = [ours, theirs].map((fs) => Reflect.get(fs, name));
    if (own === node) {
      t.is(typeof own, 'function'); // It is Node's own: there is nothing to compare.
      return;
    }
    const before = descriptors();
    const count = await alike(t, casesOf(name, calls), async ({ fs }) => fs as unknown as Loose);
    t.true(count > VALUES.length);
    await until(() => lanes() === 0);
    t.is(descriptors(), before, 'nothing stays open');
  });
}

/**
 * Handles of Node's that stay open: it throws when a stream of theirs could not be made. They are
 * kept: from Node 25 on the garbage collector throws for one that it closes.
 */
const lost: FileHandle[] = [];

async function closed(handle: FileHandle): Promise<void> {
  try {
    await handle.close();
  } catch (error) {
    if (!(error instanceof TypeError) || handle instanceof Own) throw error;
    lost.push(handle);
  }
}

async function methods(t: ExecutionContext, name: string, state: 'open' | 'closed') {
  const made: FileHandle[] = [];
  const target = async ({ fs, root }: Side) => {
    for (const handle of made.splice(0)) await closed(handle);
    const handle = await fs.open(`${root}/a`, 'r+');
    if (state === 'closed') await handle.close();
    made.push(handle);
    return handle as unknown as Loose;
  };
  const calls = METHODS[name] as Make[][];
  const some = state === 'open' ? casesOf(name, calls) : [...casesOf(name, calls)].slice(0, 12);
  const count = await alike(t, some, target);
  for (const handle of made) await closed(handle);
  t.true(count > 0);
}

for (const name of Object.keys(METHODS)) {
  test.serial(`FileHandle.${name} takes and refuses arguments as Node's own does`, async (t) => {
    const before = descriptors();
    const already = lost.length;
    await methods(t, name, 'open');
    // A second close() of Node's handle does not wait for the first, which a stream has called.
    await until(() => descriptors() - before <= lost.length - already);
    t.true(descriptors() - before <= lost.length - already, 'nothing of ours stays open');
  });
  test.serial(`FileHandle.${name} of a closed handle ends as Node's own does`, async (t) => {
    await methods(t, name, 'closed');
  });
}

/** Operations of the ring that the drop-in has used. */
const completed = (): number => backend()?.stats().completed ?? 0;

const MODES = [undefined, 1, 2, 4];

/** The kinds of files that copies are made of and onto. */
function kindsOfFiles(root: string): void {
  const at = (name: string) => join(root, name);
  for (const [name, content] of Object.entries({
    file: 'text',
    longer: 'longer than it',
    empty: '',
  }))
    writeFileSync(at(name), content);
  writeFileSync(at('holes'), 'x');
  truncateSync(at('holes'), 100_001);
  writeFileSync(at('mode'), 'mode');
  chmodSync(at('mode'), 0o4510);
  mkdirSync(at('folder'));
  writeFileSync(at('folder/inside'), 'inside');
  symlinkSync('file', at('link'));
  symlinkSync('nowhere', at('broken'));
  symlinkSync('loop', at('loop'));
  linkSync(at('file'), at('hard'));
}

test.serial('copies of and onto every kind of file end as on node:fs/promises', async (t) => {
  t.timeout(120_000);
  const before = completed();
  const froms = ['file', 'longer', 'empty', 'holes', 'mode', 'folder', 'folder/inside', 'link'];
  const others = ['broken', 'loop', 'hard', 'none', 'none/x', 'file/x', '.', `${'x'.repeat(300)}`];
  const both = [...froms, ...others];
  const wrong: string[] = [];
  let count = 0;
  for (const from of both) {
    for (const to of ['new', ...both]) {
      const all = from === 'file' || from === 'folder';
      for (const mode of all ? MODES : [MODES[count % 4]]) {
        const found: string[] = [];
        const [one, other] = sides(null, kindsOfFiles);
        for (const side of [one, other]) {
          const ended = await outcome(side, () => side.fs.copyFile(from, to, mode));
          found.push(text(ended) + text(listing(side)));
        }
        leave();
        remove(baseOf(one));
        count++;
        if (found[0] !== found[1]) wrong.push(`${from} -> ${to} (${mode}): ${found.join('\n+')}`);
      }
    }
  }
  t.deepEqual(wrong, []);
  t.is(count, (both.length + 6) * (both.length + 1));
  t.true(backend() === null || completed() - before >= count, 'the ring was asked');
});

/** Calls that fail in the kernel. */
const FAILING: Record<string, (fs: typeof theirs, root: string) => Promise<unknown>> = {
  access: (fs, root) => fs.access(`${root}/none`),
  appendFile: (fs, root) => fs.appendFile(`${root}/d`, 'x'),
  chmod: (fs, root) => fs.chmod(`${root}/none`, 0o600),
  copyFile: (fs, root) => fs.copyFile(`${root}/none`, `${root}/n`),
  link: (fs, root) => fs.link(`${root}/none`, `${root}/n`),
  lstat: (fs, root) => fs.lstat(`${root}/none`),
  mkdir: (fs, root) => fs.mkdir(`${root}/a`),
  open: (fs, root) => fs.open(`${root}/none`),
  readFile: (fs, root) => fs.readFile(`${root}/none`),
  readdir: (fs, root) => fs.readdir(`${root}/none`),
  readlink: (fs, root) => fs.readlink(`${root}/a`),
  realpath: (fs, root) => fs.realpath(`${root}/none`),
  rename: (fs, root) => fs.rename(`${root}/none`, `${root}/n`),
  rmdir: (fs, root) => fs.rmdir(`${root}/d`),
  stat: (fs, root) => fs.stat(`${root}/none`),
  symlink: (fs, root) => fs.symlink('a', `${root}/a`),
  truncate: (fs, root) => fs.truncate(`${root}/none`),
  unlink: (fs, root) => fs.unlink(`${root}/none`),
  writeFile: (fs, root) => fs.writeFile(`${root}/d`, 'x'),
};

test.serial('the stack of a failure names the functions that waited for it', async (t) => {
  const [{ root }] = sides(t);
  const named = /at async theNamedCaller[\s\S]*at async whoeverCalledIt/;
  for (const [name, call] of Object.entries(FAILING)) {
    const stackOf = async (fs: typeof theirs) => {
      async function theNamedCaller() {
        await call(fs, root);
      }
      async function whoeverCalledIt() {
        await theNamedCaller();
      }
      return (await failure(whoeverCalledIt())).stack ?? '';
    };
    const stack = await stackOf(ours);
    // Node 26 has no such frames in its readFile and writeFile.
    if (expected === 'node' && !named.test(await stackOf(theirs))) t.notRegex(stack, named, name);
    else t.regex(stack, named, name);
  }
});

test.serial('what the given iterable throws stays as it is, with its own frames', async (t) => {
  const [{ root }] = sides(t);
  async function* itsOwnGenerator(error: () => unknown) {
    yield 'text';
    throw error();
  }
  const handle = await ours.open(`${root}/a`, 'w');
  for (const error of [() => new Error('mine'), () => Object.freeze(new Error('mine'))]) {
    for (const write of [
      () => handle.writeFile(itsOwnGenerator(error)),
      () => ours.writeFile(`${root}/a`, itsOwnGenerator(error)),
    ]) {
      const { message, stack } = await failure(write());
      t.is(message, 'mine');
      t.regex(stack ?? '', /itsOwnGenerator/);
    }
  }
  await handle.close();
});

test.serial('a handle does all that it can, whatever the allow list lets through', async (t) => {
  const module = JSON.stringify(new URL('../src/node/fs-promises.ts', import.meta.url).href);
  const path = join(folder(t), 'a');
  const needs = ['openat', 'read', 'write', 'readv', 'writev', 'fsync', 'statx', 'close'];
  const source = `
    const fs = await import(${module});
    ringcore.Runtime.init({ allow: ${JSON.stringify(['nop', ...needs])} });
    const handle = await fs.open(${JSON.stringify(path)}, 'w+');
    await handle.writeFile('content');
    await handle.truncate(2);
    console.log((await handle.stat()).size);
    await handle.close();`;
  const { stdout, stderr } = await child(source);
  t.deepEqual([stdout, stderr], ['2\n', '']);
});
