// cp of a tree: 1 000 files of 4 KiB in 50 folders, to where nothing is.

import { readdirSync, rmSync, statSync } from 'node:fs';
import { must } from '../meter.mjs';

const FILES = 1_000;

export const cases = [
  {
    name: 'cp-tree',
    title: 'cp of a tree of 1 000 files in 50 folders',
    unit: 'file',
    scale: FILES,
    params: { inFlight: 1 },
    data: ['tree'],
    warm: ['tree'],
    native: ['std'],
    aims: [{ than: 'node26 promises', least: 2 }],
  },
];

export const isWhole = true;

const target = ({ dir }) => `${dir}/tree-copy-${process.pid}`;

export function check(context) {
  return () => {
    const found = readdirSync(target(context), { recursive: true, withFileTypes: true });
    const files = found.filter((entry) => entry.isFile());
    must(files.length === FILES, `the copy has ${files.length} files`);
    const bytes = files.reduce(
      (sum, { parentPath, path, name }) => sum + statSync(`${parentPath ?? path}/${name}`).size,
      0,
    );
    must(bytes === FILES * 4096, `the copy has ${bytes} bytes`);
  };
}

function prepared(context, one) {
  const clean = () => rmSync(target(context), { recursive: true, force: true });
  return { one, before: clean, end: clean };
}

export const variants = {
  promises: (context) =>
    prepared(context, () =>
      context.fs.cp(`${context.dir}/tree`, target(context), { recursive: true }),
    ),
  sync: (context) =>
    prepared(context, () =>
      context.fs.cpSync(`${context.dir}/tree`, target(context), { recursive: true }),
    ),
};
