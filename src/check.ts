// PAIR: only-typescript check.ts -- Rust's types say what is checked here at run time
//
// Arguments of operations: the typed error at the call, in Node's words, before anything happens.

import { fileURLToPath } from 'node:url';
import { gone } from './buffer.ts';
import { checkInteger, DetachedError, rangeError, typeError, valueError } from './error.ts';

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

export function checkFd(fd: unknown): number {
  return checkInteger('fd', fd, 0, 0x7fffffff);
}

export function checkView(name: string, view: unknown): ArrayBufferView {
  if (!ArrayBuffer.isView(view)) {
    throw typeError(name, 'an instance of Buffer, TypedArray, or DataView', view);
  }
  if (gone(view)) throw new DetachedError(0);
  return view;
}

export function checkOffset(offset: unknown): number | bigint {
  if (typeof offset === 'bigint') {
    if (offset < -1n || offset > 0x7fffffffffffffffn) {
      throw rangeError('offset', '>= -1n and <= 2n ** 63n - 1n', offset);
    }
    return offset;
  }
  return checkInteger('offset', offset, -1, Number.MAX_SAFE_INTEGER);
}

/** Milliseconds of a timer. */
export function checkMs(ms: unknown): number {
  if (typeof ms !== 'number') throw typeError('ms', 'of type number', ms);
  if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) {
    throw rangeError('ms', `>= 0 and <= ${Number.MAX_SAFE_INTEGER}`, ms);
  }
  return ms;
}

export function checkPath(path: unknown): string | Uint8Array {
  const name = path instanceof URL ? fileURLToPath(path) : path;
  if (typeof name === 'string') {
    if (name.includes('\0')) throw valueError('path', NO_NUL, name);
    return name;
  }
  if (name instanceof Uint8Array) {
    if (name.includes(0)) throw valueError('path', NO_NUL, Buffer.from(name).toString());
    return new Uint8Array(name); // A copy: the caller may change it before the first poll.
  }
  throw typeError('path', 'of type string or an instance of Buffer or URL', path);
}

const NO_NUL = 'must be a string, Uint8Array, or URL without null bytes';
