// readFile of 10 000 small files, one after the other and 64 at once.

import { must } from '../meter.mjs';

const COUNT = 10_000;
const name = (size, inFlight) => `readfile-${size / 1024}k-x${inFlight}`;
const atOnce = (inFlight) => (inFlight === 1 ? 'one at a time' : `${inFlight} at once`);
const title = (size, inFlight) =>
  `readFile, 10 000 files of ${size / 1024} KiB, ${atOnce(inFlight)}`;

const OWN =
  'its result is memory of its own, which may be transferred, as that of node’s promises; that ' +
  'of readFileSync is a part of a pool, and 0.8 µs cheaper.';
const CORES =
  'it is one thread against the two that the pool of the other keeps busy, which needs half ' +
  'as much CPU again for a file; the column beside says so.';
const MEMORY =
  'most of the cost is the cold memory of a result that is nobody else’s, and its collection; it ' +
  'is one thread against the two of a pool.';

const aims = {
  'readfile-1k-x64': [
    { than: 'best peer', least: 1.4, reason: CORES },
    { than: 'node26 promises', least: 3, reason: CORES },
    {
      than: 'rust floor',
      field: 'cpu',
      most: 1.5,
      reason:
        'the floor reads into memory that it has; 0.8 µs are the result’s own memory, the ' +
        'rest the promise and the path on its way between the languages.',
    },
  ],
  'readfile-1k-x1': [{ than: 'node26 sync', least: 1, reason: OWN }],
  'readfile-64k-x1': [{ than: 'node26 sync', least: 1, reason: MEMORY }],
  'readfile-64k-x64': [{ than: 'best peer', least: 1, reason: MEMORY }],
};

export const cases = [1024, 65536].flatMap((size) =>
  [1, 64].map((inFlight) => ({
    name: name(size, inFlight),
    title: title(size, inFlight),
    unit: 'file',
    params: { size, inFlight, count: COUNT },
    data: [`small-${size}`],
    warm: [`small-${size}`],
    native: ['floor', 'twin', 'std', 'tokio', 'monoio', 'compio', 'old'],
    aims: aims[name(size, inFlight)],
  })),
);

/** File i is filled with the byte i % 251. */
export function check({ size, count }) {
  return (bytes, i) => {
    const expected = (i % count) % 251;
    must(bytes.length === size, `a file of ${size} bytes gave ${bytes.length}`);
    must(bytes[0] === expected && bytes[size - 1] === expected, 'this is another file');
  };
}

function paths({ dir, size, count }) {
  return Array.from({ length: count }, (_, i) => `${dir}/small-${size}/${i}`);
}

export const variants = {
  promises: (context) => {
    const { readFile } = context.fs;
    const files = paths(context);
    return { one: (i) => readFile(files[i % COUNT]) };
  },
  callback: (context) => {
    const { readFile } = context.fs;
    const files = paths(context);
    return { one: (i, _l, done) => readFile(files[i % COUNT], done) };
  },
  sync: (context) => {
    const { readFileSync } = context.fs;
    const files = paths(context);
    return { one: (i) => readFileSync(files[i % COUNT]) };
  },
  bunfile: (context) => {
    const files = paths(context);
    return { one: (i) => globalThis.Bun.file(files[i % COUNT]).bytes() };
  },
  deno: (context) => {
    const files = paths(context);
    return { one: (i) => globalThis.Deno.readFile(files[i % COUNT]) };
  },
  /** Raw steps. A read that brings nothing is the end; a short one may not be (/proc). */
  op: (context) => {
    const { op, AT_FDCWD } = context.ringcore;
    const files = paths(context);
    const room = Array.from({ length: context.inFlight }, () => Buffer.alloc(context.size + 4096));
    return {
      *one(i, l) {
        const fd = yield* op.openat(AT_FDCWD, files[i % COUNT], 0);
        const count = yield* op.read(fd, room[l], 0);
        must((yield* op.read(fd, room[l].subarray(count), count)) === 0, 'the file goes on');
        yield* op.close(fd);
        return Buffer.from(room[l].subarray(0, count));
      },
    };
  },
};
