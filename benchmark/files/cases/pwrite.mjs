// Random writes of 4 KiB blocks into a 64 MiB file that is there already, 32 in flight.

import { openSync, readSync } from 'node:fs';
import { BLOCK, blockOf, moved } from '../blocks.mjs';
import { must } from '../meter.mjs';

const BLOCKS = 16_384;

export const cases = [
  {
    name: 'pwrite-x32',
    title: 'random 4 KiB writes, 32 in flight',
    unit: 'write',
    params: { inFlight: 32 },
    data: ['target'],
    warm: ['target'],
    native: ['floor', 'twin', 'std', 'tokio', 'monoio', 'compio'],
    aims: [
      {
        than: 'best peer',
        least: 1,
        reason:
          'a tie within the noise (0.83 to 1.08 in runs one after the other): one thread makes ' +
          'them all, in place of the pool’s two, for less CPU.',
      },
    ],
  },
];

/** Every 1024th block is read back: what was said to be written is there. */
export function check({ dir }, { buffers }) {
  const fd = openSync(`${dir}/target`, 'r');
  const back = Buffer.alloc(BLOCK);
  return (value, i, l) => {
    const count = moved(value);
    must(count === BLOCK, `a write took ${count} bytes`);
    if (i % 1024 !== 0) return;
    readSync(fd, back, 0, BLOCK, offset(i));
    must(back[0] === buffers[l][0] && back[BLOCK - 1] === buffers[l][0], 'it is not in the file');
  };
}

const offset = (i) => blockOf(i, BLOCKS) * BLOCK;

/** All loops write the same byte, so that two that meet at one block leave what both expect. */
function common({ dir, inFlight }) {
  const byte = process.pid & 127;
  const buffers = Array.from({ length: inFlight }, () => Buffer.alloc(BLOCK, byte));
  return { fd: openSync(`${dir}/target`, 'r+'), buffers };
}

export const variants = {
  promises: async (context) => {
    const { buffers } = common(context);
    const handle = await context.fs.open(`${context.dir}/target`, 'r+');
    return {
      buffers,
      one: (i, l) => handle.write(buffers[l], 0, BLOCK, offset(i)),
      end: () => handle.close(),
    };
  },
  callback: (context) => {
    const { fd, buffers } = common(context);
    const { write } = context.fs;
    return { buffers, one: (i, l, done) => write(fd, buffers[l], 0, BLOCK, offset(i), done) };
  },
  sync: (context) => {
    const { fd, buffers } = common(context);
    const { writeSync } = context.fs;
    return { buffers, one: (i, l) => writeSync(fd, buffers[l], 0, BLOCK, offset(i)) };
  },
  op: (context) => {
    const { fd, buffers } = common(context);
    const { op } = context.ringcore;
    return { buffers, one: (i, l) => op.write(fd, buffers[l], offset(i)) };
  },
};
