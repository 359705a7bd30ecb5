// Loaded before each of Node's own test files by node-fs.mjs: puts the drop-in in the place of
// `fs/promises`, for require and for import, and tells the runner that it did.
//
// CommonJS on purpose: `--require` runs before the main module on every version of Node, whichever
// kind of module that is, and in every worker as well.

'use strict';

const fs = require('node:fs');
const { syncBuiltinESMExports } = require('node:module');
const { join } = require('node:path');

const { appendFileSync } = fs;
const dist = process.env.RINGCORE_NODE_FS_DIST;
const file = process.env.RINGCORE_NODE_FS_REPORT;
const report = (found) => appendFileSync(file, `${JSON.stringify(found)}\n`);

const builtin = fs.promises;
const { open } = builtin;

// Node 20 warns that require() of a module is new. Some of the tests look at warnings.
const { emitWarning } = process;
process.emitWarning = () => {};
const dropIn = require(join(dist, 'node/fs-promises.js'));
const { existing } = require(join(dist, 'runtime.js'));
process.emitWarning = emitWarning;

// A name that the drop-in lacks is not to be had, so that its absence is seen.
for (const name of Object.keys(builtin)) delete builtin[name];
Object.assign(builtin, dropIn.default);
syncBuiltinESMExports();

const replaced = [fs.promises, require('node:fs/promises')].every(
  (module) => module.open === dropIn.open && module.readFile === dropIn.readFile,
);
report({ replaced: replaced && open !== dropIn.open });

// How much of it went through the ring. One operation is the timer that proves that wake-ups
// arrive; a thread that never used a ring has none.
process.on('exit', () => {
  report({ operations: Math.max(0, (existing()?.stats().submitted ?? 0) - 1) });
});
