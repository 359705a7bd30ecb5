// Random reads of 4 KiB blocks of a 256 MiB file: from the page cache, and past it (O_DIRECT).

import { BLOCK, blockBuffers, blockOf, checkBlock, openBlocks, openFlags } from '../blocks.mjs';

const BLOCKS = 65_536;
const FROM = { warm: 'from the page cache', direct: 'O_DIRECT' };

const FLOOR =
  'of 1.6 µs the kernel takes 1.0 and the copy out of the ring’s memory 0.15 (I1); the rest ' +
  'is a promise, its result object, which node makes without a prototype (0.07), and their ' +
  'collection.';
const WAKE =
  'fio waits inside of the ring; here each wave of completions wakes the event loop, and with ' +
  '32 in flight the disk stands still meanwhile, with 256 it does not. The floor, which waits in ' +
  'the ring as well, reaches 0.85 of fio.';
const DISK =
  'at the edge, by the noise of the disk: 0.99 in an earlier run, and all that is ' +
  'above 10 µs a read is waiting for it.';

const aims = {
  'reads-warm-x1': [{ than: 'node26 promises', least: 8 }],
  'reads-warm-x32': [
    { than: 'best peer', least: 1.5, reason: FLOOR },
    { than: 'rust floor', field: 'cpu', most: 1.5, reason: FLOOR },
    {
      field: 'syscalls',
      most: 0.05,
      reason:
        'at the edge (0.051 here, 0.048 in an earlier run): eight enters for the 256 reads of a ' +
        'budget, and the few calls of one round of the event loop.',
    },
  ],
  'reads-direct-x32': [
    { than: 'fio io_uring', least: 0.95, reason: WAKE },
    { than: 'node26 promises', least: 2, reason: WAKE },
  ],
  'reads-direct-x256': [
    { than: 'fio io_uring', least: 0.95, reason: DISK },
    { than: 'node26 promises', least: 2 },
  ],
};

export const cases = ['warm', 'direct'].flatMap((kind) =>
  [1, 32, 256].map((inFlight) => ({
    name: `reads-${kind}-x${inFlight}`,
    title: `random 4 KiB reads, ${FROM[kind]}, ${inFlight} in flight`,
    unit: 'read',
    params: { inFlight, direct: kind === 'direct', blocks: BLOCKS },
    data: ['blocks'],
    warm: kind === 'warm' ? ['blocks'] : [],
    native: ['floor', 'twin', 'std', 'tokio', 'monoio', 'compio'],
    without: kind === 'direct' ? ['bunfile'] : [],
    fio: kind === 'warm' ? ['psync', 'io_uring'] : ['psync', 'libaio', 'io_uring'],
    syscalls: kind === 'warm' && inFlight === 32,
    aims: aims[`reads-${kind}-x${inFlight}`],
  })),
);

export function check(_context, { buffers }) {
  return checkBlock(buffers, BLOCKS);
}

const offset = (i) => blockOf(i, BLOCKS) * BLOCK;

function common({ dir, direct, inFlight }) {
  const fd = openBlocks(`${dir}/blocks`, direct);
  return { fd, buffers: blockBuffers(inFlight, fd, direct) };
}

export const variants = {
  promises: async (context) => {
    const { buffers } = common(context);
    const handle = await context.fs.open(`${context.dir}/blocks`, openFlags(context.direct));
    return {
      buffers,
      one: (i, l) => handle.read(buffers[l], 0, BLOCK, offset(i)),
      end: () => handle.close(),
    };
  },
  callback: (context) => {
    const { fd, buffers } = common(context);
    const { read } = context.fs;
    return { buffers, one: (i, l, done) => read(fd, buffers[l], 0, BLOCK, offset(i), done) };
  },
  sync: (context) => {
    const { fd, buffers } = common(context);
    const { readSync } = context.fs;
    return { buffers, one: (i, l) => readSync(fd, buffers[l], 0, BLOCK, offset(i)) };
  },
  /** A slice of the file for each read: Bun has no other positioned read of its own. */
  bunfile: (context) => {
    const file = globalThis.Bun.file(`${context.dir}/blocks`);
    const buffers = [];
    const one = async (i, l) => {
      const from = offset(i);
      buffers[l] = await file.slice(from, from + BLOCK).bytes();
      return buffers[l].length;
    };
    return { buffers, one };
  },
  op: (context) => {
    const { fd, buffers } = common(context);
    const { op } = context.ringcore;
    return { buffers, one: (i, l) => op.read(fd, buffers[l], offset(i)) };
  },
};
