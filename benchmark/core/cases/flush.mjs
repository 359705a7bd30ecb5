// When should a turn run:  node flush.mjs VARIANT CHAINS FOLDER
//
// Chains of open, read, close of 1 KiB files. The executor asks for its turn with one line,
// `RESOLVED.then(turn)`. RESOLVED is an ordinary promise, so an own `then` here changes the rule
// and leaves the product without a switch.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { AT_FDCWD, Runtime } from '../../../dist/index.js';
import { RESOLVED } from '../../../dist/internals.js';
import { Meter, must } from './meter.mjs';

const [variant, chainsText, folder] = process.argv.slice(2);
const rules = {
  microtask: null,
  nexttick: (turn) => process.nextTick(turn),
  immediate: (turn) => setImmediate(turn),
};
must(variant in rules, `no rule ${variant}`);
if (rules[variant] !== null) Object.defineProperty(RESOLVED, 'then', { value: rules[variant] });

const files = readdirSync(folder).map((name) => join(folder, name));
const runtime = new Runtime();
const meter = new Meter();
let next = 0;

async function chain() {
  const buffer = new Uint8Array(1024);
  do {
    const fd = await runtime.op.openat(AT_FDCWD, files[next++ % files.length], 0);
    must((await runtime.op.read(fd, buffer, 0)) === 1024, 'a file has 1 KiB');
    await runtime.op.close(fd);
  } while (meter.add(1));
}

await Promise.all(Array.from({ length: Number(chainsText) }, chain));
const { submitted, enters, turns } = runtime.stats();
meter.print({ perEnter: submitted / enters, perTurn: submitted / turns });
await runtime.close();
