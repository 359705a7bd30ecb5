// Folder trees: many operations in flight, and a bound on them.
//
//   pending folders ──> enter ──> listing ──> visit every entry, IN_FLIGHT at once ──> leave
//        ^ the last one first: memory for one path of the tree, not for all of it        │
//        └── the folders among the entries                 when all below it has left <──┘
//
// What is plain goes this way. Whatever is odd stops the walk (nothing new is started, what is in
// flight is waited for), and node's own function does the whole call again, over what is there: it
// succeeds, or fails with its own error.

import type { Dirent } from 'node:fs';
import type { Runtime } from '../runtime.ts';
import { nodePromises } from './builtin.ts';

/**
 * Operations of all trees of this thread that are in flight at once. One that copies a
 * file has two descriptors open, so that these are 64 of them at most.
 */
export const IN_FLIGHT = 32;
/** Folders of one tree that are read at once: node lists on four threads. */
const AT_ONCE = 4;

/**
 * Since then node copies and lists a tree in one native request. It lists in another order, and
 * keeps a slash at the end of a link.
 */
export const NATIVE: boolean = Number.parseInt(process.versions.node, 10) >= 25;

/** What is not for the ring: node's own function is to do the call. */
export class HandOver extends Error {}

/** Something that only node's own function has an answer to. */
export function odd(): HandOver {
  return new HandOver('this is for node:fs');
}

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
export async function placed<T>(start: () => PromiseLike<T>): Promise<T> {
  const wait = place();
  if (wait !== null) await wait;
  try {
    return await start();
  } finally {
    leavePlace();
  }
}

export const codeOf = (error: unknown): unknown => (error as { code?: unknown } | null)?.code;

/** Names that are no UTF-8 come out of a listing like this. */
const BROKEN = '\ufffd';

/** Whether a text may stand for other bytes than its own. */
export const isBroken = (text: string): boolean => text.includes(BROKEN);

/** The entries of a folder, in node's order. */
export function list(path: string): Promise<Dirent[]> {
  return nodePromises.readdir(path, { withFileTypes: true });
}

/** A folder of a tree. */
export interface Folder {
  /** The one that is listed. */
  readonly from: string;
  /** The one that is worked on; the same one, or its copy. */
  readonly to: string;
  readonly parent: Folder | null;
  /** What has not ended below it; its own listing is one of them. */
  left: number;
  /** Permissions that it is to have in the end. */
  mode: number;
}

/** One walk over a tree. */
export abstract class Walk {
  protected readonly ring: Runtime;
  private readonly pending: Folder[] = [];
  private expanding = 0;
  private flying = 0;
  private stopped = false;
  private why: unknown = null;
  private end: (() => void) | null = null;

  constructor(ring: Runtime) {
    this.ring = ring;
  }

  /** Before a folder is listed; false: there is nothing to do in it. */
  protected abstract enter(folder: Folder): Promise<boolean>;
  /** What is in it. */
  protected entries(folder: Folder): Promise<Dirent[]> {
    return list(folder.from);
  }

  /** An entry that is no folder. */
  protected abstract visit(entry: Dirent, folder: Folder): PromiseLike<void>;
  /** After everything below a folder. */
  protected abstract leave(folder: Folder): PromiseLike<void>;

  /** Whether a failure is as good as a success. Every failure is shown to it. */
  protected forgives(_error: unknown): boolean {
    return false;
  }

  /** Ends when all is done and nothing is in flight; throws what went wrong first. */
  async run(from: string, to: string): Promise<Folder> {
    const ended = new Promise<void>((resolve) => {
      this.end = resolve;
    });
    const top = this.add(from, to, null);
    await ended;
    if (this.stopped) throw this.why;
    return top;
  }

  /** A folder that is to be walked as well. */
  protected add(from: string, to: string, parent: Folder | null): Folder {
    if (parent !== null) parent.left++;
    const folder = { from, to, parent, left: 1, mode: 0 };
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
      if (await placed(() => this.enter(folder))) {
        await this.visitAll(await placed(() => this.entries(folder)), folder);
        this.done(folder);
      } else if (folder.parent !== null) this.done(folder.parent);
    } catch (error) {
      if (!this.forgives(error)) this.stop(error);
      else if (folder.parent !== null) this.done(folder.parent);
    }
    this.expanding--;
    this.next();
  }

  /** Starts what is to be done about each of them. */
  protected async visitAll(entries: readonly Dirent[], folder: Folder): Promise<void> {
    for (const entry of entries) {
      if (isBroken(entry.name)) throw odd();
      if (entry.isDirectory()) {
        this.add(`${folder.from}/${entry.name}`, `${folder.to}/${entry.name}`, folder);
        continue;
      }
      const started = this.start(() => this.visit(entry, folder), folder);
      // Most find a place at once, and nobody waits.
      if (typeof started === 'boolean' ? !started : !(await started)) return;
    }
  }

  /** Starts it as soon as there is a place; false: the walk has stopped. */
  protected start(task: () => PromiseLike<void>, folder: Folder): boolean | Promise<boolean> {
    const wait = place();
    if (wait !== null) return wait.then(() => this.begin(task, folder));
    return this.begin(task, folder);
  }

  private begin(task: () => PromiseLike<void>, folder: Folder): boolean {
    if (this.stopped) {
      leavePlace();
      return false;
    }
    folder.left++;
    this.flying++;
    void this.one(task, folder);
    return true;
  }

  /** Something in flight, in a place that was taken for it. */
  private async one(task: () => PromiseLike<void>, folder: Folder): Promise<void> {
    try {
      await task();
    } catch (error) {
      if (!this.forgives(error)) this.stop(error);
    }
    leavePlace();
    this.done(folder);
    this.flying--;
    this.next();
  }

  /** One less below it: the last one ends the folder. */
  private done(folder: Folder): void {
    if (--folder.left > 0 || this.stopped) return;
    this.flying++;
    void this.close(folder);
  }

  private async close(folder: Folder): Promise<void> {
    try {
      await placed(async () => {
        if (!this.stopped) await this.leave(folder);
      });
    } catch (error) {
      if (!this.forgives(error)) this.stop(error);
    }
    if (folder.parent !== null) this.done(folder.parent);
    this.flying--;
    this.next();
  }

  private stop(error: unknown): void {
    if (this.stopped) return;
    this.stopped = true;
    this.why = error;
    this.pending.length = 0;
  }
}

/**
 * What a walk does not do: its failure is the caller's only when the runtime was closed. Anything
 * else is for node to do once more.
 */
export async function orHandOver<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (codeOf(error) === 'ERR_RINGCORE_CLOSED') throw error;
    throw odd();
  }
}

/** Whether a path has its `..` at the beginning: node's joins then mean what the kernel means. */
export function isStraight(path: string): boolean {
  let named = path.startsWith('/');
  for (const part of path.split('/')) {
    if (part === '..' && named) return false;
    if (part !== '..' && part !== '.' && part !== '') named = true;
  }
  return true;
}
