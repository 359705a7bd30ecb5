// Functions that take a path: nothing stays open. Each starts when it is called.
// Pair: crates/ringcore/src/fs/functions.rs

import { checkPath } from '../check.ts';
import { constants } from '../constants.ts';
import { errnoError, type SystemError, typeError } from '../error.ts';
import type { Future } from '../future.ts';
import { fromPromise } from '../generator.ts';
import type { Op, OpOptions } from '../op.ts';
import { AT_FDCWD, type PathLike, type StatxOptions } from '../ops/paths.ts';
import { current } from '../runtime.ts';
import { INLINE_READ } from '../sqe.ts';
import type { Statx } from '../statx.ts';
import { File, viewOf } from './file.ts';
import { pathText } from './path.ts';
import { ReadFile } from './read.ts';
import { PathStat } from './stat.ts';
import { type Steps, started } from './work.ts';
import { WriteFile } from './write.ts';

const { fchmod, constants: files } = process.getBuiltinModule('node:fs');

const EINVAL = 22;
const { O_RDONLY, O_WRONLY, O_CREAT, O_TRUNC, S_IFMT, S_IFREG } = files;
const { AT_REMOVEDIR } = constants;

function begun<T>(op: Op<T>): Op<T> {
  op.begin();
  return op;
}

// PAIR: read
/** The whole content of a file. */
export function read(path: PathLike, options?: OpOptions): Future<Buffer> {
  return begun(new ReadFile(current(), checkPath(path), O_RDONLY, -1, options));
}

// PAIR: readToString
/** The same as text. What is wrong in UTF-8 becomes U+FFFD. (In Rust it is an error.) */
export function readToString(
  path: PathLike,
  encoding: BufferEncoding = 'utf8',
  options?: OpOptions,
): Future<string> {
  if (!Buffer.isEncoding(encoding)) throw typeError('encoding', 'an encoding', encoding);
  const bytes = read(path, options);
  return started(current(), function* () {
    return (yield* bytes).toString(encoding);
  });
}

// PAIR: write
/** Makes the file's content these bytes, or this text; makes the file if it is not there. */
export function write(
  path: PathLike,
  data: string | ArrayBufferView,
  options?: OpOptions,
): Future<void> {
  const flags = O_WRONLY | O_CREAT | O_TRUNC;
  const [name, view] = [checkPath(path), viewOf(data)];
  return begun(new WriteFile(current(), name, flags, 0o666, -1, view, false, options));
}

// PAIR: copy
/**
 * Copies content and permissions of a file, over one that exists; how many bytes. EINVAL: both are
 * the same file, which stays as it is.
 */
export function copy(from: PathLike, to: PathLike, options: OpOptions = {}): Future<number> {
  const [source, target] = [checkPath(from, 'from'), checkPath(to, 'to')];
  return started(current(), () => copying(source, target, options));
}

function* copying(
  from: string | Uint8Array,
  to: string | Uint8Array,
  options: OpOptions,
): Steps<number> {
  const source = yield* File.open(from, options);
  let target: File | null = null;
  try {
    const found = yield* source.stat(true, options);
    const mode = found.mode & 0o7777;
    // Not O_TRUNC: the target may be the source by another name.
    target = yield* File.options().write().create().mode(mode).open(to, options);
    const there = yield* target.stat(true, options);
    const same = (['devMajor', 'devMinor', 'ino'] as const).every(
      (key) => found[key] === there[key],
    );
    if (same) throw errnoError(EINVAL, 'copyfile', pathText(from), pathText(to));
    if (there.size > 0n) yield* target.truncate(0, options);
    const copied = yield* pump(source, target, options);
    const regular = (there.mode & S_IFMT) === S_IFREG;
    if (regular && (there.mode & 0o7777) !== mode) yield* permit(target.fd, mode);
    yield* target.close();
    return copied;
  } finally {
    yield* source.close();
    if (target !== null) yield* target.close();
  }
}

/** Everything from one cursor to another. */
function* pump(source: File, target: File, options: OpOptions): Steps<number> {
  const buffer = Buffer.allocUnsafeSlow(INLINE_READ);
  for (let copied = 0; ; ) {
    const count = yield* source.read(buffer, options);
    if (count === 0) return copied;
    yield* target.writeAll(buffer.subarray(0, count), options);
    copied += count;
  }
}

/** The ring has no fchmod. Through the descriptor: the name may be another file's by now. */
function* permit(fd: number, mode: number): Steps<void> {
  const changed = new Promise<void>((resolve, reject) => {
    fchmod(fd, mode, (error) => (error === null ? resolve() : reject(error)));
  });
  yield* fromPromise(changed);
}

// PAIR: metadata
/** What is known of what a path leads to. */
export function metadata(
  path: PathLike,
  options: StatxOptions & { bigint: true },
): Future<Statx<bigint>>;
export function metadata(
  path: PathLike,
  options?: StatxOptions & { bigint?: false | undefined },
): Future<Statx>;
export function metadata(path: PathLike, options?: StatxOptions): Future<Statx<number | bigint>> {
  return asked(path, false, options);
}

// PAIR: symlinkMetadata
/** The same of a symbolic link itself. */
export function symlinkMetadata(
  path: PathLike,
  options: StatxOptions & { bigint: true },
): Future<Statx<bigint>>;
export function symlinkMetadata(
  path: PathLike,
  options?: StatxOptions & { bigint?: false | undefined },
): Future<Statx>;
export function symlinkMetadata(
  path: PathLike,
  options?: StatxOptions,
): Future<Statx<number | bigint>> {
  return asked(path, true, options);
}

function asked(path: PathLike, link: boolean, options: StatxOptions | undefined) {
  const bigint = options?.bigint ?? false;
  if (typeof bigint !== 'boolean') throw typeError('options.bigint', 'of type boolean', bigint);
  return begun(new PathStat(current(), checkPath(path), link, bigint, options));
}

// PAIR: exists
/** Whether a path leads to something. An error says that nobody may know (EACCES). */
export function exists(path: PathLike, options?: OpOptions): Future<boolean> {
  const found = metadata(path, options as StatxOptions & { bigint?: false });
  return started(current(), function* () {
    try {
      yield* found;
      return true;
    } catch (error) {
      const { code } = error as SystemError;
      if (code === 'ENOENT' || code === 'ENOTDIR') return false;
      throw error;
    }
  });
}

// PAIR: createDir
/** Makes a directory. EEXIST: there is something of that name. */
export function createDir(path: PathLike, options?: OpOptions): Future<void> {
  return begun(current().op.mkdirat(AT_FDCWD, path, 0o777, options));
}

// PAIR: removeFile
/** Removes a name of a file, or a symbolic link. */
export function removeFile(path: PathLike, options?: OpOptions): Future<void> {
  return begun(current().op.unlinkat(AT_FDCWD, path, 0, options));
}

// PAIR: removeDir
/** Removes an empty directory. */
export function removeDir(path: PathLike, options?: OpOptions): Future<void> {
  return begun(current().op.unlinkat(AT_FDCWD, path, AT_REMOVEDIR, options));
}

// PAIR: rename
/** Gives a file another name, in place of what had it. */
export function rename(from: PathLike, to: PathLike, options?: OpOptions): Future<void> {
  return begun(current().op.renameat(AT_FDCWD, from, AT_FDCWD, to, 0, options));
}

// PAIR: symlink
/** Makes `path` a symbolic link that holds `target` as it is. */
export function symlink(target: PathLike, path: PathLike, options?: OpOptions): Future<void> {
  return begun(current().op.symlinkat(target, AT_FDCWD, path, options));
}

// PAIR: hardLink
/** Makes `to` a further name of the file `from`. */
export function hardLink(from: PathLike, to: PathLike, options?: OpOptions): Future<void> {
  return begun(current().op.linkat(AT_FDCWD, from, AT_FDCWD, to, 0, options));
}
