// cp of a tree: 1 000 files of 4 KiB in 50 folders, to where nothing is.
//
// The copies stay until all cases are over: ext4 without a journal passes over every inode that was
// deleted in the last minutes, so that each copy would cost more than the one before it. For the
// same reason only rm comes behind this case, and a process makes four copies and no more.

import { readdirSync, statSync } from 'node:fs';
import { must } from '../meter.mjs';

const FILES = 1_000;

export const cases = [
  {
    name: 'cp-tree',
    title: 'cp of a tree of 1 000 files in 50 folders',
    unit: 'file',
    scale: FILES,
    params: { inFlight: 1, warmMs: 1, runMs: 1 },
    data: ['tree', 'copies'],
    warm: ['tree'],
    native: ['std'],
    aims: [
      {
        than: 'node26 promises',
        least: 2,
        reason:
          'since Node 25 cp copies a tree in one native request. Ours is one request for two ' +
          'threads with fewer calls a file; what is left is the kernel making a thousand ' +
          'files, and that is as much for everybody.',
      },
    ],
  },
];

export const isWhole = true;

const target = ({ dir }, i) => `${dir}/copies/${process.pid}-${i}`;

export function check(context) {
  return (_value, i) => {
    const found = readdirSync(target(context, i), { recursive: true, withFileTypes: true });
    const files = found.filter((entry) => entry.isFile());
    must(files.length === FILES, `the copy has ${files.length} files`);
    const bytes = files.reduce(
      (sum, { parentPath, path, name }) => sum + statSync(`${parentPath ?? path}/${name}`).size,
      0,
    );
    must(bytes === FILES * 4096, `the copy has ${bytes} bytes`);
  };
}

const source = ({ dir }) => `${dir}/tree`;

export const variants = {
  promises: (context) => ({
    one: (i) => context.fs.cp(source(context), target(context, i), { recursive: true }),
  }),
  sync: (context) => ({
    one: (i) => context.fs.cpSync(source(context), target(context, i), { recursive: true }),
  }),
};
