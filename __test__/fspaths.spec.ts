// Functions that take paths.
// Pair: crates/ringcore/tests/fspaths.rs

import * as node from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { fs } from '../src/index.ts';
import { failure, folder } from './support.ts';

test('a file is written and read whole', async (t) => {
  const path = join(folder(t), 'file');
  const bytes = Buffer.alloc(3_000_000, 'ringcore ');
  t.is(await fs.write(path, bytes), undefined);
  t.true((await fs.read(path)).equals(bytes));
  await fs.write(path, 'short');
  t.is(await fs.readToString(path), 'short', 'nothing of what was there before');
  await fs.write(path, '');
  t.is((await fs.read(path)).length, 0);
  t.regex(await fs.readToString('/proc/self/status'), /^Name:[\s\S]*ctxt_switches:\s+\d+\n$/);
  const none = join(path, 'none');
  t.is((await failure(fs.read(none))).message, `ENOTDIR: not a directory, open '${none}'`);
  t.is((await failure(fs.write(none, 'x'))).code, 'ENOTDIR');
  t.is((await failure(fs.readToString('/none'))).code, 'ENOENT');
  t.is((await failure(fs.write('/dev/full', 'x'))).code, 'ENOSPC');
  t.throws(() => fs.read(7 as never), { code: 'ERR_INVALID_ARG_TYPE' });
  t.throws(() => fs.write(path, 7 as never), { code: 'ERR_INVALID_ARG_TYPE' });
  t.throws(() => fs.read('a\0b'), { code: 'ERR_INVALID_ARG_VALUE' });
});

test('a copy has the content and the permissions', async (t) => {
  const directory = folder(t);
  const [from, to] = [join(directory, 'from'), join(directory, 'to')];
  const bytes = Buffer.alloc(700_001, 'ringcore ');
  node.writeFileSync(from, bytes);
  node.chmodSync(from, 0o751);
  t.is(await fs.copy(from, to), bytes.length);
  t.true(node.readFileSync(to).equals(bytes));
  t.is(node.statSync(to).mode & 0o7777, 0o751);
  node.writeFileSync(to, Buffer.alloc(800_000, 1));
  node.chmodSync(to, 0o600);
  t.is(await fs.copy(from, to), bytes.length, 'over one that is longer');
  t.true(node.readFileSync(to).equals(bytes));
  t.is(node.statSync(to).mode & 0o7777, 0o751);
  t.true((await fs.copy('/proc/self/maps', to)) > 1000, 'what has no size');
});

test('a file is not copied onto itself', async (t) => {
  const directory = folder(t);
  const [from, link, soft] = ['from', 'link', 'soft'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  node.writeFileSync(from, 'abc');
  node.linkSync(from, link);
  node.symlinkSync('from', soft);
  for (const to of [from, link, soft]) {
    const text = `EINVAL: invalid argument, copyfile '${from}' -> '${to}'`;
    t.is((await failure(fs.copy(from, to))).message, text);
  }
  t.is(node.readFileSync(from, 'utf8'), 'abc', 'it is whole');
  const none = join(directory, 'none');
  t.is((await failure(fs.copy(none, link))).code, 'ENOENT');
  t.is((await failure(fs.copy(from, directory))).code, 'EISDIR');
  t.is((await failure(fs.copy(directory, none))).code, 'EISDIR');
});

test('names are made, changed, looked at and removed', async (t) => {
  const directory = folder(t);
  const path = (name: string) => join(directory, name);
  t.is(await fs.createDir(path('a')), undefined);
  const there = `EEXIST: file already exists, mkdir '${path('a')}'`;
  t.is((await failure(fs.createDir(path('a')))).message, there);
  await fs.write(path('a/file'), 'abc');
  await fs.symlink('file', path('a/soft'));
  await fs.hardLink(path('a/file'), path('a/hard'));
  t.is(node.readlinkSync(path('a/soft')), 'file');
  t.is((await fs.metadata(path('a/soft'))).size, 3);
  t.is((await fs.metadata(path('a/file'), { bigint: true })).nlink, 2);
  const link = await fs.symlinkMetadata(path('a/soft'));
  t.is(link.mode & node.constants.S_IFMT, node.constants.S_IFLNK);
  await fs.rename(path('a/file'), path('b'));
  const found = [];
  for (const name of ['a', 'a/hard', 'b', 'a/file', 'a/soft', 'b/c']) {
    found.push(await fs.exists(path(name)));
  }
  t.deepEqual(found, [true, true, true, false, false, false]);
  t.is((await failure(fs.removeDir(path('a')))).code, 'ENOTEMPTY');
  t.is((await failure(fs.removeFile(path('a')))).code, 'EISDIR');
  t.is((await failure(fs.removeDir(path('b')))).code, 'ENOTDIR');
  await fs.removeFile(path('a/soft'));
  await fs.removeFile(path('a/hard'));
  await fs.removeDir(path('a'));
  t.deepEqual(node.readdirSync(directory), ['b']);
  const gone = `ENOENT: no such file or directory, rename '${path('a')}' -> '${path('c')}'`;
  t.is((await failure(fs.rename(path('a'), path('c')))).message, gone);
  t.is((await failure(fs.symlink('x', path('b')))).code, 'EEXIST');
  t.is((await failure(fs.hardLink(path('none'), path('c')))).code, 'ENOENT');
  t.is((await failure(fs.metadata(path('none')))).code, 'ENOENT');
  await fs.symlink('loop', path('loop'));
  t.is((await failure(fs.exists(path('loop')))).code, 'ELOOP');
});

test('a directory is made with its parents', async (t) => {
  const directory = folder(t);
  const path = (name: string) => join(directory, name);
  await fs.createDirAll(path('a/b/c/d'));
  await fs.createDirAll(path('a/b/c/d'));
  await fs.createDirAll(path('a/b/e'));
  await fs.createDirAll(`${path('a/f')}/`);
  t.deepEqual(node.readdirSync(path('a')), ['b', 'f']);
  node.writeFileSync(path('file'), '');
  t.is((await failure(fs.createDirAll(path('file')))).code, 'EEXIST');
  t.is((await failure(fs.createDirAll(path('file/a/b')))).code, 'ENOTDIR');
  t.is((await failure(fs.createDirAll(''))).code, 'ENOENT');
  node.symlinkSync('a', path('soft'));
  await fs.createDirAll(path('soft/g/h'));
  t.true(node.existsSync(path('a/g/h')));
  const wild = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff, 0x2f, 0xfe])]);
  await fs.createDirAll(wild);
  t.true(node.statSync(wild).isDirectory());
});

test('several that make the same directories do not hinder each other', async (t) => {
  const directory = folder(t);
  const makes = Array.from({ length: 20 }, (_, i) =>
    fs.createDirAll(join(directory, `a/b/c/${i % 3}`)),
  );
  await Promise.all(makes);
  t.deepEqual(node.readdirSync(join(directory, 'a/b/c')), ['0', '1', '2']);
});

test('a directory is removed with its content and no link is followed', async (t) => {
  const directory = folder(t);
  const path = (name: string) => join(directory, name);
  node.mkdirSync(path('kept'));
  node.writeFileSync(path('kept/file'), 'abc');
  node.mkdirSync(path('tree/a/b/c'), { recursive: true });
  node.mkdirSync(path('tree/empty'));
  for (let i = 0; i < 300; i++) node.writeFileSync(path(`tree/a/b/${i}`), '');
  node.symlinkSync('../kept', path('tree/soft'));
  node.symlinkSync('../../../kept/file', path('tree/a/b/soft'));
  node.symlinkSync('nowhere', path('tree/dangling'));
  node.linkSync(path('kept/file'), path('tree/hard'));
  const wild = Buffer.from(`${path('tree')}/\xff\n'`, 'latin1');
  node.mkdirSync(wild);
  node.writeFileSync(Buffer.concat([wild, Buffer.from('/x')]), '');
  t.is(await fs.removeDirAll(path('tree')), undefined);
  t.false(node.existsSync(path('tree')));
  t.is(node.readFileSync(path('kept/file'), 'utf8'), 'abc');
  node.symlinkSync('kept', path('soft'));
  t.is((await failure(fs.removeDirAll(path('soft')))).code, 'ENOTDIR');
  t.is((await failure(fs.removeDirAll(path('kept/file')))).code, 'ENOTDIR');
  const gone = `ENOENT: no such file or directory, open '${path('none')}'`;
  t.is((await failure(fs.removeDirAll(path('none')))).message, gone);
  t.deepEqual(node.readdirSync(path('kept')), ['file']);
});

test('two that remove the same directory both succeed or find it gone', async (t) => {
  const directory = folder(t);
  for (let round = 0; round < 5; round++) {
    const tree = join(directory, 'tree');
    for (let i = 0; i < 30; i++) node.mkdirSync(join(tree, `${i}/a/b`), { recursive: true });
    const removes = [fs.removeDirAll(tree), fs.removeDirAll(tree)].map((each) =>
      each.then(
        () => 'done',
        (error) => (error as { code?: string }).code ?? `${error}`,
      ),
    );
    for (const outcome of await Promise.all(removes)) t.true(['done', 'ENOENT'].includes(outcome));
    t.false(node.existsSync(tree));
  }
});
