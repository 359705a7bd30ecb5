// `pull`, `pullSync` and `writer` of handles, which are node's behind a flag: what both modules
// answer to the same questions. Argument: the folder to work in.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ours from '../../dist/node/fs-promises.js';
import { answer, descriptors } from './common.mjs';

const root = process.argv[2];
const path = join(root, 'a');
const text = 'some text '.repeat(20_000);

const joined = (batches) => Buffer.concat(batches.flat()).toString();
async function pulled(from) {
  const batches = [];
  for await (const batch of from) batches.push(batch);
  return joined(batches);
}

const asks = {
  pull: async (handle) => [(await pulled(handle.pull())) === text, handle.fd >= 0],
  part: (handle) => pulled(handle.pull({ start: 5, limit: 7 })),
  sync: (handle) => joined([...handle.pullSync({ start: 2, limit: 3 })]),
  closes: async (handle) => [(await pulled(handle.pull({ autoClose: true }))).length, handle.fd],
  closesNow: async (handle) => {
    const { length } = joined([...handle.pullSync({ autoClose: true })]);
    return [length, await handle.stat().catch(({ code }) => code)];
  },
  locked: async (handle) => {
    const writer = handle.writer();
    const said = await thrown(() => handle.pull());
    return [said, await writer.end(), await pulled(handle.pull({ limit: 4 }))];
  },
  waits: async (handle) => {
    const batches = handle.pull({ chunkSize: 10 })[Symbol.asyncIterator]();
    const { value } = await batches.next();
    let open = true;
    const closed = handle.close().then(() => {
      open = false;
    });
    await new Promise(setImmediate);
    const found = [joined(value), open, await thrown(() => handle.pull())];
    await batches.return();
    await closed;
    return [...found, handle.fd];
  },
  closed: async (handle) => {
    await handle.close();
    return [await thrown(() => handle.pull()), await thrown(() => handle.writer())];
  },
  writes: async (handle) => {
    const writer = handle.writer({ start: 3, autoClose: true });
    await writer.write(Buffer.from('one'));
    await writer.writev([Buffer.from('two'), Buffer.from('three')]);
    const found = [writer.writeSync(Buffer.from('now')), await writer.end(), handle.fd];
    return [...found, readFileSync(path, 'latin1').slice(0, 24)];
  },
  wrong: (handle) => thrown(() => handle.pull({ start: 'x' })),
};

async function thrown(call) {
  try {
    return typeof (await call());
  } catch ({ name, code, message }) {
    return [name, code, message];
  }
}

const found = {};
for (const [name, fs] of Object.entries({ node: process.getBuiltinModule('fs/promises'), ours })) {
  found[name] = {};
  await fs.readFile('/dev/null');
  for (const [title, ask] of Object.entries(asks)) {
    writeFileSync(path, text);
    const handle = await fs.open(path, 'r+');
    const has = typeof handle.pull === 'function';
    found[name][title] = has ? await ask(handle) : 'absent';
    await handle.close();
  }
  found[`${name} open`] = [...descriptors().values()].filter((name) => name === path);
}
answer(found);
