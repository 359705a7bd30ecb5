// Set-up: the options of a ring, checked at the call.
// Pair: crates/ringcore/src/setup.rs
//
// What the user named is never stepped down from: it works, or ERR_RINGCORE_UNAVAILABLE says which
// flag does not. Flags of our own are, so that an older kernel gives a ring as well.

import { checkInteger, rangeError, typeError, valueError } from './error.ts';
import type { Runtime } from './runtime.ts';
import { OPS } from './table.ts';

// PAIR: Options
/** How a ring is made. */
export interface Options {
  /** SQ entries, rounded up to a power of two by the kernel: 1 to 32768. Default 256. */
  entries?: number | undefined;
  /** CQ entries, at least as many as `entries`. Default: four times the SQ. */
  cqEntries?: number | undefined;
  /** Bytes of copied memory at most; beyond it operations fail with ERR_RINGCORE_MEMORY. */
  memoryLimit?: number | undefined;
  /**
   * A thread of the kernel's takes the operations, so that a busy ring needs no system call. It
   * uses a CPU of its own until it has been idle. Between the start of an operation and its end its
   * descriptor must stay open: the thread looks it up when it gets there. Kernel: 5.13.
   */
  sqpoll?: Sqpoll | undefined;
  /**
   * A runtime of this thread whose polling thread this one shares; both need `sqpoll`. Without it
   * nothing is gained since Linux 5.12: worker threads belong to the thread, not to its rings.
   */
  attach?: Runtime | undefined;
  /** Worker threads at most: [bounded, unbounded], or by name. Kernel: 5.15. */
  maxWorkers?: MaxWorkers | readonly [bounded: number, unbounded: number] | undefined;
  /**
   * Names of the only operations (`op.*`) that this runtime may ever run, beside its own: nop,
   * timeout, cancel, close. The kernel keeps to it for the ring's whole life; any other operation
   * rejects with EACCES. Kernel: 5.10.
   */
  allow?: readonly string[] | undefined;
}

// PAIR: Sqpoll
/** The kernel's polling thread. */
export interface Sqpoll {
  /** Milliseconds without work until it sleeps, at least 1. Default 50. */
  idleMs?: number | undefined;
  /** The CPU that it stays on. */
  cpu?: number | undefined;
}

// PAIR: MaxWorkers
/**
 * Threads of the kernel's that run what would block. They belong to the thread, not to one ring:
 * what was named last holds for all rings of this thread that do not poll.
 */
export interface MaxWorkers {
  /** For regular files and block devices. Default 4. */
  bounded?: number | undefined;
  /** For everything else: sockets, pipes, terminals. Default 64. */
  unbounded?: number | undefined;
}

/** The same with every default filled in; null: not named. */
export interface CheckedOptions {
  entries: number;
  cqEntries: number;
  memoryLimit: number;
  sqpoll: { idleMs: number; cpu: number | null } | null;
  attach: Runtime | null;
  maxWorkers: [number, number] | null;
  allow: string[] | null;
}

const NAMES = ['entries', 'cqEntries', 'memoryLimit', 'sqpoll', 'attach', 'maxWorkers', 'allow'];

/** Checks at the call: wrong types and ranges are typed errors, never an abort. */
export function checkOptions(options: Options = {}): CheckedOptions {
  checkNames('options', options, NAMES);
  const { entries = 256, cqEntries = 0, memoryLimit = Number.POSITIVE_INFINITY } = options;
  checkInteger('options.entries', entries, 1, 32768);
  if (options.cqEntries !== undefined) {
    checkInteger('options.cqEntries', cqEntries, entries, 65536);
  }
  if (typeof memoryLimit !== 'number') {
    throw typeError('options.memoryLimit', 'of type number', memoryLimit);
  }
  if (!(memoryLimit >= 0)) throw rangeError('options.memoryLimit', '>= 0', memoryLimit);
  const sqpoll = options.sqpoll === undefined ? null : checkSqpoll(options.sqpoll);
  const attach = options.attach ?? null;
  const maxWorkers = options.maxWorkers === undefined ? null : checkWorkers(options.maxWorkers);
  const allow = options.allow === undefined ? null : checkAllow(options.allow);
  return { entries, cqEntries, memoryLimit, sqpoll, attach, maxWorkers, allow };
}

/** An object with no other keys than these. */
function checkNames(name: string, value: unknown, keys: readonly string[]): void {
  if (typeof value !== 'object' || value === null) throw typeError(name, 'of type object', value);
  for (const key of Object.keys(value)) {
    if (!keys.includes(key)) throw rangeError(`${name}.${key}`, `one of ${keys.join(', ')}`, key);
  }
}

function checkSqpoll(sqpoll: Sqpoll): CheckedOptions['sqpoll'] {
  checkNames('options.sqpoll', sqpoll, ['idleMs', 'cpu']);
  const { idleMs = 50, cpu } = sqpoll;
  // 0 would be a second to the kernel.
  checkInteger('options.sqpoll.idleMs', idleMs, 1, 0x7fffffff);
  if (cpu !== undefined) checkInteger('options.sqpoll.cpu', cpu, 0, 0xffff);
  return { idleMs, cpu: cpu ?? null };
}

function checkWorkers(workers: NonNullable<Options['maxWorkers']>): [number, number] {
  const list = Array.isArray(workers);
  if (list && workers.length !== 2) {
    throw valueError('options.maxWorkers', 'must be [bounded, unbounded]', workers);
  }
  if (!list) checkNames('options.maxWorkers', workers, ['bounded', 'unbounded']);
  const named = workers as MaxWorkers;
  const { bounded = 4, unbounded = 64 } = list
    ? { bounded: workers[0], unbounded: workers[1] }
    : named;
  checkInteger('options.maxWorkers.bounded', bounded, 1, 0xffff);
  checkInteger('options.maxWorkers.unbounded', unbounded, 1, 0xffff);
  return [bounded, unbounded];
}

function checkAllow(allow: readonly string[]): string[] {
  if (!Array.isArray(allow)) throw typeError('options.allow', 'an instance of Array', allow);
  for (const [index, name] of allow.entries()) {
    const place = `options.allow[${index}]`;
    if (typeof name !== 'string') throw typeError(place, 'of type string', name);
    if (!OPS.some((op) => op.name === name)) {
      throw valueError(place, 'must be the name of an operation (op.*)', name);
    }
  }
  return [...allow];
}

/** What every runtime needs for itself. */
const OWN = ['nop', 'timeout', 'cancel', 'close'];

/** The operations that an allow list lets through: a variant allows its opcode. */
export function allowedNames(allow: readonly string[]): string[] {
  const listed = OPS.filter((op) => allow.includes(op.name) || OWN.includes(op.name));
  const opcodes = new Set(listed.map((op) => op.opcode));
  return OPS.filter((op) => opcodes.has(op.opcode)).map((op) => op.name);
}
