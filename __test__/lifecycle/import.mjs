// What importing does: nothing. Argument: a folder with package.json and dist, then the scenario.

import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { answer, descriptors, memory, threadCounts } from './common.mjs';

const [root, scenario, fake] = process.argv.slice(2);
const mapped = () => readFileSync('/proc/self/maps', 'utf8').includes('ringcore.linux');
const inside = () => ({ fds: descriptors().size, ...threadCounts(), rings: memory().rings });

if (fake) Object.defineProperty(process, 'platform', { value: fake });
// What Node opens for any import and any thread of its own is there before.
await import('node:async_hooks');
await import('./common.mjs?again');
await readFile(`${root}/package.json`);
const before = inside();
const ringcore =
  scenario === 'require'
    ? createRequire(import.meta.url)(`${root}/dist/index.js`)
    : await import(`${root}/dist/index.js`);
const after = inside();
const loaded = mapped();

let used = null;
let error = null;
try {
  // The constructor is no use; the first operation is.
  used = await new ringcore.Runtime().op.nop();
} catch (caught) {
  const { code, message, reason, advice } = caught;
  error = { code, message, reason, advice, typed: caught instanceof ringcore.UnavailableError };
}
const { available, reason, backend } = ringcore.probe();
answer({ before, after, loaded, used, error, probe: { available, reason, backend } });
