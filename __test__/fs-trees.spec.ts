// PAIR: only-typescript fs-trees.spec.ts -- the oracle is node:fs: cp, rm and readdir of whole
// trees end the same way on both modules, and leave the same tree.

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { probe } from '../src/index.ts';
import { Random } from '../src/mock.ts';
import { copyTree } from '../src/node/cp.ts';
import fsCallbacks from '../src/node/fs.ts';
import { HandOver } from '../src/node/trees.ts';
import { current } from '../src/runtime.ts';
import {
  type Fs,
  leave,
  listing,
  ours,
  outcome,
  remove,
  shape,
  sides,
  text,
  theirs,
} from './fs-sides.ts';
import { grow, type Kinds, rows } from './fs-trees.ts';
import { publicCopy, report } from './lifecycle/child.ts';
import { descriptors, failure, folder, many, until } from './support.ts';

/** What only the ring does. */
const ring = probe().backend === 'io_uring' ? test.serial : test.serial.skip;
/** Node's own cp and readdir are native since then, and these are asked. */
const NATIVE = Number.parseInt(process.versions.node, 10) >= 25;

test.afterEach.always(leave);

type Ask = (fs: Fs, root: string) => Promise<unknown>;

/** All answers and what is left are the same on both sides; they are returned. */
async function same(
  t: ExecutionContext,
  fill: (root: string) => void,
  asks: readonly Ask[],
  about = '',
): Promise<string> {
  const found: string[] = [];
  for (const side of sides(t, fill)) {
    const ends: unknown[] = [];
    for (const ask of asks) ends.push(await outcome(side, () => ask(side.fs, side.root)));
    found.push(text([ends, listing(side)]));
  }
  leave();
  t.is(found[0], found[1], about);
  return found[0] as string;
}

const whole = { recursive: true } as const;
const typed = { recursive: true, withFileTypes: true } as const;

/** The seed of the first tree; RINGCORE_SEED names the only one. */
const only = process.env.RINGCORE_SEED;
const SEEDS = Array.from({ length: only === undefined ? many(40) : 1 }, (_, i) =>
  only === undefined ? ((Math.random() * 2 ** 31) >>> 0) + i : Number(only),
);

function randomTrees(title: string, kinds: Kinds, asks: readonly Ask[]): void {
  test.serial(title, async (t) => {
    t.timeout(many(120_000));
    for (const seed of SEEDS) {
      const fill = (root: string) => {
        rmSync(root, whole);
        mkdirSync(root);
        grow(new Random(seed), join(root, 't'), kinds);
      };
      await same(t, fill, asks, `RINGCORE_SEED=${seed}`);
    }
  });
}

/** Node 26 goes through links, for ever where they lead upwards. */
const listed = (path: string): Ask[] => (NATIVE ? [] : [(fs) => fs.readdir(path, typed)]);

randomTrees('random trees are copied, listed and removed as by Node', {}, [
  ...listed('t'),
  (fs, root) => fs.cp(`${root}/t`, `${root}/copy`, whole),
  (fs, root) => fs.cp(`${root}/t`, `${root}/new/deep/copy`, { ...whole, verbatimSymlinks: true }),
  (fs) => fs.cp('t', 'relative', whole),
  ...listed('new'),
  (fs, root) => fs.rm(`${root}/t`, whole),
  (fs) => fs.rm('./new/', { ...whole, force: true }),
]);

randomTrees('random trees without links are listed by their names as by Node', { plain: true }, [
  (fs, root) => fs.readdir(root, whole),
  (fs) => fs.readdir('t', whole),
  (fs) => fs.readdir('./t/', { ...whole, encoding: 'utf8' }),
  (fs) => fs.cp('t', 'u', whole),
  (fs) => fs.cp('t', 'u', whole),
]);

randomTrees('names that are no UTF-8 end as with Node', { broken: true }, [
  ...listed('t'),
  (fs) => fs.cp('t', 'copy', whole),
  (fs) => fs.rm('t', whole),
]);

randomTrees('a FIFO in a tree ends its copy as with Node', { fifo: true }, [
  (fs) => fs.cp('t', 'copy', whole),
  ...listed('t'),
  (fs) => fs.rm('t', whole),
]);

/** A small tree, and what may be in the way of its copy. */
function small(root: string): void {
  mkdirSync(join(root, 'a/b/c'), whole);
  writeFileSync(join(root, 'a/f'), 'file f');
  writeFileSync(join(root, 'a/b/g'), 'file g', { mode: 0o640 });
  mkdirSync(join(root, 'links'));
  symlinkSync('../a', join(root, 'links/folder'));
  symlinkSync('nowhere', join(root, 'links/broken'));
  symlinkSync('loop', join(root, 'links/loop'));
  mkdirSync(join(root, 'empty'));
  mkdirSync(join(root, 'full/b/c'), whole);
  writeFileSync(join(root, 'full/f'), 'another f');
  mkdirSync(join(root, 'clash/f'), whole);
  mkdirSync(join(root, 'other'));
  writeFileSync(join(root, 'other/b'), 'a file');
  writeFileSync(join(root, 'file'), 'a file');
  symlinkSync('empty', join(root, 'to-empty'));
  symlinkSync('nowhere', join(root, 'broken'));
}

const FROM = [
  'a',
  'links',
  'file',
  'to-empty',
  'broken',
  'missing',
  'a/',
  './a',
  'a/../a',
  'empty',
];
const TO = [
  'new',
  'new/',
  'new/deep/er',
  'empty',
  'full',
  'clash',
  'other',
  'file',
  'to-empty',
  'to-empty/in',
  'broken',
  'broken/in',
  'file/in',
  'a',
  'a/b',
  'a/b/new',
  'a/new',
  'links/folder/new',
  'links/folder/b/new',
  'other/../new',
  '.',
];

test.serial('whatever is at the destination, cp ends as with Node', async (t) => {
  t.timeout(240_000);
  for (const from of FROM) {
    const relative: Ask[] = TO.map((to) => (fs) => fs.cp(from, to, whole));
    for (const [i, ask] of relative.entries()) await same(t, small, [ask], `${from} ${TO[i]}`);
  }
  for (const to of TO) {
    await same(t, small, [(fs, root) => fs.cp(`${root}/a`, `${root}/${to}`, whole)], to);
  }
});

test.serial('with each option cp ends as with Node', async (t) => {
  const options = [
    undefined,
    {},
    { recursive: false },
    { ...whole, force: false },
    { ...whole, force: false, errorOnExist: true },
    { ...whole, errorOnExist: true },
    { ...whole, dereference: true },
    { ...whole, verbatimSymlinks: true },
    { ...whole, preserveTimestamps: true },
    { ...whole, mode: 1 },
    { ...whole, filter: (path: string) => !path.endsWith('g') },
    { ...whole, filter: async (path: string) => !path.endsWith('f') },
    { ...whole, force: undefined },
    { ...whole, recursive: 'yes' as never },
    { ...whole, mode: 99 },
    Object.assign([], whole) as never,
    null as never,
  ];
  for (const each of options) {
    for (const to of ['new', 'full']) {
      const ask: Ask = (fs) => fs.cp('a', to, each as typeof whole);
      const links: Ask = (fs) => fs.cp('links', `${to}-links`, each as typeof whole);
      await same(t, small, [ask, links], `${JSON.stringify(each)} ${to}`);
    }
  }
});

test.serial('whatever it names, rm ends as with Node', async (t) => {
  t.timeout(120_000);
  const paths = [
    'a',
    'a/',
    './a/',
    'a/b/..',
    'a/.',
    'file',
    'file/',
    'file/in',
    'empty',
    'links',
    'links/folder',
    'links/folder/',
    'links/loop',
    'links/loop/x',
    'broken',
    'broken/',
    'to-empty',
    'missing',
    'missing/in',
    'x'.repeat(256),
    '',
  ];
  const options = [
    undefined,
    { force: true },
    whole,
    { ...whole, force: true, maxRetries: 2, retryDelay: 1 },
    { ...whole, maxRetries: -1 },
    [] as never,
    Object.assign([], whole) as never,
    { ...whole, force: undefined },
    null as never,
  ];
  for (const each of options) {
    for (const path of paths) {
      const ask: Ask = (fs) => fs.rm(path, each as typeof whole);
      await same(t, small, [ask], `${path} ${JSON.stringify(each)}`);
    }
  }
});

test.serial('whatever it names, a recursive readdir ends as with Node', async (t) => {
  const paths = ['.', './', 'a', 'a/', 'a/../a', 'links', 'to-empty', 'file', 'broken', 'missing'];
  const options = [
    whole,
    typed,
    { ...whole, encoding: 'utf8' },
    { ...whole, encoding: null },
    { ...whole, encoding: 'latin1' },
    { ...typed, encoding: 'hex' },
    { ...whole, withFileTypes: 1 as never },
    { recursive: 1 as never },
  ];
  const asks: Ask[] = paths.flatMap((path) => [
    ...options.map(
      (each): Ask =>
        (fs) =>
          fs.readdir(path, each as typeof whole),
    ),
    (fs, root) => fs.readdir(Buffer.from(`${root}/${path}`), typed as never),
    (fs, root) => fs.readdir(`${root}/${path}`, typed),
  ]);
  await same(t, small, asks);
});

test.serial('links to folders are gone through where Node goes through them', async (t) => {
  const fill = (root: string) => {
    rmSync(root, whole);
    mkdirSync(join(root, 't/a/b'), whole);
    writeFileSync(join(root, 't/a/b/x'), '');
    symlinkSync('a', join(root, 't/la'));
    symlinkSync('../a/b', join(root, 't/a/up'));
    if (!NATIVE) symlinkSync('.', join(root, 't/a/b/here'));
    symlinkSync('self', join(root, 't/self'));
  };
  const names = (fs: Fs) => fs.readdir('t', whole);
  await same(t, fill, [(fs) => fs.readdir('t', typed), async (fs) => (await names(fs)).join()]);
});

test.serial('the callbacks do what the promises do', async (t) => {
  const both = [theirs, process.getBuiltinModule('fs'), fsCallbacks] as const;
  const found: string[] = [];
  for (const module of both.slice(1) as unknown as (typeof fsCallbacks)[]) {
    const [{ root }] = sides(t, small);
    leave();
    const ends: unknown[] = [];
    const call = (name: 'cp' | 'rm', ...args: unknown[]) =>
      new Promise<void>((resolve) => {
        (module[name] as (...all: unknown[]) => void)(...args, (...results: unknown[]) => {
          ends.push(results.map((each) => shape(each, root)));
          resolve();
        });
      });
    await call('cp', `${root}/a`, `${root}/copy`, whole);
    await call('cp', `${root}/a`, `${root}/a/b/in`, whole);
    await call('cp', `${root}/none`, `${root}/n`, whole);
    await call('cp', `${root}/file`, `${root}/n`);
    await call('rm', `${root}/a`, whole);
    await call('rm', `${root}/file`);
    await call('rm', `${root}/full`);
    await call('rm', `${root}/none`);
    await call('rm', `${root}/none`, { force: true });
    found.push(text([ends, readdirSync(root, whole).sort()]));
  }
  t.is(found[1], found[0]);
});

/** A tree of 1,000 files in a folder that goes away. */
function large(t: ExecutionContext): { root: string; tree: string } {
  const root = folder(t);
  const tree = join(root, 'tree');
  rows(tree, 20, many(50));
  return { root, tree };
}

const contents = (path: string): string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile())
    .map((each) => readFileSync(join(each.parentPath, each.name), 'utf8'));

ring('the ring does the work, and no descriptor stays open', async (t) => {
  const { root, tree } = large(t);
  // Whatever a process opens once, is open.
  await ours.cp(tree, join(root, 'first'), whole);
  await ours.rm(join(root, 'first'), whole);
  const before = descriptors();
  const submitted = () => current().stats().submitted;
  for (const round of [0, 1, 2]) {
    const copy = join(root, `copy${round}`);
    const start = submitted();
    await ours.cp(tree, copy, whole);
    t.true(submitted() - start >= 3, 'cp: two questions and the tree');
    t.deepEqual(contents(copy), contents(tree));
    const middle = submitted();
    await ours.rm(copy, whole);
    t.true(submitted() - middle >= 2, 'rm: the first unlink, and the tree');
    t.false(existsSync(copy));
  }
  await until(() => descriptors() === before);
  t.pass();
});

ring('many trees at once are each their own', async (t) => {
  const { root, tree } = large(t);
  const copies = Array.from({ length: 8 }, (_, i) => join(root, `copy${i}`));
  await Promise.all(copies.map((copy) => ours.cp(tree, copy, whole)));
  const names = readdirSync(tree, whole).sort();
  for (const copy of copies) t.deepEqual(readdirSync(copy, whole).sort(), names);
  const lists = await Promise.all(copies.map((copy) => ours.readdir(copy, whole)));
  for (const list of lists) t.deepEqual(list.sort(), names);
  await Promise.all(copies.map((copy) => ours.rm(copy, whole)));
  t.deepEqual(readdirSync(root), ['tree']);
});

test.serial('two who remove the same tree both succeed', async (t) => {
  const { root, tree } = large(t);
  for (let round = 0; round < 5; round++) {
    const copy = join(root, 'copy');
    await theirs.cp(tree, copy, whole);
    // As node's own two would: what the other one has removed is removed.
    await Promise.all([
      ours.rm(copy, { ...whole, maxRetries: 9, retryDelay: 5 }),
      ours.rm(copy, { ...whole, maxRetries: 9, retryDelay: 5 }),
    ]);
    t.false(existsSync(copy));
  }
});

test.serial('a folder that becomes a link meanwhile is not gone through', async (t) => {
  const { root, tree } = large(t);
  const kept = join(root, 'kept');
  rows(kept, 1, 20);
  for (let round = 0; round < many(10); round++) {
    const copy = join(root, `copy${round}`);
    await theirs.cp(tree, copy, whole);
    // The walk begins with the first folders, and comes to the next one last.
    const names = readdirSync(copy);
    const removed = ours.rm(copy, { ...whole, force: true, maxRetries: 9 });
    for (let turn = 0; turn <= round % 5; turn++) await immediate();
    const last = join(copy, names[5] as string);
    if (existsSync(last)) {
      renameSync(last, join(root, `moved${round}`));
      symlinkSync(join(kept, 'd0'), last);
    }
    await removed;
    t.is(readdirSync(join(kept, 'd0')).length, 20);
    t.false(existsSync(copy));
  }
});

ring('a tree that is there halfway is gone before Node copies it', async (t) => {
  // A socket or FIFO behind many files: node's error, and what node's own cp leaves.
  const fill = (root: string) => {
    rmSync(root, whole);
    rows(join(root, 't'), 6, 30);
    symlinkSync('f0', join(root, 't/d0/link'));
    chmodSync(join(root, 't/d1'), 0o500);
    mkdirSync(join(root, 't/z'));
    grow(new Random(7), join(root, 't/z/y'), {});
    execFileSync('mkfifo', [join(root, 't/z/fifo')]);
  };
  const found = await same(t, fill, [(fs) => fs.cp('t', 'copy', whole)]);
  t.regex(found, /ERR_FS_CP_FIFO_PIPE/);
});

ring('what others have put into a copy stays', async (t) => {
  const { root, tree } = large(t);
  // In the folder that the walk comes to last.
  execFileSync('mkfifo', [join(tree, readdirSync(tree)[5] as string, 'zz')]);
  const copy = join(root, 'copy');
  const copied = failure(ours.cp(tree, copy, whole));
  for (let i = 0; i < 10_000 && !existsSync(join(copy, 'd0')); i++) await immediate();
  writeFileSync(join(copy, 'd0/theirs'), 'theirs');
  t.is((await copied).code, 'ERR_FS_CP_FIFO_PIPE');
  t.is(readFileSync(join(copy, 'd0/theirs'), 'utf8'), 'theirs');
});

ring('a runtime that is closed meanwhile ends a tree clearly', async (t) => {
  const { root, tree } = large(t);
  for (let round = 0; round < 6; round++) {
    const copy = join(root, `copy${round}`);
    await theirs.cp(tree, copy, whole);
    await ours.stat(root); // There is a runtime again.
    const runtime = current();
    const ends = Promise.allSettled([
      ours.rm(copy, whole),
      ours.cp(tree, `${copy}-2`, whole),
      ours.readdir(tree, whole),
    ]);
    for (let turn = 0; turn < round % 4; turn++) await immediate();
    await runtime.close();
    for (const end of await ends) {
      if (end.status === 'rejected') t.is(end.reason.code, 'ERR_RINGCORE_CLOSED');
    }
  }
  t.is((await ours.readdir(tree, whole)).length, 20 * (many(50) + 1));
});

/** Answers of both modules to the same questions, of a child. */
interface Both {
  uid: number;
  node: Record<string, unknown>[];
  ours: Record<string, unknown>[];
}

test.serial('a user who may not read or write a tree is told so as by Node', async (t) => {
  t.is(process.getuid?.(), 0, 'this test has to be root');
  const root = mkdtempSync(join(tmpdir(), 'ringcore-'));
  t.teardown(() => remove(root));
  chmodSync(root, 0o777);
  const file = join(publicCopy(t), 'fs-trees.mjs');
  const found = await report<Both>(t, file, ['user', root], { uid: 65534 });
  t.is(found.uid, 65534);
  t.deepEqual(found.ours, found.node);
  const codes = found.node.map(({ code }) => code);
  t.true(codes.filter((code) => code === 'EACCES').length >= 5, 'Node itself is refused');
});

ring('with few descriptors trees are done all the same', async (t) => {
  const under = ['sh', '-c', 'ulimit -n 256 && exec "$0" "$@"'];
  const root = folder(t);
  const found = await report<{ ends: string[]; most: number; before: number; after: number }>(
    t,
    'fs-trees.mjs',
    ['few', root],
    { under },
  );
  t.deepEqual([...new Set(found.ends)], ['fulfilled']);
  t.true(found.most - found.before <= 100, `${found.most} descriptors`);
  t.true(found.after <= found.before);
  t.deepEqual(readdirSync(root), ['tree']);
  t.true(lstatSync(join(root, 'tree')).isDirectory());
});

ring('a copy of everything into itself is node to refuse', async (t) => {
  const to = join(folder(t), 'to');
  const copied = copyTree(current(), '/', to, { verbatim: false });
  await t.throwsAsync(copied, { instanceOf: HandOver });
  t.false(existsSync(to));
});
