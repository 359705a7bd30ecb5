// What random reads and writes of blocks have in common. The Rust peers draw the same blocks.

import { openSync, readSync } from 'node:fs';
import { must } from './meter.mjs';

export const BLOCK = 4096;

/** The block of operation i: a hash, so that every variant asks for the same sequence. */
export function blockOf(i, blocks) {
  let hash = Math.imul(i + 1, 0x9e3779b1);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  return (hash >>> 0) % blocks;
}

/** How many bytes a read or write has moved: handles say it in an object. */
export function moved(value) {
  return typeof value === 'number' ? value : (value.bytesRead ?? value.bytesWritten);
}

/** Block k is filled with the byte k & 255. */
export function checkBlock(buffers, blocks) {
  return (value, i, l) => {
    const count = moved(value);
    const expected = blockOf(i, blocks) & 255;
    const buffer = buffers[l];
    must(count === BLOCK, `a block gave ${count} bytes`);
    must(buffer[0] === expected && buffer[BLOCK - 1] === expected, 'this is another block');
  };
}

/** One buffer for each loop; for O_DIRECT at an address that the disk takes. */
export function blockBuffers(count, fd, direct) {
  return Array.from({ length: count }, () => {
    if (!direct) return Buffer.alloc(BLOCK);
    const room = Buffer.alloc(2 * BLOCK);
    // JavaScript is not told addresses: the kernel says which one is right.
    for (let from = 0; from < BLOCK; from += 4) {
      const buffer = room.subarray(from, from + BLOCK);
      try {
        readSync(fd, buffer, 0, BLOCK, 0);
        return buffer;
      } catch (error) {
        if (error.code !== 'EINVAL') throw error;
      }
    }
    throw new Error('no address is right for O_DIRECT');
  });
}

/** Linux on x64; node:fs has it on Linux, Deno's copy may not. */
const O_DIRECT = 0o40000;

export function openBlocks(path, direct, flags = 0) {
  return openSync(path, flags | (direct ? O_DIRECT : 0));
}

export function openFlags(direct) {
  return direct ? O_DIRECT : 0;
}
