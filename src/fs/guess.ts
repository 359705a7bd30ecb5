// PAIR: only-typescript guess.ts -- in Rust a file is read into a Vec that grows
//
// What whole files are like, by the last ones: how much the ring is asked for first.

import type { Runtime } from '../runtime.ts';
import { decode } from '../statx.ts';
import { readCached, UNKNOWN } from './cached.ts';

/**
 * Bytes of the first read. What is asked for counts against what one enter may move (I8), whatever
 * comes: 64 reads of 68 KiB are five enters. So it is small as long as files are; one of 64 KiB
 * still ends in a short read of the large one.
 */
export const SMALL: number = 16 << 10;
export const LARGE: number = 68 << 10;
/** Small files in a row after which the first read is small again. */
const SMALL_ONES = 64;

/** What Node reads into one buffer at most. */
export const LARGEST: number = 2 ** 31 - 1;

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;

/** `first`: how much the next file is asked for. */
export const guess: { first: number; small: number } = { first: SMALL, small: 0 };

/** A file had so many bytes. */
export function had(bytes: number): void {
  if (bytes > SMALL) {
    guess.small = 0;
    guess.first = LARGE;
  } else if (++guess.small >= SMALL_ONES) guess.first = SMALL;
}

/** A look at a file, before the ring does anything. */
export function lookAt(runtime: Runtime, path: string | Uint8Array): number {
  try {
    const res = readCached(runtime, path);
    if (res >= 0) had(res);
    return res;
  } catch {
    return UNKNOWN; // There is no ring, or no such path: the operation will say it.
  }
}

/** The size in a statx; -1: it is of no regular file. */
export function sizeIn(statx: Uint8Array): number {
  const { mode, size } = decode<number>(statx, false);
  return (mode & S_IFMT) === S_IFREG ? size : -1;
}

/** More than a result may have. */
export function tooLarge(size: number): RangeError {
  const text = `File size (${size}) is greater than 2 GiB`;
  return Object.assign(new RangeError(text), { code: 'ERR_FS_FILE_TOO_LARGE' });
}
