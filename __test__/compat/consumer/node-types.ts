// The types of `ringcore/fs/promises` in somebody's own project: what compiles with Node's import
// compiles with this one, and the results have the same types. Nothing here is run.

import type { Buffer } from 'node:buffer';
import type { BigIntStats, Dir, Dirent, PathLike, ReadStream, Stats, WriteStream } from 'node:fs';
import type * as node from 'node:fs/promises';
import dropIn, * as fs from 'ringcore/fs/promises';

/** Fails to compile unless both types are the same, `any` included. */
type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : never;
const same = <A, B>(_yes: Same<A, B>): void => {};

// --- the modules --------------------------------------------------------------------------------

type Node = typeof node;
type NodeNames = Exclude<keyof Node, 'default'>;

// For a parameter of Node's type, which is what a library with an `fs` option has.
export const asNamespace: Node = fs;
export const asDefault: Node = dropIn;
// No name is missing, none is more, and each has the type that it has in Node.
same<Exclude<keyof typeof fs, 'default'>, NodeNames>(true);
same<keyof typeof dropIn, NodeNames>(true);
export const equal: { [Name in NodeNames]: Same<(typeof fs)[Name], Node[Name]> } = {
  access: true,
  appendFile: true,
  chmod: true,
  chown: true,
  constants: true,
  copyFile: true,
  cp: true,
  glob: true,
  lchmod: true,
  lchown: true,
  link: true,
  lstat: true,
  lutimes: true,
  mkdir: true,
  mkdtemp: true,
  mkdtempDisposable: true,
  open: true,
  opendir: true,
  readdir: true,
  readFile: true,
  readlink: true,
  realpath: true,
  rename: true,
  rm: true,
  rmdir: true,
  stat: true,
  statfs: true,
  symlink: true,
  truncate: true,
  unlink: true,
  utimes: true,
  watch: true,
  writeFile: true,
};

// --- overloads ----------------------------------------------------------------------------------

export async function reading(path: PathLike, handle: node.FileHandle): Promise<void> {
  const bytes = await fs.readFile(path);
  const view: Uint8Array = bytes;
  const text = await fs.readFile(path, 'utf8');
  same<typeof text, string>(true);
  const named = await fs.readFile(handle, { encoding: 'latin1', flag: 'r' });
  same<typeof named, string>(true);
  const either = await fs.readFile(path, {} as { encoding?: BufferEncoding | null });
  same<typeof either, string | typeof bytes>(true);
  const whole = await fs.readFile(path, { encoding: null, signal: AbortSignal.timeout(1) });
  same<typeof whole, typeof bytes>(true);
  void view;
  // @ts-expect-error -- an encoding that there is not
  await fs.readFile(path, 'utf9');
  // @ts-expect-error -- a number is no path
  await fs.readFile(3);
}

export async function writing(handle: node.FileHandle, buffer: Buffer): Promise<void> {
  await fs.writeFile('a', 'text', { encoding: 'utf8', mode: 0o600, flag: 'wx', flush: true });
  await fs.writeFile(handle, ['a', buffer], 'utf8');
  await fs.appendFile(new URL('file:///a'), new DataView(new ArrayBuffer(1)));
  // @ts-expect-error -- a number is no data
  await fs.writeFile('a', 3);
}

export async function asking(path: PathLike): Promise<void> {
  const stats = await fs.stat(path);
  same<typeof stats, Stats>(true);
  const exact = await fs.stat(path, { bigint: true });
  same<typeof exact, BigIntStats>(true);
  const maybe = await fs.stat(path, { throwIfNoEntry: false });
  same<typeof maybe, Stats | undefined>(true);
  const link = await fs.lstat(path, { bigint: true });
  same<typeof link, BigIntStats>(true);
  const names = await fs.readdir(path);
  same<typeof names, string[]>(true);
  const entries: Dirent[] = await fs.readdir(path, { withFileTypes: true });
  const dir: Dir = await fs.opendir(path);
  const made = await fs.mkdir(path, { recursive: true });
  same<typeof made, string | undefined>(true);
  const plain = await fs.mkdir(path);
  same<typeof plain, void>(true);
  void [entries, dir];
  const mode: number = fs.constants.S_IFMT & dropIn.constants.O_RDONLY;
  void mode;
}

// --- FileHandle ---------------------------------------------------------------------------------

/** Somebody's function that wants Node's own. */
const wants = (handle: node.FileHandle): number => handle.fd;

export async function handles(buffer: Buffer): Promise<void> {
  const handle = await fs.open('a', 'r+', 0o600);
  wants(handle);
  same<typeof handle, node.FileHandle>(true);
  // The type goes by its name as well, as it does in Node's module.
  const typed: fs.FileHandle = handle;
  const read = await typed.read(buffer, 0, 1, null);
  same<typeof read.bytesRead, number>(true);
  same<typeof read.buffer, Buffer>(true);
  await handle.read({ buffer, position: 5 });
  const { bytesWritten } = await handle.write('text', null, 'utf8');
  same<typeof bytesWritten, number>(true);
  await handle.write(new Uint16Array(2), { offset: 1 } as never);
  await handle.writev([buffer, new Uint8Array(1)], 3);
  const vector = await handle.readv([buffer]);
  same<typeof vector.bytesRead, number>(true);
  const text = await handle.readFile('utf8');
  same<typeof text, string>(true);
  const stats = await handle.stat({ bigint: true });
  same<typeof stats, BigIntStats>(true);
  const reader: ReadStream = handle.createReadStream({ start: 1 });
  const writer: WriteStream = handle.createWriteStream({ encoding: 'utf8' });
  for await (const line of handle.readLines()) same<typeof line, string>(true);
  void [reader, writer, handle.readableWebStream()];
  await handle[Symbol.asyncDispose]();
  // @ts-expect-error -- the descriptor is not to be changed
  handle.fd = 3;
}
