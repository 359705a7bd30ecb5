// Loaded before each of Node's own test files by node-fs.mjs: puts the drop-in in the place of
// `fs/promises`, for require and for import, and tells the runner that it did. Of `fs` itself, the
// streams come from the drop-in as well, since they take its handles; or all of it.
//
// CommonJS on purpose: `--require` runs before the main module on every version of Node, whichever
// kind of module that is, and in every worker as well.

'use strict';

const fs = require('node:fs');
const Module = require('node:module');
const { join } = require('node:path');

const dist = process.env.RINGCORE_NODE_FS_DIST;
const file = process.env.RINGCORE_NODE_FS_REPORT;
// Some of the tests replace functions of the module, some those below it: what the one way cannot
// write, the other can.
const { openSync, writeSync, closeSync, appendFileSync } = fs;
const report = (found) => {
  const text = `${JSON.stringify(found)}\n`;
  const fd = openSync(file, 'a');
  try {
    writeSync(fd, text);
  } catch {
    appendFileSync(fd, text);
  }
  closeSync(fd);
};

// require() of a module gives its default export where it says so and Node knows how.
const surface = (module) => module.default ?? module;

const builtin = fs.promises;
const own = { open: builtin.open, createReadStream: fs.createReadStream };

// Node 20 warns that require() of a module is new. Some of the tests look at warnings.
const { emitWarning } = process;
process.emitWarning = () => {};
const dropIn = surface(require(join(dist, 'node/fs-promises.js')));
const dropInFs = surface(require(join(dist, 'node/fs.js')));
const { existing } = require(join(dist, 'internals.js'));
process.emitWarning = emitWarning;

// A name that the drop-in lacks is not to be had, so that its absence is seen.
for (const name of Object.keys(builtin)) delete builtin[name];
Object.assign(builtin, dropIn);
const streams = ['createReadStream', 'createWriteStream'];
const all = process.env.RINGCORE_NODE_FS_ALL === '1';
for (const name of all ? Object.keys(dropInFs) : streams) {
  const { value } = Object.getOwnPropertyDescriptor(fs, name) ?? {};
  if (typeof value === 'function') fs[name] = dropInFs[name];
}
Module.syncBuiltinESMExports();
if (all) {
  // require() gives the object itself: who replaces a function of it, as some tests do, means the
  // one that its streams look into.
  const load = Module._load;
  Module._load = (name, ...more) =>
    /^(node:)?fs$/.test(name) ? dropInFs : load.call(Module, name, ...more);
}

const replaced = [fs.promises, require('node:fs/promises')].every(
  (module) => module.open === dropIn.open && module.readFile === dropIn.readFile,
);
const other = own.open !== dropIn.open && own.createReadStream !== dropInFs.createReadStream;
report({ replaced: replaced && other && fs.createReadStream === dropInFs.createReadStream });

// How much of it went through the ring. One operation is the timer that proves that wake-ups
// arrive; a thread that never used a ring has none.
process.on('exit', () => {
  const { submitted, looks } = existing()?.stats() ?? { submitted: 0, looks: 0 };
  report({ operations: Math.max(0, submitted + looks - 1) });
});
