// The driver over the kernel: the native module's shared memory and bare functions.
// Pair: crates/ringcore/src/kernel.rs

import { native } from './binding.ts';
import type { Growth } from './buffer.ts';
import * as C from './cqe.ts';
import type { Driver } from './driver.ts';
import { checkInteger, rangeError, typeError, UnavailableError } from './error.ts';

// PAIR: Options
/** How a ring is made. */
export interface Options {
  /** SQ entries, rounded up to a power of two by the kernel: 1 to 32768. Default 256. */
  entries?: number;
  /** CQ entries, at least as many as `entries`. Default: four times the SQ. */
  cqEntries?: number;
  /** Bytes of copied memory at most; beyond it operations fail with ERR_RINGCORE_MEMORY. */
  memoryLimit?: number;
}

/** The same with every default filled in. */
export interface CheckedOptions {
  entries: number;
  cqEntries: number;
  memoryLimit: number;
}

/** Checks at the call: wrong types and ranges are typed errors, never an abort. */
export function checkOptions(options: Options = {}): CheckedOptions {
  if (typeof options !== 'object' || options === null) {
    throw typeError('options', 'of type object', options);
  }
  for (const name of Object.keys(options)) {
    if (name !== 'entries' && name !== 'cqEntries' && name !== 'memoryLimit') {
      throw rangeError(`options.${name}`, 'one of entries, cqEntries, memoryLimit', name);
    }
  }
  const { entries = 256, cqEntries = 0, memoryLimit = Number.POSITIVE_INFINITY } = options;
  checkInteger('options.entries', entries, 1, 32768);
  if (options.cqEntries !== undefined) {
    checkInteger('options.cqEntries', cqEntries, entries, 65536);
  }
  if (typeof memoryLimit !== 'number') {
    throw typeError('options.memoryLimit', 'of type number', memoryLimit);
  }
  if (!(memoryLimit >= 0)) throw rangeError('options.memoryLimit', '>= 0', memoryLimit);
  return { entries, cqEntries, memoryLimit };
}

// PAIR: Kernel
/** A ring of the kernel, made for this thread (I6). */
export class Kernel implements Driver {
  readonly memory: ArrayBuffer;
  /** IORING_SETUP_* flags that the kernel accepted. */
  readonly flags: string[];
  /** SQ and CQ entries that it gave. */
  readonly entries: [number, number];
  private readonly words: Int32Array;
  private readonly ring: import('../index.d.ts').NativeRing;
  private readonly turn: () => void;
  private readonly reference: () => void;

  private constructor(ring: import('../index.d.ts').NativeRing) {
    const info = ring.info();
    this.ring = ring;
    this.flags = info.flags;
    this.entries = [info.entries, info.cqEntries];
    this.memory = ring.memory();
    this.words = new Int32Array(this.memory);
    this.turn = ring.turn();
    this.reference = ring.keepAlive();
  }

  // PAIR: Kernel.open
  /** Makes a ring. `wake` is called when completions wait. Refused: ERR_RINGCORE_UNAVAILABLE. */
  static open(options: CheckedOptions, wake: () => void): Kernel {
    const opened = native().openRing(options, wake);
    if ('reason' in opened) throw new UnavailableError(opened.reason, opened.advice);
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

  keepAlive(): void {
    this.reference();
  }

  grow(size: number): Growth | null {
    return this.ring.grow(size);
  }

  close(): boolean {
    return this.ring.close();
  }

  free(): void {
    this.ring.free();
  }
}
