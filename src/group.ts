// Provided buffer rings: memory from which the kernel takes a buffer when bytes have come.
// Pair: crates/ringcore/src/group.rs
//
//   kernel ── takes buffer 3, writes, completes ──> Rust: 3 is lent ──> here: copied, or a Lent
//   kernel <── BORDER_RETURN 3 ── Rust: 3 is the kernel's again <────── taken, or released
//
// Who waits for bytes holds no memory. A view of a lent buffer is an ArrayBuffer of its own, which
// is detached before the buffer is returned: nobody ever sees bytes of a later lending (I2).

import { AllocBuffers } from './alloc.ts';
import {
  checkInteger,
  closedError,
  errnoError,
  memoryError,
  RingcoreError,
  rangeError,
  typeError,
  wrongRuntimeError,
} from './error.ts';
import type { Future } from './future.ts';
import { Done } from './next.ts';
import type { Reactor } from './reactor.ts';
import type { Runtime } from './runtime.ts';
import { MAX_TRANSFER } from './sqe.ts';

/** Most buffers of one group. */
const MAX_BUFFERS = 32768;

/** A new group: buffer `id` begins at `first + id * stride` of the memory. */
export interface Provided {
  id: number;
  first: number;
  stride: number;
  memory: ArrayBuffer;
}

/** What `provide` takes. */
export interface GroupOptions {
  /** Buffers: a power of two, at most 32768. */
  count: number;
  /** Bytes of each: at most 1 MiB. */
  size: number;
}

/** What waits for a buffer, or is armed on the group. */
interface User {
  /** A buffer came back. */
  fed(): void;
  close(): Future<void>;
}

/** What was forgotten gives back what it had. The actions must not reach what they wait for. */
const FORGOTTEN = new FinalizationRegistry<() => void>((give) => give());

// PAIR: BufferGroup
/**
 * A group of buffers. Whatever receives with it takes a free one when bytes come; without one they
 * stay in the socket. Forgotten, it is closed.
 */
export class BufferGroup {
  /** Buffers. */
  readonly count: number;
  /** Bytes of each. */
  readonly size: number;
  readonly id: number;
  readonly runtime: Runtime;
  private readonly provided: Provided;
  private readonly memory: Uint8Array;
  private readonly reactor: Reactor;
  /** Buffers that completions have named and that were not returned. */
  private out = 0;
  private readonly users: Set<User> = new Set();
  private readonly starved: Set<User> = new Set();
  private ending: Done | null = null;

  constructor(runtime: Runtime, provided: Provided, { count, size }: GroupOptions) {
    this.runtime = runtime;
    this.provided = provided;
    this.count = count;
    this.size = size;
    this.id = provided.id;
    this.memory = new Uint8Array(provided.memory);
    this.reactor = runtime.executor.reactor;
    const { reactor, id } = this;
    FORGOTTEN.register(this, () => reactor.closeGroup(id), this);
  }

  // PAIR: BufferGroup.available
  /** Buffers that the kernel may fill. */
  get available(): number {
    return this.count - this.out;
  }

  /** Whether new operations may use it. */
  get closed(): boolean {
    return this.ending !== null;
  }

  /** A stream is armed on it, or was and will be. */
  add(user: User): void {
    this.users.add(user);
  }

  /** It has ended. */
  leave(user: User): void {
    this.users.delete(user);
    this.starved.delete(user);
  }

  /** It found no buffer; it is told when one came back. */
  starve(user: User): void {
    this.starved.add(user);
  }

  /** For operations: the id, when it may be used on this runtime. */
  check(runtime: Runtime): number {
    if (this.runtime !== runtime) throw wrongRuntimeError('This buffer group');
    if (this.closed) throw new RingcoreError('ERR_RINGCORE_CLOSED', 'The buffer group is closed');
    return this.id;
  }

  /** A completion named a buffer of it. */
  took(): void {
    this.out++;
  }

  /** Its bytes, copied, and the buffer is returned. */
  copy(buffer: number, length: number): Uint8Array {
    const { first, stride } = this.provided;
    const from = first + buffer * stride;
    const bytes = this.memory.slice(from, from + length);
    this.give(buffer);
    return bytes;
  }

  /** The buffer itself, until it is released. */
  lend(buffer: number, length: number): Lent {
    return new Lent(this, buffer, length);
  }

  /** The kernel's again. */
  give(buffer: number): void {
    this.out--;
    this.reactor.giveBuffer(this.id, buffer);
    if (this.starved.size === 0) return;
    const starved = [...this.starved];
    this.starved.clear();
    // All of them: whoever is armed first may have nothing to receive.
    for (const user of starved) user.fed();
  }

  /** The bytes of a lent buffer, in an ArrayBuffer made for this lending. */
  show(buffer: number, length: number): ArrayBuffer {
    const bytes = this.reactor.ring.driver.show(this.id, buffer, length);
    if (bytes === null) throw closedError();
    return bytes;
  }

  /** They go, and the buffer is returned; null: they were collected. */
  hide(buffer: number, bytes: ArrayBuffer | null): void {
    // What could not be detached would show the next lending's bytes: it is never returned.
    if (this.reactor.ring.driver.hide(this.id, buffer, bytes)) this.give(buffer);
  }

  // PAIR: only-typescript BufferGroup.close -- in Rust a group is closed by being dropped
  /**
   * Ends the streams on it. Lent buffers stay readable until they are released; the memory goes
   * with the last of them. Resolves when the streams have ended.
   */
  close(): Future<void> {
    if (this.ending !== null) return this.ending;
    const ending = new Done();
    this.ending = ending;
    FORGOTTEN.unregister(this);
    let left = 1;
    const ended = () => {
      left--;
      if (left === 0) ending.ended();
    };
    for (const user of [...this.users]) {
      left++;
      user.close().then(ended, ended);
    }
    this.reactor.closeGroup(this.id);
    ended();
    return ending;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close().then(() => {});
  }
}

// PAIR: Lent
/**
 * Bytes that came, in a buffer of the group, which the kernel has again when it is released. A
 * forgotten one is released when it and its bytes are collected.
 */
export class Lent {
  /** Bytes. */
  readonly length: number;
  private readonly group: BufferGroup;
  private readonly buffer: number;
  private view: Uint8Array | null = null;
  private released = false;

  constructor(group: BufferGroup, buffer: number, length: number) {
    this.group = group;
    this.buffer = buffer;
    this.length = length;
    FORGOTTEN.register(this, () => group.give(buffer), this);
  }

  /**
   * The bytes, in an ArrayBuffer of their own that is detached by `release`. Made at the first
   * look: 2 to 3 µs. Afterwards: ERR_RINGCORE_BUFFER_DETACHED.
   */
  get bytes(): Uint8Array {
    if (this.released) {
      throw new RingcoreError('ERR_RINGCORE_BUFFER_DETACHED', 'The lent buffer was released');
    }
    if (this.view === null) {
      const { group, buffer } = this;
      const memory = group.show(buffer, this.length);
      this.view = new Uint8Array(memory);
      // From here on the bytes may outlive this object.
      FORGOTTEN.unregister(this);
      FORGOTTEN.register(memory, () => group.hide(buffer, null), this);
    }
    return this.view;
  }

  // PAIR: only-typescript Lent.release -- in Rust a buffer is returned by being dropped
  /** Returns the buffer to the kernel. A second time: no effect. */
  release(): void {
    if (this.released) return;
    this.released = true;
    FORGOTTEN.unregister(this);
    const { view, group, buffer } = this;
    this.view = null;
    if (view === null) group.give(buffer);
    else group.hide(buffer, view.buffer as ArrayBuffer);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/** `buffer` and `rt.buffer`: memory of one runtime, or of the thread's default one. */
export class Buffers extends AllocBuffers {
  // PAIR: provide
  /**
   * Makes a group of `count` buffers (a power of two, at most 32768) of `size` bytes each (at most
   * 1 MiB), for `op.recvMultishot` and `op.recvBuffer`. Beyond the memory limit:
   * ERR_RINGCORE_MEMORY.
   *
   * Man: io_uring_register_buf_ring(3). Kernel: 5.19.
   */
  provide(options: GroupOptions): BufferGroup {
    if (typeof options !== 'object' || options === null) {
      throw typeError('options', 'of type object', options);
    }
    const count = checkInteger('options.count', options.count, 1, MAX_BUFFERS);
    const size = checkInteger('options.size', options.size, 1, MAX_TRANSFER);
    if ((count & (count - 1)) !== 0) {
      throw rangeError('options.count', 'a power of two', count);
    }
    const runtime = this.runtime();
    const provided = runtime.executor.reactor.ring.driver.provide(count, size);
    if (provided === 0) throw memoryError(count * size, runtime.memoryLimit);
    if (typeof provided === 'number') throw errnoError(-provided, 'io_uring_register');
    return new BufferGroup(runtime, provided, { count, size });
  }
}
