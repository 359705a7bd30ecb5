// cp of a tree to where nothing is.
//
//   a folder:   mkdirat ──> statx of its source ──> what is in it ──> chmod, if the modes differ
//   a file:     copyFile
//   a link:     readlink (node's) ──> symlinkat
//
// Where something is odd, what was made is removed again, and node's cp begins where this one
// began: over half a copy it has other rules, and other errors.

import type { Dirent } from 'node:fs';
import { constants as C } from '../constants.ts';
import { AT_FDCWD } from '../ops/paths.ts';
import type { Runtime } from '../runtime.ts';
import type { Statx } from '../statx.ts';
import { nodeFs, nodePromises } from './builtin.ts';
import { isUnset } from './rm.ts';
import {
  codeOf,
  type Folder,
  isBroken,
  isStraight,
  NATIVE,
  odd,
  orHandOver,
  Walk,
} from './trees.ts';

const { dirname, isAbsolute, resolve } = process.getBuiltinModule('node:path');

const { AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW } = C;
const { COPYFILE_EXCL } = nodeFs.constants;

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const PERMISSIONS = 0o7777;
/** Set-user-ID, set-group-ID, sticky. */
const SPECIAL = 0o7000;
/** What the owner needs to make something in a folder. */
const USABLE = 0o300;

/** What cp needs of the ring. */
export const CP_OPS: readonly string[] = ['statx', 'mkdirat', 'symlinkat', 'unlinkat'];

/** How this module copies one file. */
export type CopyFile = (from: string, to: string, mode?: number) => Promise<void>;

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

class Copy extends Walk {
  /** What this call has made, in that order: nothing else is removed should it go wrong. */
  private readonly made: { readonly path: string; readonly flags: number }[] = [];
  private readonly options: CpOptions;
  private readonly copyFile: CopyFile;
  private readonly isRoot = process.geteuid?.() === 0;
  /** Folders that their owner may not write to: their modes, when nothing can go wrong any more. */
  private readonly later: Folder[] = [];

  constructor(ring: Runtime, options: CpOptions, copyFile: CopyFile) {
    super(ring);
    this.options = options;
    this.copyFile = copyFile;
  }

  protected override async enter(folder: Folder): Promise<boolean> {
    const { op } = this.ring;
    await op.mkdirat(AT_FDCWD, folder.to, 0o777);
    this.made.push({ path: folder.to, flags: AT_REMOVEDIR });
    const { mode } = await op.statx(AT_FDCWD, folder.from, AT_SYMLINK_NOFOLLOW);
    if ((mode & S_IFMT) !== S_IFDIR) throw odd();
    folder.mode = mode & PERMISSIONS;
    return true;
  }

  protected override visit(entry: Dirent, folder: Folder): Promise<void> {
    const [from, to] = [`${folder.from}/${entry.name}`, `${folder.to}/${entry.name}`];
    if (entry.isFile()) return this.file(from, to);
    if (entry.isSymbolicLink()) return this.link(from, to);
    throw odd(); // A FIFO, a socket, a device: node has an error for most of them.
  }

  protected override async leave(folder: Folder): Promise<void> {
    if ((folder.mode & USABLE) !== USABLE) this.later.push(folder);
    else await nodePromises.chmod(folder.to, folder.mode);
  }

  /** The modes that were left for the end, those of inner folders first. */
  async finish(): Promise<void> {
    for (const { to, mode } of this.later) await nodePromises.chmod(to, mode);
  }

  /**
   * Its mode comes with it. Only a user who is not root loses bits of that to the copying itself,
   * those of set-user-ID and the like, which node then sets once more.
   */
  private async file(from: string, to: string): Promise<void> {
    const copied = this.copyFile(from, to, COPYFILE_EXCL).then(() => {
      this.made.push({ path: to, flags: 0 });
    });
    await (this.isRoot ? copied : this.repair(from, to, copied));
  }

  private async repair(from: string, to: string, copied: Promise<void>): Promise<void> {
    const { op } = this.ring;
    const [{ mode }] = await both(op.statx(AT_FDCWD, from, AT_SYMLINK_NOFOLLOW), copied);
    if ((mode & SPECIAL) !== 0) await nodePromises.chmod(to, mode & PERMISSIONS);
  }

  private async link(from: string, to: string): Promise<void> {
    let target = await nodePromises.readlink(from);
    if (isBroken(target)) throw odd();
    if (!this.options.verbatim && !isAbsolute(target)) {
      if (NATIVE && /(^|\/)\.{0,2}$/.test(target)) throw odd();
      target = resolve(dirname(from), target);
    }
    await this.ring.op.symlinkat(target, AT_FDCWD, to);
    this.made.push({ path: to, flags: 0 });
  }

  /** Removes what it has made, inner things first, as far as that goes. */
  async undo(): Promise<void> {
    const { op } = this.ring;
    for (const { path, flags } of this.made.reverse()) {
      await op.unlinkat(AT_FDCWD, path, flags).catch(() => {});
    }
  }
}

/** Both values, when both have ended: nothing is in flight behind a failure. */
async function both<A, B>(one: PromiseLike<A>, other: PromiseLike<B>): Promise<[A, B]> {
  await Promise.allSettled([one, other]);
  return Promise.all([one, other]);
}

/** Copies a tree to where nothing is, or says that this is for node, with nothing left behind. */
export async function copyTree(
  ring: Runtime,
  from: string,
  to: string,
  options: CpOptions,
  copyFile: CopyFile,
): Promise<void> {
  if (!isStraight(from) || !isStraight(to)) throw odd();
  return orHandOver(copying(ring, from, to, options, copyFile));
}

async function copying(
  ring: Runtime,
  from: string,
  to: string,
  options: CpOptions,
  copyFile: CopyFile,
): Promise<void> {
  // Whatever this process does meanwhile, it stays in these folders.
  const [source, target] = [resolve(from), resolve(to)];
  await check(ring, from, to);
  const copy = new Copy(ring, options, copyFile);
  try {
    await copy.run(source, target);
    await copy.finish();
  } catch (error) {
    if (codeOf(error) !== 'ERR_RINGCORE_CLOSED') await copy.undo();
    throw error;
  }
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
  if (missing === 0) await nodePromises.mkdir(dirname(to), { recursive: true });
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
