// The seam: what stands below the ring, the kernel or the seeded mock of the tests.
// Pair: crates/ringcore/src/driver.rs

import type { Memory } from './buffer.ts';
import type { Provided } from './group.ts';
import type { Ring } from './ring.ts';

/** Memory of `buffer.alloc`. Without `memory`: no external ArrayBuffers here. */
export interface Allocated {
  readonly id: number;
  readonly memory?: ArrayBuffer | undefined;
}

/** An error of the native half. */
export interface Refused {
  readonly code: string;
  readonly message: string;
}

/** The native half of now.ts. */
export interface PageCache {
  /** How many bytes; below 0: nothing has happened. */
  readNow(fd: number, bytes: Uint8Array, from: number, length: number, position: number): number;
  /** Bytes behind the cursor of a regular file of less than 2 GiB that it may read, or -1. */
  sizeNow(fd: number): number;
}

// PAIR: Driver
/** What stands below the ring: the kernel through the native module, or the seeded mock. */
export interface Driver extends Memory {
  /** The border's memory, BORDER_BYTES long. */
  readonly memory: ArrayBuffer;
  // PAIR: only-typescript Driver.now -- in Rust nothing is copied out
  /** Reads of the page cache beside the ring; null: there is none. */
  readonly now: PageCache | null;
  // PAIR: Driver.push
  /** That many descriptors are written. */
  push(descriptors: number): void;
  // PAIR: Driver.submit
  /** One turn in the mode TURN_*: takes the descriptors, enters, writes completions, parks. */
  submit(mode: number): void;
  // PAIR: Driver.reap
  /** How many completions are in the list. */
  reap(): number;
  // PAIR: Driver.park
  /** Whether the last submit left nothing to do and asked for a wake-up. False: come again. */
  park(): boolean;
  // PAIR: Driver.look
  /** A look at a small file, by system calls that wait for nothing: see fs/cached.ts. */
  look(): void;
  // PAIR: Driver.fill
  /** Reads what a look has found larger: see fs/larger.ts. */
  fill(bytes: Uint8Array): void;
  // PAIR: Driver.stat
  /** A look at a file's metadata, in the same way: see fs/stat.ts. */
  stat(): void;
  // PAIR: only-typescript Driver.keepAlive -- only an event loop asks whether anybody still waits
  /** Makes the process's reference what H_REFERENCED says. */
  keepAlive(): void;
  // PAIR: only-typescript Driver.provide -- in Rust the ring makes the memory, see registerGroup
  /** A group of buffers; 0 at the memory limit, or a negative errno. */
  provide(count: number, size: number): Provided | number;
  /** The bytes of a lent buffer, which cannot be returned from now on; null: it is not lent. */
  show(group: number, buffer: number, length: number): ArrayBuffer | null;
  /** They are detached (null: were collected), the buffer may be returned; or not: false. */
  hide(group: number, buffer: number, bytes: ArrayBuffer | null): boolean;
  /** Memory for `buffer.alloc`; null at the limit, or why it cannot be registered. */
  alloc(bytes: number, align: number, registered: boolean): Allocated | Refused | null;
  /** Makes the table of direct descriptors: how many slots, or a negative errno. */
  files(): number;
  /** The ArrayBuffer of an allocation was collected. */
  forget(id: number): void;
  /** I7. False: memory was leaked on purpose. */
  close(): boolean;
  /** Lets the memory go. */
  free(): void;
}

/** What the ring needs of an operation. */
export interface Entry {
  /** Writes its descriptor: one call of `border.start`. */
  prepare(ring: Ring, ticket: number): void;
}
