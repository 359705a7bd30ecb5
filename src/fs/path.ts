// PAIR: only-typescript path.ts -- Rust's CString does this
//
// Paths as the inputs area takes them.

import { errnoError } from '../error.ts';
import type { Ring } from '../ring.ts';

const ENAMETOOLONG = 36;

/** A checked path with its NUL. */
function pathBytes(path: string | Uint8Array, syscall: string): Uint8Array {
  const length = typeof path === 'string' ? Buffer.byteLength(path) : path.length;
  // PATH_MAX with its NUL is 4096: what the kernel would answer, without copying it there.
  if (length > 4095) throw errnoError(ENAMETOOLONG, syscall, pathText(path));
  const bytes = Buffer.allocUnsafe(length + 1);
  if (typeof path === 'string') bytes.write(path, 0);
  else bytes.set(path);
  bytes[length] = 0;
  return bytes;
}

/**
 * A checked path and its NUL in the inputs area; where. `border.inputBytes` says how long it is
 * there. Plain text goes there without a buffer of its own.
 */
export function inputPath(ring: Ring, path: string | Uint8Array, syscall: string): number {
  if (typeof path === 'string') {
    const from = ring.border.text(path);
    if (from >= 0) return from;
  }
  return ring.input(pathBytes(path, syscall));
}

/** A path as errors show it: half a surrogate pair as the character that the kernel was given. */
export function pathText(path: string | Uint8Array): string {
  return Buffer.from(path as string).toString();
}
