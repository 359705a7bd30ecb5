// Errors: Node's shape, codes of our own with the prefix ERR_RINGCORE_.
// Pair: crates/ringcore/src/error.rs

import type { Address } from './address.ts';
import { OPS, type OpInfo } from './table.ts';

/** Awaited operations carry stacks only under RINGCORE_DEBUG=1: capturing one costs 2 to 5 µs. */
export const DEBUG: boolean = variable('RINGCORE_DEBUG') === '1';

/** I9: importing is silent, also where the environment may not be read (Deno asks for a flag). */
function variable(name: string): string | undefined {
  try {
    return process.env[name];
  } catch {
    return undefined;
  }
}

/** An error of ringcore's own: `code` is the stable name. */
export class RingcoreError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
Object.defineProperty(RingcoreError.prototype, 'name', { value: 'Error' });

/** An error in the shape of node:fs: keys errno (negative), code, syscall, path, in this order. */
export interface SystemError extends Error {
  errno: number;
  code: string;
  syscall: string;
  path?: string;
  /** Of operations on two paths the second. */
  dest?: string;
  /** Of operations on sockets: where to; a path of unix sockets. */
  address?: string;
  port?: number;
}

const EACCES = 13;

/** Names and texts of the system's errors. */
let known: Map<number, [string, string]> | null = null;

// PAIR: errnoError
/** The error of a negative result. Message: `CODE: text, syscall 'path' -> 'dest'`. */
export function errnoError(
  errno: number,
  syscall: string,
  path?: string,
  dest?: string,
): SystemError {
  // A copy for each call: 21 of the 34 µs of a stat that finds nothing.
  known ??= process.getBuiltinModule('node:util').getSystemErrorMap();
  const [code, text] = known.get(-errno) ??
    OTHER_ERRNOS.get(errno) ?? ['UNKNOWN', `unknown error ${errno}`];
  const to = dest === undefined ? '' : ` -> '${dest}'`;
  const about = path === undefined ? '' : ` '${path}'${to}`;
  const error = new Error(`${code}: ${text}, ${syscall}${about}`) as SystemError;
  error.errno = -errno;
  error.code = code;
  error.syscall = syscall;
  if (path !== undefined) error.path = path;
  if (dest !== undefined) error.dest = dest;
  return error;
}

// PAIR: hostError
/** The error of a negative result of a socket, as node:net has it: `syscall CODE address:port`. */
export function hostError(errno: number, syscall: string, to?: Address): SystemError {
  const error = errnoError(errno, syscall);
  const path = to?.family === 'unix' ? `${Buffer.from(to.path as string)}` : undefined;
  const [address, port] = to === undefined || 'path' in to ? [path, 0] : [to.address, to.port];
  const where = port > 0 ? ` ${address}:${port}` : address ? ` ${address}` : '';
  error.message = `${syscall} ${error.code}${where}`;
  if (address !== undefined) error.address = address;
  if (port > 0) error.port = port;
  return error;
}

/** A member of a chain that never ran. Not an AbortError: nobody wished it. */
export function cutError(syscall: string, path?: string, dest?: string): SystemError {
  const error = errnoError(125, syscall, path, dest);
  error.message += ': the chain ended before it, with a member that failed or was short';
  return error;
}

/** Errnos of io_uring that libuv's map has no name for. */
const OTHER_ERRNOS: ReadonlyMap<number, [string, string]> = new Map([
  [53, ['EBADR', 'invalid request descriptor']],
  [62, ['ETIME', 'timer expired']],
]);

/** The operation or task was aborted. Never reported as an unhandled rejection. */
export class AbortError extends RingcoreError {
  constructor(reason?: unknown) {
    super(
      'ABORT_ERR',
      'The operation was aborted',
      reason === undefined ? undefined : { cause: reason },
    );
    // Node's has a name of its own, which a log of the error's fields shows.
    Object.defineProperty(this, 'name', { value: 'AbortError', enumerable: true });
  }
}
Object.defineProperty(AbortError.prototype, 'name', { value: 'AbortError' });

/** A timeout passed first. */
export class TimeoutError extends RingcoreError {
  constructor(ms: number) {
    super('ETIMEDOUT', `The operation timed out after ${ms} ms`);
  }
}
Object.defineProperty(TimeoutError.prototype, 'name', { value: 'TimeoutError' });

/** io_uring is refused here; `reason` says by what, `advice` what to do. */
export class UnavailableError extends RingcoreError {
  readonly reason: string;
  readonly advice: string;
  constructor(reason: string, advice: string, options?: ErrorOptions) {
    const message = `io_uring is not available: ${reason}.${advice ? ` ${advice}.` : ''}`;
    super('ERR_RINGCORE_UNAVAILABLE', message, options);
    this.reason = reason;
    this.advice = advice;
  }
}

/** The runtime is closed, or closes. */
export function closedError(): RingcoreError {
  return new RingcoreError('ERR_RINGCORE_CLOSED', 'The runtime is closed');
}

/** A future, memory or handle of another runtime. */
export function wrongRuntimeError(what: string): RingcoreError {
  return new RingcoreError('ERR_RINGCORE_WRONG_RUNTIME', `${what} belongs to another runtime`);
}

/** This kernel lacks one operation; the others go on. */
export function unsupportedError(syscall: string, opcode?: number): RingcoreError {
  const same = (op: OpInfo) =>
    opcode === undefined ? op.syscall === syscall : op.opcode === opcode;
  const info = OPS.find(same);
  const text = `This kernel has no ${info?.name ?? syscall}: it came with Linux ${info?.kernel}`;
  return new RingcoreError('ERR_RINGCORE_UNSUPPORTED_OP', text);
}

// PAIR: notAllowedError
/** An operation that the runtime's allow list lacks; `syscall` is Node's name of the call. */
export function notAllowedError(
  opcode: number,
  syscall: string,
  allowed: readonly string[],
): SystemError {
  const name = OPS.find((op) => op.opcode === opcode)?.name ?? syscall;
  const error = errnoError(EACCES, syscall);
  error.message += `: op.${name} is not in the runtime's allow list (${allowed.join(', ')})`;
  return error;
}

/** Growth beyond the memory limit, at the call, never a wait. */
export function memoryError(bytes: number, limit: number): RingcoreError {
  const text = Number.isFinite(limit)
    ? `memoryLimit is ${limit} bytes`
    : 'the system has no memory left';
  return new RingcoreError('ERR_RINGCORE_MEMORY', `No region of ${bytes} bytes: ${text}`);
}

/** The destination went away while the operation was in flight; nothing was written. */
export class DetachedError extends RingcoreError {
  readonly bytesRead: number;
  constructor(bytesRead: number) {
    const text = `was detached or shrunk while ${bytesRead} bytes were read for it`;
    const message = `The buffer ${bytesRead === 0 ? 'is detached' : text}`;
    super('ERR_RINGCORE_BUFFER_DETACHED', message);
    this.bytesRead = bytesRead;
  }
}

/** An argument of the wrong type, as Node says it. */
export function typeError(name: string, expected: string, actual: unknown): TypeError {
  const got =
    actual === null ? 'null' : typeof actual === 'object' ? nameOf(actual) : typeof actual;
  const error = new TypeError(`The "${name}" argument must be ${expected}. Received ${got}`);
  return Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' });
}

/** An argument outside of its range, as Node says it. */
export function rangeError(name: string, expected: string, actual: unknown): RangeError {
  const text = `The value of "${name}" is out of range. It must be ${expected}.`;
  const error = new RangeError(`${text} Received ${String(actual)}`);
  return Object.assign(error, { code: 'ERR_OUT_OF_RANGE' });
}

/** An argument with an impossible value, as Node says it. */
export function valueError(name: string, problem: string, actual: unknown): TypeError {
  const error = new TypeError(
    `The argument '${name}' ${problem}. Received ${JSON.stringify(actual)}`,
  );
  return Object.assign(error, { code: 'ERR_INVALID_ARG_VALUE' });
}

function nameOf(value: object): string {
  return `an instance of ${value.constructor?.name ?? 'Object'}`;
}

/** A whole number in a range, or the typed error at the call. */
export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number') throw typeError(name, 'of type number', value);
  if (!Number.isInteger(value)) throw rangeError(name, 'an integer', value);
  if (value < min || value > max) throw rangeError(name, `>= ${min} and <= ${max}`, value);
  return value;
}

/** An error whose stack nobody would read, made without the cost of one (except when debugging). */
export function withoutStack<T>(make: () => T): T {
  if (DEBUG) return make();
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = limit;
  }
}
