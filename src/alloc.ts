// Memory that operations name instead of copying it: `buffer.alloc`, and registered buffers.
// Pair: crates/ringcore/src/alloc.rs
//
// Rust has mapped it, checks every range and keeps it until the last completion (I1, I2). Here is
// known which ArrayBuffers show such memory. One that was collected gives its memory back; one that
// was transferred is ordinary memory for operations, and stays valid.

import type { Driver } from './driver.ts';
import {
  checkInteger,
  memoryError,
  RingcoreError,
  typeError,
  valueError,
  wrongRuntimeError,
} from './error.ts';
import type { Ring } from './ring.ts';
import type { Runtime } from './runtime.ts';

/** Options of `buffer.alloc`. */
export interface AllocOptions {
  /** The first byte's address is a multiple of this power of two: 512 to 2 MiB. Default 4096. */
  align?: number | undefined;
  /** Known to the kernel, for `op.readFixed` and `op.writeFixed`. Counts as locked memory. */
  registered?: boolean | undefined;
}

/** What is known of an ArrayBuffer that shows ring memory. */
export interface Allocation {
  /** The region id that descriptors name. */
  readonly id: number;
  readonly ring: Ring;
  readonly registered: boolean;
}

const MIN_ALIGN = 512;
const MAX_ALIGN = 2 << 20;
/** More is refused by the kernel for one registered buffer. */
const MAX_REGISTERED = 1 << 30;
const MAX_BYTES = 0xffff_f000;

const ALLOCATED: WeakMap<ArrayBufferLike, Allocation> = new WeakMap();
/** Programs without such memory pay one look at this for each operation. */
let any = false;

/** The ring memory that a view shows, or null: an ordinary one, whose bytes are copied. */
export function allocationOf(view: ArrayBufferView): Allocation | null {
  return any ? (ALLOCATED.get(view.buffer) ?? null) : null;
}

/** The same for an operation on this ring; the memory of another one cannot be named here. */
export function allocationIn(view: ArrayBufferView, ring: Ring): Allocation | null {
  const allocation = allocationOf(view);
  if (allocation !== null && allocation.ring !== ring) throw wrongRuntimeError('This memory');
  return allocation;
}

/** All memory of `buffer.alloc` of one ring. */
export class Allocations {
  private readonly ring: Ring;
  private readonly driver: Driver;
  private readonly limit: number;
  private readonly collected: FinalizationRegistry<number>;

  constructor(ring: Ring, driver: Driver, limit: number) {
    this.ring = ring;
    this.driver = driver;
    this.limit = limit;
    this.collected = new FinalizationRegistry((id) => driver.forget(id));
  }

  // PAIR: alloc
  /** Memory of `bytes` bytes, zeroed. Beyond the limit: ERR_RINGCORE_MEMORY, never a wait. */
  alloc(bytes: number, align: number, registered: boolean): Uint8Array {
    let allocated = this.driver.alloc(bytes, align, registered);
    // What larger operations have given back counts until it is unmapped.
    if (allocated === null && this.ring.regions.trim() > 0) {
      allocated = this.driver.alloc(bytes, align, registered);
    }
    if (allocated === null) throw memoryError(bytes, this.limit);
    if ('code' in allocated) throw new RingcoreError(allocated.code, allocated.message);
    const { id, memory } = allocated;
    // This runtime forbids external ArrayBuffers: an ordinary one, copied as any.
    if (memory === undefined) return new Uint8Array(bytes);
    ALLOCATED.set(memory, { id, ring: this.ring, registered });
    any = true;
    this.collected.register(memory, id);
    return new Uint8Array(memory, 0, bytes);
  }
}

/** Memory of one runtime, or of the thread's default one. */
export class AllocBuffers {
  protected readonly runtime: () => Runtime;

  constructor(runtime: () => Runtime) {
    this.runtime = runtime;
  }

  /**
   * Memory that the kernel reads and writes itself: operations on any part of it copy nothing, and
   * are not limited to 1 MiB. Zeroed, `bytes` long (0 to 4 GiB), page aligned unless `align` says
   * more, so that O_DIRECT works. Two operations at once may name the same bytes: then their order
   * is nobody's promise. Freed when it is collected, after the last operation on it.
   *
   * With `registered` the kernel keeps it pinned (at most 1 GiB, and what RLIMIT_MEMLOCK allows;
   * Linux 5.19). Errors: ERR_RINGCORE_MEMORY, ERR_RINGCORE_UNAVAILABLE,
   * ERR_RINGCORE_UNSUPPORTED_OP.
   */
  alloc(bytes: number, options: AllocOptions = {}): Uint8Array {
    if (typeof options !== 'object' || options === null) {
      throw typeError('options', 'of type object', options);
    }
    const { align = 4096, registered = false } = options;
    if (typeof registered !== 'boolean') {
      throw typeError('options.registered', 'of type boolean', registered);
    }
    checkInteger('bytes', bytes, 0, registered ? MAX_REGISTERED : MAX_BYTES);
    checkInteger('options.align', align, MIN_ALIGN, MAX_ALIGN);
    if ((align & (align - 1)) !== 0) {
      throw valueError('options.align', 'must be a power of two', align);
    }
    return this.runtime().executor.reactor.ring.allocations.alloc(bytes, align, registered);
  }

  /**
   * Gives memory back that operations have used and use no more; how many bytes. What is needed
   * again is mapped again.
   */
  trim(): number {
    return this.runtime().executor.reactor.ring.regions.trim();
  }
}
