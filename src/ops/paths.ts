// Operations on paths.
// Pair: crates/ringcore/src/ops/paths.rs

import { checkPath } from '../check.ts';
import { checkInteger } from '../error.ts';
import type { Op, OpOptions } from '../op.ts';
import { IORING_OP_OPENAT } from '../sqe.ts';
import { FieldsOp, same } from './fields.ts';
import { FileOps } from './files.ts';

/** The directory "the current one", for paths relative to it. */
export const AT_FDCWD = -100;

/** A path as operations take it. */
export type PathLike = string | Uint8Array | URL;

function checkDirfd(dirfd: unknown): number {
  return checkInteger('dirfd', dirfd, -0x80000000, 0x7fffffff);
}

function checkMode(mode: unknown): number {
  return checkInteger('mode', mode, 0, 0o7777);
}

/** Operations on paths. */
export class PathOps extends FileOps {
  // PAIR: openat
  /**
   * Opens `path` relative to `dirfd` (AT_FDCWD: the current directory). `flags` and `mode` as in
   * openat(2); always O_CLOEXEC. Resolves to a descriptor, the caller's to close (I3).
   *
   * Man: io_uring_prep_openat(3), openat(2). Kernel: 5.6.
   */
  openat(
    dirfd: number,
    path: PathLike,
    flags: number,
    mode = 0o666,
    options?: OpOptions,
  ): Op<number> {
    const fields = {
      fd: checkDirfd(dirfd),
      word0: checkInteger('flags', flags, 0, 0x7fffffff),
      length: checkMode(mode),
      paths: [checkPath(path)],
    };
    return new FieldsOp(this.runtime, IORING_OP_OPENAT, 'open', fields, same, options);
  }
}
