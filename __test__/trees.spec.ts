// Folder trees on the lane: copyTree, removeTree.
// Pair: crates/ringcore/tests/trees.rs

import { execFileSync } from 'node:child_process';
import fs, { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { type Options, Runtime } from '../src/index.ts';
import { COPYFILE_EXCL, COPYTREE_ABSOLUTE, COPYTREE_SLASH } from '../src/sqe.ts';
import { rows } from './fs-trees.ts';
import { descriptors, failure, folder, lanes, many, runtime, settle, until } from './support.ts';

const GIB = 2 ** 30;

type At = (name: string) => string;

function place(t: ExecutionContext): At {
  const path = folder(t);
  return (name) => `${path}/${name}`;
}

/** A file that takes seconds to copy and none to make: its blocks are there, never written. */
async function endless(rt: Runtime, path: string): Promise<string> {
  const fd = fs.openSync(path, 'w');
  await rt.op.fallocate(fd, 0, 0, 3 * GIB);
  fs.closeSync(fd);
  return path;
}

const written = (path: string): boolean => existsSync(path) && lstatSync(path).size > 0;

/** Every name below a folder, with what it is. */
function shape(path: string, below = ''): string[] {
  return readdirSync(`${path}${below}`).flatMap((name) => {
    const at = `${below}/${name}`;
    const found = lstatSync(`${path}${at}`);
    const mode = `${at} ${(found.mode & 0o7777).toString(8)}`;
    if (found.isDirectory()) return [mode, ...shape(path, at)];
    if (found.isSymbolicLink()) return [`${at} ${fs.readlinkSync(`${path}${at}`)}`];
    return [`${mode} ${readFileSync(`${path}${at}`, 'latin1')}`];
  });
}

/** Both threads of the lane are at copies of `long` until what this gives is called. */
async function occupied(rt: Runtime, long: string, at: At): Promise<() => Promise<void>> {
  const copies = ['one', 'two'].map((name) => rt.op.copyFile(long, at(name)));
  const ends = copies.map((copy) => failure(copy));
  await until(() => written(at('one')) && written(at('two')));
  return async () => {
    for (const copy of copies) copy.cancel();
    await Promise.all(ends);
  };
}

test.serial('a tree is copied with everything in it and removed', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  rows(at('from'), 70, 3);
  fs.mkdirSync(at('from/d1/empty'));
  for (const [name, mode] of [
    ['d1/empty', 0o555],
    ['d2/f0', 0o4751],
    ['d2', 0o1700],
    ['d3', 0o500],
    ['d4/f1', 0],
    ['d4', 0o2775],
    ['.', 0o751],
  ] as const) {
    fs.chmodSync(at(`from/${name}`), mode);
  }
  writeFileSync(at('from/d5/ünï cödé\n'), Buffer.alloc(3 * 2 ** 20, 7));
  const links = ['../d1/', '..', 'none/./x', '/etc//passwd'];
  for (const [i, target] of links.entries()) fs.symlinkSync(target, at(`from/d6/l${i}`));
  const result: undefined = (await rt.op.copyTree(at('from'), at('to'))) as undefined;
  t.is(result, undefined);
  t.deepEqual(shape(at('to')).sort(), shape(at('from')).sort());
  t.is(lstatSync(at('to')).mode & 0o7777, 0o751);
  const ends = [
    [COPYTREE_ABSOLUTE, [at('from/d1'), at('from'), at('from/d6/none/x'), '/etc//passwd']],
    [COPYTREE_SLASH, links],
    [
      COPYTREE_ABSOLUTE | COPYTREE_SLASH,
      [at('from/d1/'), at('from/'), at('from/d6/none/x'), '/etc//passwd'],
    ],
  ] as const;
  for (const [flags, targets] of ends) {
    await rt.op.copyTree(at('from'), at('other'), flags);
    t.deepEqual(
      links.map((_, i) => fs.readlinkSync(at(`other/d6/l${i}`))),
      [...targets],
    );
    await rt.op.removeTree(at('other/'));
    t.false(existsSync(at('other')));
  }
  await rt.op.removeTree(at('from'));
  t.deepEqual(readdirSync(at('')), ['to']);
});

test.serial('a tree that fails says why and its copy leaves nothing', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  const { op } = rt;
  rows(at('from'), 3, 3);
  writeFileSync(at('file'), 'text');
  fs.symlinkSync('from', at('link'));
  rows(at('fifo'), 3, 3);
  execFileSync('mkfifo', [at('fifo/d1/fifo')]);
  rows(at('broken'), 3, 3);
  writeFileSync(Buffer.from(`${at('broken')}/d1/\xff`, 'latin1'), '');
  // Of a tree that cannot be removed whole, what came before is gone.
  const names = () => readdirSync(at(''), { recursive: true }).map(String);
  const others = () => names().filter((name) => !name.startsWith('broken')).length;
  const before = others();
  for (const [from, to, code, flags] of [
    ['none', 'new', 'ENOENT'],
    ['from', 'none/new', 'ENOENT'],
    ['from', 'from', 'EEXIST'],
    ['from', 'link', 'EEXIST'],
    ['file', 'new', 'ENOTDIR'],
    ['link', 'new', 'ENOTDIR'],
    ['fifo', 'new', 'ENOTSUP'],
    ['broken', 'new', 'EILSEQ'],
    ['from', 'new', 'EINVAL', COPYFILE_EXCL],
    ['from', 'x'.repeat(256), 'ENAMETOOLONG'],
  ] as const) {
    const error = await failure(op.copyTree(at(from), at(to), flags));
    t.is(error.code, code, `${from} ${to}`);
    t.is(error.syscall, 'cp');
    t.is(error.path, at(from));
    t.false(existsSync(at('new')));
  }
  t.is((await failure(op.copyTree('from', at('new'), COPYTREE_ABSOLUTE))).code, 'EINVAL');
  for (const [path, code] of [
    ['none', 'ENOENT'],
    ['file', 'ENOTDIR'],
    ['link', 'ENOTDIR'],
    ['broken', 'EILSEQ'],
  ] as const) {
    const error = await failure(op.removeTree(at(path)));
    t.deepEqual([error.code, error.syscall, error.path], [code, 'rm', at(path)]);
  }
  t.true(existsSync(at('broken/d1')));
  // No slash makes a link a folder, and what rmdir(2) refuses is refused before anything is gone.
  for (const [path, code] of [
    ['link/', 'ENOTDIR'],
    ['link//', 'ENOTDIR'],
    ['from/.', 'EINVAL'],
    ['from/d1/..', 'EINVAL'],
  ] as const) {
    t.is((await failure(op.removeTree(`${at('')}${path}`))).code, code, path);
  }
  t.is(others(), before);
  t.throws(() => op.copyTree('a\0b', at('new')), { code: 'ERR_INVALID_ARG_VALUE' });
  t.throws(() => op.copyTree(at('from'), at('new'), -1), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => op.removeTree(1 as never), { code: 'ERR_INVALID_ARG_TYPE' });
});

test.serial('what is put in the place of a folder is not followed', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  const long = await endless(rt, at('endless'));
  rows(at('kept'), 60, 20);
  for (let round = 0; round < many(5); round++) {
    rows(at('tree/top'), 60, 20);
    const before = shape(at('kept')).sort();
    const codeOf = (error: unknown) => (error as { code: string }).code;
    const removed = rt.op.removeTree(at('tree')).then(() => 'done', codeOf);
    await until(() => readdirSync(at('tree/top')).length < 60);
    // Whoever copies files gets the threads, and the tree waits where it is.
    const release = await occupied(rt, long, at);
    t.true(readdirSync(at('tree/top')).length > 1, 'it is in the middle');
    if (round % 2 === 1) {
      // Somebody removes the folder that it is in: that is no end of the rest.
      fs.rmSync(at('tree/top'), { recursive: true });
      await release();
      t.is(await removed, 'done');
      t.false(existsSync(at('tree')));
      continue;
    }
    fs.renameSync(at('tree/top'), at('moved'));
    fs.symlinkSync(at('kept'), at('tree/top'));
    await release();
    // At the folder it was in, or at the next one.
    t.true(['ENOTDIR', 'ELOOP'].includes(await removed));
    t.true(
      shape(at('kept')).sort().join() === before.join(),
      'what the link leads to is as it was',
    );
    for (const name of ['tree', 'moved']) fs.rmSync(at(name), { recursive: true });
  }
});

test.serial('what is put in the place of a tree is not removed', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  const long = await endless(rt, at('endless'));
  for (const made of ['folder', 'file', 'link']) {
    rows(at('tree'), 60, 20);
    const removed = rt.op.removeTree(at('tree')).then(() => 'done');
    await until(() => readdirSync(at('tree')).length < 60);
    const release = await occupied(rt, long, at);
    t.true(readdirSync(at('tree')).length > 1, 'it is in the middle');
    fs.renameSync(at('tree'), at('moved'));
    if (made === 'folder') fs.mkdirSync(at('tree'));
    else if (made === 'file') writeFileSync(at('tree'), 'theirs');
    else fs.symlinkSync(at('moved'), at('tree'));
    await release();
    t.is(await removed, 'done');
    t.truthy(lstatSync(at('tree')), made);
    t.deepEqual(readdirSync(at('moved')), [], 'what it had is gone');
    for (const name of ['tree', 'moved']) fs.rmSync(at(name), { recursive: true });
  }
});

/** A tree of which a copy stands still: a file of each of six folders takes seconds. */
async function held(rt: Runtime, at: At): Promise<{ names: string[]; go: () => void }> {
  rows(at('from'), 6, 5);
  const names = readdirSync(at('from'));
  const long = await endless(rt, at('endless'));
  for (const name of names) {
    fs.linkSync(long, at(`from/${name}/endless`));
    fs.symlinkSync(at('kept'), at(`from/${name}/link`));
  }
  return { names, go: () => fs.truncateSync(long) };
}

/** Those whose long file is being copied, when that are two. */
async function going(at: At): Promise<string[]> {
  const found = () => readdirSync(at('to')).filter((name) => written(at(`to/${name}/endless`)));
  await until(() => existsSync(at('to')) && found().length === 2);
  return found();
}

test.serial('a copy that fails removes what it has made and nothing else', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  rows(at('kept'), 1, 5);
  const { names, go } = await held(rt, at);
  const copied = failure(rt.op.copyTree(at('from'), at('to')));
  const [one] = await going(at);
  const pending = names.find((name) => readdirSync(at(`to/${name}`)).length === 0) as string;
  t.is(lstatSync(at(`to/${pending}`)).mode & 0o7777, 0o700, 'nobody else may look into it yet');
  writeFileSync(at(`to/${pending}/f3`), 'theirs');
  writeFileSync(at(`to/${one}/theirs`), 'theirs');
  // Another file in the place of one that was copied, if one was already.
  const copied1 = readdirSync(at(`to/${one}`)).find((name) => /^f\d$/.test(name)) ?? 'other';
  writeFileSync(at(`to/${one}/new`), 'theirs');
  fs.renameSync(at(`to/${one}/new`), at(`to/${one}/${copied1}`));
  go();
  t.is((await copied).code, 'EEXIST');
  t.deepEqual(
    shape(at('to'))
      .map((line) => line.replace(/ \d+/, ''))
      .sort(),
    [
      `/${pending}`,
      `/${pending}/f3 theirs`,
      `/${one}`,
      `/${one}/${copied1} theirs`,
      `/${one}/theirs theirs`,
    ].sort(),
  );
  t.is(readdirSync(at('kept/d0')).length, 5);
});

test.serial('an aborted tree ends and leaves what there is', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  rows(at('kept'), 1, 5);
  const { go } = await held(rt, at);
  await until(() => lanes() === 0);
  const before = descriptors();
  const aborter = new AbortController();
  const copied = failure(rt.op.copyTree(at('from'), at('to'), 0, { signal: aborter.signal }));
  await going(at);
  aborter.abort();
  t.is((await copied).code, 'ABORT_ERR');
  // Each file is whole, or not there.
  for (const line of shape(at('to'))) t.notRegex(line, /endless/);
  // One that waits in the middle, and one that has not begun.
  rows(at('tree'), 60, 20);
  const removed = rt.op.removeTree(at('tree'));
  const end = failure(removed);
  await until(() => readdirSync(at('tree')).length < 60);
  const release = await occupied(rt, at('from/d0/endless'), at);
  const left = readdirSync(at('tree')).length;
  const other = rt.op.removeTree(at('to'));
  const otherEnd = failure(other);
  await settle();
  removed.cancel();
  other.cancel();
  t.is((await end).code, 'ABORT_ERR');
  t.is((await otherEnd).code, 'ABORT_ERR');
  await release();
  t.is(readdirSync(at('tree')).length, left);
  t.true(existsSync(at('to')));
  go();
  await rt.op.removeTree(at('to'));
  await until(() => lanes() === 0);
  t.true(descriptors() <= before + 1, "the ring's own copy of its descriptor is left");
});

test.serial('a deep tree takes few descriptors', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  rows(at('first'), 1, 1);
  await rt.op.copyTree(at('first'), at('second'));
  const before = descriptors();
  // As deep as a path can be, and deeper.
  for (const levels of [600, 2100]) {
    const cwd = process.cwd();
    fs.mkdirSync(at('deep'));
    process.chdir(at('deep'));
    for (let level = 0; level < levels; level++) {
      fs.mkdirSync('d');
      writeFileSync('f', `${level}`);
      process.chdir('d');
    }
    process.chdir(cwd);
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, descriptors());
    }, 1);
    const copied = rt.op.copyTree(at('deep'), at('copy'));
    if (levels < 2048) {
      await copied;
      t.is(readFileSync(at(`copy/${'d/'.repeat(levels - 1)}f`), 'utf8'), `${levels - 1}`);
      await rt.op.removeTree(at('copy'));
      await rt.op.removeTree(at('deep'));
    } else {
      t.is((await failure(copied)).code, 'ENAMETOOLONG');
      t.is((await failure(rt.op.removeTree(at('deep')))).code, 'ENAMETOOLONG');
      execFileSync('rm', ['-r', at('deep')]);
    }
    clearInterval(watch);
    t.deepEqual(readdirSync(at('')).sort(), ['first', 'second']);
    t.true(most <= before + 12, `${most - before} descriptors`);
  }
});

test.serial('files and trees have their turns', async (t) => {
  const rt = await runtime(t);
  const at = place(t);
  writeFileSync(at('file'), 'text');
  for (let i = 0; i < 3; i++) rows(at(`tree${i}`), 20, 20);
  let done = false;
  const trees = Promise.all([0, 1, 2].map((i) => rt.op.removeTree(at(`tree${i}`))));
  void trees.then(() => {
    done = true;
  });
  // Files that never stop: each has its turn, and so have the trees.
  const file = async (i: number) => {
    while (!done) await rt.op.copyFile(at('file'), at(`copy${i}`));
  };
  await Promise.all(Array.from({ length: 64 }, (_, i) => file(i)));
  await trees;
  for (let i = 0; i < 3; i++) t.false(existsSync(at(`tree${i}`)));
});

test.serial('trees settle once each', async (t) => {
  const at = place(t);
  rows(at('from'), 8, 8);
  const kinds: Options[] = [
    { entries: 1, cqEntries: 2 },
    {},
    { entries: 4, sqpoll: { idleMs: 20 } },
    { allow: ['copyTree', 'removeTree', 'copyFile'] },
  ];
  for (const options of kinds) {
    const rt = new Runtime(options);
    for (let round = 0; round < many(2); round++) {
      const before = rt.stats();
      const copies = Array.from({ length: 30 }, (_, i) => rt.op.copyTree(at('from'), at(`to${i}`)));
      // Some are given up, in the middle or before they begin.
      const ends = copies.map((copy) =>
        copy.then(
          () => 'done',
          (error) => (error as NodeJS.ErrnoException).code,
        ),
      );
      for (let turn = 0; turn < round; turn++) await settle(1);
      for (let i = 0; i < 30; i += 3) copies[i]?.cancel();
      const codes = await Promise.all(ends);
      t.true(codes.every((code, i) => code === 'done' || (code === 'ABORT_ERR' && i % 3 === 0)));
      for (let i = 0; i < 30; i++) {
        if (codes[i] === 'done') t.is(readdirSync(at(`to${i}`), { recursive: true }).length, 72);
        // Two at once, and files in between.
        const twice = [rt.op.removeTree(at(`to${i}`)), rt.op.removeTree(at(`to${i}`))];
        const file = rt.op.copyFile(at('from/d0/f0'), at('copy'));
        for (const end of await Promise.allSettled(twice)) {
          if (end.status === 'rejected') t.is(end.reason.code, 'ENOENT');
        }
        await file;
        t.false(existsSync(at(`to${i}`)));
      }
      t.true(lanes() <= 2);
      await until(() => rt.stats().inFlight === 0);
      t.is(rt.stats().stale, before.stale);
    }
    await rt.close();
  }
});

test.serial('a ring that closes ends its trees and no others', async (t) => {
  const other = await runtime(t);
  const at = place(t);
  rows(at('kept'), 1, 5);
  const { go } = await held(other, at);
  t.teardown(go);
  await until(() => lanes() === 0);
  const before = descriptors();
  for (let round = 0; round < many(3); round++) {
    const rt = new Runtime(round % 2 === 0 ? {} : { entries: 8, sqpoll: { idleMs: 20 } });
    const copied = failure(rt.op.copyTree(at('from'), at('to')));
    await going(at);
    const waits = failure(rt.op.copyTree(at('from'), at('not')));
    const mine = other.op.copyTree(at('kept'), at('mine'));
    mine.begin();
    await settle();
    await rt.close();
    t.is((await copied).code, 'ERR_RINGCORE_CLOSED');
    t.is((await waits).code, 'ERR_RINGCORE_CLOSED');
    await mine;
    t.is(readdirSync(at('mine/d0')).length, 5);
    t.false(existsSync(at('not')));
    for (const name of ['mine', 'to']) await other.op.removeTree(at(name));
  }
  await until(() => lanes() === 0);
  await until(() => descriptors() <= before + 1);
  t.pass("the other ring's own copy of its descriptor is left");
});
