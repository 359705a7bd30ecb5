// Directories as a whole: made with their parents, removed with their content.
// Pair: crates/ringcore/src/fs/tree.rs
//
// What is removed is named by the open directory that holds it, never by a path from the root: a
// symbolic link that somebody puts in place of a directory meanwhile is removed, not followed. The
// listing itself is node:fs's, on its own threads.

import { checkPath } from '../check.ts';
import { constants } from '../constants.ts';
import { errnoError, type SystemError } from '../error.ts';
import type { Future } from '../future.ts';
import { fromPromise } from '../generator.ts';
import type { OpOptions } from '../op.ts';
import { AT_FDCWD, type PathLike } from '../ops/paths.ts';
import { current, type Runtime } from '../runtime.ts';
import { createDir, metadata } from './functions.ts';
import { pathText } from './path.ts';
import { type Steps, started } from './work.ts';

const { constants: files } = process.getBuiltinModule('node:fs');
const { dirname } = process.getBuiltinModule('node:path');

const ENOENT = 2;
const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, S_IFMT, S_IFDIR } = files;

function codeOf(error: unknown): string {
  return (error as SystemError).code;
}

// PAIR: createDirAll
/** Makes a directory, and its parents where they are missing. One that exists is fine. */
export function createDirAll(path: PathLike, options?: OpOptions): Future<void> {
  const name = checkPath(path);
  return started(current(), () => creating(name, options));
}

function* creating(path: string | Uint8Array, options: OpOptions | undefined): Steps<void> {
  // latin1 keeps every byte of a path, whatever its encoding.
  const named = (text: string): string | Uint8Array =>
    typeof path === 'string' ? text : Buffer.from(text, 'latin1');
  const missing: string[] = [];
  let next = typeof path === 'string' ? path : Buffer.from(path).toString('latin1');
  // Down to one that can be made: most often the first try is the only one.
  for (;;) {
    try {
      yield* made(named(next), options);
      break;
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
    const parent = dirname(next);
    if (parent === next || parent === '.') throw errnoError(ENOENT, 'mkdir', pathText(path));
    missing.push(next);
    next = parent;
  }
  for (const path of missing.reverse()) yield* made(named(path), options);
}

/** Makes one directory; one that is there already is as good. */
function* made(path: string | Uint8Array, options: OpOptions | undefined): Steps<void> {
  try {
    yield* createDir(path, options);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    const found = yield* metadata(path);
    if ((found.mode & S_IFMT) !== S_IFDIR) throw error;
  }
}

/** A directory that is being emptied. */
interface Level {
  readonly dirfd: number;
  /** Where it is, for errors. */
  readonly path: string;
  readonly name: Uint8Array;
  readonly names: Uint8Array[];
}

// PAIR: removeDirAll
/**
 * Removes a directory and everything in it. Symbolic links are removed, never followed; one as the
 * path itself is ENOTDIR. What others remove meanwhile is no error.
 */
export function removeDirAll(path: PathLike, options?: OpOptions): Future<void> {
  const name = checkPath(path);
  const runtime = current();
  return started(runtime, () => removing(runtime, name, options));
}

function* removing(
  runtime: Runtime,
  path: string | Uint8Array,
  options: OpOptions | undefined,
): Steps<void> {
  const { op } = runtime;
  const levels: Level[] = [];
  try {
    const top = typeof path === 'string' ? Buffer.from(path) : path;
    yield* enter(runtime, levels, AT_FDCWD, top, pathText(path), options);
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const name = level.names.pop();
      if (name === undefined) {
        levels.pop();
        yield* op.close(level.dirfd);
        const outer = levels.at(-1);
        if (outer !== undefined) yield* unlink(runtime, outer, level.name, true, options);
        continue;
      }
      const directory = yield* unlink(runtime, level, name, false, options);
      if (!directory) continue;
      const inside = `${level.path}/${pathText(name)}`;
      yield* enter(runtime, levels, level.dirfd, name, inside, options);
    }
  } finally {
    for (const { dirfd } of levels) runtime.executor.reactor.closeFd(dirfd);
  }
  yield* op.unlinkat(AT_FDCWD, path, constants.AT_REMOVEDIR, options);
}

/** Removes one name, if it is still there; true: it is a directory, which has to be emptied. */
function* unlink(
  runtime: Runtime,
  level: Level,
  name: Uint8Array,
  directory: boolean,
  options: OpOptions | undefined,
): Steps<boolean> {
  try {
    const flags = directory ? constants.AT_REMOVEDIR : 0;
    yield* runtime.op.unlinkat(level.dirfd, name, flags, options);
    return false;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return false;
    // EPERM is what POSIX wants of a directory, and some file systems say.
    if (!directory && (code === 'EISDIR' || code === 'EPERM')) return true;
    throw about(error, `${level.path}/${pathText(name)}`);
  }
}

/** Opens a directory, if it is one and still there, and lists it. */
function* enter(
  runtime: Runtime,
  levels: Level[],
  dirfd: number,
  name: Uint8Array,
  path: string,
  options: OpOptions | undefined,
): Steps<void> {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  try {
    const fd = yield* runtime.op.openat(dirfd, name, flags, 0, options);
    const names: Uint8Array[] = [];
    levels.push({ dirfd: fd, path, name, names });
    // Not by an import: a bundler may have put something else in the place of node:fs.
    const { readdir } = process.getBuiltinModule('node:fs').promises;
    names.push(...(yield* fromPromise(readdir(`/proc/self/fd/${fd}`, { encoding: 'buffer' }))));
  } catch (error) {
    if (levels.length > 0 && codeOf(error) === 'ENOENT') return;
    throw about(error, path);
  }
}

/** The error with the path that the caller knows. */
function about(error: unknown, path: string): unknown {
  const { errno, syscall } = error as SystemError;
  return typeof errno === 'number' ? errnoError(-errno, syscall, path) : error;
}
