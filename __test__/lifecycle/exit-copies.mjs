// Ends the process in the middle of copies. Arguments: `node` or `ring`, the folder to work in.

import { constants, copyFile, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { op } from '../../dist/index.js';
import { bigFile } from './common.mjs';

const [by, root] = process.argv.slice(2);
const from = bigFile(join(root, 'from'), 64);
const copy = {
  node: (to) => copyFile(from, to, constants.COPYFILE_EXCL, () => {}),
  ring: (to) => op.copyFile(from, to, constants.COPYFILE_EXCL).begin(),
}[by];
const to = (i) => join(root, `to-${i}`);
// More than there are threads.
for (let i = 0; i < 8; i++) copy(to(i));
const begun = () => existsSync(to(0)) && statSync(to(0)).size > 0;
const wait = () => (begun() ? process.exit(5) : setImmediate(wait));
wait();
