// All cases, in the order of the tables.

import * as cat from './cases/cat.mjs';
import * as copy from './cases/copy.mjs';
import * as cp from './cases/cp.mjs';
import * as fsync from './cases/fsync.mjs';
import * as gap from './cases/gap.mjs';
import * as inflight from './cases/inflight.mjs';
import * as memory from './cases/memory.mjs';
import * as pwrite from './cases/pwrite.mjs';
import * as readdir from './cases/readdir.mjs';
import * as readfile from './cases/readfile.mjs';
import * as reads from './cases/reads.mjs';
import * as rm from './cases/rm.mjs';
import * as start from './cases/start.mjs';
import * as stat from './cases/stat.mjs';

const families = {
  readfile,
  reads,
  pwrite,
  fsync,
  cat,
  copy,
  stat,
  gap,
  inflight,
  memory,
  start,
  readdir,
  // Behind these every new file would cost more; see there.
  cp,
  rm,
};

/** Each with the name of its family and the family's module. */
export const cases = Object.entries(families).flatMap(([family, module]) =>
  module.cases.map((one) => ({ ...one, family, module })),
);

/** The six that `-- quick` runs. */
export const HEADLINE = [
  'readfile-1k-x64',
  'readfile-1k-x1',
  'reads-warm-x32',
  'pwrite-x32',
  'cat-64k',
  'copy-over',
];
