// rm of a tree: a copy of the one of cp.mjs, 1 000 files in 50 folders, made before the clock runs.
//
// It is behind cp: on ext4 a file that is made soon after many were removed costs more.

import { cpSync, existsSync } from 'node:fs';
import { must } from '../meter.mjs';

export const cases = [
  {
    name: 'rm-tree',
    title: 'rm of a tree of 1 000 files in 50 folders',
    unit: 'file',
    scale: 1_000,
    params: { inFlight: 1, warmMs: 1, runMs: 1 },
    data: ['tree', 'copies'],
    warm: ['tree'],
    native: [],
    aims: [
      {
        than: 'node26 promises',
        least: 1,
        reason:
          'one native request, as with Node 26, on two threads: without a second processor ' +
          'there is no more to be had than the calls themselves.',
      },
    ],
  },
];

export const isWhole = true;

const target = ({ dir }, i) => `${dir}/copies/rm-${process.pid}-${i}`;
const before = (context) => (i) =>
  cpSync(`${context.dir}/tree`, target(context, i), { recursive: true });

export const check = (context) => (_value, i) => {
  must(!existsSync(target(context, i)), 'nothing is left of it');
};

const options = { recursive: true };

export const variants = {
  promises: (context) => ({
    before: before(context),
    one: (i) => context.fs.rm(target(context, i), options),
  }),
  sync: (context) => ({
    before: before(context),
    one: (i) => context.fs.rmSync(target(context, i), options),
  }),
};
