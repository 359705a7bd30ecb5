// The cost of an operation by how many are in flight: reads of 64 bytes, 1 to 100 000 at once.

import { openSync } from 'node:fs';
import { BLOCK, blockOf, moved } from '../blocks.mjs';
import { must } from '../meter.mjs';

const BLOCKS = 65_536;
const BYTES = 64;
const LIVE =
  'what is in flight outlives collections of the young: a third of the CPU at 100 000 is ' +
  'the collector, which copies every pending promise twice, and memory that is cold by ' +
  'then.';

export const cases = [
  {
    name: 'in-flight',
    title: 'reads of 64 bytes, by how many are in flight',
    unit: 'read',
    narrow: true,
    params: {},
    points: [1, 32, 1_000, 10_000, 100_000],
    data: ['blocks'],
    warm: ['blocks'],
    native: ['floor', 'twin'],
    aims: [
      {
        text: 'dearest of 32 to 100 000 in flight by the cheapest, time',
        most: 1.3,
        spread: { field: 'ns', from: 32 },
        reason: LIVE,
      },
      {
        text: 'dearest of 32 to 100 000 in flight by the cheapest, CPU',
        most: 1.3,
        spread: { field: 'cpu', from: 32 },
        reason: LIVE,
      },
    ],
  },
];

export function check(_context, { buffers }) {
  return (value, i, l) => {
    const count = moved(value);
    must(count === BYTES, `a read gave ${count} bytes`);
    must(buffers[l][0] === (blockOf(i, BLOCKS) & 255), 'this is another block');
  };
}

const offset = (i) => blockOf(i, BLOCKS) * BLOCK;
const file = ({ dir }) => `${dir}/blocks`;

/** Views of one array: 100 000 arrays of their own would measure the collector. */
function views({ inFlight }) {
  const room = new ArrayBuffer(inFlight * BYTES);
  return Array.from({ length: inFlight }, (_, l) => Buffer.from(room, l * BYTES, BYTES));
}

export const variants = {
  promises: async (context) => {
    const buffers = views(context);
    const handle = await context.fs.open(file(context));
    return {
      buffers,
      one: (i, l) => handle.read(buffers[l], 0, BYTES, offset(i)),
      end: () => handle.close(),
    };
  },
  callback: (context) => {
    const buffers = views(context);
    const fd = openSync(file(context), 'r');
    const { read } = context.fs;
    return { buffers, one: (i, l, done) => read(fd, buffers[l], 0, BYTES, offset(i), done) };
  },
  op: (context) => {
    const buffers = views(context);
    const fd = openSync(file(context), 'r');
    const { op } = context.ringcore;
    return { buffers, one: (i, l) => op.read(fd, buffers[l], offset(i)) };
  },
};
