// ringcore/fs: node:fs with callbacks. Each call is made of both, and must end alike.
// PAIR: only-typescript fs-callbacks.spec.ts -- Rust has no callbacks in the shape of node:fs

import { AsyncLocalStorage } from 'node:async_hooks';
import nodeFs, { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import serially, { type ExecutionContext } from 'ava';
import { Call } from '../src/node/callback.ts';
import { CALLS } from '../src/node/calls.ts';
import fs, * as names from '../src/node/fs.ts';
import promises from '../src/node/fs-promises.ts';
import { current } from '../src/runtime.ts';
import { child, folder, many, pipe, settle, taken, until } from './support.ts';

// biome-ignore lint/suspicious/noExplicitAny: arguments here are wrong on purpose
type Any = any;
type Fs = Record<string, (...args: Any[]) => Any>;
const both = [nodeFs, fs] as unknown as readonly [Fs, Fs];

// The counts of the ring are of all tests that run.
const test = serially.serial;

serially.before(async () => {
  await current().op.nop();
  await until(() => current().stats().inFlight === 0);
});

/** Its overloads get lost in the types of promisify. */
const read = promisify(fs.read) as (
  fd: number,
  bytes: Buffer,
  ...rest: Any[]
) => Promise<{ bytesRead: number; buffer: Buffer }>;

/** How many operations the ring got meanwhile. */
async function submitted(work: () => Promise<unknown>): Promise<number> {
  await until(() => current().stats().inFlight === 0);
  const before = taken(current());
  await work();
  return taken(current()) - before;
}

// --- names --------------------------------------------------------------------------------------

test('every name of node:fs is there, and what is no call of the ring is the same', (t) => {
  const module = names as Record<string, unknown>;
  const own = fs as unknown as Record<string, unknown>;
  const node = nodeFs as unknown as Record<string, unknown>;
  t.deepEqual(Object.keys(own), Object.keys(node));
  const ours: string[] = [];
  for (const name of Object.keys(node)) {
    t.is(module[name], own[name], name);
    if (own[name] !== node[name]) ours.push(name);
    if (typeof node[name] !== 'function' || /Stream$/.test(name)) continue;
    const [mine, nodes] = [own[name], node[name]] as ((...args: never) => unknown)[];
    t.deepEqual([mine?.name, mine?.length], [nodes?.name, nodes?.length]);
  }
  t.deepEqual(
    ours.sort(),
    [
      ...['FileReadStream', 'FileWriteStream', 'ReadStream', 'WriteStream', 'appendFile', 'close'],
      ...['access'],
      ...[
        'copyFile',
        'createReadStream',
        'createWriteStream',
        'fdatasync',
        'fstat',
        'fsync',
        'ftruncate',
      ],
      ...['link', 'lstat', 'mkdir', 'open', 'promises', 'read', 'readFile', 'readv', 'rename'],
      ...['rmdir', 'stat', 'symlink', 'truncate', 'unlink', 'write', 'writeFile', 'writev'],
      ...['cp', 'rm'],
    ].sort(),
  );
  t.is(fs.promises as unknown, promises);
  t.true(Object.getOwnPropertyDescriptor(fs, 'promises')?.enumerable);
  t.is(module.default, own);
  t.is(module['module.exports'], own);
});

test('the page of the drop-in names the functions that take the ring', (t) => {
  const page = readFileSync(new URL('../docs/drop-in.md', import.meta.url), 'utf8');
  const list = /With a callback the ring serves: ([^.]*)\./.exec(page)?.[1] ?? '';
  t.deepEqual(
    [...list.matchAll(/`(\w+)`/g)].map(([, name]) => name),
    Object.keys(CALLS),
  );
});

test('util.promisify gives what it gives of node:fs', async (t) => {
  const path = join(folder(t), 'a');
  t.is(await promisify(fs.writeFile)(path, 'hello'), undefined);
  const fd = await promisify(fs.open)(path, 'r+');
  const buffer = Buffer.alloc(5);
  t.deepEqual(await read(fd, buffer, 0, 5, 0), { bytesRead: 5, buffer });
  const half = [buffer.subarray(3)];
  for (const [name, ...args] of [
    ['readv', half, 0],
    ['write', 'J', 0],
    ['writev', half, 1],
  ] as [string, ...unknown[]][]) {
    const [node, ours] = await Promise.all(
      both.map((of) => promisify(of[name] as Fs[string])(fd, ...args)),
    );
    t.deepEqual(ours, node, name);
    t.true(Object.values(ours as object).includes(name === 'write' ? 1 : 2));
  }
  await promisify(fs.close)(fd);
  t.is(await promisify(fs.readFile)(path, 'utf8'), 'Jhelo');
  t.true(await promisify(fs.exists)(path));
});

// --- the rules of callbacks ---------------------------------------------------------------------

test('a callback comes once, after the call, its ticks and its microtasks', async (t) => {
  const path = join(folder(t), 'a');
  fs.writeFileSync(path, 'content');
  const fd = fs.openSync(path, 'r');
  t.teardown(() => fs.closeSync(fd));
  const said: string[] = [];
  const bytes = Buffer.alloc(7);
  await new Promise<void>((resolve) => {
    // Cached: the ring has the answer before the microtasks are over.
    fs.read(fd, bytes, 0, 7, 0, function (this: unknown, ...results) {
      t.is(this, undefined);
      t.deepEqual(results, [null, 7, bytes]);
      said.push('callback');
      resolve();
    });
    said.push('returned');
    process.nextTick(() => said.push('tick'));
    const later = (rounds: number): void => {
      said.push('microtask');
      if (rounds > 0) queueMicrotask(() => later(rounds - 1));
    };
    queueMicrotask(() => later(50));
  });
  await settle(50);
  t.deepEqual([said[0], said.at(-1), said.length], ['returned', 'callback', 54]);
});

test('between two callbacks runs what the first one has queued', async (t) => {
  const path = join(folder(t), 'a');
  fs.writeFileSync(path, 'x');
  const said: string[] = [];
  let open = 64;
  await new Promise<void>((resolve) => {
    for (let i = 0; i < 64; i++) {
      fs.stat(path, () => {
        said.push(`callback ${i}`);
        Promise.resolve().then(() => said.push(`microtask ${i}`));
        process.nextTick(() => {
          said.push(`tick ${i}`);
          if (--open === 0) resolve();
        });
      });
    }
  });
  await immediate();
  t.is(said.length, 3 * 64);
  for (let at = 0; at < said.length; at += 3) {
    const i = said[at]?.split(' ')[1];
    t.deepEqual(said.slice(at, at + 3), [`callback ${i}`, `tick ${i}`, `microtask ${i}`]);
  }
});

test('what callbacks start goes to the ring together', async (t) => {
  const path = join(folder(t), 'a');
  fs.writeFileSync(path, 'content');
  const fd = fs.openSync(path, 'r');
  t.teardown(() => fs.closeSync(fd));
  const count = many(2000);
  const before = current().stats();
  await new Promise<void>((resolve) => {
    let [made, left] = [0, count];
    const call = () => {
      if (made++ < count) fs.read(fd, Buffer.alloc(7), 0, 7, 0, done);
    };
    const done = () => {
      if (--left === 0) resolve();
      else call();
    };
    for (let i = 0; i < 64; i++) call();
  });
  const { turns, submitted: operations } = current().stats();
  t.is(operations - before.submitted, count);
  t.true(turns - before.turns < count / 10, `${turns - before.turns} turns`);
});

test('every callback has the store of its caller', async (t) => {
  const path = join(folder(t), 'a');
  fs.writeFileSync(path, 'content');
  const fd = fs.openSync(path, 'r');
  t.teardown(() => fs.closeSync(fd));
  const store = new AsyncLocalStorage<string>();
  const calls: [string, (done: () => void) => void][] = [
    ['stat', (done) => fs.stat(path, done)],
    ['failing', (done) => fs.stat(`${path}/no`, done)],
    ['readFile', (done) => fs.readFile(path, done)],
    ['first of a line', (done) => fs.read(fd, Buffer.alloc(2), done)],
    ['second of a line', (done) => fs.read(fd, Buffer.alloc(2), done)],
    ['whole file in line', (done) => fs.readFile(fd, done)],
    ['open', (done) => fs.open(path, (_, opened) => fs.close(opened, done))],
  ];
  const seen = calls.map(
    ([name, call]) =>
      new Promise((resolve) => store.run(name, () => call(() => resolve(store.getStore())))),
  );
  t.deepEqual(
    await Promise.all(seen),
    calls.map(([name]) => name),
  );
});

const RUNTIME = JSON.stringify(new URL('../src/runtime.ts', import.meta.url).href);
const MODULE = JSON.stringify(new URL('../src/node/fs.ts', import.meta.url).href);

test('what a callback throws is an uncaught exception, and the others still come', async (t) => {
  const source = `
    import fs from ${MODULE};
    const said = [];
    process.on('uncaughtException', (error, origin) => said.push(origin + ' ' + error.message));
    for (let i = 0; i < 20; i++) {
      fs.stat('/', () => {
        said.push('called');
        fs.stat('/', () => said.push('after'));
        if (i % 2 === 0) throw new Error('thrown');
      });
    }
    process.on('exit', () => console.log(JSON.stringify(said)));`;
  const { code, stdout, stderr } = await child(source);
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  const said = JSON.parse(stdout) as string[];
  t.is(said.filter((text) => text === 'called').length, 20);
  t.is(said.filter((text) => text === 'uncaughtException thrown').length, 10);
  // What they had started before they threw comes as well.
  t.is(said.filter((text) => text === 'after').length, 20);
  t.is(said.length, 50);
});

test('without a callback close() throws what went wrong, later', async (t) => {
  const source = `
    import fs from ${MODULE};
    process.on('uncaughtException', ({ message }) => console.log(message));
    fs.close(fs.openSync('/dev/null'));
    fs.close(123456);
    console.log('returned');`;
  const { stdout } = await child(source);
  t.deepEqual(stdout.split('\n'), ['returned', 'EBADF: bad file descriptor, close', '']);
});

// --- order --------------------------------------------------------------------------------------

/** A file of numbers, four bytes each. */
function numbers(t: ExecutionContext, count: number): string {
  const path = join(folder(t), 'numbers');
  fs.writeFileSync(path, Buffer.from(Uint32Array.from({ length: count }, (_, i) => i).buffer));
  return path;
}

test('reads at the cursor that were called at once bring the bytes in their order', async (t) => {
  const count = many(512);
  const fd = fs.openSync(numbers(t, count), 'r');
  t.teardown(() => fs.closeSync(fd));
  const ended: number[] = [];
  const number = (i: number) => {
    const bytes = Buffer.alloc(4);
    return new Promise<number>((resolve, reject) => {
      const done = (error: Error | null, bytesRead: number) => {
        ended.push(i);
        if (error === null && bytesRead === 4) resolve(bytes.readUInt32LE());
        else reject(error ?? new Error(`${bytesRead} bytes`));
      };
      if (i % 3 === 0) fs.readv(fd, [bytes.subarray(0, 1), bytes.subarray(1)], done);
      else fs.read(fd, bytes, done);
    });
  };
  const expected = Array.from({ length: count }, (_, i) => i);
  const used = await submitted(async () => {
    t.deepEqual(await Promise.all(expected.map(number)), expected);
  });
  t.deepEqual(ended, expected);
  t.is(used, count);
});

test('writes at the cursor, a sync, a truncate and the close end in their order', async (t) => {
  const path = join(folder(t), 'a');
  const fd = fs.openSync(path, 'w');
  const count = many(200);
  const ended: unknown[] = [];
  const note = (name: unknown) => (error: Error | null) => ended.push(error ?? name);
  for (let i = 0; i < count; i++) {
    if (i % 3 === 0) fs.write(fd, `${i};`, note(i));
    else if (i % 3 === 1) fs.write(fd, Buffer.from(`${i};`), note(i));
    else fs.writev(fd, [Buffer.from(`${i}`), Buffer.from(';')], note(i));
  }
  fs.writeFile(fd, 'end', note('writeFile'));
  fs.fsync(fd, note('fsync'));
  fs.fstat(fd, (error, stats) => ended.push(error ?? stats.size));
  fs.ftruncate(fd, 4, note('ftruncate'));
  await new Promise<void>((resolve) => {
    fs.close(fd, (error) => {
      ended.push(error ?? 'close');
      resolve();
    });
  });
  const all = Array.from({ length: count }, (_, i) => i);
  const text = `${all.join(';')};end`;
  t.true(ended.indexOf('fsync') > ended.indexOf('writeFile'));
  t.deepEqual(
    ended.filter((name) => name !== 'fsync'),
    [...all, 'writeFile', text.length, 'ftruncate', 'close'],
  );
  t.is(fs.readFileSync(path, 'utf8'), text.slice(0, 4));
});

test('a close waits for the syncs, long reads and positional writes before it', async (t) => {
  const size = 3_000_000;
  const path = join(folder(t), 'a');
  const large = Buffer.alloc(size, 'x');
  const calls: Record<string, (fd: number) => Promise<unknown>> = {
    write: (fd) => promisify(fs.write)(fd, large, 0, size, 0),
    read: (fd) => read(fd, Buffer.alloc(size), 0, size, 0),
    fsync: (fd) => promisify(fs.fsync)(fd),
    fdatasync: (fd) => promisify(fs.fdatasync)(fd),
    fstat: (fd) => promisify(fs.fstat)(fd),
    ftruncate: (fd) => promisify(fs.ftruncate)(fd, size),
  };
  for (let round = 0; round < many(10); round++) {
    for (const [name, call] of Object.entries(calls)) {
      fs.writeFileSync(path, large);
      const fd = fs.openSync(path, 'r+');
      const ended = [call(fd), promisify(fs.close)(fd)];
      await t.notThrowsAsync(Promise.all(ended), name);
      const [moved] = await Promise.all(ended);
      const { bytesRead, bytesWritten } = { ...(moved as Record<string, number>) };
      t.is(bytesRead ?? bytesWritten ?? size, size, name);
    }
  }
});

test('a read that waits for a pipe stops neither writes to it nor its close', async (t) => {
  const path = join(folder(t), 'pipe');
  const fd = fs.openSync(`/proc/self/fd/${pipe(t)}`, 'r+');
  const [first, second] = [Buffer.alloc(1), Buffer.alloc(1)];
  const reads = [first, second].map((bytes) => read(fd, bytes));
  await settle();
  await promisify(fs.write)(fd, 'a');
  await reads[0];
  const other = promisify(fs.write)(fd, 'b');
  await promisify(fs.close)(fd);
  await Promise.all([other, ...reads]);
  t.deepEqual([`${first}`, `${second}`], ['a', 'b']);
  t.false(fs.existsSync(path));
});

test('reads that wait for ever do not keep a descriptor from being closed', async (t) => {
  const own = pipe(t);
  const fd = fs.openSync(`/proc/self/fd/${own}`, 'r+');
  // The second one waits for the first; as with node:fs, both have seen the file.
  const reads = [read(fd, Buffer.alloc(1)), read(fd, Buffer.alloc(1))];
  await settle();
  await promisify(fs.close)(fd);
  t.throws(() => fs.fstatSync(fd), { code: 'EBADF' });
  fs.writeSync(own, 'xy');
  const ended = await Promise.all(reads);
  t.deepEqual(ended.map(({ bytesRead, buffer }) => `${bytesRead} ${buffer}`).sort(), [
    '1 x',
    '1 y',
  ]);
});

// --- bytes --------------------------------------------------------------------------------------

test('transfers of more than the ring moves at once are whole', async (t) => {
  const path = join(folder(t), 'large');
  const size = 3 * 1024 * 1024 + 17;
  const bytes = Buffer.from(Uint32Array.from({ length: size }, (_, i) => i * 2654435761).buffer);
  const data = bytes.subarray(0, size);
  const fd = fs.openSync(path, 'w+');
  t.teardown(() => fs.closeSync(fd));
  t.is((await promisify(fs.write)(fd, data)).bytesWritten, size);
  const back = Buffer.alloc(size + 5);
  t.is((await read(fd, back, 0, size + 5, 0n)).bytesRead, size);
  t.true(back.subarray(0, size).equals(data));
  const parts = [1, 1024 * 1024, 0, 77, 2 * 1024 * 1024].map((length) => Buffer.alloc(length));
  t.is((await promisify(fs.readv)(fd, parts, 5)).bytesRead, size - 5);
  t.true(
    Buffer.concat(parts)
      .subarray(0, size - 5)
      .equals(data.subarray(5)),
  );
  const { bytesWritten } = await promisify(fs.writev)(fd, parts, size);
  t.is(
    bytesWritten,
    parts.reduce((sum, part) => sum + part.length, 0),
  );
  t.true(fs.readFileSync(path).subarray(size).equals(Buffer.concat(parts)));
});

test('a read of a pipe ends with what is there', async (t) => {
  const fd = pipe(t);
  fs.writeSync(fd, 'there');
  const { bytesRead, buffer } = await read(fd, Buffer.alloc(4 * 1024 * 1024));
  t.is(buffer.toString('utf8', 0, bytesRead), 'there');
});

test('what has no position answers a positional call as node:fs does', async (t) => {
  const fd = pipe(t);
  for (const [name, ...args] of [
    ['read', Buffer.alloc(1), 0, 1, 0],
    ['readv', [Buffer.alloc(1)], 0],
    ['write', Buffer.alloc(1), 0, 1, 0],
    ['write', 'x', 0],
    ['writev', [Buffer.alloc(1)], 0],
  ] as [string, ...unknown[]][]) {
    const [node, ours] = await Promise.all(
      both.map((of) => new Promise<Error>((done) => of[name]?.(fd, ...args, done))),
    );
    t.is(ours?.message, node?.message);
    t.regex(`${ours?.message}`, /^ESPIPE: /);
  }
});

test('the number of a closed file is judged anew', async (t) => {
  const path = numbers(t, 4);
  const fd = await promisify(fs.open)(path, 'r');
  await read(fd, Buffer.alloc(4), 0, 4, 4);
  fs.closeSync(fd);
  const own = pipe(t); // Which takes the number, the lowest one that is free.
  const last = fs.openSync(`/proc/self/fd/${own}`, 'r+');
  t.teardown(() => fs.closeSync(last));
  t.true([own, last].includes(fd));
  await t.throwsAsync(read(fd, Buffer.alloc(1), 0, 1, 0), { code: 'ESPIPE' });
});

// Node's own readFile gives an empty buffer, and no error, when the read of an open file fails;
// Node 20 a TypeError about its own code where there is no such descriptor.
test('readFile of a descriptor that cannot be read passes the error on', async (t) => {
  const fd = fs.openSync(folder(t), 'r');
  t.teardown(() => fs.closeSync(fd));
  await t.throwsAsync(promisify(fs.readFile)(fd), { message: /^EISDIR: .*, read$/ });
  await t.throwsAsync(promisify(fs.readFile)(999_999), { message: /^EBADF: .*, read$/ });
});

test('readFile of what cannot be read fails as it does in node:fs', async (t) => {
  const path = folder(t);
  fs.writeFileSync(join(path, 'a'), 'text');
  for (const [name, flag, code] of [
    ['.', 'r', 'EISDIR'],
    ['a', 'a', 'EBADF'],
  ] as const) {
    const [node, ours] = await Promise.all(
      [nodeFs, fs].map((of) =>
        t.throwsAsync(promisify(of.readFile)(join(path, name), { flag }), { code }),
      ),
    );
    t.is(ours?.message, node?.message);
    t.regex(`${ours?.message}`, /, read/);
  }
});

test("without a ring everything is node's, and works", async (t) => {
  const path = join(folder(t), 'a');
  const source = `
    import assert from 'node:assert/strict';
    import { promisify } from 'node:util';
    import { pipeline } from 'node:stream/promises';
    import fs, { writeFile, createReadStream, createWriteStream } from ${MODULE};
    const path = ${JSON.stringify(path)};
    await promisify(writeFile)(path, 'content');
    const fd = await promisify(fs.open)(path, 'r+');
    const both = [Buffer.alloc(3), Buffer.alloc(9)];
    const reads = both.map((bytes) => promisify(fs.read)(fd, bytes, 0, bytes.length, 0));
    assert.deepEqual((await Promise.all(reads)).map(({ bytesRead }) => bytesRead), [3, 7]);
    assert.equal((await promisify(fs.fstat)(fd)).size, 7);
    await promisify(fs.close)(fd);
    await pipeline(createReadStream(path, { start: 2 }), createWriteStream(path + '.copy'));
    assert.equal(await promisify(fs.readFile)(path + '.copy', 'utf8'), 'ntent');
    await assert.rejects(promisify(fs.unlink)(path + '/no'), { code: 'ENOTDIR' });
    assert.throws(() => fs.stat(path), { code: 'ERR_INVALID_ARG_TYPE' });
    const { existing } = await import(${RUNTIME});
    console.log(existing()?.stats().submitted ?? 'no ring');`;
  const node = await child(source, { RINGCORE_BACKEND: 'node' });
  t.deepEqual(node, { code: 0, stdout: 'no ring\n', stderr: '' });
  const ring = await child(source);
  t.regex(ring.stdout, /^[1-9]\d+\n$/);
});

test("what the allow list lacks is node's as a whole", async (t) => {
  const path = join(folder(t), 'a');
  const source = `
    import { promisify } from 'node:util';
    import fs from ${MODULE};
    import { current } from ${RUNTIME};
    ringcore.Runtime.init({ allow: ['nop', 'timeout', 'openat', 'write', 'fsync', 'close'] });
    const path = ${JSON.stringify(path)};
    const seen = () => current().stats().submitted + current().stats().looks;
    const used = async (work) => {
      const before = seen();
      await work;
      return seen() - before > 0;
    };
    await promisify(fs.close)(await promisify(fs.open)('/dev/null', 'r')); // The ring is made.
    console.log(JSON.stringify([
      await used(promisify(fs.writeFile)(path, 'x')),
      await used(promisify(fs.readFile)(path)),
      await used(promisify(fs.truncate)(path)),
      (await promisify(fs.stat)(path)).size,
    ]));`;
  const { stdout, stderr } = await child(source);
  t.deepEqual([stdout, stderr], ['[true,false,false,0]\n', '']);
});

test('a runtime that is closed meanwhile leaves no descriptor open', async (t) => {
  const path = join(folder(t), 'a');
  const source = `
    import { promisify } from 'node:util';
    import fs from ${MODULE};
    import { existing } from ${RUNTIME};
    const path = ${JSON.stringify(path)};
    fs.writeFileSync(path, Buffer.alloc(8 << 20));
    const fd = await promisify(fs.open)(path, 'r');
    // The close waits for the reads before it, which the end of the runtime cuts.
    const reads = [0, 1, 2].map(() => promisify(fs.readFile)(fd).catch((error) => error.code));
    const closed = promisify(fs.close)(fd);
    await existing().close();
    await closed;
    console.log((await Promise.all(reads)).includes('ERR_RINGCORE_CLOSED'));
    console.log(await promisify(fs.fstat)(fd).catch((error) => error.code));`;
  const { stdout, stderr } = await child(source);
  t.deepEqual([stdout, stderr], ['true\nEBADF\n', '']);
});

test("what the kernel lacks is done by node's function, in the caller's context", async (t) => {
  const store = new AsyncLocalStorage<string>();
  const said: unknown[] = [];
  const lacking = Object.assign(new Error('no'), { code: 'ERR_RINGCORE_UNSUPPORTED_OP' });
  const call = store.run('caller', () => {
    return new Call(
      () => said.push('callback'),
      () => said.push(`instead, ${store.getStore()}`),
    );
  });
  call.take(Promise.reject(lacking));
  await settle();
  t.deepEqual(said, ['instead, caller']);
});
