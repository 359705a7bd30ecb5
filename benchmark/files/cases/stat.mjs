// stat of 10 000 files, one after the other and 64 at once.

import { must } from '../meter.mjs';

const COUNT = 10_000;
const SIZE = 1024;

export const cases = [1, 64].map((inFlight) => ({
  name: `stat-x${inFlight}`,
  title: `stat of 10 000 files, ${inFlight === 1 ? 'one at a time' : '64 at once'}`,
  unit: 'file',
  params: { inFlight, size: SIZE, count: COUNT },
  data: [`small-${SIZE}`],
  warm: [`small-${SIZE}`],
  native: ['floor', 'std', 'tokio', 'compio'],
  aims: [],
}));

export function check() {
  return ({ size }) => must(size === SIZE, `a file of ${SIZE} bytes has ${size}`);
}

const paths = ({ dir }) => Array.from({ length: COUNT }, (_, i) => `${dir}/small-${SIZE}/${i}`);

export const variants = {
  promises: (context) => {
    const { stat } = context.fs;
    const files = paths(context);
    return { one: (i) => stat(files[i % COUNT]) };
  },
  callback: (context) => {
    const { stat } = context.fs;
    const files = paths(context);
    return { one: (i, _l, done) => stat(files[i % COUNT], done) };
  },
  sync: (context) => {
    const { statSync } = context.fs;
    const files = paths(context);
    return { one: (i) => statSync(files[i % COUNT]) };
  },
  bunfile: (context) => {
    const files = paths(context);
    return { one: (i) => globalThis.Bun.file(files[i % COUNT]).stat() };
  },
  deno: (context) => {
    const files = paths(context);
    return { one: (i) => globalThis.Deno.stat(files[i % COUNT]) };
  },
  op: (context) => {
    const { op, AT_FDCWD } = context.ringcore;
    const files = paths(context);
    return { one: (i) => op.statx(AT_FDCWD, files[i % COUNT]) };
  },
};
