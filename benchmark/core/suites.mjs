// What `npm run bench -- core` runs, and what it must reach.

/**
 * A variant is one fresh process and one row. `args` follow the variant's name; FILE and FOLDER
 * stand for what the runner has made. `native`: a Rust example instead of a case of ours.
 */
function rows(script, args, names, more = {}) {
  return names.map((name) => ({
    id: [name, ...more.label].join(' '),
    script,
    name,
    args,
    ...more,
  }));
}

const nops = (atOnce, names) => rows('nop', [atOnce], names, { label: [`x${atOnce}`] });
const reads = (inFlight) => [
  ...rows('reads', [inFlight, 'FILE'], ['awaited', 'tasks'], { label: [`x${inFlight}`] }),
  { id: `rust x${inFlight}`, native: 'reads', args: [inFlight, 'FILE'] },
  ...rows('reads', [inFlight, 'FILE'], ['callback', 'filehandle'], { label: [`x${inFlight}`] }),
  ...(inFlight === 1 ? rows('reads', [1, 'FILE'], ['sync'], { label: ['x1'] }) : []),
];
const flush = (chains) =>
  rows('flush', [chains, 'FOLDER'], ['microtask', 'nexttick', 'immediate'], {
    label: [`x${chains}`],
  });

/**
 * Aims look at CPU per operation: where everything runs on one thread it is the same as the time,
 * and other programs on the machine move it least. `of` maps the rows of one round to a number.
 */
export const core = [
  {
    title: 'nops: await, 256 at once, and what is below it',
    cases: [
      ...nops(256, ['thenable', 'bare', 'awaited', 'tasks']),
      ...nops(32, ['bare', 'awaited', 'tasks']),
      ...nops(1, ['bare', 'awaited', 'tasks']),
    ],
    aims: [
      {
        text: 'awaited x256 / (thenable x256 + bare x256)',
        most: 1.35,
        of: (row) => row('awaited x256') / (row('thenable x256') + row('bare x256')),
      },
      {
        text: 'tasks x256 / bare x256',
        most: 2,
        of: (row) => row('tasks x256') / row('bare x256'),
      },
    ],
  },
  {
    title: 'warm random 4 KiB reads of a 256 MiB file',
    cases: [...reads(32), ...reads(1), ...reads(256)],
    aims: [1, 32, 256].flatMap((inFlight) =>
      ['awaited', 'tasks'].map((name) => ({
        text: `${name} x${inFlight} / rust x${inFlight}`,
        most: inFlight === 32 ? 1.5 : undefined,
        of: (row) => row(`${name} x${inFlight}`) / row(`rust x${inFlight}`),
      })),
    ),
  },
  {
    title: 'fairness: the largest gap of a 1 ms interval',
    cases: ['idle', 'reads', 'tasks'].map((name) => ({
      id: name,
      script: 'fairness',
      name,
      args: ['FILE'],
    })),
    rounds: 3,
    columns: ['gap', 'immediateGap', 'fired'],
    aims: ['reads', 'tasks'].map((name) => ({
      text: `largest gap, ${name} (ms)`,
      most: 20,
      of: (row) => row(name, 'gap'),
    })),
  },
  {
    title: 'when a turn runs: open, read, close of 1 KiB files',
    cases: [...flush(1), ...flush(64)],
    columns: ['perEnter', 'perTurn'],
    aims: [1, 64].flatMap((chains) =>
      ['nexttick', 'immediate'].map((name) => ({
        text: `${name} x${chains} / microtask x${chains}`,
        of: (row) => row(`${name} x${chains}`) / row(`microtask x${chains}`),
      })),
    ),
  },
  {
    title: 'the price of single steps',
    cases: ['call', 'scope', 'snapshot', 'clock', 'bare', 'empty', 'keepalive', 'await'].map(
      (name) => ({ id: name, script: 'costs', name, args: [] }),
    ),
    aims: [],
  },
];
