// What backup finds in a folder tree. Beside it: tree.rs.
//
// Names are bytes: a file system knows no encoding, and a name that is no UTF-8 is a name.

import { readdirSync } from 'node:fs';
import { AT_FDCWD, all, constants, type Future, future, op, type Statx } from 'ringcore';

/** Files in flight. */
export const AT_ONCE = 32;
const SLASH = Buffer.from('/');

export type Steps<T> = Generator<Future<unknown>, T, unknown>;

/** A file, folder or link of the tree. */
export interface Entry {
  /** Below the root; empty for the root itself. */
  readonly path: Buffer;
  readonly stat: Statx;
}

export const join = (folder: Buffer, name: Buffer): Buffer =>
  name.length === 0 ? folder : folder.length === 0 ? name : Buffer.concat([folder, SLASH, name]);

export const parentOf = (path: Buffer): Buffer =>
  path.subarray(0, Math.max(0, path.lastIndexOf(SLASH)));

const kind = ({ mode }: Statx): number => mode & 0o170000;
export const isFolder = (stat: Statx): boolean => kind(stat) === 0o040000;
export const isFile = (stat: Statx): boolean => kind(stat) === 0o100000;
export const isLink = (stat: Statx): boolean => kind(stat) === 0o120000;
export const permissions = ({ mode }: Statx): number => mode & 0o7777;

/** The file itself, not what a symbolic link names. */
export function look(path: Buffer): Future<Statx> {
  return op.statx(AT_FDCWD, path, constants.AT_SYMLINK_NOFOLLOW);
}

/** The same, or undefined where nothing is there. */
export function* lookFor(path: Buffer): Steps<Statx | undefined> {
  try {
    return yield* look(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/**
 * Does the work for every item, a bounded number of them at a time: that bounds the descriptors
 * and the memory as well. The workers take from one queue, so none waits for a slow one.
 */
export function* each<T>(items: readonly T[], work: (item: T) => Steps<void>): Steps<void> {
  const queue = items.values();
  const worker = function* () {
    for (const item of queue) yield* work(item);
  };
  const workers = Math.min(AT_ONCE, items.length);
  yield* all(Array.from({ length: workers }, () => future(worker)));
}

/**
 * Everything below `root`, and the root itself: folders before what is in them. A name that is
 * `reserved` in the root is told as a failure.
 */
export function* walk(
  root: Buffer,
  failed: (path: Buffer, error: unknown) => void,
  reserved: Buffer,
): Steps<Entry[]> {
  const entries: Entry[] = [{ path: Buffer.alloc(0), stat: yield* look(root) }];
  for (const { path, stat } of entries) {
    if (!isFolder(stat)) continue;
    let names: Buffer[] = [];
    try {
      // The ring has no operation that reads a folder.
      names = readdirSync(join(root, path), { encoding: 'buffer' }).sort(Buffer.compare);
    } catch (error) {
      failed(path, error);
    }
    const taken = path.length === 0 ? names.findIndex((name) => name.equals(reserved)) : -1;
    if (taken >= 0) {
      failed(reserved, new Error('this name is reserved for files that are not whole yet'));
      names.splice(taken, 1);
    }
    const found = names.map((name) => ({ path: join(path, name), stat: undefined as unknown }));
    yield* each(found, function* (entry) {
      try {
        entry.stat = yield* look(join(root, entry.path));
      } catch (error) {
        failed(entry.path, error);
      }
    });
    // The loop goes on with them.
    entries.push(...(found.filter((entry) => entry.stat !== undefined) as Entry[]));
  }
  return entries;
}
