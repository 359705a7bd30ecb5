// How long the event loop stands still: a 1 ms interval beside a loop that reads 16 MiB files.

import { must } from '../meter.mjs';

const SIZE = 16 << 20;
const FILES = 4;

export const cases = [
  {
    name: 'gap-16m',
    title: 'the largest gap of a 1 ms interval while 16 MiB files are read',
    unit: 'file',
    main: { field: 'gap', name: 'largest gap', unit: 'ms' },
    params: {},
    data: ['large'],
    warm: ['large'],
    native: [],
    aims: [{ field: 'gap', most: 20 }],
  },
];

const path = ({ dir }, i) => `${dir}/large/${i % FILES}`;

export const variants = {
  idle: () => () => new Promise((resolve) => setTimeout(resolve, 5)),
  promises: (context) => (i) => context.fs.readFile(path(context, i)),
  callback: (context) => (i) =>
    new Promise((resolve, reject) => {
      context.fs.readFile(path(context, i), (error, bytes) =>
        error ? reject(error) : resolve(bytes),
      );
    }),
  bunfile: (context) => (i) => globalThis.Bun.file(path(context, i)).bytes(),
  deno: (context) => (i) => globalThis.Deno.readFile(path(context, i)),
};

/** The largest distance between two calls of an interval. */
function watch() {
  let [last, worst] = [performance.now(), 0];
  const timer = setInterval(() => {
    const now = performance.now();
    worst = Math.max(worst, now - last);
    last = now;
  }, 1);
  return {
    restart: () => {
      [last, worst] = [performance.now(), 0];
    },
    end: () => {
      clearInterval(timer);
      return Math.max(worst, performance.now() - last);
    },
  };
}

export async function measure(program, context) {
  const one = program({ ...context, ...(await context.modules()) });
  const watched = watch();
  const readFor = async (ms) => {
    const until = performance.now() + ms;
    let ops = 0;
    while (performance.now() < until) {
      const bytes = await one(ops++);
      if (context.programName === 'idle') continue;
      must(bytes.length === SIZE && bytes[SIZE - 1] === bytes[0], 'a file is not what it was');
    }
    return ops;
  };
  await readFor(context.warmMs);
  watched.restart();
  const [begun, cpu] = [performance.now(), process.cpuUsage()];
  const ops = await readFor(Math.max(2 * context.runMs, 100));
  const elapsed = performance.now() - begun;
  const { user, system } = process.cpuUsage(cpu);
  const used = ((user + system) * 1000) / ops;
  return { gap: watched.end(), ns: (elapsed * 1e6) / ops, cpu: used, ops, all: ops, disk: 0 };
}
