// rm: a file or a link by the ring, a whole tree on the lane.

import { AT_FDCWD } from '../ops/paths.ts';
import type { Runtime } from '../runtime.ts';
import { codeOf, isStraight, odd, orHandOver } from './trees.ts';

const { resolve } = process.getBuiltinModule('node:path');

/** What rm needs of the ring. */
export const RM_OPS: readonly string[] = ['unlinkat'];

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
  // node has an error for a folder that is named by dots.
  if (recursive && (!isStraight(path) || /(^|\/)\.{1,2}\/*$/.test(path))) throw odd();
  return orHandOver(removing(ring, path, recursive));
}

async function removing(ring: Runtime, path: string, recursive: boolean): Promise<void> {
  // Whatever this process does meanwhile, it stays in this folder.
  const tree = recursive ? resolve(path) : path;
  try {
    await ring.op.unlinkat(AT_FDCWD, path);
  } catch (error) {
    // A directory; EPERM is what some file systems say.
    if (codeOf(error) !== 'EISDIR' && codeOf(error) !== 'EPERM') throw error;
    if (!recursive) throw odd();
    // It was there: what somebody else has removed is removed, as with node.
    await ring.op.removeTree(tree).then(undefined, (failed) => {
      if (codeOf(failed) !== 'ENOENT') throw failed;
    });
  }
}
