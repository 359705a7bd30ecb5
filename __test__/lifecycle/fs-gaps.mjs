// A ring that lets only some operations through: functions that need others go to node:fs, one by
// one. Argument: the folder to work in.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Runtime } from '../../dist/index.js';
import { backend } from '../../dist/internals.js';
import fs from '../../dist/node/fs-promises.js';
import { answer, until } from './common.mjs';

const root = process.argv[2];
const at = (name) => join(root, name);
writeFileSync(at('a'), 'content');

// Whatever a file needs, but no mkdirat and no renameat.
const FILES = [
  'openat',
  'read',
  'write',
  'readv',
  'writev',
  'fsync',
  'statx',
  'close',
  'ftruncate',
];
Runtime.init({ allow: [...FILES, 'unlinkat', 'nop'] });

const rt = backend();
const found = [];
async function ask(name, call, right) {
  // The close of the file before goes out with whatever comes next.
  await rt.op.nop();
  await until(() => rt.stats().inFlight === 0);
  const work = () => rt.stats().submitted + rt.stats().looks;
  const before = work();
  const value = await call();
  found.push({ name, submitted: work() > before, right: right(value) });
}

await rt.op.nop();
await ask(
  'readFile',
  () => fs.readFile(at('a'), 'utf8'),
  (text) => text === 'content',
);
await ask(
  'mkdir',
  () => fs.mkdir(at('made')),
  () => existsSync(at('made')),
);
await ask(
  'stat',
  () => fs.stat(at('made')),
  (stats) => stats.isDirectory(),
);
await ask(
  'rename',
  () => fs.rename(at('a'), at('b')),
  () => existsSync(at('b')),
);
await ask(
  'open',
  () => fs.open(at('b')).then((handle) => handle.close()),
  () => true,
);
await ask(
  'unlink',
  () => fs.unlink(at('b')),
  () => !existsSync(at('b')),
);
const large = Buffer.alloc(1 << 20, 'x'); // A small one may be written without the ring.
await ask(
  'writeFile',
  () => fs.writeFile(at('c'), large),
  () => readFileSync(at('c')).equals(large),
);
answer(found);
