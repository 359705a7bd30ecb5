// What ten thousand operations of the drop-in leave behind: descriptors, memory, threads.
// Argument: which operations.

import { constants, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fs from '../../dist/node/fs-promises.js';
import { answer, descriptors, folder, memory, STRESS, threadCounts, until } from './common.mjs';

const root = folder();
const path = (i) => join(root, `f${i % 100}`);
const bytes = Buffer.alloc(3000, 'x');
const ignore = (code) => (error) => {
  if (error.code !== code) throw error;
};

const kinds = {
  readFile: (i) => fs.readFile(path(i)),
  writeFile: (i) => fs.writeFile(path(i), bytes),
  appendFile: (i) => fs.appendFile(join(root, 'log'), 'x'.repeat(i % 9)),
  open: async (i) => {
    const handle = await fs.open(path(i), 'r+');
    await handle.read(Buffer.alloc(10));
    await handle.close();
  },
  stat: (i) => fs.stat(path(i)),
  rename: async (i) => {
    await fs.link(path(i), join(root, `linked${i}`));
    await fs.rename(join(root, `linked${i}`), join(root, `moved${i}`));
    await fs.unlink(join(root, `moved${i}`));
  },
  failed: async (i) => {
    await fs.open(join(root, 'none', String(i))).catch(ignore('ENOENT'));
    await fs.readFile(root).catch(ignore('EISDIR'));
    await fs.writeFile(root, 'x').catch(ignore('EISDIR'));
    await fs.open(path(i), 'wx').catch(ignore('EEXIST'));
    await fs.open(path(i), constants.O_DIRECTORY).catch(ignore('ENOTDIR'));
  },
  aborted: async (i) => {
    const controller = new AbortController();
    const { signal } = controller;
    const ends = [
      fs.readFile(path(i), { signal }),
      fs.writeFile(join(root, `w${i % 10}`), bytes, { signal }),
    ].map((each) => each.catch(ignore('ABORT_ERR')));
    for (let turn = 0; turn < i % 4; turn++) await new Promise(setImmediate);
    controller.abort();
    await Promise.all(ends);
  },
};

const run = kinds[process.argv[2]];
const COUNT = 10_000 * STRESS;
let next = 0;

async function rounds(count) {
  const end = next + count;
  const worker = async () => {
    while (next < end) await run(next++);
  };
  await Promise.all(Array.from({ length: 32 }, worker));
}

const seen = () => {
  globalThis.gc();
  return { fds: descriptors().size, ...threadCounts(), ...memory() };
};

for (let i = 0; i < 100; i++) writeFileSync(path(i), bytes);
await rounds(COUNT / 4); // Whatever is made once has been made.
await until(() => threadCounts().workers === 0);
const before = seen();
await rounds(COUNT);
await until(() => descriptors().size === before.fds);
answer({ before, after: seen(), count: next });
