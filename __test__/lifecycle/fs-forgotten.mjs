// FileHandles that nobody closes: their descriptors are closed when they have been collected, and
// the user is told once.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fs from '../../dist/node/fs-promises.js';
import { answer, descriptors, folder, STRESS, until } from './common.mjs';

const path = join(folder(), 'file');
writeFileSync(path, 'content');
const warnings = [];
process.on('warning', ({ code, message }) => warnings.push([code, message]));

async function forget(count) {
  for (let i = 0; i < count; i++) {
    const handle = await fs.open(path);
    await handle.read(Buffer.alloc(4));
  }
}

await fs.readFile(path);
const before = descriptors().size;
const kept = await fs.open(path);
let most = 0;
for (let i = 0; i < 10; i++) {
  await forget(100 * STRESS);
  most = Math.max(most, descriptors().size - before);
  await until(() => {
    globalThis.gc();
    return descriptors().size <= before + 4; // The engine may hold the last ones.
  });
}
const left = descriptors().size - before;
const text = await kept.readFile('utf8');
await kept.close();
answer({ left, most, text, warnings });
