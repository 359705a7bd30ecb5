// Arguments that are plainly well-formed. Anything else is handed to node's own function, which
// raises its own error: so the errors are node's by construction.

import { AbortError } from '../error.ts';
import { COPYFILE_OWNER } from '../sqe.ts';
import { nodeFs } from './builtin.ts';

const { setImmediate } = process.getBuiltinModule('node:timers');

const { constants } = nodeFs;
const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_SYNC, O_TRUNC, O_WRONLY } = constants;
const { O_NONBLOCK } = constants;

/** Longer than any path: which of two is wrong first is the kernel's to say, and node's. */
function isLong(path: string): boolean {
  return path.length > 1365 && Buffer.byteLength(path) > 4095;
}

/** A path without NUL as operations take it, or null. */
export function plainPath(path: unknown): string | Uint8Array | null {
  if (path === '') return null; // As with one that is too long.
  if (typeof path === 'string') return path.includes('\0') || isLong(path) ? null : path;
  if (path instanceof Uint8Array) {
    // A copy: the caller may change it meanwhile.
    return path.includes(0) || path.length > 4095 ? null : new Uint8Array(path);
  }
  if (path instanceof URL && path.protocol === 'file:') {
    try {
      return plainPath(process.getBuiltinModule('node:url').fileURLToPath(path));
    } catch {
      return null;
    }
  }
  return null;
}

const FLAGS: ReadonlyMap<unknown, number> = new Map<unknown, number>(
  Object.entries({
    r: O_RDONLY,
    rs: O_RDONLY | O_SYNC,
    sr: O_RDONLY | O_SYNC,
    'r+': O_RDWR,
    'rs+': O_RDWR | O_SYNC,
    'sr+': O_RDWR | O_SYNC,
    w: O_TRUNC | O_CREAT | O_WRONLY,
    wx: O_TRUNC | O_CREAT | O_WRONLY | O_EXCL,
    xw: O_TRUNC | O_CREAT | O_WRONLY | O_EXCL,
    'w+': O_TRUNC | O_CREAT | O_RDWR,
    'wx+': O_TRUNC | O_CREAT | O_RDWR | O_EXCL,
    'xw+': O_TRUNC | O_CREAT | O_RDWR | O_EXCL,
    a: O_APPEND | O_CREAT | O_WRONLY,
    ax: O_APPEND | O_CREAT | O_WRONLY | O_EXCL,
    xa: O_APPEND | O_CREAT | O_WRONLY | O_EXCL,
    as: O_APPEND | O_CREAT | O_WRONLY | O_SYNC,
    sa: O_APPEND | O_CREAT | O_WRONLY | O_SYNC,
    'a+': O_APPEND | O_CREAT | O_RDWR,
    'ax+': O_APPEND | O_CREAT | O_RDWR | O_EXCL,
    'xa+': O_APPEND | O_CREAT | O_RDWR | O_EXCL,
    'as+': O_APPEND | O_CREAT | O_RDWR | O_SYNC,
    'sa+': O_APPEND | O_CREAT | O_RDWR | O_SYNC,
  }),
);

/** Flags of open(2), or -1. */
export function plainFlags(flags: unknown, otherwise: string): number {
  if (flags === undefined || flags === null) return FLAGS.get(otherwise) as number;
  if (typeof flags === 'number') {
    // What must not wait answers EAGAIN to node; the ring waits for it all the same.
    if ((flags & O_NONBLOCK) !== 0) return -1;
    return isCount(flags) && flags <= 0x7fffffff ? flags : -1;
  }
  return FLAGS.get(flags) ?? -1;
}

/** Permissions, or -1. */
export function plainMode(mode: unknown, otherwise: number): number {
  if (mode === undefined || mode === null) return otherwise;
  if (typeof mode === 'string') {
    return /^[0-7]{1,4}$/.test(mode) ? Number.parseInt(mode, 8) : -1;
  }
  return isCount(mode) && (mode as number) <= 0o7777 ? (mode as number) : -1;
}

/** COPYFILE_*, or -1. */
export function plainCopy(mode: unknown): number {
  if (mode === undefined || mode === null) return OWNER;
  return isCount(mode) && (mode as number) <= 7 ? (mode as number) | OWNER : -1;
}

/** Since libuv 1.51 a copy has the owner of its source, where that is permitted. */
const OWNER = ownerIsCopied() ? COPYFILE_OWNER : 0;

function ownerIsCopied(): boolean {
  const { uv, bun, deno } = process.versions as Record<string, string | undefined>;
  if (uv === undefined || bun !== undefined || deno !== undefined) return false;
  const [major = 0, minor = 0] = uv.split('.').map(Number);
  return major > 1 || minor >= 51;
}

/** A whole number that is not negative. */
export function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Whether it brings one thing after the other: a list, a generator, a stream. */
export function isIterable(data: unknown): boolean {
  const source = data as { [Symbol.iterator]?: unknown; [Symbol.asyncIterator]?: unknown } | null;
  return Boolean(source?.[Symbol.asyncIterator] ?? source?.[Symbol.iterator]);
}

/** Options of functions that read or write a whole file. */
export interface FileOptions {
  encoding: BufferEncoding | null;
  flag: unknown;
  mode: unknown;
  flush: boolean;
  signal: AbortSignal | undefined;
}

const NO_OPTIONS: FileOptions = {
  encoding: null,
  flag: undefined,
  mode: undefined,
  flush: false,
  signal: undefined,
};

const FILE_OPTIONS: ReadonlySet<string> = new Set(Object.keys(NO_OPTIONS));

/**
 * Whether it sets more than these, which a younger Node may know of (`buffer` of readFile), or is
 * of a kind that one may refuse. What is inherited counts, as it does to node.
 */
function setsMore(options: object, known: ReadonlySet<string>): boolean {
  if (Array.isArray(options) || ArrayBuffer.isView(options)) return true;
  for (const name in options) {
    if (!known.has(name) && (options as Record<string, unknown>)[name] !== undefined) return true;
  }
  return false;
}

/** Options as node takes them: an encoding, an object, or nothing. null: not plain. */
export function plainOptions(options: unknown): FileOptions | null {
  if (options === undefined || options === null) return NO_OPTIONS;
  if (typeof options === 'string') {
    return Buffer.isEncoding(options) ? { ...NO_OPTIONS, encoding: options } : null;
  }
  if (typeof options !== 'object') return null;
  const { encoding, flag, mode, flush, signal } = options as Partial<FileOptions>;
  if (encoding !== undefined && encoding !== null && !Buffer.isEncoding(encoding)) return null;
  if (signal !== undefined && !(signal instanceof AbortSignal)) return null;
  if (flush !== undefined && flush !== null && typeof flush !== 'boolean') return null;
  if (setsMore(options, FILE_OPTIONS)) return null;
  return { encoding: encoding ?? null, flag, mode, flush: flush ?? false, signal };
}

const STAT_OPTIONS: ReadonlySet<string> = new Set(['bigint']);

/** Whether the options of stat ask for bigints. null: not plain. */
export function plainBigint(options: unknown): boolean | null {
  if (options === undefined) return false;
  // A list is an object to some versions of Node.
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return null;
  const { bigint } = options as { bigint?: unknown };
  if (bigint !== undefined && typeof bigint !== 'boolean') return null;
  return setsMore(options, STAT_OPTIONS) ? null : bigint === true;
}

/** The signal for operations of the ring. What only stands for one is looked at, no more. */
export function watched(signal: AbortSignal | undefined): { signal: AbortSignal } | undefined {
  if (signal === undefined) return undefined;
  return process.getBuiltinModule('node:util').types.isProxy(signal) ? undefined : { signal };
}

/** What node does between steps. */
export function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortError(signal.reason);
}

/**
 * Lets others abort first. Every step of node's takes an iteration of the event loop, so an abort
 * that was on its way when the call was made comes in time; a ring may be done before that.
 */
export async function letAbort(signal: AbortSignal | undefined): Promise<void> {
  checkAborted(signal);
  await new Promise<void>((resolve) => setImmediate(resolve));
  checkAborted(signal);
}
