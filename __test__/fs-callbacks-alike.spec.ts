// Calls of ringcore/fs and of node:fs side by side, with good and with bad arguments: what is
// thrown at once, what the callback gets, and what is on the disk afterwards.
// PAIR: only-typescript fs-callbacks-alike.spec.ts -- there is no node:fs in Rust

import nodeFs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import ringFs from '../src/node/fs.ts';
import { current } from '../src/runtime.ts';
import { folder, settle, taken, until } from './support.ts';

// biome-ignore lint/suspicious/noExplicitAny: arguments here are wrong on purpose
type Any = any;
type Fs = Record<string, (...args: Any[]) => Any>;
type Callback = (...results: Any[]) => void;

/** Where a call is made, in a folder of its own. */
interface Place {
  fs: Fs;
  /** A path in the folder. */
  at(name: string): string;
  /** Open for reading and writing: 'hello world'. */
  fd: number;
  /** Open for appending. */
  log: number;
  aborted: AbortSignal;
}

type Make = (place: Place, done: Callback) => unknown;

/** By function: calls that take the ring, and calls that node's own function answers. */
interface Table {
  [name: string]: { ring: Make[]; node: Make[] };
}

const never = undefined as Any;
const view = () => Buffer.from('VIEW');
const wide = () => new Uint16Array([0x6161, 0x6262, 0x6363]);

const TABLE: Table = {
  open: {
    ring: [
      ({ fs, at }, done) => fs.open?.(at('a'), done),
      ({ fs, at }, done) => fs.open?.(at('a'), 'r+', done),
      ({ fs, at }, done) => fs.open?.(at('a'), undefined, done),
      ({ fs, at }, done) => fs.open?.(at('new'), 'wx+', 0o600, done),
      ({ fs, at }, done) => fs.open?.(at('new'), 'w', '640', done),
      ({ fs, at }, done) => fs.open?.(at('a'), 'wx', done),
      ({ fs, at }, done) => fs.open?.(at('none'), done),
      ({ fs, at }, done) => fs.open?.(at('dir'), 'w', done),
      ({ fs, at }, done) => fs.open?.(at('dir'), nodeFs.constants.O_DIRECTORY, done),
      ({ fs, at }, done) => fs.open?.(at('a/b'), done),
      ({ fs, at }, done) => fs.open?.(at('loop'), done),
      ({ fs, at }, done) => fs.open?.(Buffer.from(at('a')), done),
      ({ fs, at }, done) => fs.open?.(pathToFileURL(at('a')), done),
      ({ fs, at }, done) => fs.open?.(at('x'.repeat(300)), done),
    ],
    node: [
      ({ fs, at }) => fs.open?.(at('a')),
      ({ fs, at }) => fs.open?.(at('a'), 'r', 0o666),
      ({ fs, at }, done) => fs.open?.(at('a'), 'nope', done),
      ({ fs, at }, done) => fs.open?.(at('a'), 'r', 'nope', done),
      ({ fs, at }, done) => fs.open?.(at('a'), 'r', -1, done),
      ({ fs }, done) => fs.open?.(7, done),
      ({ fs }, done) => fs.open?.('a\0b', done),
      ({ fs }, done) => fs.open?.(new URL('http://localhost/a'), done),
      ({ fs, at }) => fs.open?.(at('a'), 'r', 0o666, 'no function'),
      // None, and too long for any operation.
      ({ fs }, done) => fs.open?.('', done),
      ({ fs, at }, done) => fs.open?.(at('x/'.repeat(3000)), done),
    ],
  },
  close: {
    ring: [({ fs, fd }, done) => fs.close?.(fd, done), ({ fs }, done) => fs.close?.(999_999, done)],
    node: [
      ({ fs }, done) => fs.close?.(-1, done),
      ({ fs }, done) => fs.close?.('1', done),
      ({ fs, fd }) => fs.close?.(fd, null),
    ],
  },
  read: {
    ring: [
      ({ fs, fd }, done) => fs.read?.(fd, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), done),
      ({ fs, fd }, done) => fs.read?.(fd, { position: 6 }, done),
      ({ fs, fd }, done) => fs.read?.(fd, { buffer: wide(), offset: 1, length: 3 }, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), { offset: 1 }, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), null, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), 1, 2, 3, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), null, 2, 3n, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), 0, 4, -1, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), 0, 4, null, done),
      ({ fs, fd }, done) => fs.read?.(fd, new DataView(new ArrayBuffer(8), 2), 0, 4, 0, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), 0, 4, 1000, done),
      ({ fs, log }, done) => fs.read?.(log, Buffer.alloc(4), done),
      ({ fs }, done) => fs.read?.(999_999, Buffer.alloc(4), done),
      ({ fs }, done) => fs.read?.(999_999, Buffer.alloc(4), 0, 4, 0, done),
    ],
    node: [
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), 0, 0, 0, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), 0, 5, 0, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), -1, 4, 0, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), 0, 4, -2, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), 0, 4, 'x', done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), 0, 4, 1.5, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(0), 0, 1, 0, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), 1, never, 0, done),
      ({ fs, fd }, done) => fs.read?.(fd, { buffer: null }, done),
      ({ fs, fd }, done) => fs.read?.(fd, Buffer.alloc(4), 'x', done),
      ({ fs, fd }, done) => fs.read?.(fd, 'text', 0, 4, 0, done),
      ({ fs, fd }) => fs.read?.(fd, Buffer.alloc(4), 0, 4, 0),
      ({ fs }, done) => fs.read?.('1', Buffer.alloc(4), 0, 4, 0, done),
      ({ fs }) => fs.read?.(),
    ],
  },
  readv: {
    ring: [
      ({ fs, fd }, done) => fs.readv?.(fd, [Buffer.alloc(2), wide()], done),
      ({ fs, fd }, done) => fs.readv?.(fd, [Buffer.alloc(2), Buffer.alloc(20)], 3, done),
      ({ fs, fd }, done) => fs.readv?.(fd, [Buffer.alloc(2)], 'x', done),
      ({ fs, fd }, done) => fs.readv?.(fd, [Buffer.alloc(2)], -3, done),
      ({ fs, log }, done) => fs.readv?.(log, [Buffer.alloc(2)], done),
    ],
    node: [
      ({ fs, fd }, done) => fs.readv?.(fd, [], done),
      ({ fs, fd }, done) => fs.readv?.(fd, ['x'], done),
      ({ fs, fd }, done) => fs.readv?.(fd, 'x', done),
      ({ fs, fd }) => fs.readv?.(fd, [Buffer.alloc(2)]),
    ],
  },
  write: {
    ring: [
      ({ fs, fd }, done) => fs.write?.(fd, view(), done),
      ({ fs, fd }, done) => fs.write?.(fd, view(), null, done),
      ({ fs, fd }, done) => fs.write?.(fd, view(), { offset: 1, position: 2 }, done),
      ({ fs, fd }, done) => fs.write?.(fd, view(), { offset: 1, length: 1 }, done),
      ({ fs, fd }, done) => fs.write?.(fd, view(), 1, done),
      ({ fs, fd }, done) => fs.write?.(fd, view(), 1, 2, done),
      ({ fs, fd }, done) => fs.write?.(fd, wide(), 1, 2, 3, done),
      ({ fs, fd }, done) => fs.write?.(fd, view(), 0, 4, null, done),
      ({ fs, fd }, done) => fs.write?.(fd, view(), 0, 4, -7, done),
      ({ fs, fd }, done) => fs.write?.(fd, view(), 0, 4, 1.5, done),
      ({ fs, fd }, done) => fs.write?.(fd, view(), 0, 0, 3, done),
      ({ fs, fd }, done) => fs.write?.(fd, view(), 0, null, 20, done),
      ({ fs, fd }, done) => fs.write?.(fd, 'text ü', done),
      ({ fs, fd }, done) => fs.write?.(fd, 'text ü', 3, done),
      ({ fs, fd }, done) => fs.write?.(fd, 'text ü', null, 'latin1', done),
      ({ fs, fd }, done) => fs.write?.(fd, '6869', 2, 'hex', done),
      ({ fs, fd }, done) => fs.write?.(fd, '', done),
      ({ fs, log }, done) => fs.write?.(log, view(), 0, 4, 0, done),
      ({ fs }, done) => fs.write?.(999_999, view(), done),
    ],
    node: [
      ({ fs, fd }, done) => fs.write?.(fd, 'abc', 0, 'hex', done),
      ({ fs, fd }, done) => fs.write?.(fd, 7, done),
      ({ fs, fd }, done) => fs.write?.(fd, { toString: () => 'x' }, done),
      ({ fs, fd }, done) => fs.write?.(fd, view(), 0, 5, 0, done),
      ({ fs, fd }, done) => fs.write?.(fd, view(), 5, done),
      ({ fs, fd }, done) => fs.write?.(fd, view(), 'x', 1, 0, done),
      ({ fs, fd }) => fs.write?.(fd, view()),
      ({ fs, fd }) => fs.write?.(fd, 'text'),
      ({ fs }, done) => fs.write?.(-1, 'text', done),
    ],
  },
  writev: {
    ring: [
      ({ fs, fd }, done) => fs.writev?.(fd, [view(), wide()], done),
      ({ fs, fd }, done) => fs.writev?.(fd, [view(), wide()], 3, done),
      ({ fs, fd }, done) => fs.writev?.(fd, [view()], null, done),
      ({ fs, log }, done) => fs.writev?.(log, [view(), Buffer.alloc(0)], 0, done),
    ],
    node: [
      ({ fs, fd }, done) => fs.writev?.(fd, [], done),
      ({ fs, fd }, done) => fs.writev?.(fd, ['x'], done),
      ({ fs, fd }) => fs.writev?.(fd, [view()], 0),
    ],
  },
  readFile: {
    ring: [
      ({ fs, at }, done) => fs.readFile?.(at('a'), done),
      ({ fs, at }, done) => fs.readFile?.(at('a'), 'latin1', done),
      ({ fs, at }, done) => fs.readFile?.(at('a'), { encoding: 'hex', flag: 'r+' }, done),
      ({ fs, at }, done) => fs.readFile?.(at('a'), null, done),
      ({ fs, at }, done) => fs.readFile?.(at('empty'), 'utf8', done),
      ({ fs, at }, done) => fs.readFile?.(at('none'), done),
      ({ fs, at }, done) => fs.readFile?.(at('new'), { flag: 'a+' }, done),
      ({ fs, fd }, done) => fs.readFile?.(fd, 'utf8', done),
    ],
    node: [
      ({ fs, at }, done) => fs.readFile?.(at('a'), 'nope', done),
      ({ fs, at }, done) => fs.readFile?.(at('a'), { flag: 'nope' }, done),
      ({ fs, at }, done) => fs.readFile?.(at('a'), { signal: 'nope' }, done),
      ({ fs, at, aborted }, done) => fs.readFile?.(at('a'), { signal: aborted }, done),
      ({ fs, at }) => fs.readFile?.(at('a')),
      ({ fs }, done) => fs.readFile?.({}, done),
    ],
  },
  writeFile: {
    ring: [
      ({ fs, at }, done) => fs.writeFile?.(at('a'), 'text', done),
      ({ fs, at }, done) => fs.writeFile?.(at('new'), wide(), { mode: 0o600, flag: 'wx' }, done),
      ({ fs, at }, done) => fs.writeFile?.(at('new'), 'aGk=', 'base64', done),
      ({ fs, at }, done) => fs.writeFile?.(at('a'), 'text', { flag: 'r+' }, done),
      ({ fs, at }, done) => fs.writeFile?.(at('a'), 'text', { flag: 'a', flush: true }, done),
      ({ fs, at }, done) => fs.writeFile?.(at('a'), '', done),
      ({ fs, at }, done) => fs.writeFile?.(at('dir'), 'text', done),
      ({ fs, at }, done) => fs.writeFile?.(at('a'), 'text', { flag: 'wx' }, done),
      ({ fs, at }, done) => fs.writeFile?.(at('a'), 'text', { flag: 'r' }, done),
      ({ fs, fd }, done) => fs.writeFile?.(fd, 'text', done),
      ({ fs }, done) => fs.writeFile?.('/dev/full', 'text', done),
      ({ fs }, done) => fs.writeFile?.(999_999, 'text', done),
    ],
    node: [
      ({ fs, at }, done) => fs.writeFile?.(at('a'), 7, done),
      ({ fs, at }, done) => fs.writeFile?.(at('a'), 'text', 'nope', done),
      ({ fs, at }, done) => fs.writeFile?.(at('a'), 'text', { mode: 'nope' }, done),
      ({ fs, at }, done) => fs.writeFile?.(at('a'), 'text', { flush: 'nope' }, done),
      ({ fs, at, aborted }, done) => fs.writeFile?.(at('a'), 'x', { signal: aborted }, done),
      ({ fs, at }) => fs.writeFile?.(at('a'), 'text'),
    ],
  },
  appendFile: {
    ring: [
      ({ fs, at }, done) => fs.appendFile?.(at('a'), 'text', done),
      ({ fs, at }, done) => fs.appendFile?.(at('new'), view(), { mode: 0o600 }, done),
      ({ fs, at }, done) => fs.appendFile?.(at('dir'), 'text', done),
      ({ fs, log }, done) => fs.appendFile?.(log, 'text', done),
    ],
    node: [
      ({ fs, at }, done) => fs.appendFile?.(at('a'), null, done),
      ({ fs, at }) => fs.appendFile?.(at('a'), 'text'),
    ],
  },
  stat: {
    ring: [
      ({ fs, at }, done) => fs.stat?.(at('a'), done),
      ({ fs, at }, done) => fs.stat?.(at('link'), { bigint: true }, done),
      ({ fs, at }, done) => fs.stat?.(at('dir'), { bigint: false }, done),
      ({ fs, at }, done) => fs.stat?.(at('none'), done),
      ({ fs, at }, done) => fs.stat?.(at('dangling'), done),
      ({ fs }, done) => fs.stat?.('/dev/null', done),
    ],
    node: [
      ({ fs, at }) => fs.stat?.(at('a')),
      ({ fs, at }) => fs.stat?.(at('a'), {}),
      ({ fs, at }, done) => fs.stat?.(at('a'), null, done),
      ({ fs }, done) => fs.stat?.(null, done),
    ],
  },
  lstat: {
    ring: [
      ({ fs, at }, done) => fs.lstat?.(at('link'), done),
      ({ fs, at }, done) => fs.lstat?.(at('dangling'), { bigint: true }, done),
      ({ fs, at }, done) => fs.lstat?.(at('none'), done),
    ],
    node: [({ fs }, done) => fs.lstat?.('\0', done)],
  },
  fstat: {
    ring: [
      ({ fs, fd }, done) => fs.fstat?.(fd, done),
      ({ fs, fd }, done) => fs.fstat?.(fd, { bigint: true }, done),
      ({ fs }, done) => fs.fstat?.(999_999, done),
    ],
    node: [({ fs }, done) => fs.fstat?.('x', done), ({ fs, fd }) => fs.fstat?.(fd)],
  },
  mkdir: {
    ring: [
      ({ fs, at }, done) => fs.mkdir?.(at('new'), done),
      ({ fs, at }, done) => fs.mkdir?.(at('new'), 0o700, done),
      ({ fs, at }, done) => fs.mkdir?.(at('new'), '750', done),
      ({ fs, at }, done) => fs.mkdir?.(at('new'), { mode: 0o700, recursive: false }, done),
      ({ fs, at }, done) => fs.mkdir?.(at('new'), null, done),
      ({ fs, at }, done) => fs.mkdir?.(at('dir'), done),
      ({ fs, at }, done) => fs.mkdir?.(at('none/new'), done),
    ],
    node: [
      ({ fs, at }, done) => fs.mkdir?.(at('new/deep'), { recursive: true }, done),
      ({ fs, at }, done) => fs.mkdir?.(at('new'), { recursive: 'yes' }, done),
      ({ fs, at }, done) => fs.mkdir?.(at('new'), { mode: null }, done),
      ({ fs, at }) => fs.mkdir?.(at('new')),
    ],
  },
  rmdir: {
    ring: [
      ({ fs, at }, done) => fs.rmdir?.(at('dir'), done),
      ({ fs, at }, done) => fs.rmdir?.(at('full'), done),
      ({ fs, at }, done) => fs.rmdir?.(at('a'), done),
      ({ fs, at }, done) => fs.rmdir?.(at('none'), done),
    ],
    node: [
      ({ fs, at }, done) => fs.rmdir?.(at('dir'), {}, done),
      ({ fs, at }) => fs.rmdir?.(at('dir')),
    ],
  },
  unlink: {
    ring: [
      ({ fs, at }, done) => fs.unlink?.(at('a'), done),
      ({ fs, at }, done) => fs.unlink?.(at('link'), done),
      ({ fs, at }, done) => fs.unlink?.(at('dir'), done),
      ({ fs, at }, done) => fs.unlink?.(at('none'), done),
    ],
    node: [({ fs, at }) => fs.unlink?.(at('a'))],
  },
  rename: {
    ring: [
      ({ fs, at }, done) => fs.rename?.(at('a'), at('new'), done),
      ({ fs, at }, done) => fs.rename?.(at('a'), at('dir'), done),
      ({ fs, at }, done) => fs.rename?.(at('none'), at('new'), done),
      ({ fs, at }, done) => fs.rename?.(at('dir'), at('full'), done),
    ],
    node: [
      ({ fs, at }, done) => fs.rename?.(at('a'), 7, done),
      ({ fs, at }) => fs.rename?.(at('a'), at('new')),
    ],
  },
  copyFile: {
    ring: [
      ({ fs, at }, done) => fs.copyFile?.(at('a'), at('new'), done),
      ({ fs, at }, done) => fs.copyFile?.(at('a'), at('new'), 1, done),
      ({ fs, at }, done) => fs.copyFile?.(at('a'), at('new'), undefined, done),
      ({ fs, at }, done) => fs.copyFile?.(at('a'), at('a'), 1, done),
      ({ fs, at }, done) => fs.copyFile?.(Buffer.from(at('a')), pathToFileURL(at('new')), 2, done),
      ({ fs, at }, done) => fs.copyFile?.(at('a'), at('dir'), done),
      ({ fs, at }, done) => fs.copyFile?.(at('dir'), at('new'), done),
      ({ fs, at }, done) => fs.copyFile?.(at('none'), at('new'), done),
      ({ fs, at }, done) => fs.copyFile?.(at('a'), at('a'), done),
    ],
    node: [
      ({ fs, at }, done) => fs.copyFile?.(at('a'), 7, done),
      ({ fs, at }, done) => fs.copyFile?.(at('a'), at('new'), 8, done),
      ({ fs, at }, done) => fs.copyFile?.(at('a'), at('new'), '1', done),
      ({ fs, at }, done) => fs.copyFile?.('', at('new'), done),
      ({ fs, at }) => fs.copyFile?.(at('a'), at('new')),
      ({ fs, at }) => fs.copyFile?.(at('a'), at('new'), 0),
    ],
  },
  link: {
    ring: [
      ({ fs, at }, done) => fs.link?.(at('a'), at('new'), done),
      ({ fs, at }, done) => fs.link?.(at('a'), at('empty'), done),
      ({ fs, at }, done) => fs.link?.(at('none'), at('new'), done),
    ],
    node: [({ fs, at }, done) => fs.link?.(at('a'), '\0', done)],
  },
  symlink: {
    ring: [
      ({ fs, at }, done) => fs.symlink?.('a', at('new'), done),
      ({ fs, at }, done) => fs.symlink?.('dir', at('new'), 'dir', done),
      ({ fs, at }, done) => fs.symlink?.('a', at('dir'), done),
      ({ fs, at }, done) => fs.symlink?.('a', at('none/new'), done),
    ],
    node: [
      ({ fs, at }, done) => fs.symlink?.('a', at('new'), 'nope', done),
      ({ fs, at }) => fs.symlink?.('a', at('new')),
    ],
  },
  truncate: {
    ring: [
      ({ fs, at }, done) => fs.truncate?.(at('a'), done),
      ({ fs, at }, done) => fs.truncate?.(at('a'), 4, done),
      ({ fs, at }, done) => fs.truncate?.(at('a'), 40, done),
      ({ fs, at }, done) => fs.truncate?.(at('a'), -4, done),
      ({ fs, at }, done) => fs.truncate?.(at('none'), 4, done),
      ({ fs, at }, done) => fs.truncate?.(at('dir'), 4, done),
    ],
    node: [
      ({ fs, at }, done) => fs.truncate?.(at('a'), '4', done),
      ({ fs, at }, done) => fs.truncate?.(at('a'), 1.5, done),
    ],
  },
  ftruncate: {
    ring: [
      ({ fs, fd }, done) => fs.ftruncate?.(fd, done),
      ({ fs, fd }, done) => fs.ftruncate?.(fd, 4, done),
      ({ fs, fd }, done) => fs.ftruncate?.(fd, -4, done),
      ({ fs }, done) => fs.ftruncate?.(999_999, 4, done),
    ],
    node: [
      ({ fs, fd }, done) => fs.ftruncate?.(fd, 'x', done),
      ({ fs, fd }) => fs.ftruncate?.(fd, 4),
    ],
  },
  fsync: {
    ring: [({ fs, fd }, done) => fs.fsync?.(fd, done), ({ fs }, done) => fs.fsync?.(999_999, done)],
    node: [({ fs, fd }) => fs.fsync?.(fd)],
  },
  fdatasync: {
    ring: [
      ({ fs, fd }, done) => fs.fdatasync?.(fd, done),
      ({ fs }, done) => fs.fdatasync?.(999_999, done),
    ],
    node: [({ fs }, done) => fs.fdatasync?.('x', done)],
  },
};

/** A folder as the calls above want it. */
function place(t: ExecutionContext, fs: Fs): Place {
  const path = folder(t);
  const at = (name: string) => join(path, name);
  nodeFs.writeFileSync(at('a'), 'hello world');
  nodeFs.writeFileSync(at('empty'), '');
  nodeFs.writeFileSync(at('log'), 'log ');
  nodeFs.mkdirSync(at('dir'));
  nodeFs.mkdirSync(at('full/of'), { recursive: true });
  nodeFs.symlinkSync('a', at('link'));
  nodeFs.symlinkSync('none', at('dangling'));
  nodeFs.symlinkSync('loop', at('loop'));
  const fd = nodeFs.openSync(at('a'), 'r+');
  const log = nodeFs.openSync(at('log'), 'a');
  return { fs, at, fd, log, aborted: AbortSignal.abort(new Error('no')) };
}

/** An outcome as it can be compared: without the folder, the moments and the numbers. */
function shown(value: Any, { at, fd, log }: Place): Any {
  if (value instanceof Error) {
    const { name, message, code, errno, syscall, path, dest } = value as Any;
    const fields = { name, message, code, errno, syscall, path, dest, keys: Object.keys(value) };
    return JSON.parse(JSON.stringify(fields).replaceAll(at(''), 'FOLDER'));
  }
  if (typeof value === 'string') return value.replaceAll(at(''), 'FOLDER');
  if (Array.isArray(value)) return value.map((one) => shown(one, { at, fd, log } as Place));
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteOffset, byteLength } = value;
    const kind = value.constructor.name;
    return `${kind} ${Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength).toString('hex')}`;
  }
  if (typeof value?.isFile !== 'function') return value;
  const { mode, size, nlink, uid, gid, blksize, blocks, dev, rdev } = value;
  const times = [value.atimeMs, value.mtimeMs, value.ctimeMs, value.birthtimeMs];
  const kinds = [value.atime, value.birthtimeNs].map((time) => time?.constructor.name);
  const sane = times.every((time) => Math.abs(Number(time) - Date.now()) < 3e5);
  const stats = [mode, size, nlink, uid, gid, blksize, blocks, dev, rdev].map(String);
  return { is: Object.getPrototypeOf(value).constructor.name, stats, kinds, sane };
}

/** The folder's content afterwards. */
function tree({ at }: Place): string[] {
  const names = nodeFs.readdirSync(at(''), { recursive: true }) as string[];
  return names.sort().map((name) => {
    const stats = nodeFs.lstatSync(at(name));
    const content = stats.isFile() ? nodeFs.readFileSync(at(name), 'hex') : '';
    return `${name} ${stats.mode.toString(8)} ${stats.isFile() ? stats.nlink : ''} ${content}`;
  });
}

/** Makes the call, and says all that can be seen of it. */
async function made(t: ExecutionContext, fs: Fs, call: Make): Promise<object> {
  const here = place(t, fs);
  let calls: Any[][] = [];
  let thrown: unknown = null;
  let returned: unknown;
  try {
    returned = call(here, (...results) => {
      calls.push(results);
    });
  } catch (error) {
    thrown = error;
  }
  const atOnce = calls.length;
  const limit = Date.now() + 5_000;
  while (thrown === null && calls.length === 0 && Date.now() < limit) await delay(1);
  await settle(3);
  const open = calls[0]?.[1];
  if (typeof open === 'number' && /\.open/.test(`${call}`)) {
    nodeFs.closeSync(open);
    calls = [['opened']];
  }
  const position = closed(here);
  const said = calls.map((results) => results.map((one) => shown(one, here)));
  return { thrown: shown(thrown, here), returned, atOnce, calls: said, position, tree: tree(here) };
}

/** Where the cursor of `fd` was, which is closed now; -1: it was closed before. */
function closed({ fd, log }: Place): number {
  nodeFs.closeSync(log);
  let position = -1;
  try {
    const info = nodeFs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
    position = Number(/^pos:\s+(\d+)/.exec(info)?.[1]);
    nodeFs.closeSync(fd);
  } catch {}
  return position;
}

for (const [name, calls] of Object.entries(TABLE)) {
  test.serial(`${name} is as node's`, async (t) => {
    await current().op.nop();
    for (const kind of ['ring', 'node'] as const) {
      for (const call of calls[kind]) {
        const node = await made(t, nodeFs as unknown as Fs, call);
        await until(() => current().stats().inFlight === 0);
        const before = taken(current());
        const ours = await made(t, ringFs as unknown as Fs, call);
        const used = taken(current()) - before;
        t.deepEqual(ours, node, `${call}`);
        t.is(used > 0 ? 'ring' : 'node', kind, `${call} took the ${used > 0 ? 'ring' : 'node'}`);
      }
    }
  });
}
