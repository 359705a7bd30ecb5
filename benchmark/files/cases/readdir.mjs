// A recursive listing of the tree of cp.mjs: 50 folders, 1 000 files.

import { must } from '../meter.mjs';

const ENTRIES = 1_050;

export const cases = [
  {
    name: 'readdir-tree',
    title: 'recursive readdir of 1 000 files in 50 folders',
    unit: 'entry',
    scale: ENTRIES,
    params: { inFlight: 1 },
    data: ['tree'],
    warm: ['tree'],
    native: [],
  },
];

export const check = () => (names) => {
  must(names.length === ENTRIES, `the tree has ${names.length} entries`);
  must(names.includes('folder-49/19.txt'), 'the last file is among them');
};

const options = { recursive: true };

export const variants = {
  promises: ({ dir, fs }) => ({ one: () => fs.readdir(`${dir}/tree`, options) }),
  sync: ({ dir, fs }) => ({ one: () => fs.readdirSync(`${dir}/tree`, options) }),
};
