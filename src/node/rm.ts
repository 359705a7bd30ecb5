// rm: a file, a link, or a whole tree.

import type { Dirent } from 'node:fs';
import { constants as C } from '../constants.ts';
import { AT_FDCWD } from '../ops/paths.ts';
import type { Runtime } from '../runtime.ts';
import { codeOf, type Folder, isStraight, odd, orHandOver, placed, Walk } from './trees.ts';

const { AT_REMOVEDIR } = C;

/** What rm needs of the ring. */
export const RM_OPS: readonly string[] = ['unlinkat'];

/** What rmdir(2) says of a folder with something in it; EPERM as for node. */
const FULL: readonly unknown[] = ['ENOTEMPTY', 'EEXIST', 'EPERM'];

/**
 * Removes what the listing says is there: a folder is only ever removed as a folder, anything else
 * by unlink(2), which removes a symbolic link and never follows it.
 */
class Removal extends Walk {
  /**
   * As node does it: rmdir(2) first, and a listing only of what that has just called a folder with
   * something in it. A symbolic link that was put in its place is not followed.
   */
  protected override async enter(folder: Folder): Promise<boolean> {
    try {
      await this.ring.op.unlinkat(AT_FDCWD, folder.to, AT_REMOVEDIR);
      return false;
    } catch (error) {
      if (!FULL.includes(codeOf(error))) throw error;
      return true;
    }
  }

  protected override visit(entry: Dirent, folder: Folder): PromiseLike<void> {
    return this.ring.op.unlinkat(AT_FDCWD, `${folder.to}/${entry.name}`);
  }

  protected override leave(folder: Folder): PromiseLike<void> {
    return this.ring.op.unlinkat(AT_FDCWD, folder.to, AT_REMOVEDIR);
  }

  /** What somebody else has removed is removed, as with node. */
  protected override forgives(error: unknown): boolean {
    return codeOf(error) === 'ENOENT';
  }
}

/** Options of rm that are plain: whether it is recursive, or null. */
export function plainRm(options: unknown): boolean | null {
  if (options === undefined) return false;
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return null;
  const given: Record<string, unknown> = { ...options };
  const { recursive = false, force = false, retryDelay = 0, maxRetries = 0 } = given;
  // The kernel's numbers are node's to check; undefined is no boolean to it.
  if (['recursive', 'force', 'retryDelay', 'maxRetries'].some((key) => isUnset(given, key))) {
    return null;
  }
  if (typeof recursive !== 'boolean' || typeof force !== 'boolean') return null;
  const numbers = [retryDelay, maxRetries] as number[];
  if (numbers.some((each) => !Number.isInteger(each) || each < 0 || each > 0x7fffffff)) return null;
  return recursive;
}

/** Whether it is there and undefined: node takes it for a wrong value. */
export const isUnset = (given: Record<string, unknown>, key: string): boolean =>
  key in given && given[key] === undefined;

/** Removes it, or says that this is for node: what `force` forgives, too, and what is retried. */
export async function removeAll(ring: Runtime, path: string, recursive: boolean): Promise<void> {
  if (recursive && !isStraight(path)) throw odd();
  return orHandOver(removing(ring, path, recursive));
}

async function removing(ring: Runtime, path: string, recursive: boolean): Promise<void> {
  try {
    await placed(() => ring.op.unlinkat(AT_FDCWD, path));
    return;
  } catch (error) {
    // A directory; EPERM is what some file systems say.
    if (codeOf(error) !== 'EISDIR' && codeOf(error) !== 'EPERM') throw error;
    if (!recursive) throw odd();
  }
  await new Removal(ring).run(path, path);
}
