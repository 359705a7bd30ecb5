// docs/drop-in.md says what goes through the ring and what through node:fs: here each function
// is called, and the ring's own count is looked at.
// PAIR: only-typescript drop-in -- what takes Node's place is JavaScript's

import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import * as node from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import test, { type ExecutionContext } from 'ava';
import * as fs from '../src/node/fs-promises.ts';
import { existing, type Runtime } from '../src/runtime.ts';
import { report } from './lifecycle/child.ts';
import { taken, until } from './support.ts';

const page = readFileSync(new URL('../docs/drop-in.md', import.meta.url), 'utf8');

/** A table of the page: name → 'ring', 'node:fs' or '-'. */
function table(heading: string): Map<string, string> {
  const section = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const rows = [...section.matchAll(/^\| `([^`]+)` \| (\S+) \|/gm)];
  return new Map(rows.map(([, name, through]) => [name as string, through as string]));
}

/** A folder with what the samples need. */
function place(t: ExecutionContext): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'ringcore-drop-in-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ['a', 'b', 'c']) writeFileSync(join(folder, name), 'some text\n');
  for (const name of ['empty', 'full']) mkdirSync(join(folder, name));
  symlinkSync('a', join(folder, 'link'));
  return (name) => join(folder, name);
}

type At = (name: string) => string;

const FUNCTIONS: Record<string, (at: At) => unknown> = {
  access: (at) => fs.access(at('a')),
  appendFile: (at) => fs.appendFile(at('a'), 'more'),
  chmod: (at) => fs.chmod(at('a'), 0o600),
  chown: (at) => fs.chown(at('a'), process.getuid?.() ?? 0, process.getgid?.() ?? 0),
  copyFile: (at) => fs.copyFile(at('a'), at('copy')),
  cp: (at) => fs.cp(at('full'), at('copies'), { recursive: true }),
  glob: async (at) => {
    for await (const name of fs.glob('*', { cwd: at('.') })) void name;
  },
  // It exists on macOS only.
  lchmod: (at) => fs.lchmod(at('link'), 0o600).catch(() => {}),
  lchown: (at) => fs.lchown(at('link'), process.getuid?.() ?? 0, process.getgid?.() ?? 0),
  link: (at) => fs.link(at('a'), at('second')),
  lstat: (at) => fs.lstat(at('link')),
  lutimes: (at) => fs.lutimes(at('link'), 1, 1),
  mkdir: (at) => fs.mkdir(at('made')),
  mkdtemp: (at) => fs.mkdtemp(at('made-')),
  mkdtempDisposable: async (at) => (await fs.mkdtempDisposable(at('made-'))).remove(),
  open: (at) => fs.open(at('a')).then((handle) => handle.close()),
  opendir: (at) => fs.opendir(at('full')).then((dir) => dir.close()),
  readdir: (at) => fs.readdir(at('.')),
  readFile: (at) => fs.readFile(at('a')),
  readlink: (at) => fs.readlink(at('link')),
  realpath: (at) => fs.realpath(at('link')),
  rename: (at) => fs.rename(at('b'), at('renamed')),
  rm: (at) => fs.rm(at('full'), { recursive: true }),
  rmdir: (at) => fs.rmdir(at('empty')),
  stat: (at) => fs.stat(at('a')),
  statfs: (at) => fs.statfs(at('a')),
  symlink: (at) => fs.symlink('a', at('other')),
  truncate: (at) => fs.truncate(at('a'), 1),
  unlink: (at) => fs.unlink(at('c')),
  utimes: (at) => fs.utimes(at('a'), 1, 1),
  watch: async (at) => {
    const signal = AbortSignal.timeout(20);
    const watching = async () => {
      for await (const event of fs.watch(at('.'), { signal })) void event;
    };
    await watching().catch(() => {});
  },
  writeFile: (at) => fs.writeFile(at('a'), 'new'),
};

type Sample = (handle: node.FileHandle) => unknown;

const METHODS: Record<string, Sample> = {
  appendFile: (handle) => handle.appendFile('more'),
  chmod: (handle) => handle.chmod(0o600),
  chown: (handle) => handle.chown(process.getuid?.() ?? 0, process.getgid?.() ?? 0),
  close: (handle) => handle.close(),
  createReadStream: (handle) => buffer(handle.createReadStream()),
  createWriteStream: (handle) => pipeline(Readable.from(['text']), handle.createWriteStream()),
  datasync: (handle) => handle.datasync(),
  read: (handle) => handle.read(Buffer.alloc(4)),
  readableWebStream: async (handle) => {
    for await (const chunk of handle.readableWebStream()) void chunk;
  },
  readFile: (handle) => handle.readFile(),
  readLines: async (handle) => {
    for await (const line of handle.readLines()) void line;
  },
  readv: (handle) => handle.readv([Buffer.alloc(2), Buffer.alloc(2)]),
  stat: (handle) => handle.stat(),
  sync: (handle) => handle.sync(),
  truncate: (handle) => handle.truncate(1),
  utimes: (handle) => handle.utimes(1, 1),
  write: (handle) => handle.write('text'),
  writeFile: (handle) => handle.writeFile('text'),
  writev: (handle) => handle.writev([Buffer.from('a'), Buffer.from('b')]),
  '[Symbol.asyncDispose]': (handle) => handle[Symbol.asyncDispose](),
};

/** The ring, when it has proved itself: the timer of the proof is an operation as well. */
async function ring(at: At): Promise<Runtime> {
  await fs.stat(at('a'));
  const runtime = existing();
  if (runtime === null) throw new Error('the ring was not used');
  await until(() => runtime.wake === 'ok' && runtime.stats().inFlight === 0);
  return runtime;
}

/** How many operations a call was. */
async function operations(runtime: Runtime, call: () => unknown): Promise<number> {
  await until(() => runtime.stats().inFlight === 0);
  const before = taken(runtime);
  await call();
  await until(() => runtime.stats().inFlight === 0);
  return taken(runtime) - before;
}

const through = (count: number): string => (count > 0 ? 'ring' : 'node:fs');

test.serial('every function goes where the page says', async (t) => {
  const at = place(t);
  const runtime = await ring(at);
  const rows = table('Functions');
  const there = fs.default as unknown as Record<string, unknown>;
  t.deepEqual(
    Object.keys(there).filter((name) => !rows.has(name)),
    [],
  );
  // A tree is node's own affair where that is native, unless a file costs less here.
  const native = Number.parseInt(process.versions.node, 10) >= 25 && fs.copyFile === node.copyFile;
  for (const [name, page] of rows) {
    if (!(name in node)) t.false(name in there, `${name} is not in this Node`);
    else if (name === 'constants') t.is(there[name], node.constants);
    else {
      t.true(name in FUNCTIONS, `${name} has a sample here`);
      const count = await operations(runtime, () => FUNCTIONS[name]?.(at));
      const said = name === 'cp' && native ? 'node:fs' : page;
      t.is(through(count), said, `${name}: ${count} operations`);
    }
  }
});

test.serial('every method of a handle goes where the page says', async (t) => {
  const at = place(t);
  const runtime = await ring(at);
  const rows = table('FileHandle');
  for (const [name, said] of rows) {
    const handle = await fs.open(at('a'), 'r+');
    const member = name === '[Symbol.asyncDispose]' ? Symbol.asyncDispose : name;
    t.true(member in handle, name);
    if (said !== '-') {
      t.true(name in METHODS, `${name} has a sample here`);
      const count = await operations(runtime, () => METHODS[name]?.(handle));
      t.is(through(count), said, `${name}: ${count} operations`);
    }
    await handle.close();
  }
});

/** The names that users see: methods and accessors, without those of EventEmitter. */
function members(handle: object): string[] {
  const names = [Object.getPrototypeOf(handle), handle].flatMap((object) =>
    Reflect.ownKeys(object),
  );
  const shown = names.filter((name) => typeof name === 'string' && !name.startsWith('_'));
  return shown.filter((name) => name !== 'constructor').map(String);
}

test.serial('a handle has every member that Node has, and the page knows each', async (t) => {
  const at = place(t);
  const theirs = await node.open(at('a'));
  const ours = await fs.open(at('a'));
  for (const name of members(theirs)) {
    t.is(typeof Reflect.get(ours, name), typeof Reflect.get(theirs, name), name);
    t.true(table('FileHandle').has(name), `${name} is on the page`);
  }
  t.is(typeof theirs[Symbol.asyncDispose], typeof ours[Symbol.asyncDispose]);
  // close goes by itself: `.finally(handle.close)`.
  for (const { close } of [theirs, ours]) t.is(await close(), undefined);
  t.deepEqual([theirs.fd, ours.fd], [-1, -1]);
});

const MiB = 1 << 20;

test.serial('one call moves as many bytes as a system call of node does', async (t) => {
  const at = place(t);
  const long = Buffer.alloc(3 * MiB, 'long');
  for (const side of [node, fs]) {
    const handle = await side.open(at('long'), 'w+');
    const written = [
      (await handle.write(long)).bytesWritten,
      (await handle.write(long, 0, long.length, 0)).bytesWritten,
      (await handle.write('x'.repeat(2 * MiB), 5)).bytesWritten,
      (await handle.writev([long, long], MiB)).bytesWritten,
    ];
    t.deepEqual(written, [3 * MiB, 3 * MiB, 2 * MiB, 6 * MiB]);
    const [one, two] = [Buffer.alloc(5 * MiB), Buffer.alloc(5 * MiB)];
    t.is((await handle.read(one, 0, 4 * MiB, 0)).bytesRead, 4 * MiB);
    const bytes = readFileSync(at('long'));
    t.true(one.subarray(0, 4 * MiB).equals(bytes.subarray(0, 4 * MiB)));
    t.is((await handle.readv([one, two], 0)).bytesRead, 7 * MiB, 'to the end');
    t.true(Buffer.concat([one, two.subarray(0, 2 * MiB)]).equals(bytes));
    await handle.close();
  }
});

test.serial('long transfers at the cursor are not torn by others', async (t) => {
  const at = place(t);
  const handle = await fs.open(at('long'), 'w+');
  const piece = (letter: string, length: number) => Buffer.alloc(length, letter);
  await Promise.all([
    handle.write(piece('a', 10)),
    handle.write(piece('b', 3 * MiB)),
    handle.write(piece('c', 10), 0, 10, null),
    handle.writev([piece('d', 2 * MiB), piece('e', 2 * MiB)]),
    handle.writeFile(piece('f', 2 * MiB)),
    handle.write('g'),
  ]);
  const text = readFileSync(at('long'), 'latin1');
  const runs = [...text.matchAll(/(.)\1*/g)].map(([run, letter]) => [letter, run.length]);
  const lengths = [10, 3 * MiB, 10, 2 * MiB, 2 * MiB, 2 * MiB, 1];
  t.deepEqual(
    runs,
    [...'abcdefg'].map((letter, i) => [letter, lengths[i] as number]),
  );
  await handle.close();
  const reader = await fs.open(at('long'));
  const [first, second] = [Buffer.alloc(2 * MiB), Buffer.alloc(20)];
  const [long, short, rest] = await Promise.all([
    reader.read(first),
    reader.read(second, 0, 20, null),
    reader.readFile(),
  ]);
  t.deepEqual([long.bytesRead, short.bytesRead], [2 * MiB, 20]);
  t.is(Buffer.concat([first, second, rest]).toString('latin1'), text);
  await reader.close();
});

test.serial("where Node's virtual file system is on, node:fs serves every call", async (t) => {
  const at = place(t);
  const dist = new URL('../dist/', import.meta.url);
  const program = at('vfs.mjs');
  // Node 26 has it behind an option. This is what the option changes on any version.
  writeFileSync(
    program,
    `import module from 'node:module';
    const { isBuiltin } = module;
    if (process.argv[2] === 'vfs') {
      module.isBuiltin = (name) => name === 'node:vfs' || isBuiltin(name);
      module.syncBuiltinESMExports();
    }
    const fs = await import('${new URL('node/fs-promises.js', dist)}');
    const { existing } = await import('${new URL('internals.js', dist)}');
    const { size } = await fs.stat(import.meta.filename ?? process.argv[1]);
    console.log(JSON.stringify({ size: size > 0, ring: existing() !== null }));`,
  );
  t.deepEqual(await report(t, program), { size: true, ring: true });
  t.deepEqual(await report(t, program, ['vfs']), { size: true, ring: false });
});
