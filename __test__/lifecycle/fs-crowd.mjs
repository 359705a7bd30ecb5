// As many readFile and writeFile as the first argument says, all at once, in the folder that the
// second one names. Says how many failed, and how many descriptors there were at the most.

import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fs from '../../dist/node/fs-promises.js';
import { answer } from './common.mjs';

const [count, root] = [Number(process.argv[2]), process.argv[3]];
const open = () => readdirSync('/proc/self/fd').length;
const path = (i) => join(root, `file-${i % 100}`);
for (let i = 0; i < 100; i++) writeFileSync(path(i), `content ${i}`);
await fs.readFile(path(0)); // The ring has descriptors of its own.

const before = open();
let most = 0;
let ended = false;
const look = () => {
  most = Math.max(most, open());
  if (!ended) setImmediate(look);
};
look();
const all = Array.from({ length: count }, (_, i) =>
  i % 2 === 0
    ? fs.readFile(path(i), 'utf8').then((text) => text === `content ${i % 100}`)
    : fs.writeFile(join(root, `new-${i % 1000}`), `new ${i}`).then(() => true),
);
const outcomes = await Promise.allSettled(all);
ended = true;
// The last closes travel with the next turn.
for (let i = 0; i < 10; i++) await fs.readFile(path(i));
const codes = {};
for (const { status, reason, value } of outcomes) {
  const code = status === 'rejected' ? reason.code : value ? 'right' : 'wrong';
  codes[code] = (codes[code] ?? 0) + 1;
}
answer({ codes, most: most - before, after: open() - before });
