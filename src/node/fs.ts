// ringcore/fs: node:fs, name for name, on the ring where it helps. For libraries that take an `fs`,
// and for programs written with callbacks or streams.
//
// Callbacks of whole files, descriptors, metadata and names take the ring (calls.ts), streams work
// through them, `promises` is ringcore/fs/promises; everything else is node's own as it is. A name
// that the running Node lacks is undefined here and absent from the default export.

import type * as Node from 'node:fs';
import { fs } from './module.ts';

export type * from 'node:fs';

/** The type of a name that older types of Node do not know. */
type Younger<Name extends string> = Name extends keyof typeof Node
  ? (typeof Node)[Name]
  : undefined;
type Made<Class> = Class extends abstract new (...args: never) => infer It ? It : never;

export const Dir: typeof Node.Dir = fs.Dir;
export type Dir = Node.Dir;
export const Dirent: typeof Node.Dirent = fs.Dirent;
export type Dirent<Name extends string | Buffer = string> = Node.Dirent<Name>;
export const ReadStream: typeof Node.ReadStream = fs.ReadStream;
export type ReadStream = Node.ReadStream;
export const Stats: typeof Node.Stats = fs.Stats;
export type Stats = Node.Stats;
export const Utf8Stream: Younger<'Utf8Stream'> = fs.Utf8Stream;
export type Utf8Stream = Made<Younger<'Utf8Stream'>>;
export const WriteStream: typeof Node.WriteStream = fs.WriteStream;
export type WriteStream = Node.WriteStream;
export const access: typeof Node.access = fs.access;
export const accessSync: typeof Node.accessSync = fs.accessSync;
export const appendFile: typeof Node.appendFile = fs.appendFile;
export const appendFileSync: typeof Node.appendFileSync = fs.appendFileSync;
export const chmod: typeof Node.chmod = fs.chmod;
export const chmodSync: typeof Node.chmodSync = fs.chmodSync;
export const chown: typeof Node.chown = fs.chown;
export const chownSync: typeof Node.chownSync = fs.chownSync;
export const close: typeof Node.close = fs.close;
export const closeSync: typeof Node.closeSync = fs.closeSync;
export const constants: typeof Node.constants = fs.constants;
export const copyFile: typeof Node.copyFile = fs.copyFile;
export const copyFileSync: typeof Node.copyFileSync = fs.copyFileSync;
export const cp: typeof Node.cp = fs.cp;
export const cpSync: typeof Node.cpSync = fs.cpSync;
export const createReadStream: typeof Node.createReadStream = fs.createReadStream;
export const createWriteStream: typeof Node.createWriteStream = fs.createWriteStream;
export const exists: typeof Node.exists = fs.exists;
export const existsSync: typeof Node.existsSync = fs.existsSync;
export const fchmod: typeof Node.fchmod = fs.fchmod;
export const fchmodSync: typeof Node.fchmodSync = fs.fchmodSync;
export const fchown: typeof Node.fchown = fs.fchown;
export const fchownSync: typeof Node.fchownSync = fs.fchownSync;
export const fdatasync: typeof Node.fdatasync = fs.fdatasync;
export const fdatasyncSync: typeof Node.fdatasyncSync = fs.fdatasyncSync;
export const fstat: typeof Node.fstat = fs.fstat;
export const fstatSync: typeof Node.fstatSync = fs.fstatSync;
export const fsync: typeof Node.fsync = fs.fsync;
export const fsyncSync: typeof Node.fsyncSync = fs.fsyncSync;
export const ftruncate: typeof Node.ftruncate = fs.ftruncate;
export const ftruncateSync: typeof Node.ftruncateSync = fs.ftruncateSync;
export const futimes: typeof Node.futimes = fs.futimes;
export const futimesSync: typeof Node.futimesSync = fs.futimesSync;
export const glob: Younger<'glob'> = fs.glob;
export const globSync: Younger<'globSync'> = fs.globSync;
export const lchmod: typeof Node.lchmod = fs.lchmod;
export const lchmodSync: typeof Node.lchmodSync = fs.lchmodSync;
export const lchown: typeof Node.lchown = fs.lchown;
export const lchownSync: typeof Node.lchownSync = fs.lchownSync;
export const link: typeof Node.link = fs.link;
export const linkSync: typeof Node.linkSync = fs.linkSync;
export const lstat: typeof Node.lstat = fs.lstat;
export const lstatSync: typeof Node.lstatSync = fs.lstatSync;
export const lutimes: typeof Node.lutimes = fs.lutimes;
export const lutimesSync: typeof Node.lutimesSync = fs.lutimesSync;
export const mkdir: typeof Node.mkdir = fs.mkdir;
export const mkdirSync: typeof Node.mkdirSync = fs.mkdirSync;
export const mkdtemp: typeof Node.mkdtemp = fs.mkdtemp;
export const mkdtempDisposableSync: Younger<'mkdtempDisposableSync'> = fs.mkdtempDisposableSync;
export const mkdtempSync: typeof Node.mkdtempSync = fs.mkdtempSync;
export const open: typeof Node.open = fs.open;
export const openAsBlob: typeof Node.openAsBlob = fs.openAsBlob;
export const openSync: typeof Node.openSync = fs.openSync;
export const opendir: typeof Node.opendir = fs.opendir;
export const opendirSync: typeof Node.opendirSync = fs.opendirSync;
export const promises: typeof Node.promises = fs.promises;
export const read: typeof Node.read = fs.read;
export const readFile: typeof Node.readFile = fs.readFile;
export const readFileSync: typeof Node.readFileSync = fs.readFileSync;
export const readSync: typeof Node.readSync = fs.readSync;
export const readdir: typeof Node.readdir = fs.readdir;
export const readdirSync: typeof Node.readdirSync = fs.readdirSync;
export const readlink: typeof Node.readlink = fs.readlink;
export const readlinkSync: typeof Node.readlinkSync = fs.readlinkSync;
export const readv: typeof Node.readv = fs.readv;
export const readvSync: typeof Node.readvSync = fs.readvSync;
export const realpath: typeof Node.realpath = fs.realpath;
export const realpathSync: typeof Node.realpathSync = fs.realpathSync;
export const rename: typeof Node.rename = fs.rename;
export const renameSync: typeof Node.renameSync = fs.renameSync;
export const rm: typeof Node.rm = fs.rm;
export const rmSync: typeof Node.rmSync = fs.rmSync;
export const rmdir: typeof Node.rmdir = fs.rmdir;
export const rmdirSync: typeof Node.rmdirSync = fs.rmdirSync;
export const stat: typeof Node.stat = fs.stat;
export const statSync: typeof Node.statSync = fs.statSync;
export const statfs: typeof Node.statfs = fs.statfs;
export const statfsSync: typeof Node.statfsSync = fs.statfsSync;
export const symlink: typeof Node.symlink = fs.symlink;
export const symlinkSync: typeof Node.symlinkSync = fs.symlinkSync;
export const truncate: typeof Node.truncate = fs.truncate;
export const truncateSync: typeof Node.truncateSync = fs.truncateSync;
export const unlink: typeof Node.unlink = fs.unlink;
export const unlinkSync: typeof Node.unlinkSync = fs.unlinkSync;
export const unwatchFile: typeof Node.unwatchFile = fs.unwatchFile;
export const utimes: typeof Node.utimes = fs.utimes;
export const utimesSync: typeof Node.utimesSync = fs.utimesSync;
export const watch: typeof Node.watch = fs.watch;
export const watchFile: typeof Node.watchFile = fs.watchFile;
export const write: typeof Node.write = fs.write;
export const writeFile: typeof Node.writeFile = fs.writeFile;
export const writeFileSync: typeof Node.writeFileSync = fs.writeFileSync;
export const writeSync: typeof Node.writeSync = fs.writeSync;
export const writev: typeof Node.writev = fs.writev;
export const writevSync: typeof Node.writevSync = fs.writevSync;

/** Names without a type of their own. */
const untyped = fs as unknown as Record<string, unknown>;
export const FileReadStream: typeof Node.ReadStream =
  untyped.FileReadStream as typeof Node.ReadStream;
export const FileWriteStream: typeof Node.WriteStream =
  untyped.FileWriteStream as typeof Node.WriteStream;
export const openAsBlobSync: unknown = untyped.openAsBlobSync;
export const _toUnixTimestamp: unknown = untyped._toUnixTimestamp;
export const F_OK: unknown = fs.constants.F_OK;
export const R_OK: unknown = fs.constants.R_OK;
export const W_OK: unknown = fs.constants.W_OK;
export const X_OK: unknown = fs.constants.X_OK;

export default fs;
// What require() gives, where Node lets a module say so.
export { fs as 'module.exports' };
