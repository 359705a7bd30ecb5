// How a file is opened.
// Pair: crates/ringcore/src/fs/options.rs

import { checkFlags, checkPath } from '../check.ts';
import { checkInteger, errnoError, typeError } from '../error.ts';
import type { Future } from '../future.ts';
import type { OpOptions } from '../op.ts';
import { FieldsOp } from '../ops/fields.ts';
import { AT_FDCWD, type PathLike } from '../ops/paths.ts';
import { above, type Runtime } from '../runtime.ts';
import { IORING_OP_OPENAT } from '../sqe.ts';
import { File } from './file.ts';

const { constants: files } = process.getBuiltinModule('node:fs');

const EINVAL = 22;
const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_CREAT, O_EXCL, O_TRUNC } = files;
const O_ACCMODE = O_RDONLY | O_WRONLY | O_RDWR;

/** An open whose result is a file. */
class OpenOp extends FieldsOp<File> {
  /** Nobody receives the file: its descriptor is closed (I3). */
  protected override descriptorsIn(file: unknown): readonly number[] {
    const fd = (file as File).release();
    return fd < 0 ? [] : [fd];
  }
}

function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw typeError(name, 'of type boolean', value);
  return value;
}

// PAIR: OpenOptions
/**
 * How a file is opened. At first nothing is set: name at least one of `read`, `write`, `append`.
 * Each method gives the object back: `File.options().read().write().open(path)`.
 */
export class OpenOptions {
  private readonly runtime: () => Runtime;
  private reads = false;
  private writes = false;
  private appends = false;
  private truncates = false;
  private creates = false;
  private createsNew = false;
  private permissions = 0o666;
  private custom = 0;

  // PAIR: OpenOptions.new
  constructor(runtime: () => Runtime) {
    this.runtime = runtime;
  }

  // PAIR: OpenOptions.read
  /** Bytes may be read. */
  read(read = true): this {
    this.reads = checkBoolean('read', read);
    return this;
  }

  // PAIR: OpenOptions.write
  /** Bytes may be written. */
  write(write = true): this {
    this.writes = checkBoolean('write', write);
    return this;
  }

  // PAIR: OpenOptions.append
  /** Bytes may be written, always at the end of the file. */
  append(append = true): this {
    this.appends = checkBoolean('append', append);
    return this;
  }

  // PAIR: OpenOptions.truncate
  /** A file that exists is emptied. Not with `append`. */
  truncate(truncate = true): this {
    this.truncates = checkBoolean('truncate', truncate);
    return this;
  }

  // PAIR: OpenOptions.create
  /** A file that does not exist is made. Only with `write` or `append`. */
  create(create = true): this {
    this.creates = checkBoolean('create', create);
    return this;
  }

  // PAIR: OpenOptions.createNew
  /** The file is made, and it is an error (EEXIST) when it exists. */
  createNew(createNew = true): this {
    this.createsNew = checkBoolean('createNew', createNew);
    return this;
  }

  // PAIR: OpenOptions.mode
  /** Permissions of a file that is made, less the process's umask. Default 0o666. */
  mode(mode: number): this {
    this.permissions = checkInteger('mode', mode, 0, 0o7777);
    return this;
  }

  // PAIR: OpenOptions.customFlags
  /** More O_* of `fs.constants`, see open(2). The access mode in them is left out. */
  customFlags(flags: number): this {
    this.custom = checkFlags('flags', flags) & ~O_ACCMODE;
    return this;
  }

  // PAIR: OpenOptions.flags
  /** O_* of open(2). null: they contradict each other, as in Rust's standard library. */
  private flags(): number | null {
    const writes = this.writes || this.appends;
    if (!this.reads && !writes) return null;
    const makes = this.truncates || this.creates || this.createsNew;
    if (makes && !writes) return null;
    if (this.truncates && this.appends && !this.createsNew) return null;
    const access = writes ? (this.reads ? O_RDWR : O_WRONLY) : O_RDONLY;
    const append = this.appends ? O_APPEND : 0;
    const creation = this.createsNew
      ? O_CREAT | O_EXCL
      : (this.creates ? O_CREAT : 0) | (this.truncates ? O_TRUNC : 0);
    return access | append | creation | this.custom;
  }

  // PAIR: OpenOptions.open
  /** Opens the file. Always O_CLOEXEC. Starts now. Abandoned, it leaves nothing open. */
  open(path: PathLike, options?: OpOptions): Future<File> {
    const runtime = this.runtime();
    const name = checkPath(path);
    const flags = this.flags();
    const fields = { fd: AT_FDCWD, word0: flags ?? 0, length: this.permissions, paths: [name] };
    const made = (fd: number) => File.waiting(runtime, fd);
    const op = new OpenOp(runtime, IORING_OP_OPENAT, 'open', fields, made, options);
    if (flags === null) op.refuse(errnoError(EINVAL, 'open', `${Buffer.from(name)}`));
    else op.begin();
    return op;
  }
}

/** How files of one runtime are opened; `File` itself opens those of the thread's default one. */
export class Files {
  private readonly runtime: () => Runtime;

  constructor(runtime: () => Runtime) {
    this.runtime = runtime;
  }

  /** Opens a file that exists, to be read. */
  open(path: PathLike, options?: OpOptions): Future<File> {
    return this.options().read().open(path, options);
  }

  /** Opens a file to be written: empty, or made. */
  create(path: PathLike, options?: OpOptions): Future<File> {
    return this.options().write().create().truncate().open(path, options);
  }

  /** All ways to open a file. */
  options(): OpenOptions {
    return new OpenOptions(this.runtime);
  }

  /**
   * Takes a descriptor over. One that is non-blocking is waited for by polling; its flags stay as
   * they are.
   */
  fromFd(fd: number): File {
    return File.waiting(this.runtime(), checkInteger('fd', fd, 0, 0x7fffffff));
  }
}

above.files = (runtime) => new Files(runtime);
