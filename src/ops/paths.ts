// Operations on paths.
// Pair: crates/ringcore/src/ops/paths.rs

import { checkFlags, checkPath } from '../check.ts';
import { constants } from '../constants.ts';
import { type Direct, slotIn } from '../direct.ts';
import { checkInteger, typeError } from '../error.ts';
import type { Op, OpOptions } from '../op.ts';
import {
  IORING_OP_LINKAT,
  IORING_OP_MKDIRAT,
  IORING_OP_OPENAT,
  IORING_OP_OPENAT2,
  IORING_OP_RENAMEAT,
  IORING_OP_STATX,
  IORING_OP_SYMLINKAT,
  IORING_OP_UNLINKAT,
  LANE_OP_COPY_FILE,
  LANE_OP_COPY_TREE,
  LANE_OP_REMOVE_TREE,
  STATX_BYTES,
} from '../sqe.ts';
import { decode, type Statx } from '../statx.ts';
import { type Fields, FieldsOp, nothing, same } from './fields.ts';
import { FileOps } from './files.ts';

const { constants: files } = process.getBuiltinModule('node:fs');

const { AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, STATX_BTIME } =
  constants;

/** The directory "the current one", for paths relative to it. */
export const AT_FDCWD = -100;

/** A path as operations take it. */
export type PathLike = string | Uint8Array | URL;

function checkDirfd(dirfd: unknown, name = 'dirfd'): number {
  return checkInteger(name, dirfd, -0x80000000, 0x7fffffff);
}

/** Opens into a slot of the ring's table instead of the process's. */
export interface DirectOptions extends OpOptions {
  direct: Direct;
}

const O_CLOEXEC = 0o2000000;

function checkMode(mode: unknown): number {
  return checkInteger('mode', mode, 0, 0o7777);
}

// PAIR: OpenHow
/** struct open_how: how `op.openat2` opens. */
export interface OpenHow {
  /** O_* of `fs.constants`; unknown bits are EINVAL. Default 0. */
  flags?: number | undefined;
  /** Permissions of a new file. Default 0o666 where one can come to be, otherwise 0. */
  mode?: number | undefined;
  /** RESOLVE_* of `constants`. Default 0. */
  resolve?: number | undefined;
}

/** Options of `op.statx`. */
export interface StatxOptions extends OpOptions {
  /** Fields of 64 bits are bigints. Default false: numbers. */
  bigint?: boolean | undefined;
}

/** The 24 bytes of struct open_how. A slot is in no process's table: O_CLOEXEC means nothing. */
function howBytes(how: OpenHow, direct: Direct | undefined): Uint8Array {
  if (typeof how !== 'object' || how === null) throw typeError('how', 'of type object', how);
  const { flags = 0, resolve = 0 } = how;
  const word = (name: string, value: unknown) =>
    BigInt(checkInteger(`how.${name}`, value, 0, Number.MAX_SAFE_INTEGER));
  const words = [word('flags', flags), 0n, word('resolve', resolve)];
  if (direct !== undefined) words[0] = (words[0] as bigint) & ~BigInt(O_CLOEXEC);
  // O_TMPFILE without its O_DIRECTORY.
  const makes = (flags & (files.O_CREAT | 0o20000000)) !== 0;
  words[1] = word('mode', how.mode ?? (makes ? 0o666 : 0));
  return new Uint8Array(BigUint64Array.from(words).buffer);
}

/** What renameat and linkat have in common. */
function twoPaths(
  fromDirfd: number,
  from: PathLike,
  toDirfd: number,
  to: PathLike,
  flags: number,
): Fields {
  return {
    fd: checkDirfd(fromDirfd, 'fromDirfd'),
    length: checkDirfd(toDirfd, 'toDirfd'),
    paths: [checkPath(from, 'from'), checkPath(to, 'to')],
    word0: checkFlags('flags', flags),
  };
}

/** Operations on paths. */
export class PathOps extends FileOps {
  // PAIR: openat
  /**
   * Opens `path` relative to `dirfd` (AT_FDCWD: the current directory). `flags` and `mode` as in
   * openat(2); always O_CLOEXEC. Resolves to a descriptor, the caller's to close (I3). With
   * `direct` the slot is filled instead, which no process inherits, and the result is the slot;
   * what fails leaves it as it was.
   *
   * Man: io_uring_prep_openat(3), openat(2). Kernel: 5.6; `direct` 5.19.
   */
  openat(
    dirfd: number,
    path: PathLike,
    flags: number,
    mode: number | undefined,
    options: DirectOptions,
  ): Op<Direct>;
  openat(
    dirfd: number,
    path: PathLike,
    flags: number,
    mode?: number,
    options?: OpOptions,
  ): Op<number>;
  openat(
    dirfd: number,
    path: PathLike,
    flags: number,
    mode = 0o666,
    options?: OpOptions & Partial<DirectOptions>,
  ): Op<number> | Op<Direct> {
    const { runtime } = this;
    const fields = {
      fd: checkDirfd(dirfd),
      word0: checkFlags('flags', flags),
      length: checkMode(mode),
      paths: [checkPath(path)],
    };
    const direct = slotIn(options);
    if (direct === undefined) {
      return new FieldsOp(runtime, IORING_OP_OPENAT, 'open', fields, same, options);
    }
    const into = { ...fields, word0: fields.word0 & ~O_CLOEXEC, direct };
    return new FieldsOp(runtime, IORING_OP_OPENAT, 'open', into, () => direct, options);
  }

  // PAIR: openat2
  /**
   * Opens `path` relative to `dirfd` under the rules of `how.resolve`: RESOLVE_BENEATH fails with
   * EXDEV where the path leaves the directory. Always O_CLOEXEC. Resolves to a descriptor, the
   * caller's to close (I3). `direct` as for `openat`.
   *
   * Man: io_uring_prep_openat2(3), openat2(2). Kernel: 5.6; `direct` 5.19.
   */
  openat2(
    dirfd: number,
    path: PathLike,
    how: OpenHow | undefined,
    options: DirectOptions,
  ): Op<Direct>;
  openat2(dirfd: number, path: PathLike, how?: OpenHow, options?: OpOptions): Op<number>;
  openat2(
    dirfd: number,
    path: PathLike,
    how: OpenHow = {},
    options?: OpOptions & Partial<DirectOptions>,
  ): Op<number> | Op<Direct> {
    const { runtime } = this;
    const direct = slotIn(options);
    const [input, paths] = [howBytes(how, direct), [checkPath(path)]];
    const fields = { fd: checkDirfd(dirfd), input, paths };
    if (direct === undefined) {
      return new FieldsOp(runtime, IORING_OP_OPENAT2, 'open', fields, same, options);
    }
    const into = { ...fields, direct };
    return new FieldsOp(runtime, IORING_OP_OPENAT2, 'open', into, () => direct, options);
  }

  // PAIR: statx
  /**
   * Asks for the metadata of `path`, relative to `dirfd`: `mask` is STATX_*, `flags` AT_* of
   * `constants`. With AT_EMPTY_PATH and an empty path it is about `dirfd` itself, whatever it is.
   * Resolves to a `Statx`; `{ bigint: true }` makes bigints of its fields of 64 bits.
   *
   * Man: io_uring_prep_statx(3), statx(2). Kernel: 5.6.
   */
  statx(
    dirfd: number,
    path: PathLike,
    flags: number | undefined,
    mask: number | undefined,
    options: StatxOptions & { bigint: true },
  ): Op<Statx<bigint>>;
  statx(
    dirfd: number,
    path: PathLike,
    flags?: number,
    mask?: number,
    options?: StatxOptions & { bigint?: false | undefined },
  ): Op<Statx>;
  statx(
    dirfd: number,
    path: PathLike,
    flags = 0,
    mask: number = STATX_BASIC_STATS | STATX_BTIME,
    options?: StatxOptions,
  ): Op<Statx<number | bigint>> {
    const [fd, name, word0] = [checkDirfd(dirfd), checkPath(path), checkFlags('flags', flags)];
    const unnamed = name.length === 0 && (flags & AT_EMPTY_PATH) !== 0;
    const follows = (flags & AT_SYMLINK_NOFOLLOW) === 0;
    const call = unnamed ? 'fstat' : follows ? 'stat' : 'lstat';
    const bigint = options?.bigint ?? false;
    if (typeof bigint !== 'boolean') throw typeError('options.bigint', 'of type boolean', bigint);
    const fields = {
      fd,
      paths: [name],
      unnamed,
      word0,
      length: checkInteger('mask', mask, 0, 0xffffffff),
      output: STATX_BYTES,
    };
    const read = (_: number, output: Uint8Array) => decode(output, bigint);
    return new FieldsOp(this.runtime, IORING_OP_STATX, call, fields, read, options);
  }

  // PAIR: unlinkat
  /**
   * Removes a file, or with AT_REMOVEDIR of `constants` an empty directory.
   *
   * Man: io_uring_prep_unlinkat(3), unlinkat(2). Kernel: 5.11.
   */
  unlinkat(dirfd: number, path: PathLike, flags = 0, options?: OpOptions): Op<void> {
    const fields = {
      fd: checkDirfd(dirfd),
      paths: [checkPath(path)],
      word0: checkFlags('flags', flags),
    };
    const call = (flags & AT_REMOVEDIR) !== 0 ? 'rmdir' : 'unlink';
    return new FieldsOp(this.runtime, IORING_OP_UNLINKAT, call, fields, nothing, options);
  }

  // PAIR: renameat
  /**
   * Renames `from` to `to`, each relative to its directory; `flags` is RENAME_* of `constants`.
   *
   * Man: io_uring_prep_renameat(3), renameat2(2). Kernel: 5.11.
   */
  renameat(
    fromDirfd: number,
    from: PathLike,
    toDirfd: number,
    to: PathLike,
    flags = 0,
    options?: OpOptions,
  ): Op<void> {
    const fields = twoPaths(fromDirfd, from, toDirfd, to, flags);
    return new FieldsOp(this.runtime, IORING_OP_RENAMEAT, 'rename', fields, nothing, options);
  }

  // PAIR: mkdirat
  /**
   * Makes a directory with `mode`, less the process's umask.
   *
   * Man: io_uring_prep_mkdirat(3), mkdirat(2). Kernel: 5.15.
   */
  mkdirat(dirfd: number, path: PathLike, mode = 0o777, options?: OpOptions): Op<void> {
    const fields = {
      fd: checkDirfd(dirfd),
      paths: [checkPath(path)],
      length: checkMode(mode),
    };
    return new FieldsOp(this.runtime, IORING_OP_MKDIRAT, 'mkdir', fields, nothing, options);
  }

  // PAIR: symlinkat
  /**
   * Makes `path`, relative to `dirfd`, a symbolic link that holds `target` as it is.
   *
   * Man: io_uring_prep_symlinkat(3), symlinkat(2). Kernel: 5.15.
   */
  symlinkat(target: PathLike, dirfd: number, path: PathLike, options?: OpOptions): Op<void> {
    const paths = [checkPath(target, 'target'), checkPath(path)];
    const fields = { fd: checkDirfd(dirfd), paths };
    return new FieldsOp(this.runtime, IORING_OP_SYMLINKAT, 'symlink', fields, nothing, options);
  }

  // PAIR: linkat
  /**
   * Makes `to` a further name of the file `from`. AT_SYMLINK_FOLLOW: of the file that a symbolic
   * link names. AT_EMPTY_PATH with an empty `from`: of the open file `fromDirfd`.
   *
   * Man: io_uring_prep_linkat(3), linkat(2). Kernel: 5.15.
   */
  linkat(
    fromDirfd: number,
    from: PathLike,
    toDirfd: number,
    to: PathLike,
    flags = 0,
    options?: OpOptions,
  ): Op<void> {
    const fields = twoPaths(fromDirfd, from, toDirfd, to, flags);
    return new FieldsOp(this.runtime, IORING_OP_LINKAT, 'link', fields, nothing, options);
  }

  // PAIR: copyFile
  /**
   * Copies a file with its permissions, over one that exists; `flags` is COPYFILE_* of
   * `fs.constants`, and 8 for the owner of the source, where that is permitted. Done where both are
   * the same file, which stays as it is. A copy that fails, or is cancelled, removes a destination
   * that it has written to. Runs on the lane, not in a chain.
   *
   * Man: copy_file_range(2), ioctl_ficlonerange(2). Kernel: 5.18.
   */
  copyFile(from: PathLike, to: PathLike, flags = 0, options?: OpOptions): Op<void> {
    const paths = [checkPath(from, 'from'), checkPath(to, 'to')];
    const fields = { paths, word0: checkFlags('flags', flags) };
    return new FieldsOp(this.runtime, LANE_OP_COPY_FILE, 'copyfile', fields, nothing, options);
  }

  // PAIR: copyTree
  /**
   * Copies a folder and everything in it to where nothing is: folders, files and symbolic links,
   * with their permissions. `flags`: 8 for the owner of each file, where that is permitted, 16 to
   * make links absolute that are relative (`from` has to be absolute), 32 to keep a slash at the
   * end of those that end in a slash or in dots. What is none of these in it is ENOTSUP, a name
   * that is no UTF-8 EILSEQ. A copy that fails removes what it has made; one that is cancelled
   * leaves it. Runs on the lane, not in a chain.
   *
   * Man: copy_file_range(2), openat2(2). Kernel: 5.18.
   */
  copyTree(from: PathLike, to: PathLike, flags = 0, options?: OpOptions): Op<void> {
    const paths = [checkPath(from, 'from'), checkPath(to, 'to')];
    const fields = { paths, word0: checkFlags('flags', flags) };
    return new FieldsOp(this.runtime, LANE_OP_COPY_TREE, 'cp', fields, nothing, options);
  }

  // PAIR: removeTree
  /**
   * Removes a folder and everything in it. Links are removed, never followed; one as the path
   * itself is an error. What others remove meanwhile is none, a name that is no UTF-8 is EILSEQ.
   * What fails or is cancelled leaves the rest. Runs on the lane, not in a chain.
   *
   * Man: unlinkat(2), openat2(2). Kernel: 5.18.
   */
  removeTree(path: PathLike, options?: OpOptions): Op<void> {
    const fields = { paths: [checkPath(path, 'path')] };
    return new FieldsOp(this.runtime, LANE_OP_REMOVE_TREE, 'rm', fields, nothing, options);
  }
}
