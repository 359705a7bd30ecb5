// What the tests of the drop-in share: two folders with the same content, one for each module, and
// outcomes in a form that can be compared: inode numbers, fresh times and the folder's own path do
// not tell the sides apart, everything else does.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import type { ExecutionContext } from 'ava';
import own from '../src/node/fs-promises.ts';

export type Fs = typeof import('node:fs/promises');

/** One module and the folder that it works in. */
export interface Side {
  readonly name: 'ours' | 'node';
  readonly fs: Fs;
  readonly root: string;
  readonly handles: Map<number, FileHandle>;
}

/** The module under test and the oracle: the running Node's own. */
export const ours = own as unknown as Fs;
export const theirs = process.getBuiltinModule('fs/promises') as Fs;

/** Times before this one were set by a test, later ones by the clock. */
const LONG_AGO = Date.UTC(2020, 0, 1);

/**
 * Two folders (removed after the test; without one by the caller). Both have the same path, when
 * it is their turn: so nothing that shows a path tells them apart.
 */
export function sides(
  t: ExecutionContext | null,
  fill: (root: string) => void = (root) => tree(root),
): [Side, Side] {
  const base = mkdtempSync(join(tmpdir(), 'ringcore-'));
  t?.teardown(() => {
    leave();
    remove(base);
  });
  const root = join(base, 'root');
  const make = (name: Side['name']): Side => {
    mkdirSync(root);
    fill(root);
    renameSync(root, join(base, name));
    return { name, fs: name === 'ours' ? ours : theirs, root, handles: new Map() };
  };
  const both: [Side, Side] = [make('ours'), make('node')];
  enter(both[0]);
  return both;
}

/** It is this side's turn. */
export function enter(side: Side): void {
  const here = join(side.root, '..', side.name);
  if (!existsSync(here)) return;
  const other = side.name === 'ours' ? 'node' : 'ours';
  if (existsSync(side.root)) renameSync(side.root, join(side.root, '..', other));
  renameSync(here, side.root);
}

/** Removes a folder whose modes were changed as well. */
export function remove(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    execFileSync('chmod', ['-R', 'u+rwx', path]);
    rmSync(path, { recursive: true, force: true });
  }
}

/** Where both folders of `sides` are. */
export const baseOf = (side: Side): string => join(side.root, '..');

export const pattern = (length: number, from = 0): Buffer => {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = 33 + ((i + from) % 89);
  return bytes;
};

const LARGE = pattern(100_000);
const FOLDERS = ['', 'g0/', 'g1/', 'g2/', 'g3/'];

/** Files, folders and links of every kind. */
export function tree(root: string, folders: readonly string[] = FOLDERS): void {
  for (const folder of folders) {
    const at = (name: string) => join(root, folder + name);
    if (folder !== '') mkdirSync(join(root, folder));
    writeFileSync(at('a'), 'hello world\nsecond line\r\nlast');
    writeFileSync(at('b'), '');
    mkdirSync(at('d'));
    writeFileSync(at('d/x'), 'x');
    mkdirSync(at('d/e'));
    symlinkSync('a', at('l'));
    symlinkSync('d', at('dl'));
    symlinkSync('nowhere', at('broken'));
    symlinkSync('loop', at('loop'));
  }
  if (folders.length > 1) writeFileSync(join(root, 'c'), LARGE);
}

/** A file of this size is nothing but a size. */
const SPARSE = 64 << 20;

/** Everything below a folder: kind, mode, content, link target, times that were set. */
export function listing(side: Side): Record<string, string> {
  enter(side);
  const { root } = side;
  const found: Record<string, string> = {};
  const walk = (path: Buffer, name: string) => {
    const stats = lstatSync(path);
    const mode = stats.mode.toString(8);
    const old = stats.mtimeMs < LONG_AGO ? ` ${stats.mtimeMs}` : '';
    let content = '';
    if (stats.isSymbolicLink()) content = readlinkSync(path).replaceAll(root, '<root>');
    else if (stats.size > SPARSE) content = `${stats.size} bytes`;
    else if (stats.isFile()) content = tried(() => bytesText(readFileSync(path)));
    found[name] = `${mode} ${stats.nlink}${old} ${content}`;
    if (!stats.isDirectory()) return;
    const names = tried(() => readdirSync(path, { encoding: 'buffer' }) as Buffer[]);
    if (typeof names === 'string') return;
    for (const each of names.sort(Buffer.compare)) {
      walk(Buffer.concat([path, Buffer.from('/'), each]), `${name}/${each.toString('latin1')}`);
    }
  };
  walk(Buffer.from(root), '');
  return found;
}

/** Its value; nothing for one who may not read what a test has protected. */
function tried<T>(read: () => T): T | '' {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
    return '';
  }
}

function bytesText(bytes: Uint8Array): string {
  const { length } = bytes;
  if (length <= 64) return `${length}: ${Buffer.from(bytes).toString('latin1')}`;
  return `${length}: ${createHash('sha1').update(bytes).digest('hex')}`;
}

/** How a call ended: by a value, a rejection, or by a throw before there was a promise. */
export type Outcome = { returned: unknown } | { rejected: unknown } | { threw: unknown };

const START = process.cwd();
/** Back to where the tests began: before a side's folder is removed. */
export const leave = (): void => process.chdir(START);

/** Calls it and waits for its end, with the side's folder as the working directory. */
export async function outcome(side: Side, call: () => unknown): Promise<Outcome> {
  enter(side);
  process.chdir(side.root);
  let promise: unknown;
  try {
    promise = call();
  } catch (error) {
    return { threw: shape(error, side.root) };
  }
  try {
    return { returned: shape(await promise, side.root) };
  } catch (error) {
    return { rejected: shape(error, side.root) };
  }
}

/** A value without what may differ. */
export function shape(value: unknown, root: string): unknown {
  if (typeof value === 'string') return value.replaceAll(root, '<root>');
  if (typeof value === 'function') return `function ${value.name}`;
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Error) return errorShape(value, root);
  if (value instanceof Date) return value.getTime() < LONG_AGO ? value : 'a fresh date';
  if (value instanceof URL) return shape(value.href, root);
  if (ArrayBuffer.isView(value)) {
    // A detached one has no bytes to look at.
    const at = value.byteLength === 0 ? [] : [value.buffer, value.byteOffset, value.byteLength];
    const bytes = new Uint8Array(...(at as [ArrayBuffer, number, number]));
    const text = Buffer.from(bytes).toString('latin1').replaceAll(root, '<root>');
    return `${value.constructor.name} ${bytesText(Buffer.from(text, 'latin1'))}`;
  }
  if (Array.isArray(value)) return value.map((each) => shape(each, root));
  if ('isFile' in value) return 'mode' in value ? statsShape(value) : direntShape(value, root);
  if ('fd' in value && 'datasync' in value) {
    return `${value.constructor.name} ${Number(value.fd) >= 0 ? 'open' : value.fd}`;
  }
  const prototype = Object.getPrototypeOf(value);
  const entries = Object.entries(value).map(([key, each]) => [key, shape(each, root)]);
  const name = prototype === null ? 'null' : prototype.constructor?.name;
  return name === 'Object' ? Object.fromEntries(entries) : [name, Object.fromEntries(entries)];
}

/** An argument error shows the fields of a handle, which are everybody's own. */
const withoutHandles = (text: string) => text.replace(/(FileHandle) \{[\s\S]*/, '$1');

const CLASSES = [TypeError, RangeError, SyntaxError, DOMException] as const;

function errorShape(error: Error, root: string): unknown {
  const own = Object.keys(error).map((key) => [key, shape(Reflect.get(error, key), root)]);
  const kind = CLASSES.find((each) => error instanceof each)?.name ?? 'Error';
  // Its first line is what a log shows of an error.
  const head = error.stack?.split('\n    at ')[0];
  const cause = 'cause' in error ? { cause: shape(error.cause, root) } : {};
  return {
    kind,
    name: error.name,
    message: shape(withoutHandles(error.message), root),
    head: shape(withoutHandles(head ?? ''), root),
    keys: Object.fromEntries(own),
    ...cause,
  };
}

const KINDS = [
  'isFile',
  'isDirectory',
  'isSymbolicLink',
  'isFIFO',
  'isSocket',
  'isBlockDevice',
  'isCharacterDevice',
] as const;

function kindOf(value: object): string {
  const is = value as Record<string, () => boolean>;
  return KINDS.filter((name) => is[name]?.() === true).join(' ');
}

function statsShape(value: object): unknown {
  const field = (key: string) => {
    const found = Reflect.get(value, key) as unknown;
    if (key === 'ino' || key === 'blocks') return typeof found;
    if (!/time/.test(key)) return found;
    if (found instanceof Date) return shape(found, '');
    const ms = key.endsWith('Ns') ? Number(found) / 1e6 : Number(found);
    return ms < LONG_AGO ? found : `a fresh ${typeof found}`;
  };
  const keys = [...Object.keys(value), 'atime', 'mtime', 'ctime', 'birthtime'];
  const entries = keys.map((key) => [key, field(key)]);
  return [value.constructor.name, kindOf(value), Object.fromEntries(entries)];
}

function direntShape(value: object, root: string): unknown {
  const { name, parentPath } = value as { name: unknown; parentPath: unknown };
  return [value.constructor.name, kindOf(value), shape(name, root), shape(parentPath, root)];
}

/** As text: what is equal as text is equal, and two texts show their difference. */
export function text(value: unknown): string {
  const options = { depth: 9, maxArrayLength: null, maxStringLength: null, breakLength: 96 };
  return inspect(value, options);
}
