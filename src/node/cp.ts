// cp of a tree to where nothing is: node's questions, then one operation of the lane.
//
// Where something is odd, what was made is removed again, and node's cp begins where this one
// began: over half a copy it has other rules, and other errors.

import { constants as C } from '../constants.ts';
import { AT_FDCWD } from '../ops/paths.ts';
import type { Runtime } from '../runtime.ts';
import { COPYTREE_ABSOLUTE, COPYTREE_SLASH } from '../sqe.ts';
import type { Statx } from '../statx.ts';
import { nodePromises } from './builtin.ts';
import { plainCopy } from './plain.ts';
import { isUnset } from './rm.ts';
import { codeOf, isStraight, NATIVE, odd, orHandOver } from './trees.ts';

const { dirname, resolve } = process.getBuiltinModule('node:path');

const { AT_SYMLINK_NOFOLLOW } = C;

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

/** What cp needs of the ring. */
export const CP_OPS: readonly string[] = ['statx', 'copyTree'];

/** Files have the owner that copyFile gives them; links are absolute, as node makes them. */
const VERBATIM = plainCopy(0);
const RESOLVED = VERBATIM | COPYTREE_ABSOLUTE | (NATIVE ? COPYTREE_SLASH : 0);

/** What of the options matters to a tree that goes through the ring. */
export interface CpOptions {
  verbatim: boolean;
}

/** Options of cp that are plain, and of a tree, or null. */
export function plainCp(options: unknown): CpOptions | null {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return null;
  const given: Record<string, unknown> = { ...options };
  const names = [
    'force',
    'errorOnExist',
    'dereference',
    'preserveTimestamps',
    'verbatimSymlinks',
  ] as const;
  if (names.some((key) => isUnset(given, key))) return null;
  const { recursive, force = true, errorOnExist = false, filter, mode = 0 } = given;
  const { dereference = false, preserveTimestamps = false, verbatimSymlinks = false } = given;
  // With force the rule for what exists is the same, whatever errorOnExist says.
  if (recursive !== true || force !== true || typeof errorOnExist !== 'boolean') return null;
  if (dereference !== false || preserveTimestamps !== false) return null;
  if (filter !== undefined || mode !== 0 || typeof verbatimSymlinks !== 'boolean') return null;
  return { verbatim: verbatimSymlinks };
}

/** Whether what is at `at` is the folder `source`, seen as node sees it. */
const isSame = (at: Statx | null, source: Statx): boolean =>
  at !== null &&
  at.ino === source.ino &&
  at.devMajor === source.devMajor &&
  at.devMinor === source.devMinor;

/** Copies a tree to where nothing is, or says that this is for node, with nothing left behind. */
export async function copyTree(
  ring: Runtime,
  from: string,
  to: string,
  options: CpOptions,
): Promise<void> {
  if (!isStraight(from) || !isStraight(to)) throw odd();
  return orHandOver(copying(ring, from, to, options));
}

async function copying(
  ring: Runtime,
  from: string,
  to: string,
  { verbatim }: CpOptions,
): Promise<void> {
  // Whatever this process does meanwhile, it stays in these folders.
  const [source, target] = [resolve(from), resolve(to)];
  await check(ring, from, to);
  await ring.op.copyTree(source, target, verbatim ? VERBATIM : RESOLVED);
}

/** The questions that node asks first. Whatever would be an error there is for node. */
async function check(ring: Runtime, from: string, to: string): Promise<void> {
  const { op } = ring;
  const at = (path: string, flags: number) => found(op.statx(AT_FDCWD, path, flags));
  const above: string[] = [];
  const stop = resolve(dirname(from));
  for (let path = resolve(dirname(to)); path !== stop && path !== '/'; path = dirname(path)) {
    above.push(path);
  }
  const [source, target, ...parents] = await Promise.all([
    at(from, AT_SYMLINK_NOFOLLOW),
    at(to, AT_SYMLINK_NOFOLLOW),
    ...above.map((path) => at(path, 0)),
  ]);
  if (source == null || (source.mode & S_IFMT) !== S_IFDIR || target !== null) throw odd();
  const within = (path: string) => (path === '/' ? path : `${path}/`);
  const [inside, outside] = [within(resolve(to)), within(resolve(from))];
  if (inside.startsWith(outside)) throw odd();
  // As node does, up to the first one that is missing.
  const missing = parents.indexOf(null);
  const seen = missing < 0 ? parents : parents.slice(0, missing);
  if (seen.some((each) => isSame(each ?? null, source))) throw odd();
  if (missing === 0) await nodePromises.mkdir(dirname(resolve(to)), { recursive: true });
}

/** What statx says; null: nothing is there. */
async function found(asked: PromiseLike<Statx>): Promise<Statx | null> {
  try {
    return await asked;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}
