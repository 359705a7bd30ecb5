// `ringcore/fs/promises`: node:fs/promises, name for name, through the ring.
//
// Each function asks whether its arguments are plainly well-formed and a ring is there. If not,
// node's own function does it, with its own errors.

import type { Stats } from 'node:fs';
import { constants as C } from '../constants.ts';
import type { Later } from '../executor.ts';
import { LARGER, ownBytes, ownText, SPENT } from '../fs/cached.ts';
import { File } from '../fs/file.ts';
import { lookAt } from '../fs/guess.ts';
import { type Filled, readLarger, wholeOf } from '../fs/larger.ts';
import { ReadFile } from '../fs/read.ts';
import { PathStat } from '../fs/stat.ts';
import { WriteFile } from '../fs/write.ts';
import { AT_FDCWD } from '../ops/paths.ts';
import { Reaction } from '../promise.ts';
import type { Runtime } from '../runtime.ts';
import type { Statx } from '../statx.ts';
import { lacks, ringFor, withFrames } from './backend.ts';
import { nodePromises as node, nodeFs } from './builtin.ts';
import { CP_OPS, copyTree, plainCp } from './cp.ts';
import { FileHandle } from './file-handle.ts';
import { listAll, plainListing } from './listing.ts';
import { type Call, promiseOf } from './metadata.ts';
import {
  isCount,
  isIterable,
  letAbort,
  plainBigint,
  plainCopy,
  plainFlags,
  plainMode,
  plainOptions,
  plainPath,
  watched,
} from './plain.ts';
import { raise } from './raise.ts';
import { plainRm, RM_OPS, removeAll } from './rm.ts';
import { knowsIteration } from './stand-in.ts';
import { bigIntStatsOf, statsOf } from './stats.ts';
import { HandOver } from './trees.ts';

// The types go by the same names: FileHandle, FileReadResult ...
export type * from 'node:fs/promises';

type Node = typeof node;
/** The type of a name that older types of Node do not know. */
type Younger<Name extends string> = Name extends keyof Node ? Node[Name] : undefined;

export const constants: Node['constants'] = nodeFs.constants;

const { F_OK, O_RDONLY, O_RDWR } = nodeFs.constants;
const { isEncoding } = Buffer;

/**
 * A failure: node's function where the kernel lacks the operation; else the error, with the frames
 * of whoever waits, which a completion of the ring has not.
 */
function recover<T>(error: unknown, otherwise: () => Promise<T>): Promise<T> {
  if (lacks(error) || error instanceof HandOver) return otherwise();
  throw withFrames(error);
}

/** The same at the end of a promise that is resolved to this one. */
async function recoverLater<T>(error: unknown, otherwise: () => Promise<T>): Promise<T> {
  return lacks(error) ? otherwise() : raise(error);
}

/** A plain path and the ring to use it on, or null. */
function ringAt(path: string | Uint8Array | null, ...names: string[]): Runtime | null {
  return path === null ? null : ringFor(names);
}

export const open = (async (path, flags, mode) => {
  const name = plainPath(path);
  const bits = plainFlags(flags, 'r');
  const permissions = plainMode(mode, 0o666);
  const ring = bits < 0 || permissions < 0 ? null : ringAt(name, ...HANDLE_OPS);
  if (ring === null) return node.open(path, flags, mode);
  try {
    if (!knowsIteration) await FileHandle.iterates();
    const fd = await ring.op.openat(AT_FDCWD, name as string, bits, permissions);
    return new FileHandle(new File(ring, fd));
  } catch (error) {
    return recover(error, () => node.open(path, flags, mode));
  }
}) as Node['open'];

/** The whole file behind a handle; of a closed one node says something else than the handle. */
async function onHandle(
  handle: FileHandle,
  name: 'readFile' | 'writeFile' | 'appendFile',
  ...args: unknown[]
): Promise<unknown> {
  const call = (on: Record<typeof name, unknown>, ...all: unknown[]) =>
    (on[name] as (...all: unknown[]) => Promise<unknown>).apply(on, all);
  if (handle.fd >= 0) return call(handle, ...args);
  const gone = await node.open('/dev/null');
  await gone.close();
  return call(node, gone, ...args);
}

const HANDLE_OPS = [
  'openat',
  'read',
  'write',
  'readv',
  'writev',
  'fsync',
  'ftruncate',
  'statx',
  'close',
];

const READ_OPS: readonly string[] = ['openat', 'read', 'statx', 'close'];

/**
 * The common case of readFile, a path and at most an encoding: one promise, settled by the last
 * completion. One object knows the rest, instead of a closure for each way to end.
 */
class Whole extends Reaction<Buffer> implements Later {
  readonly ring: Runtime;
  readonly path: string;
  private readonly encoding: BufferEncoding | null;
  private readonly resolve: (value: Buffer | string | Promise<Buffer | string>) => void;

  constructor(
    ring: Runtime,
    path: string,
    encoding: BufferEncoding | null,
    resolve: Whole['resolve'],
  ) {
    super(unused, unused);
    this.ring = ring;
    this.path = path;
    this.encoding = encoding;
    this.resolve = resolve;
  }

  override run(failed: boolean, value: unknown): void {
    const { encoding } = this;
    try {
      if (failed) this.failed(value);
      else if (encoding === null) this.resolve(value as Buffer);
      else this.resolve((value as Buffer).toString(encoding));
    } catch (error) {
      this.failed(error); // A string that is too long, say.
    }
  }

  /** It has waited for a budget. */
  begin(): void {
    const { ring, path } = this;
    const res = lookAt(ring, path);
    if (res === SPENT) {
      ring.executor.postpone(this);
    } else if (res >= 0) {
      this.small(res);
    } else if (res === LARGER) {
      this.larger();
    } else {
      this.start(res);
    }
  }

  private small(length: number): void {
    const { ring, encoding, resolve } = this;
    try {
      resolve(found(ring, length, encoding));
    } catch (error) {
      this.failed(error); // No memory.
    }
  }

  private larger(): void {
    let filled: Filled;
    try {
      filled = readLarger(this.ring);
    } catch (error) {
      this.failed(error); // No memory.
      return;
    }
    if (filled.ended) this.run(false, wholeOf(filled));
    else this.start(LARGER, filled);
  }

  /** Starts it, after a look at the file (`lookAt`) or none, and what is there of a larger one. */
  start(res: number, filled: Filled | null = null): void {
    try {
      const file = new ReadFile(this.ring, this.path, O_RDONLY, -1);
      file.looked(res, filled);
      file.react(this);
    } catch (error) {
      this.failed(error);
    }
  }

  failed(error: unknown): void {
    const { path, encoding } = this;
    this.resolve(recoverLater(error, () => node.readFile(path, encoding)));
  }
}

function unused(): void {}

/** What the last look has read. */
function found(ring: Runtime, length: number, encoding: BufferEncoding | null): Buffer | string {
  const { border } = ring.executor.reactor.ring;
  return encoding === null ? ownBytes(border, length) : ownText(border, length, encoding);
}

function readWhole(
  ring: Runtime,
  path: string,
  encoding: BufferEncoding | null,
): Promise<Buffer | string> {
  const res = lookAt(ring, path);
  if (res >= 0) {
    try {
      return Promise.resolve(found(ring, res, encoding));
    } catch (error) {
      return raise(error); // No memory.
    }
  }
  if (res === LARGER) return wholeLarger(ring, path, encoding);
  return new Promise((resolve) => {
    const whole = new Whole(ring, path, encoding, resolve);
    if (res === SPENT) ring.executor.postpone(whole);
    else whole.start(res);
  });
}

/** The same of a file that the last look has found larger. */
async function wholeLarger(
  ring: Runtime,
  path: string,
  encoding: BufferEncoding | null,
): Promise<Buffer | string> {
  const filled = readLarger(ring);
  if (filled.ended) {
    const bytes = wholeOf(filled);
    return encoding === null ? bytes : bytes.toString(encoding);
  }
  return new Promise((resolve) => {
    new Whole(ring, path, encoding, resolve).start(LARGER, filled);
  });
}

export const readFile = ((path: unknown, options: unknown) => {
  const none = options === undefined || options === null;
  if (typeof path === 'string' && (none || isEncoding(options as string))) {
    const ring = plainPath(path) === null ? null : ringFor(READ_OPS);
    if (ring !== null)
      return readWhole(ring, path, (options as BufferEncoding | undefined) ?? null);
  }
  return readOther(path, options);
}) as Node['readFile'];

async function readOther(path: unknown, options: unknown): Promise<unknown> {
  if (path instanceof FileHandle) return onHandle(path, 'readFile', options);
  const plain = plainOptions(options);
  const flags = plain === null ? -1 : plainFlags(plain.flag || 'r', 'r');
  const name = flags < 0 ? null : plainPath(path);
  const ring = ringAt(name, 'openat', 'read', 'statx', 'close');
  if (plain === null || ring === null) return node.readFile(path as string, options as 'utf8');
  const { signal, encoding } = plain;
  try {
    if (signal !== undefined) await letAbort(signal);
    const buffer = await new ReadFile(ring, name, flags, -1, watched(signal));
    return encoding === null ? buffer : buffer.toString(encoding);
  } catch (error) {
    return recover(error, () => node.readFile(path as string, options as 'utf8'));
  }
}

/** writeFile and appendFile differ in one default. */
async function put(path: unknown, data: unknown, options: unknown, flag: string): Promise<void> {
  const plain = plainOptions(options);
  const flags = plain === null ? -1 : plainFlags(plain.flag || flag, flag);
  const mode = plain === null ? -1 : plainMode(plain.mode, 0o666);
  const name = flags < 0 || mode < 0 ? null : plainPath(path);
  const ring = ringAt(name, 'openat', 'write', 'fsync', 'close');
  const given = flag === 'a' ? node.appendFile : node.writeFile;
  const otherwise = () => given(path as string, data as string, options as 'utf8');
  if (plain === null || ring === null) return otherwise();
  const bytes =
    typeof data === 'string'
      ? Buffer.from(data, plain.encoding ?? 'utf8')
      : ArrayBuffer.isView(data)
        ? data
        : null;
  // A detached one has no bytes, and node's own error.
  if (bytes?.buffer.byteLength === 0 && bytes === data) return otherwise();
  if (bytes === null && !isIterable(data)) return otherwise();
  const { signal, flush } = plain;
  try {
    if (signal !== undefined) await letAbort(signal);
    if (bytes !== null) {
      return await new WriteFile(ring, name, flags, mode, -1, bytes, flush, watched(signal));
    }
  } catch (error) {
    return recover(error, otherwise);
  }
  const file = (await open(path as string, flags, mode)) as unknown as FileHandle;
  try {
    await file.writeAll(data, plain);
    if (flush) await file.sync();
  } finally {
    await file.close();
  }
}

export const writeFile = (async (path: unknown, data: unknown, options: unknown) => {
  if (path instanceof FileHandle) return onHandle(path, 'writeFile', data, options);
  return put(path, data, options, 'w');
}) as Node['writeFile'];

export const appendFile = (async (path: unknown, data: unknown, opts: unknown) => {
  if (path instanceof FileHandle) return onHandle(path, 'appendFile', data, opts);
  return put(path, data, opts, 'a');
}) as Node['appendFile'];

async function metadata(path: unknown, options: unknown, link: boolean) {
  const name = plainPath(path);
  const bigint = plainBigint(options);
  const ring = bigint === null ? null : ringAt(name, 'statx');
  const otherwise = () => node[link ? 'lstat' : 'stat'](path as string, options as object);
  if (ring === null || bigint === null) return otherwise();
  try {
    const known = await new PathStat(ring, name as string, link, bigint);
    return bigint ? bigIntStatsOf(known as Statx<bigint>) : statsOf(known as Statx);
  } catch (error) {
    return recover(error, otherwise);
  }
}

/** What a look could not tell. */
async function unseen(ring: Runtime, path: string, call: Call): Promise<Stats | undefined> {
  if (call === 'access') return node.access(path) as Promise<undefined>;
  try {
    const flags = call === 'lstat' ? C.AT_SYMLINK_NOFOLLOW : 0;
    return statsOf(await ring.op.statx(AT_FDCWD, path, flags));
  } catch (error) {
    return recover(error, () => node[call](path));
  }
}

const STAT_OPS: readonly string[] = ['statx'];

/** The common case, a path and nothing else, is a look; null: it is none. */
function seen(path: unknown, call: Call): Promise<unknown> | null {
  const ring = typeof path !== 'string' || plainPath(path) === null ? null : ringFor(STAT_OPS);
  return ring === null ? null : promiseOf(ring, path as string, call, unseen);
}

export const stat = ((path: unknown, options: unknown = undefined) =>
  (options === undefined ? seen(path, 'stat') : null) ??
  metadata(path, options, false)) as Node['stat'];

export const lstat = ((path: unknown, options: unknown = undefined) =>
  (options === undefined ? seen(path, 'lstat') : null) ??
  metadata(path, options, true)) as Node['lstat'];

export const access = ((path: string, mode: number | undefined = undefined) =>
  (mode === undefined || mode === F_OK ? seen(path, 'access') : null) ??
  node.access(path, mode)) as Node['access'];

export const mkdir = (async (path: unknown, options: unknown) => {
  const { mode: given, recursive = false } =
    typeof options === 'object' && options !== null
      ? (options as { mode?: unknown; recursive?: unknown })
      : { mode: options };
  const mode = plainMode(given, 0o777);
  const name = recursive === false && mode >= 0 ? plainPath(path) : null;
  const ring = ringAt(name, 'mkdirat');
  if (ring === null) return node.mkdir(path as string, options as object);
  try {
    await ring.op.mkdirat(AT_FDCWD, name as string, mode);
    return undefined;
  } catch (error) {
    return recover(error, () => node.mkdir(path as string, options as object));
  }
}) as Node['mkdir'];

export const rmdir = (async (path: unknown, options: unknown) => {
  const name = options === undefined ? plainPath(path) : null;
  const ring = ringAt(name, 'unlinkat');
  if (ring === null) return (node.rmdir as (...args: unknown[]) => Promise<void>)(path, options);
  try {
    await ring.op.unlinkat(AT_FDCWD, name as string, C.AT_REMOVEDIR);
  } catch (error) {
    return recover(error, () => node.rmdir(path as string));
  }
}) as Node['rmdir'];

export const unlink: Node['unlink'] = async (path) => {
  const name = plainPath(path);
  const ring = ringAt(name, 'unlinkat');
  if (ring === null) return node.unlink(path);
  try {
    await ring.op.unlinkat(AT_FDCWD, name as string);
  } catch (error) {
    return recover(error, () => node.unlink(path));
  }
};

export const rename: Node['rename'] = async (from, to) => {
  const [one, other] = [plainPath(from), plainPath(to)];
  const ring = other === null ? null : ringAt(one, 'renameat');
  if (ring === null) return node.rename(from, to);
  try {
    await ring.op.renameat(AT_FDCWD, one as string, AT_FDCWD, other as string);
  } catch (error) {
    return recover(error, () => node.rename(from, to));
  }
};

export const link: Node['link'] = async (existing, path) => {
  const [one, other] = [plainPath(existing), plainPath(path)];
  const ring = other === null ? null : ringAt(one, 'linkat');
  if (ring === null) return node.link(existing, path);
  try {
    await ring.op.linkat(AT_FDCWD, one as string, AT_FDCWD, other as string);
  } catch (error) {
    return recover(error, () => node.link(existing, path));
  }
};

export const copyFile: Node['copyFile'] = async (from, to, mode) => {
  const flags = plainCopy(mode);
  const [one, other] = flags < 0 ? [null, null] : [plainPath(from), plainPath(to)];
  const ring = other === null ? null : ringAt(one, 'copyFile');
  if (ring === null) return node.copyFile(from, to, mode);
  try {
    await ring.op.copyFile(one as string, other as string, flags);
  } catch (error) {
    return recover(error, () => node.copyFile(from, to, mode));
  }
};

/** The kind of link matters on Windows only. */
const KINDS: readonly unknown[] = [undefined, null, 'file', 'dir', 'junction'];

export const symlink: Node['symlink'] = async (target, path, type) => {
  const [one, other] = [plainPath(target), plainPath(path)];
  const ring = other === null || !KINDS.includes(type) ? null : ringAt(one, 'symlinkat');
  if (ring === null) return node.symlink(target, path, type);
  try {
    await ring.op.symlinkat(one as string, AT_FDCWD, other as string);
  } catch (error) {
    return recover(error, () => node.symlink(target, path, type));
  }
};

export const truncate: Node['truncate'] = async (path, length = 0) => {
  const name = isCount(length) ? plainPath(path) : null;
  const ring = ringAt(name, 'openat', 'ftruncate', 'close');
  if (ring === null) return node.truncate(path, length);
  try {
    const file = new File(ring, await ring.op.openat(AT_FDCWD, name as string, O_RDWR));
    try {
      await file.truncate(length);
    } finally {
      await file.close();
    }
  } catch (error) {
    return recover(error, () => node.truncate(path, length));
  }
};

export const rm: Node['rm'] = async (path, options) => {
  const recursive = plainRm(options);
  const name = recursive === null ? null : plainPath(path);
  const ring = typeof name === 'string' ? ringAt(name, ...RM_OPS) : null;
  if (ring === null) return node.rm(path, options);
  try {
    await removeAll(ring, name as string, recursive as boolean);
  } catch (error) {
    return recover(error, () => node.rm(path, options));
  }
};

export const cp: Node['cp'] = async (from, to, options) => {
  const plain = plainCp(options);
  const [one, other] = plain === null ? [null, null] : [plainPath(from), plainPath(to)];
  const texts = typeof one === 'string' && typeof other === 'string';
  const ring = texts ? ringAt(one, ...CP_OPS) : null;
  if (plain === null || ring === null) return node.cp(from, to, options);
  try {
    await copyTree(ring, one as string, other as string, plain);
  } catch (error) {
    return recover(error, () => node.cp(from, to, options));
  }
};

export const readdir = (async (path: unknown, options: unknown) => {
  const types = plainListing(options);
  const name = types === null ? null : plainPath(path);
  const ring = typeof name === 'string' ? ringAt(name, 'statx') : null;
  const otherwise = () => (node.readdir as (...args: unknown[]) => Promise<unknown>)(path, options);
  if (ring === null) return otherwise();
  try {
    return await listAll(ring, name as string, types as boolean);
  } catch (error) {
    return recover(error, otherwise);
  }
}) as Node['readdir'];

// What io_uring has no operation for, or none that is better than node's: docs/drop-in.md.
export const chmod: Node['chmod'] = node.chmod;
export const chown: Node['chown'] = node.chown;
export const glob: Younger<'glob'> = node.glob;
export const lchmod: Node['lchmod'] = node.lchmod;
export const lchown: Node['lchown'] = node.lchown;
export const lutimes: Node['lutimes'] = node.lutimes;
export const mkdtemp: Node['mkdtemp'] = node.mkdtemp;
export const mkdtempDisposable: Younger<'mkdtempDisposable'> = node.mkdtempDisposable;
export const opendir: Node['opendir'] = node.opendir;
export const readlink: Node['readlink'] = node.readlink;
export const realpath: Node['realpath'] = node.realpath;
export const statfs: Node['statfs'] = node.statfs;
export const utimes: Node['utimes'] = node.utimes;
export const watch: Node['watch'] = node.watch;

const names: Record<string, unknown> = {
  access,
  appendFile,
  chmod,
  chown,
  constants,
  copyFile,
  cp,
  glob,
  lchmod,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  mkdtemp,
  mkdtempDisposable,
  open,
  opendir,
  readFile,
  readdir,
  readlink,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  statfs,
  symlink,
  truncate,
  unlink,
  utimes,
  watch,
  writeFile,
};
// A name that this node lacks is absent here as well.
for (const [name, value] of Object.entries(names)) if (value === undefined) delete names[name];

const promises: Node = names as unknown as Node;
export default promises;
