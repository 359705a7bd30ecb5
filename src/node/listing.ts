// readdir of a whole tree. Each listing is node's: io_uring has none.

import type { Dirent } from 'node:fs';
import { AT_FDCWD } from '../ops/paths.ts';
import type { Runtime } from '../runtime.ts';
import { type Folder, isBroken, isStraight, NATIVE, odd, orHandOver, Walk } from './trees.ts';

const { join } = process.getBuiltinModule('node:path');

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

/** Options of readdir that ask for a whole tree: whether with file types. null: they do not. */
export function plainListing(options: unknown): boolean | null {
  if (NATIVE || typeof options !== 'object' || options === null) return null;
  const { recursive, encoding, withFileTypes = false } = options as Record<string, unknown>;
  if (recursive !== true || typeof withFileTypes !== 'boolean') return null;
  const plain = encoding === undefined || encoding === null || encoding === 'utf8';
  return plain ? withFileTypes : null;
}

/** What is in a folder, and those that are walked as well, in their order. */
interface Listed {
  readonly entries: readonly Dirent[];
  readonly below: (Folder | null)[];
}

/** Reads folders; `to` is the name of one as seen from the top. */
class Listing extends Walk {
  readonly found: Map<Folder, Listed> = new Map();
  private readonly types: boolean;

  constructor(ring: Runtime, types: boolean) {
    super(ring);
    this.types = types;
  }

  protected override async enter(): Promise<boolean> {
    return true;
  }

  protected override async visit(): Promise<void> {}
  protected override async leave(): Promise<void> {}

  protected override async visitAll(entries: readonly Dirent[], folder: Folder): Promise<void> {
    const below: Listed['below'] = [];
    this.found.set(folder, { entries, below });
    for (const entry of entries) {
      if (isBroken(entry.name)) throw odd();
      const add = () => this.add(join(folder.from, entry.name), under(folder, entry), folder);
      if (entry.isDirectory()) below.push(add());
      else if (!this.types && entry.isSymbolicLink()) {
        // Without types node asks where a link leads, and goes there.
        const at = below.push(null) - 1;
        const path = join(folder.from, entry.name);
        const follow = async () => {
          if (await this.leads(path)) below[at] = add();
        };
        if ((await this.start(follow, folder)) === false) return;
      }
    }
  }

  /** Whether it leads to a folder. */
  private async leads(path: string): Promise<boolean> {
    try {
      const { mode } = await this.ring.op.statx(AT_FDCWD, path);
      return (mode & S_IFMT) === S_IFDIR;
    } catch (error) {
      if ((error as { errno?: unknown }).errno === undefined) throw error;
      return false;
    }
  }
}

const under = ({ to }: Folder, { name }: Dirent): string => (to === '' ? name : `${to}/${name}`);

/** All entries of a tree, in node's order: a whole folder, then its last folder first. */
export async function listAll(ring: Runtime, path: string, types: boolean): Promise<unknown[]> {
  if (!isStraight(path)) throw odd();
  const listing = new Listing(ring, types);
  const all: unknown[] = [];
  const stack = [await orHandOver(listing.run(path, ''))];
  for (let folder = stack.pop(); folder !== undefined; folder = stack.pop()) {
    const { entries, below } = listing.found.get(folder) as Listed;
    for (const entry of entries) all.push(types ? entry : under(folder, entry));
    for (const each of below) if (each !== null) stack.push(each);
  }
  return all;
}
