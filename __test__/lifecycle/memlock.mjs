// A ring under the limits that this process was given: reads 1 MiB through it.

import { openSync } from 'node:fs';
import { probe, Runtime } from '../../dist/index.js';
import { answer, bigFile, folder } from './common.mjs';

const file = openSync(bigFile(`${folder()}/data`, 1), 'r');
const rt = new Runtime();
const bytes = await rt.op.read(file, new Uint8Array(1 << 20), 0);
await rt.close();
answer({ uid: process.getuid(), memlock: probe().limits.memlock, bytes });
