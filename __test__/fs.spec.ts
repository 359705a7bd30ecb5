// Open files: how they are opened, sizes, syncs, errors.
// Pair: crates/ringcore/tests/fs.rs

import { constants, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { File, type Future, type OpenOptions } from '../src/index.ts';
import { failure, folder, pipe, runtime } from './support.ts';

const both = (): OpenOptions => File.options().read().write().create();

test('a file is made, written and read back', async (t) => {
  const path = join(folder(t), 'file');
  let file = await File.create(path);
  t.is(await file.write(Buffer.from('hello ')), 6);
  await file.writeAll('world');
  await file.close();
  t.is(file.fd, -1);
  file = await File.open(path);
  const bytes = Buffer.alloc(8);
  t.is(await file.read(bytes), 8);
  t.is(bytes.toString(), 'hello wo');
  t.is(await file.readToString(), 'rld');
  t.is(await file.read(bytes), 0, 'the end');
  t.is(bytes.toString(), 'hello wo');
  t.is((await file.readToEnd()).length, 0);
  await file.close();
  await (await File.create(path)).close();
  t.is(readFileSync(path, 'utf8'), '', 'create has emptied it');
});

test('options say how a file is opened', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'file');
  const { options } = rt.File;
  const opened = () => options.call(rt.File);
  const fresh = () => opened().write().createNew().mode(0o640).open(path);
  let file = await fresh();
  t.is((await file.stat()).mode & 0o7777, 0o640);
  t.is((await failure(fresh())).message, `EEXIST: file already exists, open '${path}'`);
  await file.writeAll('abcdef');
  file = await opened().append().read().open(path);
  await file.writeAll('gh');
  file = await opened().read().write().create().open(path);
  await file.writeAll('AB');
  t.is(await file.readToString(), 'cdefgh');
  file = await opened().write().truncate().open(path);
  t.is((await file.stat()).size, 0);
  t.is((await failure(file.read(Buffer.alloc(1)))).code, 'EBADF', 'only to be written');
  const directory = dirname(path);
  const only = () => opened().read().customFlags(constants.O_DIRECTORY);
  t.is((await failure(only().open(path))).code, 'ENOTDIR');
  t.true((await only().open(directory)).fd >= 0);
  t.is((await failure(rt.File.open(join(directory, 'none')))).code, 'ENOENT');
  t.is((await failure(rt.File.create(directory))).code, 'EISDIR');
  file = await rt.File.open(directory);
  t.is((await failure(file.read(Buffer.alloc(1)))).code, 'EISDIR');
  // O_CLOEXEC, whatever is asked for.
  file = await rt.File.open(path);
  t.regex(readFileSync(`/proc/self/fdinfo/${file.fd}`, 'utf8'), /flags:\s*02100000/);
  t.is(statSync(path).mode & 0o7777, 0o640);
});

test('options that contradict each other are refused and open nothing', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'file');
  const { submitted } = rt.stats();
  const options = () => rt.File.options();
  for (const wrong of [
    options(),
    options().create(),
    options().read().create(),
    options().read().truncate(),
    options().read().createNew(),
    options().append().truncate(),
    options().read().read(false),
  ]) {
    const error = await failure(wrong.open(path));
    t.is(error.message, `EINVAL: invalid argument, open '${path}'`);
  }
  t.throws(() => options().read('yes' as never), { code: 'ERR_INVALID_ARG_TYPE' });
  t.throws(() => options().mode(-1), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => options().customFlags(0.5), { code: 'ERR_OUT_OF_RANGE' });
  t.is(rt.stats().submitted, submitted);
  t.false(existsSync(path));
});

test('sizes are set, reserved and told', async (t) => {
  const path = join(folder(t), 'file');
  let file = await both().open(path);
  await file.writeAll('abcdef');
  await file.truncate(3);
  t.is((await file.stat()).size, 3);
  await file.allocate(0, 10_000);
  const stat = await file.stat(true);
  t.true(stat.size === 10_000n && stat.blocks * 512n >= 10_000n);
  t.is(stat.mode & constants.S_IFMT, constants.S_IFREG);
  t.is(readFileSync(path, 'latin1').slice(0, 4), 'abc\0');
  const text = 'EINVAL: invalid argument, fallocate';
  t.is((await failure(file.allocate(0, 0))).message, text);
  await file.close();
  file = await File.open(path);
  t.is((await failure(file.truncate(1))).message, 'EINVAL: invalid argument, ftruncate');
  t.is((await failure(file.allocate(0, 1))).code, 'EBADF');
  await file.close();
});

test('a file is brought to the disk and a pipe is not', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'file');
  const file = await rt.File.create(path);
  await file.writeAll('abc');
  t.is(await file.sync(), undefined);
  t.is(await file.datasync(), undefined);
  const fifo = rt.File.fromFd(pipe(t));
  t.is((await failure(fifo.sync())).message, 'EINVAL: invalid argument, fsync');
  t.is((await failure(fifo.datasync())).message, 'EINVAL: invalid argument, fdatasync');
  fifo.release();
});

test('a sparse file has places beyond 4 GiB', async (t) => {
  const file = await both().open(join(folder(t), 'file'));
  const far = 2 ** 32 + 12_345;
  await file.writeAllAt('far', far);
  await file.append('ther');
  t.is((await file.stat()).size, far + 7);
  const bytes = Buffer.alloc(9);
  await file.readExactAt(bytes, BigInt(far) - 2n);
  t.is(bytes.toString(), '\0\0farther');
  t.is(await file.readAt(bytes.fill(1).subarray(0, 3), 2 ** 31), 3);
  t.deepEqual([...bytes.subarray(0, 4)], [0, 0, 0, 1]);
  await file.close();
});

test('bytes that are no UTF-8 are told of', async (t) => {
  const path = join(folder(t), 'file');
  writeFileSync(path, Buffer.from('ab\xffcd', 'latin1'));
  // Here by a sign in their place, as Node does it.
  let file = await File.open(path);
  t.is(await file.readToString(), 'ab\ufffdcd');
  await file.close();
  file = await File.open(path);
  t.is(await file.readToString('latin1'), 'ab\xffcd');
  t.throws(() => file.readToString('utf9' as never), { code: 'ERR_INVALID_ARG_TYPE' });
  await file.close();
  file = await File.open(path);
  const lines = file.lines();
  t.is(await lines.next(), 'ab\ufffdcd');
  t.is(await lines.next(), undefined);
  await file.close();
});

test('every method of a closed file fails with EBADF', async (t) => {
  const file = await both().open(join(folder(t), 'file'));
  await file.close();
  const bytes = Buffer.alloc(1);
  const chunks = file.chunks();
  const lines = file.lines();
  const calls: [() => Future<unknown>, string][] = [
    [() => file.read(bytes), 'read'],
    [() => file.readAt(bytes, 0), 'read'],
    [() => file.readExact(bytes), 'read'],
    [() => file.readExactAt(bytes, 0), 'read'],
    [() => file.readToEnd(), 'read'],
    [() => file.readToString(), 'read'],
    [() => file.readv([bytes]), 'read'],
    [() => file.readvAt([bytes], 0), 'read'],
    [() => chunks.next(), 'read'],
    [() => lines.next(), 'read'],
    [() => file.write(bytes), 'write'],
    [() => file.writeAt(bytes, 0), 'write'],
    [() => file.writeAll(bytes), 'write'],
    [() => file.writeAllAt(bytes, 0), 'write'],
    [() => file.writev([bytes]), 'write'],
    [() => file.writevAt([bytes], 0), 'write'],
    [() => file.append(bytes), 'write'],
    [() => file.append(bytes, { durable: true }), 'write'],
    [() => file.sync(), 'fsync'],
    [() => file.datasync(), 'fdatasync'],
    [() => file.stat(), 'fstat'],
    [() => file.truncate(0), 'ftruncate'],
    [() => file.allocate(0, 1), 'fallocate'],
  ];
  for (const [call, syscall] of calls) {
    const error = await failure((async () => call())());
    const { code, errno } = error;
    t.deepEqual([code, errno, error.syscall], ['EBADF', -9, syscall]);
  }
  t.is(await file.close(), undefined);
});

test('wrong arguments of a file submit nothing', async (t) => {
  const rt = await runtime(t);
  const file = await rt.File.options()
    .read()
    .write()
    .create()
    .open(join(folder(t), 'file'));
  const { submitted } = rt.stats();
  const bytes = Buffer.alloc(3, 7);
  for (const far of [-1, 2 ** 53, 0.5, 2n ** 63n, -2n]) {
    for (const call of [
      () => file.readAt(bytes, far),
      () => file.readExactAt(bytes, far),
      () => file.readvAt([bytes], far),
      () => file.writeAt(bytes, far),
      () => file.writeAllAt(bytes, far),
      () => file.writevAt([bytes], far),
      () => file.truncate(far),
      () => file.allocate(far, 1),
      () => file.allocate(0, far),
    ]) {
      t.throws(call, { code: 'ERR_OUT_OF_RANGE' });
    }
  }
  const type = { code: 'ERR_INVALID_ARG_TYPE' };
  t.throws(() => file.read('bytes' as never), type);
  t.throws(() => file.readExact({} as never), type);
  t.throws(() => file.writeAll(7 as never), type);
  t.throws(() => file.append('x', { durable: 1 as never }), type);
  t.throws(() => file.read(bytes, { offset: '0' as never }), type);
  t.throws(() => rt.File.open(7 as never), type);
  t.throws(() => rt.File.open('a\0b'), { code: 'ERR_INVALID_ARG_VALUE' });
  t.throws(() => rt.File.fromFd(-1), { code: 'ERR_OUT_OF_RANGE' });
  t.is(rt.stats().submitted, submitted);
  // None of them holds the line up.
  t.is(await file.read(bytes), 0);
});
