// A log: 4 KiB are written at the next place of a file and brought to the disk (fdatasync).

import { openSync, readSync } from 'node:fs';
import { BLOCK } from '../blocks.mjs';
import { must } from '../meter.mjs';

const BLOCKS = 16_384;

export const cases = [
  {
    name: 'write-fdatasync',
    title: 'write 4 KiB, then fdatasync, one after the other',
    unit: 'record',
    params: { inFlight: 1 },
    data: ['target'],
    warm: [],
    native: ['floor', 'twin', 'std', 'tokio', 'monoio', 'compio'],
    aims: [
      {
        than: 'best peer',
        least: 1,
        reason:
          'a tie within the noise of the disk, which is what is waited for; the write is made at ' +
          'once, the sync goes through a thread of the kernel, as through one of a pool.',
      },
    ],
  },
];

export function check({ dir }, { buffer }) {
  const fd = openSync(`${dir}/target`, 'r');
  const back = Buffer.alloc(BLOCK);
  return (count, i) => {
    must(count === BLOCK, `a write took ${count} bytes`);
    if (i % 64 !== 0) return;
    readSync(fd, back, 0, BLOCK, offset(i));
    must(back[0] === buffer[0] && back[BLOCK - 1] === buffer[0], 'it is not in the file');
  };
}

const offset = (i) => (i % BLOCKS) * BLOCK;
const block = () => Buffer.alloc(BLOCK, process.pid & 127);
const file = ({ dir }) => `${dir}/target`;

export const variants = {
  promises: async (context) => {
    const buffer = block();
    const handle = await context.fs.open(file(context), 'r+');
    const one = async (i) => {
      const { bytesWritten } = await handle.write(buffer, 0, BLOCK, offset(i));
      await handle.datasync();
      return bytesWritten;
    };
    return { buffer, one, end: () => handle.close() };
  },
  callback: (context) => {
    const buffer = block();
    const { write, fdatasync } = context.fs;
    const fd = openSync(file(context), 'r+');
    const one = (i, _l, done) =>
      write(fd, buffer, 0, BLOCK, offset(i), (error, count) => {
        if (error) done(error);
        else fdatasync(fd, (failed) => done(failed, count));
      });
    return { buffer, one };
  },
  sync: (context) => {
    const buffer = block();
    const { writeSync, fdatasyncSync } = context.fs;
    const fd = openSync(file(context), 'r+');
    const one = (i) => {
      const count = writeSync(fd, buffer, 0, BLOCK, offset(i));
      fdatasyncSync(fd);
      return count;
    };
    return { buffer, one };
  },
  /** One chain: one submission and one wake-up for both. */
  op: (context) => {
    const buffer = block();
    const { op } = context.ringcore;
    const fd = openSync(file(context), 'r+');
    return {
      buffer,
      *one(i) {
        const [count] = yield* op.link(op.write(fd, buffer, offset(i)), op.fdatasync(fd));
        return count;
      },
    };
  },
};
