// copyFile of 16 MiB: to a path where nothing is, and over a file of the same size.

import { copyFileSync, readFileSync, rmSync, statSync } from 'node:fs';
import { must } from '../meter.mjs';

const SIZE = 16 << 20;

export const cases = [
  {
    name: 'copy-fresh',
    title: 'copyFile of 16 MiB to a new file',
    params: { inFlight: 1, over: false },
    aims: [{ than: 'node26 promises', least: 1 }],
  },
  {
    name: 'copy-over',
    title: 'copyFile of 16 MiB over a file of the same size',
    params: { inFlight: 1, over: true },
    aims: [{ than: 'node26 promises', least: 1.01 }],
  },
].map((one) => ({
  ...one,
  unit: 'MiB',
  scale: 16,
  data: ['source'],
  warm: ['source'],
  native: ['std', 'tokio'],
}));

export const isWhole = true;

const target = ({ dir }) => `${dir}/copied-${process.pid}`;
const source = ({ dir }) => `${dir}/source`;

export function check(context) {
  const expected = readFileSync(source(context));
  return (_value, i) => {
    must(statSync(target(context)).size === SIZE, 'the copy has another size');
    // All of it every eighth time: comparing takes longer than copying.
    if (i % 8 === 0) must(expected.equals(readFileSync(target(context))), 'the copy differs');
  };
}

/** What stands at the target before each copy. */
function prepared(context, one) {
  const path = target(context);
  const before = () => {
    if (!context.over) rmSync(path, { force: true });
  };
  if (context.over) copyFileSync(source(context), path);
  return { one, before, end: () => rmSync(path, { force: true }) };
}

export const variants = {
  promises: (context) =>
    prepared(context, () => context.fs.copyFile(source(context), target(context))),
  sync: (context) => prepared(context, () => copyFileSync(source(context), target(context))),
  bunfile: (context) => {
    const { Bun } = globalThis;
    return prepared(context, () => Bun.write(target(context), Bun.file(source(context))));
  },
  deno: (context) =>
    prepared(context, () => globalThis.Deno.copyFile(source(context), target(context))),
};
