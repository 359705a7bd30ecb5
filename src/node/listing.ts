// readdir of a whole tree: several folders at once, and a bound on them. Each listing is node's:
// io_uring has none.

import type { Dirent } from 'node:fs';
import { AT_FDCWD } from '../ops/paths.ts';
import type { Runtime } from '../runtime.ts';
import { nodePromises } from './builtin.ts';
import { isStraight, NATIVE, odd, orHandOver } from './trees.ts';

const { join } = process.getBuiltinModule('node:path');

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

/** Operations of all listings of this thread that are in flight at once. */
const IN_FLIGHT = 32;
/** Folders of one tree that are read at once: node lists on four threads. */
const AT_ONCE = 4;

/** Names that are no UTF-8 come out of a listing like this. */
const BROKEN = '\ufffd';

let free = IN_FLIGHT;
/** Those who wait for a place, the first of them at `head`. */
let waiting: (() => void)[] = [];
let head = 0;

/** A place among those in flight: null when there is one at once. */
function place(): Promise<void> | null {
  if (free > 0) {
    free--;
    return null;
  }
  return new Promise((resolve) => waiting.push(resolve));
}

/** It has ended: the next one may start. */
function leavePlace(): void {
  const next = waiting[head];
  if (next === undefined) {
    free++;
    return;
  }
  if (++head === waiting.length) {
    waiting = [];
    head = 0;
  }
  next();
}

/** Does it in a place of its own. */
async function placed<T>(start: () => PromiseLike<T>): Promise<T> {
  const wait = place();
  if (wait !== null) await wait;
  try {
    return await start();
  } finally {
    leavePlace();
  }
}

/** Options of readdir that ask for a whole tree: whether with file types. null: they do not. */
export function plainListing(options: unknown): boolean | null {
  if (NATIVE || typeof options !== 'object' || options === null) return null;
  const { recursive, encoding, withFileTypes = false } = options as Record<string, unknown>;
  if (recursive !== true || typeof withFileTypes !== 'boolean') return null;
  const plain = encoding === undefined || encoding === null || encoding === 'utf8';
  return plain ? withFileTypes : null;
}

/** A folder of the tree: where it is, and its name as seen from the top. */
interface Folder {
  readonly path: string;
  readonly name: string;
  entries: readonly Dirent[];
  /** Those that are listed as well, in their order. */
  readonly below: (Folder | null)[];
}

/** One tree. What goes wrong first stops it: nothing new starts, what flies is waited for. */
class Listing {
  private readonly ring: Runtime;
  private readonly types: boolean;
  /** The last one first: memory for one path of the tree, not for all of it. */
  private readonly pending: Folder[] = [];
  private expanding = 0;
  private flying = 0;
  private stopped = false;
  private why: unknown = null;
  private end: (() => void) | null = null;

  constructor(ring: Runtime, types: boolean) {
    this.ring = ring;
    this.types = types;
  }

  /** Ends when all is done and nothing is in flight; throws what went wrong first. */
  async run(path: string): Promise<Folder> {
    const ended = new Promise<void>((resolve) => {
      this.end = resolve;
    });
    const top = this.add(path, '');
    await ended;
    if (this.stopped) throw this.why;
    return top;
  }

  private add(path: string, name: string): Folder {
    const folder = { path, name, entries: [], below: [] };
    this.pending.push(folder);
    this.next();
    return folder;
  }

  /** Reads more folders, or ends. */
  private next(): void {
    while (!this.stopped && this.expanding < AT_ONCE) {
      const folder = this.pending.pop();
      if (folder === undefined) break;
      this.expanding++;
      void this.expand(folder);
    }
    if (this.expanding === 0 && this.flying === 0) this.end?.();
  }

  private async expand(folder: Folder): Promise<void> {
    try {
      folder.entries = await placed(() =>
        nodePromises.readdir(folder.path, { withFileTypes: true }),
      );
      for (const entry of folder.entries) {
        if (entry.name.includes(BROKEN)) throw odd();
        const path = join(folder.path, entry.name);
        if (entry.isDirectory()) folder.below.push(this.add(path, under(folder, entry)));
        else if (!this.types && entry.isSymbolicLink()) {
          // Without types node asks where a link leads, and goes there.
          const at = folder.below.push(null) - 1;
          const follow = async () => {
            if (await this.leads(path)) folder.below[at] = this.add(path, under(folder, entry));
          };
          const wait = place();
          if (wait !== null) await wait;
          void this.begin(follow);
        }
      }
    } catch (error) {
      this.stop(error);
    }
    this.expanding--;
    this.next();
  }

  /** Something in flight, in a place that was taken for it. */
  private async begin(task: () => PromiseLike<void>): Promise<void> {
    this.flying++;
    try {
      if (!this.stopped) await task();
    } catch (error) {
      this.stop(error);
    }
    leavePlace();
    this.flying--;
    this.next();
  }

  private stop(error: unknown): void {
    if (this.stopped) return;
    this.stopped = true;
    this.why = error;
    this.pending.length = 0;
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

const under = ({ name }: Folder, entry: Dirent): string =>
  name === '' ? entry.name : `${name}/${entry.name}`;

/** All entries of a tree, in node's order: a whole folder, then its last folder first. */
export async function listAll(ring: Runtime, path: string, types: boolean): Promise<unknown[]> {
  if (!isStraight(path)) throw odd();
  const all: unknown[] = [];
  const stack = [await orHandOver(new Listing(ring, types).run(path))];
  for (let folder = stack.pop(); folder !== undefined; folder = stack.pop()) {
    for (const entry of folder.entries) all.push(types ? entry : under(folder, entry));
    for (const each of folder.below) if (each !== null) stack.push(each);
  }
  return all;
}
