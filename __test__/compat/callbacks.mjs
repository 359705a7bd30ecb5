// Cases of the smoke set about ringcore/fs: callbacks and streams on every runtime.

import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import nodeFs from 'node:fs';
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { current } from '../../dist/internals.js';
import fs, { createReadStream, createWriteStream, writeFile } from '../../dist/node/fs.js';
import { folder } from '../lifecycle/common.mjs';

/** Operations of the ring, and looks in their place. */
function taken() {
  const { submitted, looks } = current().stats();
  return submitted + looks;
}

/** A case that needs the ring: at least so many operations go through it. */
const using = (operations, work) => ({
  run: async () => {
    const before = taken();
    await work(`${folder()}/a`);
    const used = taken() - before;
    assert.ok(used >= operations, `${used} operations`);
  },
});

export const callbacksOfFiles = using(12, async (path) => {
  await promisify(writeFile)(path, 'content');
  const fd = await promisify(fs.open)(path, 'r+');
  const bytes = Array.from({ length: 7 }, () => Buffer.alloc(1));
  await Promise.all(bytes.map((one) => promisify(fs.read)(fd, one, 0, 1, null)));
  assert.equal(Buffer.concat(bytes).toString(), 'content');
  const { bytesRead, buffer } = await promisify(fs.read)(fd, Buffer.alloc(9), 0, 9, 3);
  assert.equal(buffer.toString('utf8', 0, bytesRead), 'tent');
  assert.equal((await promisify(fs.fstat)(fd)).size, 7);
  await promisify(fs.close)(fd);
  assert.equal((await promisify(fs.stat)(path, { bigint: true })).size, 7n);
  const missing = { code: 'ENOENT', syscall: 'rename', dest: path };
  const from = path.replace(/a$/, 'b');
  await assert.rejects(promisify(fs.rename)(from, path), { ...missing, path: from });
  assert.throws(() => fs.stat(path), TypeError);
  assert.equal(await fs.promises.readFile(path, 'utf8'), 'content');
});

export const callbacksInTheirContext = using(2, async () => {
  const store = new AsyncLocalStorage();
  const seen = (value) =>
    store.run(value, () => new Promise((done) => fs.stat('/', () => done(store.getStore()))));
  assert.deepEqual(await Promise.all([seen(1), seen(2)]), [1, 2]);
});

export const callbacksThatThrow = using(3, async () => {
  const said = [];
  process.on('uncaughtException', ({ message }) => said.push(message));
  const call = (name) =>
    new Promise((done) =>
      fs.stat('/', () => {
        setTimeout(done, 20);
        throw new Error(name);
      }),
    );
  await Promise.all(['one', 'two', 'three'].map(call));
  assert.deepEqual(said.sort(), ['one', 'three', 'two']);
});

export const streamsOfFiles = using(15, async (path) => {
  const large = 'content '.repeat(50_000);
  nodeFs.writeFileSync(path, large);
  await pipeline(createReadStream(path), createWriteStream(`${path}2`, { flush: true }));
  assert.equal(nodeFs.readFileSync(`${path}2`, 'utf8'), large);
  assert.equal(await text(createReadStream(path, { start: 3, end: 6 })), 'tent');
  const stream = createReadStream(path);
  assert.ok(stream instanceof nodeFs.ReadStream && stream instanceof fs.ReadStream);
  stream.destroy();
  class Own extends fs.ReadStream {}
  assert.equal(await text(new Own(path, { end: 6 })), 'content');
  const handle = await fs.promises.open(path);
  assert.equal(await text(createReadStream('', { fd: handle, end: 6 })), 'content');
});

export const oneOfEachClass = using(5, async (path) => {
  const [ringcore, promises, internals] = await Promise.all([
    import('../../dist/index.js'),
    import('../../dist/node/fs-promises.js'),
    import('../../dist/internals.js'),
  ]);
  assert.equal(fs.promises, promises.default);
  assert.equal(internals.current().constructor, ringcore.Runtime);
  await promises.writeFile(path, 'x');
  // One ring for all entries: that call has made it.
  assert.throws(() => ringcore.Runtime.init(), { code: 'ERR_RINGCORE_INITIALIZED' });
  const opened = [await promises.open(path), await fs.promises.open(path)];
  assert.equal(opened[0].constructor, opened[1].constructor);
  await Promise.all(opened.map((handle) => handle.close()));
  // No name was changed where the modules were put together.
  const nodes = [{}, nodeFs.promises, nodeFs];
  for (const [at, entry] of [ringcore, promises.default, fs].entries()) {
    for (const [name, value] of Object.entries(entry)) {
      if (typeof value !== 'function' || /^File\w+Stream$/.test(name)) continue;
      assert.ok([name, nodes[at][name]?.name].includes(value.name), `${name} is ${value.name}`);
    }
  }
});

export const callbacksByRequire = using(3, async (path) => {
  const required = createRequire(import.meta.url)('../../dist/node/fs.js');
  const module = required.default ?? required;
  assert.equal(module, fs);
  await promisify(module.writeFile)(path, 'x');
});
