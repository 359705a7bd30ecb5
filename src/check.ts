// PAIR: only-typescript check.ts -- Rust's types say what is checked here at run time
//
// Arguments of operations: the typed error at the call, in Node's words, before anything happens.

import { gone } from './buffer.ts';
import { checkInteger, DetachedError, rangeError, typeError, valueError } from './error.ts';
import type { OpOptions, TransferOptions } from './op.ts';

/** The options that every operation takes. */
export function checkOpOptions(options: unknown): { signal?: AbortSignal; ref?: boolean } {
  if (options === undefined) return {};
  if (typeof options !== 'object' || options === null) {
    throw typeError('options', 'of type object', options);
  }
  const { signal, ref } = options as { signal?: AbortSignal; ref?: boolean };
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw typeError('options.signal', 'an instance of AbortSignal', signal);
  }
  if (ref !== undefined && typeof ref !== 'boolean') {
    throw typeError('options.ref', 'of type boolean', ref);
  }
  return { ...(signal && { signal }), ...(ref !== undefined && { ref }) };
}

export function checkFd(fd: unknown, name = 'fd'): number {
  return checkInteger(name, fd, 0, 0x7fffffff);
}

export function checkView(name: string, view: unknown): ArrayBufferView {
  if (!ArrayBuffer.isView(view)) {
    throw typeError(name, 'an instance of Buffer, TypedArray, or DataView', view);
  }
  if (gone(view)) throw new DetachedError(0);
  return view;
}

/** A position in a file; `least` -1: the file position as well. */
export function checkOffset(offset: unknown, name = 'offset', least = -1): number | bigint {
  if (typeof offset === 'bigint') {
    if (offset < least || offset > 0x7fffffffffffffffn) {
      throw rangeError(name, `>= ${least}n and <= 2n ** 63n - 1n`, offset);
    }
    return offset;
  }
  return checkInteger(name, offset, least, Number.MAX_SAFE_INTEGER);
}

/** Flags of a system call; the kernel judges them. */
export function checkFlags(name: string, flags: unknown): number {
  return checkInteger(name, flags, 0, 0x7fffffff);
}

export function checkRwFlags(options: TransferOptions | undefined): number {
  const flags = options?.rwFlags;
  return flags === undefined ? 0 : checkFlags('options.rwFlags', flags);
}

/** Milliseconds of a timer. */
export function checkMs(ms: unknown): number {
  if (typeof ms !== 'number') throw typeError('ms', 'of type number', ms);
  if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) {
    throw rangeError('ms', `>= 0 and <= ${Number.MAX_SAFE_INTEGER}`, ms);
  }
  return ms;
}

export function checkPath(path: unknown, argument = 'path'): string | Uint8Array {
  const name =
    path instanceof URL ? process.getBuiltinModule('node:url').fileURLToPath(path) : path;
  if (typeof name === 'string') {
    if (name.includes('\0')) throw valueError(argument, NO_NUL, name);
    return name;
  }
  if (name instanceof Uint8Array) {
    if (name.includes(0)) throw valueError(argument, NO_NUL, Buffer.from(name).toString());
    return new Uint8Array(name); // A copy: the caller may change it before the first poll.
  }
  throw typeError(argument, 'of type string or an instance of Buffer or URL', path);
}

const NO_NUL = 'must be a string, Uint8Array, or URL without null bytes';

/** What every operation takes. */
export function checkOptions(options: OpOptions): OpOptions {
  if (typeof options !== 'object' || options === null) {
    throw typeError('options', 'of type object', options);
  }
  const { signal, ref } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw typeError('options.signal', 'an instance of AbortSignal', signal);
  }
  if (ref !== undefined && typeof ref !== 'boolean') {
    throw typeError('options.ref', 'of type boolean', ref);
  }
  return options;
}
