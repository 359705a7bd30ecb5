// The functions of node:fs with a callback that take the ring. Each says whether it takes the call:
// only when its arguments are plainly well-formed. Anything else is node's own function's, which
// raises its own error, synchronously where it does so.

import { constants } from '../constants.ts';
import { ReadFile } from '../fs/read.ts';
import { PathStat } from '../fs/stat.ts';
import { WriteFile } from '../fs/write.ts';
import type { Future } from '../future.ts';
import type { Op } from '../op.ts';
import { AT_FDCWD } from '../ops/paths.ts';
import type { Runtime } from '../runtime.ts';
import type { Statx } from '../statx.ts';
import { nodeFs } from './builtin.ts';
import { read, vector, write } from './bytes.ts';
import { begin, Call, isCallback, isFd, type Take } from './callback.ts';
import { CP_OPS, copyTree, plainCp } from './cp.ts';
import { lookAt, lookAtOpen } from './metadata.ts';
import { behind, between, inOrder, last } from './order.ts';
import { plainBigint, plainCopy, plainFlags, plainMode, plainOptions, plainPath } from './plain.ts';
import { plainRm, RM_OPS, removeAll } from './rm.ts';
import { bigIntStatsOf, statsOf } from './stats.ts';

const { isMainThread } = process.getBuiltinModule('node:worker_threads');

const { AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW } = constants;
const { F_OK } = nodeFs.constants;

/** A call of one operation without arguments worth a look, on one path. */
function onPath(start: (runtime: Runtime, path: string | Uint8Array) => Op<unknown>): Take {
  return (runtime, [path, callback], instead) => {
    const name = plainPath(path);
    if (name === null || !isCallback(callback)) return false;
    new Call(callback, instead).take(start(runtime, name));
    return true;
  };
}

/** On two paths. */
function onPaths(
  start: (runtime: Runtime, from: string | Uint8Array, to: string | Uint8Array) => Op<unknown>,
): Take {
  return (runtime, [from, to, callback], instead) => {
    const names = [plainPath(from), plainPath(to)] as const;
    if (names[0] === null || names[1] === null || !isCallback(callback)) return false;
    new Call(callback, instead).take(start(runtime, names[0], names[1]));
    return true;
  };
}

/**
 * In a worker Node keeps a list of what its fs.open and fs.openSync have opened and its fs.close
 * and fs.closeSync have not closed, and closes that at the worker's end: by then the number may be
 * another thread's. So both ends of a descriptor are node's there.
 */
const LISTED = !isMainThread;

const copyFile: Take = (runtime, [from, to, third, fourth], instead) => {
  const [mode, callback] = isCallback(third) ? [undefined, third] : [third, fourth];
  const names = [plainPath(from), plainPath(to)] as const;
  const flags = plainCopy(mode);
  if (names[0] === null || names[1] === null || flags < 0 || !isCallback(callback)) return false;
  new Call(callback, instead).take(runtime.op.copyFile(names[0], names[1], flags));
  return true;
};

const open: Take = (runtime, args, instead) => {
  if (LISTED) return false;
  const [path, second, third, fourth] = args;
  const short = args.length < 3;
  const flags = plainFlags(short ? undefined : second, 'r');
  const mode = plainMode(short || isCallback(third) ? undefined : third, 0o666);
  const callback = short ? second : isCallback(third) ? third : fourth;
  const name = plainPath(path);
  if (name === null || flags < 0 || mode < 0 || !isCallback(callback)) return false;
  new Call(callback, instead).take(runtime.op.openat(AT_FDCWD, name, flags, mode));
  return true;
};

const close: Take = (runtime, [fd, given], instead) => {
  const callback = given === undefined ? rethrow : given;
  if (!isFd(fd) || !isCallback(callback)) return false;
  const call = new Call(callback, instead);
  last(fd, () => {
    // The runtime may end while others are on their way: the descriptor is open all the same.
    if (LISTED || runtime.ended) call.hand();
    else call.take(runtime.op.close(fd));
  });
  return true;
};

/** What close() does without a callback. */
function rethrow(error: unknown): void {
  if (error !== null && error !== undefined) throw error;
}

// --- whole files --------------------------------------------------------------------------------

/** Options of a function for whole files; null: not plain, or the signal was aborted before. */
function fileOptions(options: unknown): ReturnType<typeof plainOptions> {
  const plain = plainOptions(typeof options === 'function' ? undefined : options);
  return plain === null || plain.signal?.aborted === true ? null : plain;
}

/** Reads or writes a whole file; an open one at its cursor, in the order of the calls. */
function whole<T>(
  call: Call,
  fd: number,
  writes: boolean,
  start: () => Future<T>,
  show?: (value: T) => unknown,
): void {
  if (fd < 0) {
    call.take(start(), show);
    return;
  }
  inOrder(fd, writes, (ended) => {
    call.take(start(), show, ended);
  });
}

const readFile: Take = (runtime, [path, second, third], instead) => {
  const callback = third || second;
  const options = fileOptions(second);
  const name = isFd(path) ? null : plainPath(path);
  if (options === null || (name === null && !isFd(path)) || !isCallback(callback)) return false;
  const flags = plainFlags(options.flag, 'r');
  if (flags < 0) return false;
  const { encoding, signal } = options;
  const fd = isFd(path) ? path : -1;
  const start = () => new ReadFile(runtime, name, flags, fd, { signal });
  const show = (bytes: Buffer) => (encoding === null ? bytes : bytes.toString(encoding));
  whole(new Call(callback, instead), fd, false, start, show);
  return true;
};

function writes(flag: 'w' | 'a'): Take {
  return (runtime, [path, data, third, fourth], instead) => {
    const callback = fourth || third;
    const options = fileOptions(third);
    const name = isFd(path) ? null : plainPath(path);
    if (options === null || (name === null && !isFd(path)) || !isCallback(callback)) return false;
    const flags = plainFlags(options.flag || undefined, flag);
    const mode = plainMode(options.mode, 0o666);
    if (flags < 0 || mode < 0) return false;
    if (typeof data !== 'string' && !ArrayBuffer.isView(data)) return false;
    const bytes = typeof data === 'string' ? Buffer.from(data, options.encoding ?? 'utf8') : data;
    const { flush, signal } = options;
    const fd = isFd(path) ? path : -1;
    const start = () => new WriteFile(runtime, name, flags, mode, fd, bytes, flush, { signal });
    whole(new Call(callback, instead), fd, true, start);
    return true;
  };
}

// --- metadata -----------------------------------------------------------------------------------

const show = (bigint: boolean) => (stats: Statx | Statx<bigint>) =>
  bigint ? bigIntStatsOf(stats as Statx<bigint>) : statsOf(stats as Statx);

function stats(link: boolean): Take {
  const flags = link ? AT_SYMLINK_NOFOLLOW : 0;
  return (runtime, [path, second, third], instead) => {
    const callback = isCallback(second) ? second : third;
    const bigint = isCallback(second) ? false : plainBigint(second);
    const name = plainPath(path);
    if (bigint === null || name === null || !isCallback(callback)) return false;
    const call = new Call(callback, instead);
    const known = (from: PromiseLike<Statx | Statx<bigint>>) => call.take(from, show(bigint));
    if (bigint) {
      known(new PathStat(runtime, name, link, bigint) as PromiseLike<Statx<bigint>>);
      return true;
    }
    lookAt(runtime, name, link ? 'lstat' : 'stat', (seen) => {
      if (seen === null) known(runtime.op.statx(AT_FDCWD, name, flags));
      else if (seen instanceof Error) call.fail(seen);
      else call.end(null, seen);
    });
    return true;
  };
}

const access: Take = (runtime, [path, second, third], instead) => {
  const callback = isCallback(second) ? second : third;
  const mode = isCallback(second) ? F_OK : second;
  const name = plainPath(path);
  if (mode !== F_OK || name === null || !isCallback(callback)) return false;
  const call = new Call(callback, instead);
  lookAt(runtime, name, 'access', (seen) => {
    if (seen === null) call.hand();
    else if (seen instanceof Error) call.fail(seen);
    else call.end(null);
  });
  return true;
};

const fstat: Take = (runtime, [fd, second, third], instead) => {
  const callback = isCallback(second) ? second : third;
  const bigint = isCallback(second) ? false : plainBigint(second);
  if (bigint === null || !isFd(fd) || !isCallback(callback)) return false;
  const call = new Call(callback, instead);
  between(fd, (ended) => {
    const seen = bigint ? null : lookAtOpen(runtime, fd);
    if (seen !== null) {
      call.end(null, seen);
      ended();
      return;
    }
    call.take(statx(runtime, fd, bigint), show(bigint), ended);
  });
  return true;
};

function statx(runtime: Runtime, fd: number, bigint: boolean): Op<Statx | Statx<bigint>> {
  const { op } = runtime;
  if (bigint) return op.statx(fd, '', AT_EMPTY_PATH, undefined, { bigint });
  return op.statx(fd, '', AT_EMPTY_PATH);
}

// --- names --------------------------------------------------------------------------------------

const mkdir: Take = (runtime, [path, second, third], instead) => {
  const options = isCallback(second) ? undefined : second;
  const callback = isCallback(second) ? second : third;
  const { recursive, mode: given } = (
    typeof options === 'object' && options !== null ? options : { mode: options }
  ) as { recursive?: unknown; mode?: unknown };
  if (recursive !== undefined && recursive !== false) return false;
  if (given === null && options !== null) return false;
  const mode = plainMode(given, 0o777);
  const name = plainPath(path);
  if (name === null || mode < 0 || !isCallback(callback)) return false;
  new Call(callback, instead).take(runtime.op.mkdirat(AT_FDCWD, name, mode));
  return true;
};

const symlink: Take = (runtime, [target, path, third, fourth], instead) => {
  const callback = fourth === undefined ? third : fourth;
  const type = fourth === undefined ? undefined : third;
  const plain = type === undefined || type === null || type === 'file' || type === 'dir';
  const [to, name] = [plainPath(target), plainPath(path)];
  if (!plain || to === null || name === null || !isCallback(callback)) return false;
  new Call(callback, instead).take(runtime.op.symlinkat(to, AT_FDCWD, name));
  return true;
};

// --- trees --------------------------------------------------------------------------------------

const rm: Take = (runtime, [path, second, third], instead) => {
  const callback = isCallback(second) ? second : third;
  const recursive = plainRm(isCallback(second) ? undefined : second);
  const name = plainPath(path);
  if (recursive === null || typeof name !== 'string' || !isCallback(callback)) return false;
  const call = new Call(callback, instead);
  begin(() => call.take(removeAll(runtime, name, recursive)));
  return true;
};

const cp: Take = (runtime, [from, to, options, callback], instead) => {
  const plain = plainCp(options);
  const [one, other] = [plainPath(from), plainPath(to)];
  if (plain === null || typeof one !== 'string' || typeof other !== 'string') return false;
  if (!isCallback(callback)) return false;
  const call = new Call(callback, instead);
  begin(() => {
    copyTree(runtime, one, other, plain).then(
      // As a function that util.callbackify has made.
      () => call.end(null, undefined),
      (error) => call.fail(error),
    );
  });
  return true;
};

// --- lengths ------------------------------------------------------------------------------------

/** Truncates what it opens: three operations, each of which may fail. */
async function cut(runtime: Runtime, path: string | Uint8Array, length: number): Promise<void> {
  const { op } = runtime;
  const fd = await op.openat(AT_FDCWD, path, plainFlags('r+', 'r+'));
  let failed: unknown = null;
  try {
    await op.ftruncate(fd, length);
  } catch (error) {
    failed = error;
  }
  await op.close(fd);
  if (failed !== null) throw failed;
}

/** A length as node takes it: negative is 0. null: not plain. */
function plainLength(length: unknown): number | null {
  if (length === undefined) return 0;
  return Number.isSafeInteger(length) ? Math.max(0, length as number) : null;
}

const truncate: Take = (runtime, [path, second, third], instead) => {
  const callback = isCallback(second) ? second : third;
  const length = plainLength(isCallback(second) ? 0 : second);
  const name = plainPath(path);
  if (length === null || name === null || !isCallback(callback)) return false;
  const call = new Call(callback, instead);
  begin(() => call.take(cut(runtime, name, length)));
  return true;
};

const ftruncate: Take = (runtime, [fd, second, third], instead) => {
  const callback = isCallback(second) ? second : third;
  const length = plainLength(isCallback(second) ? 0 : second);
  if (length === null || !isFd(fd) || !isCallback(callback)) return false;
  const call = new Call(callback, instead);
  // Those after it must not write before the cut.
  inOrder(fd, true, (ended) => call.take(runtime.op.ftruncate(fd, length), undefined, ended));
  return true;
};

function sync(name: 'fsync' | 'fdatasync'): Take {
  return (runtime, [fd, callback], instead) => {
    if (!isFd(fd) || !isCallback(callback)) return false;
    const call = new Call(callback, instead);
    behind(fd, (ended) => call.take(runtime.op[name](fd), undefined, ended));
    return true;
  };
}

/** The functions that take the ring, and the operations that each of them needs. */
export const CALLS: Readonly<Record<string, { take: Take; needs: readonly string[] }>> = {
  open: { take: open, needs: ['openat'] },
  close: { take: close, needs: ['close'] },
  read: { take: read, needs: ['read', 'readv'] },
  readv: { take: vector(false), needs: ['read', 'readv'] },
  write: { take: write, needs: ['write', 'writev'] },
  writev: { take: vector(true), needs: ['write', 'writev'] },
  readFile: { take: readFile, needs: ['openat', 'read', 'statx', 'close'] },
  writeFile: { take: writes('w'), needs: ['openat', 'write', 'fsync', 'close'] },
  appendFile: { take: writes('a'), needs: ['openat', 'write', 'fsync', 'close'] },
  stat: { take: stats(false), needs: ['statx'] },
  lstat: { take: stats(true), needs: ['statx'] },
  fstat: { take: fstat, needs: ['statx'] },
  access: { take: access, needs: ['statx'] },
  mkdir: { take: mkdir, needs: ['mkdirat'] },
  rmdir: {
    take: onPath((rt, path) => rt.op.unlinkat(AT_FDCWD, path, AT_REMOVEDIR)),
    needs: ['unlinkat'],
  },
  unlink: { take: onPath((rt, path) => rt.op.unlinkat(AT_FDCWD, path)), needs: ['unlinkat'] },
  rename: {
    take: onPaths((rt, from, to) => rt.op.renameat(AT_FDCWD, from, AT_FDCWD, to)),
    needs: ['renameat'],
  },
  link: {
    take: onPaths((rt, from, to) => rt.op.linkat(AT_FDCWD, from, AT_FDCWD, to)),
    needs: ['linkat'],
  },
  symlink: { take: symlink, needs: ['symlinkat'] },
  truncate: { take: truncate, needs: ['openat', 'ftruncate', 'close'] },
  ftruncate: { take: ftruncate, needs: ['ftruncate'] },
  fsync: { take: sync('fsync'), needs: ['fsync'] },
  fdatasync: { take: sync('fdatasync'), needs: ['fsync'] },
  copyFile: { take: copyFile, needs: ['copyFile'] },
  rm: { take: rm, needs: RM_OPS },
  cp: { take: cp, needs: CP_OPS },
};
