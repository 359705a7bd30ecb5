// Every function of the module and every method of a FileHandle with arguments that it takes, and
// every kind of value that somebody may give it instead.

import { constants } from 'node:fs';
import { type Fs, pattern, type Side, theirs } from './fs-sides.ts';

/** Makes an argument for a side; what it opens is closed by `after`. */
export type Make = (side: Side, after: (() => Promise<unknown>)[]) => unknown;

const at =
  (name: string): Make =>
  ({ root }) =>
    `${root}/${name}`;
const is =
  (value: unknown): Make =>
  () =>
    value;
const bytes: Make = () => Buffer.from('some bytes');
const room: Make = () => Buffer.alloc(16, '.');

function detached(): Uint8Array {
  const bytes = new Uint8Array(16);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

function shared(): Uint8Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(16));
  bytes.set(pattern(16));
  return bytes;
}

function opened(from: 'own' | 'node', state: 'open' | 'closed'): Make {
  return async (side, after) => {
    const fs: Fs = from === 'own' ? side.fs : theirs;
    const handle = await fs.open(`${side.root}/a`, 'r+');
    if (state === 'closed') await handle.close();
    else after.push(() => handle.close());
    return handle;
  };
}

class Named {
  toString(): string {
    return 'a';
  }
}

// A mode of 2^31 is left out: it aborts the process in Node 20 (an assertion in Chmod).
const numbers = [0, 1, -1, 1.5, Number.NaN, 2 ** 32, 2 ** 53, Number.POSITIVE_INFINITY];
const texts = ['', 'a', 'a\0b', 'nope', 'utf8', 'r', 'w', '0600', 'n'.repeat(256)];
const urls = ['http://x/a', 'file://host/a', 'file:///a%2Fb', 'file:///a%00b', 'data:,a'];

const fields: Record<string, unknown[]> = {
  encoding: ['nope', 1, null, 'hex', 'buffer'],
  flag: ['zz', null, 1.5, 'a', constants.O_RDONLY, {}],
  mode: ['abc', -1, 1.5, null, 2 ** 32],
  flush: [1, null, true],
  signal: [1, {}, null],
  recursive: [1, 'yes', null],
  bigint: [1, null],
  withFileTypes: [1, null],
  position: ['x', 1.5, -2, 2n ** 64n, null, 3n, {}],
  offset: [-1, 17, 1.5, 'x', null, {}],
  length: [-1, 17, null],
  force: [1],
  maxRetries: [-1, 'x'],
  retryDelay: [-1],
  filter: [1],
  throwIfNoEntry: [false],
  // Younger versions read into it; a number is wrong to them.
  buffer: [1, null],
  unheardOf: [true],
};

/** Everything that somebody may pass, whatever was wanted. */
export const VALUES: [string, Make][] = [
  ...[undefined, null, true, false, 1n, -1n, ...numbers].map((each): [string, Make] => [
    `${String(each)}${typeof each === 'bigint' ? 'n' : ''}`,
    is(each),
  ]),
  ...texts.map((each): [string, Make] => [JSON.stringify(each).slice(0, 20), is(each)]),
  ...urls.map((each): [string, Make] => [`URL ${each}`, is(new URL(each))]),
  ...Object.entries(fields).flatMap(([key, values]) =>
    values.map((each): [string, Make] => [`{ ${key}: ${String(each)} }`, () => ({ [key]: each })]),
  ),
  ['a symbol', is(Symbol('s'))],
  ['[]', () => []],
  ["['x']", () => ['x']],
  ['[Uint8Array]', () => [new Uint8Array(4)]],
  ['[detached]', () => [detached()]],
  ['{}', () => ({})],
  ['a null object', () => Object.create(null)],
  ['{ fd: 1 }', () => ({ fd: 1 })],
  ['a function', is(() => {})],
  ['a date', is(new Date(0))],
  ['an object with a text', is(new Named())],
  ['a String', is(new String('a'))],
  ['bytes of a path', () => Buffer.alloc(1, 'a')],
  ['bytes with NUL', () => Buffer.alloc(3, 'a\0b')],
  ['an empty view', () => new Uint8Array(0)],
  ['a detached view', detached],
  ['shared bytes', shared],
  ['an ArrayBuffer', () => new ArrayBuffer(8)],
  ['a SharedArrayBuffer', () => new SharedArrayBuffer(8)],
  ['a DataView', () => new DataView(new ArrayBuffer(8))],
  ['a Uint16Array', () => new Uint16Array(8)],
  ['a BigInt64Array', () => new BigInt64Array(2)],
  ['an own handle', opened('own', 'open')],
  ['a closed handle', opened('own', 'closed')],
  ["a handle of Node's", opened('node', 'open')],
  ["a closed handle of Node's", opened('node', 'closed')],
  ['{ buffer: a large one }', () => ({ buffer: Buffer.alloc(40, '.') })],
  ['{ buffer: a small one }', () => ({ buffer: new Uint8Array(3) })],
  ['{ buffer: a function }', () => ({ buffer: (size: number) => Buffer.alloc(size + 2, '.') })],
  ['an inherited signal', () => Object.create({ signal: AbortSignal.abort() })],
  ['an aborted signal', () => ({ signal: AbortSignal.abort() })],
  ['one with a reason', () => ({ signal: AbortSignal.abort(new Error('why')) })],
  ['a signal', () => ({ signal: new AbortController().signal })],
];

/** Each function with arguments that it takes; every prefix of them is tried as well. */
export const CALLS: Record<string, Make[][]> = {
  access: [[at('a'), is(constants.R_OK)]],
  appendFile: [
    [at('a'), is('more'), is('utf8')],
    [at('a'), bytes, () => ({ flush: true })],
  ],
  chmod: [[at('a'), is(0o600)]],
  chown: [[at('a'), is(0), is(0)]],
  copyFile: [[at('a'), at('n'), is(0)]],
  cp: [[at('d'), at('n'), () => ({ recursive: true })]],
  glob: [[is('*'), () => ({ cwd: '.' })]],
  lchmod: [[at('a'), is(0o600)]],
  lchown: [[at('a'), is(0), is(0)]],
  link: [[at('a'), at('n')]],
  lstat: [[at('l'), () => ({ bigint: true })]],
  lutimes: [[at('l'), is(1), is(2)]],
  mkdir: [
    [at('n'), is(0o700)],
    [at('n/m'), () => ({ recursive: true })],
  ],
  mkdtemp: [[at('t'), is('utf8')]],
  mkdtempDisposable: [[at('t'), is('utf8')]],
  open: [[at('a'), is('r'), is(0o600)]],
  opendir: [[at('d'), () => ({ bufferSize: 2 })]],
  readFile: [
    [at('a'), is('utf8')],
    [at('a'), () => ({ encoding: 'hex', flag: 'r' })],
  ],
  readdir: [[at('d'), () => ({ withFileTypes: true })]],
  readlink: [[at('l'), is('utf8')]],
  realpath: [[at('l'), is('utf8')]],
  rename: [[at('a'), at('n')]],
  rm: [[at('d'), () => ({ recursive: true, force: true })]],
  rmdir: [[at('d/e'), () => ({})]],
  stat: [[at('a'), () => ({ bigint: true })]],
  statfs: [[at('a'), () => ({ bigint: true })]],
  symlink: [[is('a'), at('n'), is('file')]],
  truncate: [[at('a'), is(3)]],
  unlink: [[at('a')]],
  utimes: [[at('a'), is(1), is(2)]],
  watch: [[at('a'), () => ({ persistent: false })]],
  writeFile: [
    [at('a'), is('new'), is('utf8')],
    [at('n'), bytes, () => ({ mode: 0o600 })],
  ],
};

/** Whether this Node takes a bigint for a position of FileHandle.read; 20 takes it for none. */
let bigints = false;

export async function askForBigInts(): Promise<void> {
  const handle = await theirs.open(process.execPath);
  const [one, other] = [Buffer.alloc(4), Buffer.alloc(4)];
  await handle.read(one, 0, 4, 1n);
  await handle.read(other, 0, 4, 1);
  await handle.close();
  bigints = one.equals(other);
}

export const takesBigInts = (): boolean => bigints;

const isBig = (value: unknown) => typeof value === 'bigint' && value >= 0n;

/**
 * A length that is no integer is an assertion in Node 20's FileHandle.read, which ends the
 * process: it cannot be the oracle there, and neither can it for positions that it overlooks.
 */
export function noOracle(name: string, args: unknown[]): boolean {
  // Node 20 takes null for options of write, which drop the arguments behind it.
  if (name === 'write') return args[1] === null;
  if (name !== 'read') return false;
  const inside = args.some((arg) => isBig((arg as { position?: unknown } | null)?.position));
  if (!bigints && (isBig(args[3]) || inside)) return true;
  const [, , length] = args;
  return length !== undefined && length !== null && !Number.isInteger(length);
}

const views: Make = () => [Buffer.alloc(3), new Uint8Array(5)];

/** Each method of a FileHandle with arguments that it takes. */
export const METHODS: Record<string, Make[][]> = {
  appendFile: [[is('more'), is('utf8')]],
  chmod: [[is(0o600)]],
  chown: [[is(0), is(0)]],
  close: [[]],
  createReadStream: [[() => ({ start: 1, end: 5 })]],
  createWriteStream: [[() => ({ start: 1 })]],
  datasync: [[]],
  getAsyncId: [[]],
  read: [
    [room, is(2), is(8), is(3)],
    [() => ({ buffer: Buffer.alloc(8), offset: 1, length: 4, position: 2 })],
    [room, () => ({ offset: 1, length: 4, position: 2 })],
  ],
  readFile: [[is('utf8')], [() => ({ encoding: 'utf8' })]],
  readLines: [[() => ({ encoding: 'utf8' })]],
  readv: [[views, is(2)]],
  stat: [[() => ({ bigint: true })]],
  sync: [[]],
  truncate: [[is(3)]],
  utimes: [[is(1), is(2)]],
  write: [
    [bytes, is(2), is(4), is(3)],
    [bytes, () => ({ offset: 1, length: 4, position: 2 })],
    [is('text'), is(2), is('utf8')],
  ],
  writeFile: [[is('new'), is('utf8')], [bytes]],
  writev: [[views, is(2)]],
};
