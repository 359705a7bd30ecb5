// What serves the drop-in in this process, and whether it serves at all. Argument: the folder to
// work in, and `faked` for a process that says that it runs on another system.

import { join } from 'node:path';

const [root, faked] = process.argv.slice(2);
if (faked === 'faked') Object.defineProperty(process, 'platform', { value: 'sunos' });

const { default: fs } = await import('../../dist/node/fs-promises.js');
const { probe } = await import('../../dist/index.js');
const { answer, descriptors, threadCounts } = await import('./common.mjs');

const tried = (call) => call().catch(({ code }) => code);
const path = join(root, 'file');
const before = { fds: descriptors().size, parkers: threadCounts().parkers };
const handle = await tried(() => fs.open(path, 'w+'));
const served = {
  write: typeof handle === 'string' ? handle : (await handle.write('written')).bytesWritten,
  close: typeof handle === 'string' ? handle : await tried(() => handle.close()),
  read: await tried(() => fs.readFile(path, 'utf8')),
  append: await tried(() => fs.appendFile(path, '!')),
  size: await tried(async () => (await fs.stat(path)).size),
  none: await tried(() => fs.readFile(join(root, 'none'))),
};
const { backend, reason, advice } = probe();
const after = { fds: descriptors().size, parkers: threadCounts().parkers };
answer({ served, backend, reason, advice, before, after });
