// The driver over the kernel: the native module's shared memory and bare functions.
// Pair: crates/ringcore/src/kernel.rs

import { native } from './binding.ts';
import type { Growth } from './buffer.ts';
import * as C from './cqe.ts';
import type { Allocated, Driver, PageCache, Refused } from './driver.ts';
import { closedError, UnavailableError } from './error.ts';
import type { Provided } from './group.ts';
import type { CheckedOptions } from './setup.ts';

/**
 * Node's event loop is libuv's and watches the eventfd itself, one hop instead of a thread's two.
 * RINGCORE_PARKER=thread asks for the thread all the same.
 */
function eventLoopPolls(): boolean {
  if (process.versions.bun !== undefined || process.versions.deno !== undefined) return false;
  return process.env.RINGCORE_PARKER !== 'thread';
}

export { type CheckedOptions, checkOptions, type Options } from './setup.ts';

// PAIR: Kernel
/** A ring of the kernel, made for this thread (I6). */
export class Kernel implements Driver {
  readonly memory: ArrayBuffer;
  readonly now: PageCache;
  /** IORING_SETUP_* flags that the kernel accepted. */
  readonly flags: string[];
  /** SQ and CQ entries that it gave. */
  readonly entries: [number, number];
  /** What waits for completions: `uv_poll` or `thread`. */
  readonly parker: string;
  private readonly words: Int32Array;
  /** The native half; another ring may attach to it. */
  readonly ring: import('../index.d.ts').NativeRing;
  private readonly turn: () => void;
  private readonly reference: () => void;
  private readonly cached: () => void;
  private readonly larger: (bytes: Uint8Array) => void;
  private readonly known: () => void;

  private constructor(ring: import('../index.d.ts').NativeRing) {
    const info = ring.info();
    this.ring = ring;
    this.flags = info.flags;
    this.entries = [info.entries, info.cqEntries];
    this.parker = info.parker;
    this.memory = ring.memory();
    this.now = native();
    this.words = new Int32Array(this.memory);
    this.turn = ring.turn();
    this.reference = ring.keepAlive();
    this.cached = ring.look();
    this.larger = ring.fill();
    this.known = ring.stat();
  }

  // PAIR: Kernel.open
  /** Makes a ring. `wake` is called when completions wait. Refused: ERR_RINGCORE_UNAVAILABLE. */
  static open(options: CheckedOptions, wake: () => void): Kernel {
    const { entries, cqEntries, memoryLimit, sqpoll, maxWorkers, allow } = options;
    const named = {
      entries,
      cqEntries,
      memoryLimit,
      poll: eventLoopPolls(),
      ...(sqpoll === null ? {} : { sqpollIdle: sqpoll.idleMs }),
      ...(sqpoll === null || sqpoll.cpu === null ? {} : { sqpollCpu: sqpoll.cpu }),
      ...(maxWorkers === null ? {} : { maxWorkers }),
      ...(allow === null ? {} : { allow }),
    };
    const other = options.attach?.kernel();
    const opened = native().openRing(named, wake, other?.ring);
    if ('reason' in opened) {
      if (opened.code === 'ERR_RINGCORE_CLOSED') throw closedError();
      throw new UnavailableError(opened.reason, opened.advice);
    }
    try {
      return new Kernel(opened);
    } catch (error) {
      // Electron and others with a caged heap: the ring's memory cannot be shown to JavaScript.
      opened.close();
      const { message } = error as Error;
      throw new UnavailableError(message, 'Use a runtime without a memory cage', { cause: error });
    }
  }

  // PAIR: Kernel.push
  push(descriptors: number): void {
    this.words[C.H_DESCRIPTORS] = descriptors;
  }

  // PAIR: Kernel.submit
  submit(mode: number): void {
    this.words[C.H_MODE] = mode;
    this.turn();
  }

  // PAIR: Kernel.reap
  reap(): number {
    return this.words[C.H_COMPLETIONS] as number;
  }

  // PAIR: Kernel.park
  park(): boolean {
    return this.words[C.H_MORE] === 0;
  }

  // PAIR: Kernel.look
  look(): void {
    this.cached();
  }

  // PAIR: Kernel.fill
  fill(bytes: Uint8Array): void {
    this.larger(bytes);
  }

  // PAIR: Kernel.stat
  stat(): void {
    this.known();
  }

  keepAlive(): void {
    this.reference();
  }

  provide(count: number, size: number): Provided | number {
    return this.ring.provide(count, size);
  }

  show(group: number, buffer: number, length: number): ArrayBuffer | null {
    return this.ring.show(group, buffer, length);
  }

  hide(group: number, buffer: number, bytes: ArrayBuffer | null): boolean {
    return this.ring.hide(group, buffer, bytes);
  }

  grow(size: number): Growth | null {
    return this.ring.grow(size);
  }

  shrink(first: number): number {
    return this.ring.shrink(first);
  }

  alloc(bytes: number, align: number, registered: boolean): Allocated | Refused | null {
    return this.ring.alloc(bytes, align, registered);
  }

  files(): number {
    return this.ring.files();
  }

  forget(id: number): void {
    this.ring.forget(id);
  }

  close(): boolean {
    return this.ring.close();
  }

  free(): void {
    this.ring.free();
  }
}
