// Registered memory under a limit of locked memory: what is too much, and what goes on.

import { openSync } from 'node:fs';
import { Runtime } from '../../dist/index.js';
import { answer, bigFile, folder } from './common.mjs';

const file = openSync(bigFile(`${folder()}/data`, 1), 'r');
const rt = new Runtime();
const { op, buffer } = rt;
let [code, message] = ['none', ''];
try {
  buffer.alloc(1 << 20, { registered: true });
} catch (error) {
  ({ code, message } = error);
}
const plain = await op.read(file, buffer.alloc(1 << 20), 0);
const copied = await op.read(file, new Uint8Array(1 << 20), 0);
const registered = await op.readFixed(file, buffer.alloc(65536, { registered: true }), 0);
await rt.close();
answer({ code, message, read: { plain, copied, registered } });
