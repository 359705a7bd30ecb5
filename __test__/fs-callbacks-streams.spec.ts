// Streams of ringcore/fs beside those of node:fs: the same events with the same content.
// PAIR: only-typescript fs-callbacks-streams.spec.ts -- Rust has no streams in the shape of Node

import { type EventEmitter, once } from 'node:events';
import nodeFs, { type ReadStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { inherits } from 'node:util';
import { createGunzip, createGzip } from 'node:zlib';
import serially from 'ava';
import fs from '../src/node/fs.ts';
import promises from '../src/node/fs-promises.ts';
import { current } from '../src/runtime.ts';
import { folder, settle, taken, until } from './support.ts';

// The counts of the ring are of all tests that run.
const test = serially.serial;

serially.before(async () => {
  await current().op.nop();
});

/** How many operations the ring got meanwhile. */
async function submitted(work: () => Promise<unknown>): Promise<number> {
  await until(() => current().stats().inFlight === 0);
  const before = taken(current());
  await work();
  return taken(current()) - before;
}

type Options = Parameters<typeof fs.createReadStream>[1] & object;

const TEXT = Array.from({ length: 3000 }, (_, i) => `line ${i}\n`).join('');

/** The events of a stream, until this one and whatever comes right behind it. */
async function events(
  stream: ReadStream | WriteStream,
  path: string,
  last = 'close',
): Promise<unknown[]> {
  const said: unknown[] = [];
  const names = ['open', 'ready', 'data', 'end', 'finish', 'error', 'close'];
  for (const name of stream instanceof Readable ? names : names.filter((one) => one !== 'data')) {
    stream.on(name, (value: unknown) => {
      if (value instanceof Error) said.push([name, value.message.replaceAll(path, 'PATH')]);
      else if (Buffer.isBuffer(value)) said.push([name, value.toString('latin1')]);
      else said.push([name, typeof value === 'number' ? 'a descriptor' : value]);
    });
  }
  await new Promise((resolve) => stream.once(last, resolve));
  if (last !== 'close') await settle(20);
  if (silent(stream)) await until(() => stream.closed);
  said.push(['closed', stream.closed, 'destroyed', stream.destroyed, 'pending', stream.pending]);
  said.push((stream as ReadStream).bytesRead ?? (stream as WriteStream).bytesWritten);
  return said;
}

/** It closes without a word. */
const silent = (stream: object) => {
  const { _readableState: reads, _writableState: writes } = stream as Record<string, unknown>;
  const { autoDestroy, emitClose } = (reads ?? writes) as Record<string, boolean>;
  return autoDestroy && !emitClose;
};

/** What is left open is closed. */
function close({ fd }: { fd?: number | null }): void {
  if (typeof fd === 'number') nodeFs.closeSync(fd);
}

const READS: Record<string, Options | string> = {
  'without options': {},
  'an encoding': 'latin1',
  'a part': { start: 5, end: 11 },
  'the start alone': { start: 28_000 },
  'the end alone': { end: 3 },
  'past the end': { start: 1_000_000 },
  'small chunks': { highWaterMark: 1000, encoding: 'utf8' },
  'no autoClose': { autoClose: false, end: 3 },
  'no close event': { emitClose: false, end: 3 },
};

for (const [title, options] of Object.entries(READS)) {
  test(`a read stream with ${title} has the events of node's`, async (t) => {
    const path = join(folder(t), 'a');
    nodeFs.writeFileSync(path, TEXT);
    const read = async (of: typeof nodeFs) => {
      const stream = of.createReadStream(path, options as Options);
      const said = await events(stream, path, title.startsWith('no ') ? 'end' : 'close');
      close(stream as unknown as { fd: number });
      return said;
    };
    const expected = await read(nodeFs);
    let ours: unknown[] = [];
    t.true(
      (await submitted(async () => {
        ours = await read(fs as typeof nodeFs);
      })) >= 2,
    );
    t.deepEqual(ours, expected);
  });
}

for (const [title, name, options] of [
  ['no file', 'none', {}],
  ['a folder', '', {}],
  ['a mode that forbids reading', 'a', { flags: 'a' }],
] as [string, string, Options][]) {
  test(`a read stream of ${title} fails as node's`, async (t) => {
    const path = folder(t);
    nodeFs.writeFileSync(join(path, 'a'), 'text');
    const said = await Promise.all(
      [nodeFs, fs].map((of) => events(of.createReadStream(join(path, name), options), path)),
    );
    t.deepEqual(said[1], said[0]);
    t.true(JSON.stringify(said[1]).includes('"error"'));
  });
}

test('wrong options are refused in the words of node', (t) => {
  for (const [name, ...args] of [
    ['createReadStream', 7],
    ['createReadStream', 'a', 7],
    ['createReadStream', 'a', { start: 2, end: 1 }],
    ['createReadStream', 'a', { encoding: 'nope' }],
    ['createReadStream', 'a', { fd: 'nope' }],
    ['createReadStream', 'a', { fs: {} }],
    ['createWriteStream', 'a\0b'],
    ['createWriteStream', 'a', { start: 'x' }],
    ['createWriteStream', 'a', { flush: 'x' }],
  ] as [string, ...unknown[]][]) {
    const [node, ours] = [nodeFs, fs].map((of) =>
      t.throws(() => (of as never as Record<string, (...all: unknown[]) => void>)[name]?.(...args)),
    );
    t.is(ours?.message, node?.message);
    t.is((ours as NodeJS.ErrnoException).code, (node as NodeJS.ErrnoException).code);
  }
});

type Writes = Parameters<typeof fs.createWriteStream>[1] & object;

const WRITES: Record<string, Writes | string> = {
  'without options': {},
  'an encoding': 'latin1',
  'a start': { start: 3, flags: 'r+' },
  appending: { flags: 'a' },
  'a flush': { flush: true, mode: 0o600 },
  'no autoClose': { autoClose: false },
  'no close event': { emitClose: false },
  'an exclusive flag': { flags: 'wx' },
};

for (const [title, options] of Object.entries(WRITES)) {
  test(`a write stream with ${title} has the events of node's`, async (t) => {
    const write = async (of: typeof nodeFs) => {
      const path = join(folder(t), 'a');
      nodeFs.writeFileSync(path, 'what was there');
      const stream = of.createWriteStream(path, options as Writes);
      const said = events(stream, path, title.startsWith('no ') ? 'finish' : 'close');
      stream.write('first ü');
      stream.cork();
      for (let i = 0; i < 20; i++) stream.write(`${i} `);
      stream.uncork();
      stream.write(Buffer.alloc(100_000, 'b'));
      stream.end('last');
      const all = await said;
      close(stream as unknown as { fd: number });
      return [all, nodeFs.readFileSync(path, 'latin1'), nodeFs.statSync(path).mode];
    };
    const expected = await write(nodeFs);
    let ours: unknown[] = [];
    const count = await submitted(async () => {
      ours = await write(fs as typeof nodeFs);
    });
    t.true(count >= (title === 'an exclusive flag' ? 1 : 2), `${count}`);
    t.deepEqual(ours, expected);
  });
}

test('an aborted stream ends with an AbortError and closes its file', async (t) => {
  const path = join(folder(t), 'a');
  nodeFs.writeFileSync(path, TEXT);
  const controller = new AbortController();
  const { signal } = controller;
  const reader = fs.createReadStream(path, { signal, highWaterMark: 100 });
  await once(reader, 'data');
  controller.abort();
  const error = await t.throwsAsync(buffer(reader), { name: 'AbortError' });
  t.is((error as NodeJS.ErrnoException).code, 'ABORT_ERR');
  await until(() => reader.closed);
  t.is((reader as unknown as { fd: null }).fd, null);
});

test('streams are instances of the classes of both modules', (t) => {
  const path = join(folder(t), 'a');
  nodeFs.writeFileSync(path, TEXT);
  const streams = [fs, nodeFs].map((of) => of.createReadStream(path));
  const written = [fs, nodeFs].map((of) => of.createWriteStream(path));
  for (const module of [fs, nodeFs]) {
    for (const stream of streams) t.true(stream instanceof module.ReadStream);
    for (const stream of written) t.true(stream instanceof module.WriteStream);
    t.false((streams[0] as unknown) instanceof module.WriteStream);
  }
  for (const stream of [...streams, ...written]) {
    stream.on('error', () => {});
    stream.destroy();
  }
});

test('the classes are called, made with new and extended in either style', async (t) => {
  const path = join(folder(t), 'a');
  nodeFs.writeFileSync(path, 'text');
  const Base = fs.ReadStream as unknown as new (path: string, options?: object) => ReadStream;
  class Young extends Base {
    readonly young = true;
  }
  function Old(this: ReadStream, name: string): void {
    Reflect.apply(Base, this, [name]);
  }
  inherits(Old, Base);
  const made = [
    (Base as unknown as (path: string) => ReadStream)(path),
    new Base(path, { encoding: 'utf8' }),
    new Young(path),
    new (Old as unknown as typeof Base)(path),
  ];
  t.true((made[2] as Young).young);
  t.true(made[2] instanceof Young);
  t.true(made[3] instanceof Old);
  const count = await submitted(async () => {
    for (const stream of made) t.is(await text(stream), 'text');
  });
  t.true(count >= 6, `${count}`);
});

test('an fs option of the caller is used as it is', async (t) => {
  const said: string[] = [];
  const own = {
    open: (...args: unknown[]) => {
      said.push('open');
      (args.at(-1) as (error: null, fd: number) => void)(null, 77);
    },
    read: (_fd: number, bytes: Buffer, ...rest: unknown[]) => {
      said.push('read');
      const count = said.filter((name) => name === 'read').length === 1 ? bytes.write('own') : 0;
      (rest.at(-1) as (error: null, count: number, bytes: Buffer) => void)(null, count, bytes);
    },
    close: (_fd: number, done: (error: null) => void) => {
      said.push('close');
      done(null);
    },
  };
  const stream = fs.createReadStream('anything', { fs: own as never });
  t.is(await text(stream), 'own');
  t.deepEqual(said, ['open', 'read', 'read', 'close']);
});

test('a stream of a FileHandle reads and writes it, and closes it', async (t) => {
  const path = join(folder(t), 'a');
  for (const open of [promises.open, nodeFs.promises.open]) {
    const out = await open(path, 'w');
    const closed = once(out as unknown as EventEmitter, 'close');
    const writer = fs.createWriteStream('', { fd: out as never });
    await pipeline(Readable.from(['text ', 'of a handle']), writer);
    await closed;
    t.is(out.fd, -1);
    const back = await open(path, 'r');
    const reader = fs.createReadStream('', { fd: back as never, start: 5 });
    t.is(await text(reader), 'of a handle');
    await until(() => back.fd === -1);
    nodeFs.unlinkSync(path);
  }
});

test('a handle that is closed ends its stream', async (t) => {
  const path = join(folder(t), 'a');
  nodeFs.writeFileSync(path, TEXT);
  const handle = await promises.open(path, 'r');
  const reader = fs.createReadStream('', { fd: handle as never, highWaterMark: 10 });
  await once(reader, 'readable');
  const closed = once(reader, 'close');
  await handle.close();
  await closed;
  t.true(reader.destroyed);
});

test('a pipeline through gzip and back brings every byte', async (t) => {
  const path = (name: string) => join(folder(t), name);
  const [from, packed, to] = [path('from'), path('packed'), path('to')];
  nodeFs.writeFileSync(from, Buffer.alloc(5_000_000, TEXT));
  const count = await submitted(async () => {
    await pipeline(fs.createReadStream(from), createGzip(), fs.createWriteStream(packed));
    await pipeline(fs.createReadStream(packed), createGunzip(), fs.createWriteStream(to));
  });
  t.true(nodeFs.readFileSync(to).equals(nodeFs.readFileSync(from)));
  t.true(count > 5_000_000 / 65_536, `${count} operations`);
});

test('a library that puts classes of its own into the module gets them used', (t) => {
  const { ReadStream: kept, createReadStream } = fs;
  const made: unknown[] = [];
  class Own {
    constructor(...args: unknown[]) {
      made.push(args);
    }
  }
  const patched = fs as unknown as { ReadStream: unknown };
  try {
    patched.ReadStream = Own;
    t.true((createReadStream('a', 'utf8') as unknown) instanceof Own);
  } finally {
    patched.ReadStream = kept;
  }
  t.deepEqual(made, [['a', 'utf8']]);
  t.is(fs.ReadStream, kept);
});
