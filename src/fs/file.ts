// File: an open file, its cursor and its end.
// Pair: crates/ringcore/src/fs/file.rs
//
// A method without `At` in its name works at the cursor, one after the other in the order of the
// calls (unless it is given an `offset`); those with an offset leave the cursor alone and run at
// once. Every method starts when it is called; what it gives may be awaited later, or `yield*`ed.

import { checkOffset, checkView } from '../check.ts';
import { constants } from '../constants.ts';
import { typeError } from '../error.ts';
import type { Future } from '../future.ts';
import type { Op, OpOptions, TransferOptions } from '../op.ts';
import type { Fields } from '../ops/fields.ts';
import { nothing } from '../ops/fields.ts';
import type { PathLike } from '../ops/paths.ts';
import { above, current, type Runtime } from '../runtime.ts';
import * as S from '../sqe.ts';
import type { Statx } from '../statx.ts';
import { Chunks, type ChunksOptions } from './chunks.ts';
import { CURSOR, Handle } from './handle.ts';
import { Lines, type LinesOptions } from './lines.ts';
import { FileFields, FileTransfer, FileVector } from './moves.ts';
import type { Files, OpenOptions } from './options.ts';
import { type Done, Quick } from './quick.ts';
import { ReadFile } from './read.ts';
import { FileStat } from './stat.ts';
import * as transfer from './transfer.ts';
import { type Steps, Work } from './work.ts';
import { WriteFile } from './write.ts';

type Place = number | bigint;

/** Where a transfer begins. */
export interface At extends TransferOptions {
  /** A position in the file; absent: the cursor, which moves on. */
  offset?: Place | undefined;
}

/** Options of `File.append`. */
export interface AppendOptions extends OpOptions {
  /** The bytes are on the disk when it ends. Default false. */
  durable?: boolean | undefined;
}

/** A string is its UTF-8. */
export function viewOf(data: string | ArrayBufferView): ArrayBufferView {
  return typeof data === 'string' ? Buffer.from(data) : checkView('data', data);
}

let made: Files | null = null;

/** How files of the thread's default runtime are opened; options.ts stands above. */
function files(): Files {
  made ??= above.files(current);
  return made;
}

// PAIR: File
/** An open file. Forgotten, it is closed, with one warning (I3). */
export class File {
  readonly runtime: Runtime;
  private readonly handle: Handle;

  /** Takes over a descriptor that is open: it is the file's to close from here on. */
  constructor(runtime: Runtime, fd: number, waits = false) {
    this.runtime = runtime;
    this.handle = new Handle(runtime, fd, waits, this);
  }

  /** One that waits where its descriptor must not. */
  static waiting(runtime: Runtime, fd: number): File {
    return new File(runtime, fd, true);
  }

  // PAIR: File.open
  /** Opens a file that exists, to be read. */
  static open(path: PathLike, options?: OpOptions): Future<File> {
    return files().open(path, options);
  }

  // PAIR: File.create
  /** Opens a file to be written: empty, or made. */
  static create(path: PathLike, options?: OpOptions): Future<File> {
    return files().create(path, options);
  }

  // PAIR: File.options
  /** All ways to open a file. */
  static options(): OpenOptions {
    return files().options();
  }

  // PAIR: File.fromFd
  /**
   * Takes a descriptor over. One that is non-blocking is waited for by polling; its flags stay as
   * they are. Not one that a worker's node:fs has opened, see I3 in docs/safety.md.
   */
  static fromFd(fd: number): File {
    return files().fromFd(fd);
  }

  // PAIR: File.fd
  /** The descriptor, still the file's; -1 when it is closed. */
  get fd(): number {
    return this.handle.fd;
  }

  /** Whether anything is under way in it. */
  get busy(): boolean {
    return this.handle.used;
  }

  // PAIR: File.read
  /** Reads at most `buffer.byteLength` bytes (and at most 1 MiB); 0 is the end. */
  read(buffer: ArrayBufferView, at?: At): Op<number> {
    return this.transfer(S.IORING_OP_READ, 'read', buffer, at?.offset, at);
  }

  // PAIR: File.readAt
  /** The same at an offset. */
  readAt(buffer: ArrayBufferView, offset: Place, options?: TransferOptions): Op<number> {
    return this.transfer(S.IORING_OP_READ, 'read', buffer, from(offset), options);
  }

  // PAIR: File.readExact
  /** Fills the buffer. ERR_RINGCORE_UNEXPECTED_END: the file ended before. */
  readExact(buffer: ArrayBufferView, at?: At): Future<void> {
    const view = checkView('buffer', buffer);
    const offset = start(at?.offset);
    const options = at ?? {};
    return this.work('read', offset, (handle) => transfer.readExact(handle, view, offset, options));
  }

  // PAIR: File.readExactAt
  /** The same from an offset. */
  readExactAt(buffer: ArrayBufferView, offset: Place, options?: TransferOptions): Future<void> {
    return this.readExact(buffer, { ...options, offset: from(offset) });
  }

  // PAIR: File.readToEnd
  /** Everything from the cursor to the end, also of what has no size. */
  readToEnd(options: OpOptions = {}): Future<Buffer> {
    return this.work('read', CURSOR, (handle) => transfer.readToEnd(handle, options));
  }

  // PAIR: File.readToString
  /** The same as text. What is wrong in UTF-8 becomes U+FFFD. (In Rust it is an error.) */
  readToString(encoding: BufferEncoding = 'utf8', options: OpOptions = {}): Future<string> {
    if (!Buffer.isEncoding(encoding)) throw typeError('encoding', 'an encoding', encoding);
    return this.work('read', CURSOR, function* (handle) {
      return (yield* transfer.readToEnd(handle, options)).toString(encoding);
    });
  }

  // PAIR: File.readv
  /** Reads into several buffers, one after the other. */
  readv(buffers: readonly ArrayBufferView[], at?: At): Op<number> {
    return this.vector(S.IORING_OP_READV, 'read', buffers, at?.offset, at);
  }

  // PAIR: File.readvAt
  /** The same at an offset. */
  readvAt(
    buffers: readonly ArrayBufferView[],
    offset: Place,
    options?: TransferOptions,
  ): Op<number> {
    return this.vector(S.IORING_OP_READV, 'read', buffers, from(offset), options);
  }

  // PAIR: File.write
  /** Writes at most 1 MiB of `data`; resolves to the count, which may be short. */
  write(data: string | ArrayBufferView, at?: At): Op<number> {
    return this.transfer(S.IORING_OP_WRITE, 'write', viewOf(data), at?.offset, at);
  }

  // PAIR: File.writeAt
  /** The same at an offset. */
  writeAt(data: string | ArrayBufferView, offset: Place, options?: TransferOptions): Op<number> {
    return this.transfer(S.IORING_OP_WRITE, 'write', viewOf(data), from(offset), options);
  }

  // PAIR: File.writeAll
  /** Writes all of `data`. */
  writeAll(data: string | ArrayBufferView, at?: At): Future<void> {
    const view = viewOf(data);
    const offset = start(at?.offset);
    const options = at ?? {};
    return this.work('write', offset, (handle) => transfer.writeAll(handle, view, offset, options));
  }

  // PAIR: File.writeAllAt
  /** The same at an offset. */
  writeAllAt(
    data: string | ArrayBufferView,
    offset: Place,
    options?: TransferOptions,
  ): Future<void> {
    return this.writeAll(data, { ...options, offset: from(offset) });
  }

  // PAIR: File.writev
  /** Writes several buffers, in their order. The count may be short. */
  writev(buffers: readonly ArrayBufferView[], at?: At): Op<number> {
    return this.vector(S.IORING_OP_WRITEV, 'write', buffers, at?.offset, at);
  }

  // PAIR: File.writevAt
  /** The same at an offset. */
  writevAt(
    buffers: readonly ArrayBufferView[],
    offset: Place,
    options?: TransferOptions,
  ): Op<number> {
    return this.vector(S.IORING_OP_WRITEV, 'write', buffers, from(offset), options);
  }

  // PAIR: File.append
  /**
   * Writes all of `data` at the end of the file, and moves the cursor there. With `durable` the
   * bytes are on the disk when it ends: the write is linked to its fdatasync.
   */
  append(data: string | ArrayBufferView, options: AppendOptions = {}): Future<void> {
    const view = viewOf(data);
    const { durable = false, signal, ref } = options;
    if (typeof durable !== 'boolean')
      throw typeError('options.durable', 'of type boolean', durable);
    const rwFlags = constants.RWF_APPEND;
    return this.work('write', CURSOR, (handle) =>
      durable
        ? transfer.appendDurable(handle, view, { signal, ref })
        : transfer.writeAll(handle, view, CURSOR, { signal, ref, rwFlags }),
    );
  }

  // PAIR: File.sync
  /** Brings data and metadata of what was written before to the disk. */
  sync(options?: OpOptions): Op<void> {
    return this.fields(S.IORING_OP_FSYNC, 'fsync', {}, nothing, options);
  }

  // PAIR: File.datasync
  /** The same for the data, and what metadata is needed to find it again. */
  datasync(options?: OpOptions): Op<void> {
    const fields = { word0: S.IORING_FSYNC_DATASYNC };
    return this.fields(S.IORING_OP_FSYNC, 'fdatasync', fields, nothing, options);
  }

  // PAIR: File.stat
  /** What is known of the file. */
  stat(bigint: true, options?: OpOptions): Op<Statx<bigint>>;
  stat(bigint?: false, options?: OpOptions): Op<Statx>;
  stat(bigint = false, options?: OpOptions): Op<Statx<number | bigint>> {
    this.handle.check('fstat');
    return this.handle.enter(new FileStat(this.handle, bigint, options), false);
  }

  // PAIR: File.truncate
  /** Sets the length in bytes; what is new are zeros. */
  truncate(length: Place = 0, options?: OpOptions): Op<void> {
    const fields = { offset: checkOffset(length, 'length', 0) };
    return this.fields(S.IORING_OP_FTRUNCATE, 'ftruncate', fields, nothing, options);
  }

  // PAIR: File.allocate
  /** Reserves room for `length` bytes at `offset`; the file is extended if it ends before. */
  allocate(offset: Place, length: Place, options?: OpOptions): Op<void> {
    const fields = { offset: from(offset), addr: checkOffset(length, 'length', 0) };
    return this.fields(S.IORING_OP_FALLOCATE, 'fallocate', fields, nothing, options);
  }

  // PAIR: File.chunks
  /** The bytes in pieces: `for await`, or `next`. Leaving the loop leaves the file open. */
  chunks(options: ChunksOptions = {}): Chunks {
    return new Chunks(this, options);
  }

  // PAIR: File.lines
  /** The text of these chunks, line by line. */
  lines(options: LinesOptions = {}): Lines {
    return new Lines(new Chunks(this, options), options);
  }

  // PAIR: File.close
  /** Waits for what is in flight, then closes. What comes later is EBADF. */
  close(): Future<void> {
    return this.handle.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close().then(() => {});
  }

  /** The descriptor, the caller's to close from here on; -1: it is closed. */
  release(): number {
    return this.handle.release();
  }

  /** What is left from the cursor on, for the drop-ins. */
  readRest(options?: OpOptions): Op<Buffer> {
    const op = new ReadFile(this.runtime, null, 0, this.handle.check('read'), options);
    op.owner = this.handle;
    return this.handle.enter(op, true);
  }

  /** All of `data` at the cursor, for the drop-ins. */
  writeRest(data: ArrayBufferView, flush = false, options?: OpOptions): Op<void> {
    const fd = this.handle.check('write');
    const op = new WriteFile(this.runtime, null, 0, 0, fd, data, flush, options);
    op.owner = this.handle;
    return this.handle.enter(op, true);
  }

  /** One transfer of at most 1 MiB with nothing but its end, for the drop-ins; -1 is the cursor. */
  move(reads: boolean, view: ArrayBufferView, offset: number, done: Done): void {
    const { handle } = this;
    handle.check(reads ? 'read' : 'write');
    handle.enter(new Quick(handle, reads, view, offset, done), offset === CURSOR);
  }

  private transfer(
    opcode: number,
    call: string,
    view: ArrayBufferView,
    offset: Place = CURSOR,
    options: TransferOptions | undefined,
  ): Op<number> {
    this.handle.check(call);
    const op = new FileTransfer(this.handle, opcode, view, offset, options);
    return this.handle.enter(op, offset === CURSOR);
  }

  private vector(
    opcode: number,
    call: string,
    views: readonly ArrayBufferView[],
    offset: Place = CURSOR,
    options: TransferOptions | undefined,
  ): Op<number> {
    this.handle.check(call);
    const op = new FileVector(this.handle, opcode, views, offset, options);
    return this.handle.enter(op, offset === CURSOR);
  }

  private fields<T>(
    opcode: number,
    call: string,
    fields: Fields,
    read: (res: number, output: Uint8Array) => T,
    options: OpOptions | undefined,
  ): Op<T> {
    this.handle.check(call);
    const op = new FileFields(this.handle, opcode, call, fields, read, options);
    return this.handle.enter(op, false);
  }

  /** Several operations. They hold the file itself, so that it is not forgotten meanwhile. */
  private work<T>(call: string, offset: Place, steps: (handle: Handle) => Steps<T>): Future<T> {
    this.handle.check(call);
    const work = new Work(this.runtime, this.handle, () => steps(this.handle));
    return this.handle.enter(work, offset === CURSOR);
  }
}

/** An offset of the caller's, which is not the cursor. */
function from(offset: Place): Place {
  return checkOffset(offset, 'offset', 0);
}

/** The same, or the cursor where it is absent. */
function start(offset: Place | undefined): Place {
  return offset === undefined ? CURSOR : checkOffset(offset);
}
