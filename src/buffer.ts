// Regions: the memory that the kernel sees, and the stacks of free ones.
// Pair: crates/ringcore/src/buffer.rs
//
// Rust maps slabs, checks every use and knows what the kernel holds (I1, I2). Which free region an
// operation gets is decided here: the one freed last, whose bytes are still in the cache.

import { memoryError } from './error.ts';
import { FIRST_ALLOCATED } from './sqe.ts';

// PAIR: CLASSES
/** Region sizes: a cache line, 512 bytes, then 4 KiB (O_DIRECT works) doubling to 1 MiB. */
export const CLASSES = 11;

// PAIR: classOf
/** The smallest class whose regions hold `length` bytes. */
export function classOf(length: number): number {
  if (length <= 512) return length <= 64 ? 0 : 1;
  return 34 - Math.clz32((length - 1) >> 12);
}

// PAIR: classBytes
/** Bytes of one region of a class. */
export function classBytes(size: number): number {
  if (size < 2) return size === 0 ? 64 : 512;
  return 4096 << (size - 2);
}

/** New regions: ids from `first`, `count` of them, `bytes` each, side by side in `memory`. */
export interface Growth {
  first: number;
  count: number;
  bytes: number;
  memory: ArrayBuffer;
}

/** One slab: the ids of its regions, and their class. */
interface Slab {
  readonly first: number;
  readonly count: number;
  readonly size: number;
}

/** Where slabs come from. */
export interface Memory {
  /** More regions of a class, or null at the limit. */
  grow(size: number): Growth | null;
  /** Gives the slab back whose first region this is; how many bytes, 0: one is in use. */
  shrink(first: number): number;
}

const NO_BYTES = new Uint8Array(0);

/** Bytes of any kind, as they lie in memory; none when they are gone, for every kind of view. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  if (view instanceof Uint8Array) return view;
  if (gone(view)) return new Uint8Array(0);
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** Fewer bytes than this are copied here: a view of a part of a region costs more than they do. */
const FEW = 128;

/** The first `count` bytes of a region, to the start of what was read into. False: see `put`. */
export function copyOut(target: Uint8Array, region: Uint8Array, count: number): boolean {
  if (count > FEW) return put(target, count === region.length ? region : region.subarray(0, count));
  for (let i = 0; i < count; i++) target[i] = region[i] as number;
  // A detached one takes nothing and does not say so. Of shared memory others may write the same.
  if (count === 0 || target[count - 1] === region[count - 1]) return true;
  return target.buffer instanceof SharedArrayBuffer;
}

/** Whether the bytes of a view are gone: detached, or (a DataView) outside of what is left. */
export function gone(view: ArrayBufferView): boolean {
  try {
    // Only an empty view asks further: `buffer` moves a small array out of the engine's heap.
    return view.byteLength === 0 && new Uint8Array(view.buffer).length < 0;
  } catch {
    return true; // A DataView has no length then; a detached buffer takes no view.
  }
}

/**
 * Copies to the beginning of a view. False: its memory is gone. The optimized code of Node 20 has
 * been seen to take a detached view for as long as it was; only this call then finds out.
 */
export function put(target: Uint8Array, bytes: Uint8Array): boolean {
  try {
    target.set(bytes);
    return true;
  } catch {
    return false;
  }
}

// PAIR: Regions
/** All regions of a ring, by id, with one kept view each. */
export class Regions {
  readonly views: Uint8Array[] = [];
  private readonly free: number[][] = [];
  /** Regions of chains with the members that still use them. Usually empty. */
  private readonly shared = new Map<number, number>();
  private readonly slabs: Slab[] = [];
  /** Ids that are nobody's: their slab was given back. */
  private vacant = 0;
  private readonly driver: Memory;
  private readonly limit: number;

  constructor(driver: Memory, limit: number) {
    this.driver = driver;
    this.limit = limit;
    for (let size = 0; size < CLASSES; size++) this.free.push([]);
  }

  // PAIR: Regions.grow
  /** One more slab. Beyond the limit: ERR_RINGCORE_MEMORY, at the call, never a wait. */
  private grow(size: number): number[] {
    let growth = this.driver.grow(size);
    if (growth === null) {
      // Memory that larger operations have given back serves small ones as well.
      const larger = this.free.find((free, other) => other > size && free.length > 0);
      if (larger !== undefined) return larger;
      // The other way round, whole slabs make room.
      if (this.trim() > 0) growth = this.driver.grow(size);
      if (growth === null) throw memoryError(classBytes(size), this.limit);
    }
    const free = this.free[size] as number[];
    const { first, count } = growth;
    const before = this.views.length;
    this.slabs.push({ first, count, size });
    // The lowest id on top of the stack: small programs touch the first pages only.
    for (let i = growth.count - 1; i >= 0; i--) {
      const id = growth.first + i;
      this.views[id] = new Uint8Array(growth.memory, i * growth.bytes, growth.bytes);
      free.push(id);
    }
    this.vacant -= count - (this.views.length - before);
    return free;
  }

  /** Gives slabs back of which no operation uses a region; how many bytes. */
  trim(): number {
    const idle = this.free.map((free) => new Set(free));
    let bytes = 0;
    for (const slab of this.slabs.splice(0)) {
      const given = this.shrink(slab, idle[slab.size] as Set<number>);
      bytes += given;
      if (given === 0) this.slabs.push(slab);
    }
    for (const [size, ids] of idle.entries()) {
      const free = this.free[size] as number[];
      if (ids.size < free.length) this.free[size] = free.filter((id) => ids.has(id));
    }
    return bytes;
  }

  // PAIR: Regions.shrink
  /** One slab, if all its regions are free: they leave `idle` and lose their views. */
  private shrink({ first, count }: Slab, idle: Set<number>): number {
    for (let id = first; id < first + count; id++) if (!idle.has(id)) return 0;
    const bytes = this.driver.shrink(first);
    if (bytes === 0) return 0;
    for (let id = first; id < first + count; id++) {
      idle.delete(id);
      this.views[id] = NO_BYTES;
    }
    this.vacant += count;
    return bytes;
  }

  // PAIR: Regions.hold
  /** A region for `length` bytes, this operation's until its last completion (I2). */
  hold(length: number): number {
    const size = classOf(length);
    let free = this.free[size] as number[];
    if (free.length === 0) free = this.grow(size);
    return free.pop() as number;
  }

  /** That many operations of one chain use it; it is free when all have released it. */
  share(id: number, users: number): void {
    this.shared.set(id, users);
  }

  // PAIR: Regions.release
  /** The operation's last completion is in. */
  release(id: number): void {
    if (id >= FIRST_ALLOCATED) return; // It belongs to whoever has allocated it.
    if (this.shared.size > 0) {
      const users = this.shared.get(id) ?? 1;
      if (users > 1) {
        this.shared.set(id, users - 1);
        return;
      }
      this.shared.delete(id);
    }
    const view = this.views[id] as Uint8Array;
    (this.free[classOf(view.length)] as number[]).push(id);
  }

  /** Regions that operations hold, for tests. */
  get held(): number {
    return this.free.reduce((held, free) => held - free.length, this.views.length - this.vacant);
  }
}
