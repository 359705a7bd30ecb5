// backup: copies a folder tree so that it lasts. Beside it: backup.rs; without ringcore, without
// bar and --verify: backup.node.mjs, backup.std.rs.
//
//   npm start --silent -- --example backup SRC DST
//
// Many files are in flight at once, each by steps of its own. What makes it durable is the order
// of these: write under a temporary name, sync, rename, sync the folder. A file in DST is whole
// whenever the power fails; the next run goes on with those that are not there. The steps are not
// one chain: the kernel goes on behind a failed fsync, and would rename what is not on the disk.

import * as fs from 'node:fs';
import { basename, dirname, join as joinPath, resolve, sep } from 'node:path';
import { parseArgs } from 'node:util';
import { AT_FDCWD, constants, type Future, op, Runtime, run, type Statx, spawn } from 'ringcore';
import { clear, Progress, size } from './backup/progress.ts';
import {
  AT_ONCE,
  type Entry,
  each,
  isFile,
  isFolder,
  isLink,
  join,
  lookFor,
  parentOf,
  permissions,
  type Steps,
  walk,
} from './backup/tree.ts';
import { verify } from './backup/verify.ts';

const HELP = `Usage: backup [--verify] [--quiet] SRC DST

Copies what is in the folder SRC into the folder DST, which is made if need be.
Modes, times, symbolic and hard links, empty folders and holes are kept, owners
when root runs it. What is in DST only stays there. A file that DST has already
(same size, time and mode) is not copied again, so an interrupted backup goes on
where it was.

Options:
      --verify   then reads all of SRC and DST and compares them
      --quiet    no progress and no summary
  -h, --help     this text

Exit code: 0 all is there, 1 some files could not be copied or differ (they are
listed at the end), 2 wrong usage, or SRC and DST cannot be used, 130 interrupted.
`;

const CHUNK = 256 * 1024;
const ZEROS = Buffer.alloc(CHUNK);
/** Holds what is not whole yet. Its files are renamed, so it is on the same file system. */
const TEMPORARY = Buffer.from('.backup-tmp');
/** Node sets times in seconds with a fraction, which keeps microseconds. */
const SAME_NS = 2000;
const IS_ROOT = process.geteuid?.() === 0;

/** Wrong arguments, or folders that cannot be used. */
class UsageError extends Error {}

function sameTime(one: Statx, other: Statx): boolean {
  const ns = (one.mtime.sec - other.mtime.sec) * 1e9 + one.mtime.nsec - other.mtime.nsec;
  return Math.abs(ns) <= SAME_NS;
}

class Backup {
  readonly src: Buffer;
  readonly dst: Buffer;
  readonly failures: string[] = [];
  skipped = 0;
  progress = new Progress('', 0, 0);
  /** Files that could not be copied: their further names cannot be linked. */
  private readonly failed = new Set<Entry>();
  private serial = 0;

  constructor(src: string, dst: string) {
    this.src = Buffer.from(src);
    this.dst = Buffer.from(dst);
  }

  readonly fail = (path: Buffer, error: unknown): void => {
    this.failures.push(`'${join(this.src, path)}': ${(error as Error).message}`);
  };

  /** Copies everything that DST does not have; resolves to all entries and how many were copied. */
  *run(quiet: boolean): Steps<{ entries: Entry[]; copied: number }> {
    const entries = yield* walk(this.src, this.fail, TEMPORARY);
    this.skipped = entries.filter(({ stat }) => !supported(stat)).length;
    const folders = entries.filter(({ stat }) => isFolder(stat));
    for (const folder of folders) yield* this.guard(folder, this.makeFolder(folder));
    const { names, firsts } = hardLinks(entries.filter(({ stat }) => !isFolder(stat)));
    const wanted: Entry[] = [];
    yield* each(firsts, (entry) => this.guard(entry, this.compare(entry, wanted)));
    yield* this.removeTemporary();
    if (wanted.length > 0) yield* this.makeTemporary();
    const bytes = wanted.reduce((sum, { stat }) => sum + (isFile(stat) ? stat.size : 0), 0);
    this.progress = new Progress('copied', bytes, wanted.length);
    const copying = each(wanted, (entry) => this.copy(entry));
    yield* drawn(this.progress, quiet, copying);
    let copied = this.progress.files;
    for (const [entry, first] of names) {
      yield* this.guard(entry, this.hardLink(entry, first), () => copied++);
    }
    yield* this.removeTemporary();
    // From the deepest up: a folder is finished when everything in it is.
    for (const folder of folders.reverse()) yield* this.guard(folder, this.finishFolder(folder));
    return { entries: entries.filter(({ stat }) => supported(stat)), copied };
  }

  /** A failure is told at the end and does not stop the rest. */
  private *guard(entry: Entry, work: Steps<unknown>, good?: () => void): Steps<void> {
    try {
      if ((yield* work) !== false) good?.();
    } catch (error) {
      this.failed.add(entry);
      this.fail(entry.path, error);
    }
  }

  private *makeFolder({ path }: Entry): Steps<void> {
    const to = join(this.dst, path);
    const there = yield* lookFor(to);
    if (there !== undefined && !isFolder(there)) {
      throw new Error('DST has something else of this name');
    }
    if (there !== undefined) return;
    if (path.length > 0) yield* this.unlock(path);
    yield* op.mkdirat(AT_FDCWD, to, 0o700);
  }

  /** A folder that nobody may write to gets its mode back at the end. */
  private *unlock(below: Buffer): Steps<void> {
    const to = join(this.dst, parentOf(below));
    const there = yield* lookFor(to);
    if (there === undefined || !isFolder(there) || (there.mode & 0o200) !== 0) return;
    fs.chmodSync(to, permissions(there) | 0o200);
  }

  /** Adds what DST does not have to `wanted`. */
  private *compare(entry: Entry, wanted: Entry[]): Steps<void> {
    const { path, stat } = entry;
    if (!supported(stat)) return;
    const to = join(this.dst, path);
    const there = yield* lookFor(to);
    if (there === undefined || there.mode !== stat.mode) wanted.push(entry);
    else if (isLink(stat)) {
      const [old, now] = [fs.readlinkSync(to, 'buffer'), this.target(path)];
      if (!old.equals(now)) wanted.push(entry);
    } else if (there.size !== stat.size || !sameTime(there, stat)) wanted.push(entry);
  }

  private target(path: Buffer): Buffer {
    return fs.readlinkSync(join(this.src, path), 'buffer');
  }

  private *copy(entry: Entry): Steps<void> {
    yield* this.guard(entry, this.replace(entry), () => this.progress.files++);
  }

  /** A file or link, under a name of its own first. */
  private *replace(entry: Entry): Steps<void> {
    const temporary = this.temporary();
    let whole = false;
    try {
      if (isLink(entry.stat)) yield* this.makeLink(entry, temporary);
      else yield* this.copyFile(entry, temporary);
      yield* this.rename(temporary, entry.path);
      whole = true;
    } finally {
      if (!whole) yield* attempt(op.unlinkat(AT_FDCWD, temporary));
    }
  }

  /** Gives what is whole its name. */
  private *rename(temporary: Buffer, path: Buffer): Steps<void> {
    yield* this.unlock(path);
    yield* op.renameat(AT_FDCWD, temporary, AT_FDCWD, join(this.dst, path));
  }

  private *makeLink({ path, stat }: Entry, temporary: Buffer): Steps<void> {
    yield* op.symlinkat(this.target(path), AT_FDCWD, temporary);
    if (IS_ROOT) fs.lchownSync(temporary, stat.uid, stat.gid);
  }

  private *copyFile({ path }: Entry, temporary: Buffer): Steps<void> {
    const { O_RDONLY, O_NOFOLLOW, O_WRONLY, O_CREAT, O_EXCL } = fs.constants;
    const from = yield* op.openat(AT_FDCWD, join(this.src, path), O_RDONLY | O_NOFOLLOW);
    try {
      const to = yield* op.openat(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_EXCL, 0o600);
      try {
        const before = yield* op.statx(from, '', constants.AT_EMPTY_PATH);
        yield* this.copyBytes(from, to, before);
        const after = yield* op.statx(from, '', constants.AT_EMPTY_PATH);
        if (after.size !== before.size || !sameTime(after, before)) {
          throw new Error('it changed while it was being copied');
        }
        keep(temporary, before);
        yield* op.fsync(to);
      } finally {
        yield* op.close(to);
      }
    } finally {
      yield* op.close(from);
    }
  }

  private *copyBytes(from: number, to: number, { size: length, blocks }: Statx): Steps<void> {
    const sparse = blocks * 512 < length;
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, length));
    for (let offset = 0; offset < length; ) {
      const count = yield* op.read(from, buffer, offset);
      if (count === 0) return; // It has become shorter.
      // Zeros that nobody writes are a hole. The last bytes are written: they make the length.
      const chunk = buffer.subarray(0, count);
      const hole = sparse && offset + count < length && chunk.equals(ZEROS.subarray(0, count));
      for (let done = hole ? count : 0; done < count; ) {
        done += yield* op.write(to, chunk.subarray(done), offset + done);
      }
      offset += count;
      this.progress.bytes += count;
    }
  }

  /** One file under a further name. False: DST has that already. */
  private *hardLink(entry: Entry, first: Entry): Steps<boolean> {
    if (this.failed.has(first)) throw new Error(`nor could '${first.path}' be copied`);
    const [from, to] = [join(this.dst, first.path), join(this.dst, entry.path)];
    const [one, other] = [yield* lookFor(from), yield* lookFor(to)];
    if (one?.ino === other?.ino) return false;
    yield* this.makeTemporary();
    const temporary = this.temporary();
    yield* op.linkat(AT_FDCWD, from, AT_FDCWD, temporary);
    yield* this.rename(temporary, entry.path);
    return true;
  }

  /** Mode and time of a folder; then it goes to the disk, and with it the names in it. */
  private *finishFolder({ path, stat }: Entry): Steps<void> {
    const to = join(this.dst, path);
    const there = yield* lookFor(to);
    if (there === undefined || !isFolder(there)) return; // That was told already.
    if (there.mode === stat.mode && sameTime(there, stat)) return;
    const fd = yield* op.openat(AT_FDCWD, to, fs.constants.O_DIRECTORY);
    try {
      keep(to, stat);
      yield* op.fsync(fd);
    } finally {
      yield* op.close(fd);
    }
  }

  /** A name that no other file has, nor one of a run that was killed. */
  private temporary(): Buffer {
    const name = Buffer.from(`${process.pid}-${this.serial++}`);
    return join(join(this.dst, TEMPORARY), name);
  }

  private *makeTemporary(): Steps<void> {
    const folder = join(this.dst, TEMPORARY);
    if ((yield* lookFor(folder)) !== undefined) return;
    yield* this.unlock(TEMPORARY);
    yield* op.mkdirat(AT_FDCWD, folder, 0o700);
  }

  /** With what runs that were killed have left behind. */
  private *removeTemporary(): Steps<void> {
    const folder = join(this.dst, TEMPORARY);
    const there = yield* lookFor(folder);
    if (there === undefined) return;
    // What a link leads to is not ours.
    if (!isFolder(there)) throw new Error(`not a folder: '${folder}'`);
    for (const name of fs.readdirSync(folder, { encoding: 'buffer' })) {
      yield* op.unlinkat(AT_FDCWD, join(folder, name));
    }
    yield* op.unlinkat(AT_FDCWD, folder, constants.AT_REMOVEDIR);
  }
}

/** Owner, time and mode of a file or folder. The ring has no operations for these. */
function keep(path: Buffer, stat: Statx): void {
  if (IS_ROOT) fs.chownSync(path, stat.uid, stat.gid);
  const seconds = stat.mtime.sec + stat.mtime.nsec / 1e9;
  fs.utimesSync(path, seconds, seconds);
  fs.chmodSync(path, permissions(stat));
}

const supported = (stat: Statx): boolean => isFile(stat) || isFolder(stat) || isLink(stat);

/** The first name of every file, and the further ones with the entry that has its first. */
function hardLinks(entries: Entry[]): { firsts: Entry[]; names: Map<Entry, Entry> } {
  const names = new Map<Entry, Entry>();
  const seen = new Map<string, Entry>();
  const firsts = entries.filter((entry) => {
    const { nlink, devMajor, devMinor, ino } = entry.stat;
    if (nlink < 2 || !isFile(entry.stat)) return true;
    const key = `${devMajor}:${devMinor}:${ino}`;
    const first = seen.get(key);
    if (first === undefined) seen.set(key, entry);
    else names.set(entry, first);
    return first === undefined;
  });
  return { firsts, names };
}

/** The steps with their progress on the screen. */
function* drawn(progress: Progress, quiet: boolean, steps: Steps<void>): Steps<void> {
  if (quiet) return yield* steps;
  const drawing = spawn(() => progress.run());
  try {
    yield* steps;
  } finally {
    drawing.abort();
    clear();
  }
}

/** An operation that may fail: what it works on may not have come to be. */
function* attempt(operation: Future<unknown>): Steps<void> {
  try {
    yield* operation;
  } catch {
    // It was tried.
  }
}

/** The two folders as they are: without links, `..` and slashes at the end. */
function checked(srcPath: string, dstPath: string): [src: string, dst: string] {
  const real = (path: string) => {
    try {
      return fs.realpathSync(path);
    } catch (error) {
      throw new UsageError((error as Error).message);
    }
  };
  const [src, target] = [real(resolve(srcPath)), resolve(dstPath)];
  const there = fs.lstatSync(target, { throwIfNoEntry: false }) !== undefined;
  const dst = there ? real(target) : joinPath(real(dirname(target)), basename(target));
  if (!fs.statSync(src).isDirectory()) throw new UsageError(`SRC is not a folder: '${srcPath}'`);
  if (there && !fs.statSync(dst).isDirectory()) {
    throw new UsageError(`DST is not a folder: '${dstPath}'`);
  }
  if (dst === src || dst.startsWith(src === sep ? sep : src + sep)) {
    throw new UsageError(`DST is inside of SRC: '${dst}'`);
  }
  return [src, dst];
}

/** Ctrl-C. What is in flight ends with the process; what is not whole goes. */
function interrupted(dst: string): void {
  try {
    fs.rmSync(joinPath(dst, TEMPORARY.toString()), { recursive: true, force: true });
  } catch {
    // The next run does it.
  }
  clear();
  console.error('backup: interrupted; the same command goes on from here');
  process.exit(130);
}

function* main(src: string, dst: string, flags: Flags): Steps<void> {
  const started = performance.now();
  const backup = new Backup(src, dst);
  const isNew = (yield* lookFor(backup.dst)) === undefined;
  const { entries, copied } = yield* backup.run(flags.quiet);
  if (isNew) {
    // The name of DST itself lasts as well.
    const parent = yield* op.openat(AT_FDCWD, dirname(dst), fs.constants.O_DIRECTORY);
    yield* op.fsync(parent);
    yield* op.close(parent);
  }
  const { failures, skipped, progress } = backup;
  const time = ((performance.now() - started) / 1000).toFixed(1);
  const files = entries.filter(({ stat }) => !isFolder(stat));
  const lines = [`${copied} of ${files.length} files copied, ${size(progress.bytes)} in ${time} s`];
  if (skipped > 0) lines.push(`${skipped} skipped: neither files, folders nor links`);
  if (flags.verify) {
    const before = failures.length;
    const bytes = files.reduce((sum, { stat }) => sum + (isFile(stat) ? stat.size : 0), 0);
    const reading = new Progress('verified', bytes, files.length);
    const roots = [backup.src, backup.dst] as const;
    yield* drawn(reading, flags.quiet, verify(roots, entries, reading, backup.fail));
    const found = failures.length - before;
    const what = found === 1 ? 'difference' : 'differences';
    lines.push(`${size(reading.bytes)} verified, ${found} ${what}`);
  }
  if (!flags.quiet) console.log(lines.join('\n'));
  for (const failure of failures) console.error(`backup: ${failure}`);
  process.exitCode = failures.length > 0 ? 1 : 0;
}

interface Flags {
  verify: boolean;
  quiet: boolean;
  help: boolean;
}

/** The words of the command line that are no options, and the options. */
function parse(): { paths: string[]; flags: Flags } {
  const flag = { type: 'boolean', default: false } as const;
  const options = { verify: flag, quiet: flag, help: { ...flag, short: 'h' } } as const;
  try {
    const { positionals, values } = parseArgs({ options, allowPositionals: true });
    return { paths: positionals, flags: values };
  } catch (error) {
    // "Unknown option '--x'. To specify a positional argument ...": the first sentence says it.
    throw new UsageError((error as Error).message.split('. ')[0]);
  }
}

try {
  const { paths, flags } = parse();
  const [src, dst, ...more] = paths;
  if (flags.help) {
    process.stdout.write(HELP);
  } else if (!src || !dst || more.length > 0) {
    throw new UsageError(`two folders are needed\n\n${HELP}`);
  } else {
    const [from, to] = checked(src, dst);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted(to));
    // Syncs that wait for the disk together share one write of its journal; four threads of the
    // kernel, which is the default, would let four of them wait at a time.
    Runtime.init({ maxWorkers: [AT_ONCE, AT_ONCE] });
    await run(() => main(from, to, flags));
  }
} catch (error) {
  console.error(`backup: ${(error as Error).message.trimEnd()}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
