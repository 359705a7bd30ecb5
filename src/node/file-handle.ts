// FileHandle of node:fs/promises on a File of the ring.
//
// Plain arguments go to the ring. Others go to a real handle of node's on /dev/null first, which
// raises node's own error; where it has none, node's function on the descriptor does the work.

import type { BigIntStats, ReadStream, StatOptions, Stats, WriteStream } from 'node:fs';
import type { Interface } from 'node:readline';
import type { ReadableStream } from 'node:stream/web';
import type { File } from '../fs/file.ts';
import type { Done } from '../fs/quick.ts';
import { MAX_TRANSFER } from '../sqe.ts';
import { lacks, withFrames } from './backend.ts';
import { nodeFs, nodePromises } from './builtin.ts';
import { behind, Inline, LateWrite } from './inline.ts';
import { lookAtOpen } from './metadata.ts';
import { hasPosition } from './order.ts';
import {
  checkAborted,
  type FileOptions,
  isCount,
  isIterable,
  letAbort,
  plainBigint,
  plainMode,
  plainOptions,
  watched,
} from './plain.ts';
import { raise } from './raise.ts';
import { learnToIterate, standIn } from './stand-in.ts';
import { bigIntStatsOf, statsOf } from './stats.ts';
import { readStream, webStream, writeStream } from './streams.ts';
import { CURSOR, isLong, Line, move, one } from './windows.ts';

const EventEmitter: typeof import('node:events').EventEmitter =
  process.getBuiltinModule('node:events').EventEmitter;

type Read = { bytesRead: number; buffer: NodeJS.ArrayBufferView };
type Written = { bytesWritten: number; buffer: unknown };
type Iterating = { fd: number; close(): Promise<void> };
type Callback = (error: Error | null, result?: unknown) => void;

const DEFAULT_BYTES = 16384;

/** The end of a read or write: its promise, and what node's resolves to. */
class Moved implements Done {
  private readonly reads: boolean;
  private readonly buffer: ArrayBufferView;
  private readonly resolve: (value: Read | Written | Promise<never>) => void;
  private readonly left: () => void;

  constructor(
    reads: boolean,
    buffer: ArrayBufferView,
    resolve: (value: Read | Written | Promise<never>) => void,
    left: () => void,
  ) {
    this.reads = reads;
    this.buffer = buffer;
    this.resolve = resolve;
    this.left = left;
  }

  moved(count: number): void {
    const { buffer } = this;
    // Spread: V8 adds the properties of a literal without a prototype one by one, for 0.1 µs.
    this.resolve(
      (this.reads
        ? { __proto__: null, ...{ bytesRead: count, buffer } }
        : { __proto__: null, ...{ bytesWritten: count, buffer } }) as unknown as Read,
    );
    this.left();
  }

  failed(error: unknown): void {
    this.resolve(raise(error));
    this.left();
  }
}

/** An open file, as node:fs/promises has it. */
export class FileHandle extends EventEmitter {
  /** Calls in flight, and the handle itself. */
  #refs = 1;
  #closed: Promise<void> | null = null;
  #closing = false;
  /** A web stream reads it. */
  #locked = false;
  #released: (() => void) | null = null;
  /** Whether positions mean something; null: nobody has asked. */
  #seekable: boolean | null = null;
  readonly #file: File;
  readonly #inline = new Inline();
  readonly #line = new Line();
  readonly #left = () => {
    if (--this.#refs === 0) this.#released?.();
  };
  /** A handle of node's on the same descriptor, which iterates; while it does, a close waits. */
  #iterating: Iterating | null = null;

  /** Waits for calls in flight. Its own, as in node: it can be handed on without the handle. */
  readonly close: () => Promise<void> = () => {
    if (this.#closed !== null) return this.#closed;
    if (this.fd < 0) return Promise.resolve();
    this.#closing = true;
    this.#closed = this.#end();
    this.emit('close');
    return this.#closed;
  };

  constructor(file: File) {
    super();
    this.#file = file;
  }

  get fd(): number {
    return this.#closing && this.#refs === 0 ? -1 : this.#file.fd;
  }

  getAsyncId(): number {
    return 0;
  }

  /** Runs with the descriptor held open: a close waits. A method may be called on anything. */
  static async #hold<T>(
    handle: FileHandle,
    name: string,
    work: (fd: number) => T | PromiseLike<T>,
  ): Promise<T> {
    if (typeof handle !== 'object' || handle === null || !(#refs in handle)) throw noHandle();
    const { fd } = handle;
    if (fd < 0) throw closed(name);
    handle.#refs++;
    try {
      return await work(fd);
    } catch (error) {
      throw withFrames(error);
    } finally {
      if (--handle.#refs === 0) handle.#released?.();
    }
  }

  /** Holds it for somebody else; the answer lets go. */
  hold(): () => void {
    this.#refs++;
    let held = true;
    return () => {
      if (held && --this.#refs === 0) this.#released?.();
      held = false;
    };
  }

  /** Node's error for these arguments; if it has none, its answer on a file without bytes. */
  async #odd(name: keyof FileHandle, args: unknown[]): Promise<unknown> {
    const probe = await nodePromises.open('/dev/null', 'r+');
    try {
      return await (probe[name as 'read'] as (...args: unknown[]) => Promise<unknown>)(...args);
    } finally {
      await probe.close();
    }
  }

  /** io_uring ignores the position where there is none; pread(2) says ESPIPE. */
  #positions(fd: number): boolean {
    this.#seekable ??= hasPosition(fd);
    return this.#seekable;
  }

  /**
   * Whether it is the common case, an open handle, a range of a view, the cursor or a place: done
   * with one promise.
   */
  static #usual(handle: FileHandle, view: unknown, offset: unknown, length: unknown, at: unknown) {
    if (typeof handle !== 'object' || handle === null || !(#refs in handle)) return false;
    const { fd } = handle;
    if (fd < 0 || !isRange(view, offset, length)) return false;
    if (length === 0 || (length as number) > MAX_TRANSFER) return false;
    return at === null ? !handle.#line.busy : isCount(at) && handle.#positions(fd);
  }

  read(buffer?: unknown, offset?: unknown, length?: unknown, at?: unknown): Promise<Read> {
    if (FileHandle.#usual(this, buffer, offset, length, at)) {
      return this.#move(true, buffer as ArrayBufferView, offset, length, at) as Promise<Read>;
    }
    const args = [buffer, offset, length, at];
    return FileHandle.#hold(this, 'read', (fd) => this.#read(fd, args));
  }

  async #read(fd: number, args: unknown[]): Promise<Read> {
    let [buffer, offset, length, position] = args as [unknown, unknown, unknown, unknown];
    const first = buffer as Record<string, unknown> | null | undefined;
    if (!ArrayBuffer.isView(buffer) && (first == null || isOptions(first))) {
      ({ buffer = Buffer.alloc(DEFAULT_BYTES), offset, length, position } = first ?? {});
    }
    // In options, too: as in node.
    if (offset !== null && typeof offset === 'object') {
      ({ offset, length, position } = offset as Record<string, unknown>);
    }
    const from = offset ?? 0;
    const bytes = length ?? rest(buffer, from);
    let at = position ?? -1;
    if (!isRange(buffer, from, bytes) || !isPosition(at)) {
      const nothing = await this.#odd('read', args);
      // What node 20 does not take for a position is none to it.
      if (!isRange(buffer, from, bytes)) return nothing as Read;
      at = -1;
    }
    if (bytes === 0) return { __proto__: null, bytesRead: 0, buffer } as unknown as Read;
    if (at === -1n) at = -1;
    const view = part(buffer, from as number, bytes as number) as Uint8Array;
    const bytesRead =
      at === -1 || this.#positions(fd)
        ? await this.#transfer('readv', fd, [view], at as number)
        : await call((done) => nodeFs.read(fd, view, 0, view.byteLength, at as number, done));
    return { __proto__: null, bytesRead, buffer } as unknown as Read;
  }

  write(buffer?: unknown, offset?: unknown, length?: unknown, at?: unknown): Promise<Written> {
    if (FileHandle.#usual(this, buffer, offset, length, at)) {
      return this.#move(false, buffer as ArrayBufferView, offset, length, at) as Promise<Written>;
    }
    const args = [buffer, offset, length, at];
    return FileHandle.#hold(this, 'write', (fd) => this.#write(fd, args));
  }

  /** The common case: one promise, and one operation that knows of nothing else. */
  #move(
    reads: boolean,
    buffer: ArrayBufferView,
    offset: unknown,
    length: unknown,
    at: unknown,
  ): Promise<Read | Written> {
    const [from, bytes] = [offset as number, length as number];
    return new Promise((resolve) => {
      const done = new Moved(reads, buffer, resolve, this.#left);
      this.#refs++;
      try {
        if (!reads && this.#now(buffer as Uint8Array, from, bytes, at as number | null, done))
          return;
        this.#file.move(reads, part(buffer, from, bytes), (at ?? CURSOR) as number, done);
      } catch (error) {
        done.failed(error);
      }
    });
  }

  /** A small write on this thread, where that waits for nothing. False: it takes the ring. */
  #now(
    view: NodeJS.ArrayBufferView,
    offset: number,
    length: number,
    at: number | null,
    done: Done,
  ): boolean {
    const [inline, file] = [this.#inline, this.#file];
    const { fd } = file;
    // It comes after what is on its way in this file.
    if (file.busy || !inline.takes(fd, length)) return false;
    const { executor } = file.runtime;
    if (executor.affords && !behind()) {
      done.moved(inline.write(fd, view, offset, length, at, executor));
      return true;
    }
    if (at === null) return false;
    new LateWrite(inline, file, view, offset, length, at, done);
    return true;
  }

  async #write(fd: number, args: unknown[]): Promise<Written> {
    let [buffer, offset, length, position] = args as [unknown, unknown, unknown, unknown];
    if ((buffer as ArrayBufferView | null)?.byteLength === 0) {
      return { __proto__: null, bytesWritten: 0, buffer } as unknown as Written;
    }
    if (typeof buffer === 'string') {
      const encoding = length ?? 'utf8';
      const known = Buffer.isEncoding(encoding as string) && !isHalf(buffer, encoding as string);
      if (!known || !isPlace(offset)) await this.#odd('write', args);
      const bytes = Buffer.from(buffer, known ? (encoding as BufferEncoding) : 'utf8');
      const bytesWritten = await this.#put(fd, bytes, placeOf(offset));
      return { __proto__: null, bytesWritten, buffer } as unknown as Written;
    }
    if (typeof offset === 'object' && offset !== null) {
      ({ offset, length, position } = offset as Record<string, unknown>);
    }
    const from = offset ?? 0;
    const bytes = typeof length === 'number' ? length : rest(buffer, from);
    if (!isRange(buffer, from, bytes) || !isPlace(position)) {
      await this.#odd('write', args);
      if (!isRange(buffer, from, bytes)) {
        // Node 20 takes null for options, and the arguments behind it for nothing.
        const bytesWritten = await this.#put(fd, buffer as Uint8Array, CURSOR);
        return { __proto__: null, bytesWritten, buffer } as unknown as Written;
      }
    }
    const view = part(buffer, from as number, bytes);
    const bytesWritten = await this.#put(fd, view as Uint8Array, placeOf(position));
    return { __proto__: null, bytesWritten, buffer } as unknown as Written;
  }

  /** Writes at a position, or at the cursor. */
  async #put(fd: number, view: NodeJS.ArrayBufferView, at: number): Promise<number> {
    // No bytes are a system call to node, which may fail; the ring has no such operation.
    if (view.byteLength === 0) return (await call((done) => nodeFs.write(fd, '', done))) as number;
    if (at === CURSOR || this.#positions(fd)) return this.#transfer('writev', fd, [view], at);
    return (await call((done) => nodeFs.write(fd, view, 0, null, at, done))) as number;
  }

  /** Both of readv and writev: the count of bytes. */
  async #vector(
    name: 'readv' | 'writev',
    fd: number,
    buffers: readonly NodeJS.ArrayBufferView[],
    position: unknown,
  ): Promise<number> {
    if (!isViews(buffers) || !isPlace(position)) await this.#odd(name, [buffers, position]);
    const at = placeOf(position);
    // Nothing to transfer is an error to some versions of node; the ring has no such operation.
    const empty = buffers.every((buffer) => buffer.byteLength === 0);
    if (empty || (at !== CURSOR && !this.#positions(fd))) {
      const where = at === CURSOR ? null : at;
      return (await call((done) => nodeFs[name](fd, buffers, where, done))) as number;
    }
    return this.#transfer(name, fd, buffers, at);
  }

  /** Moves the bytes of views at the cursor or a place, however many they are. */
  async #transfer(
    name: 'readv' | 'writev',
    fd: number,
    views: readonly NodeJS.ArrayBufferView[],
    at: number | bigint,
  ): Promise<number> {
    const long = isLong(views);
    const work = (): PromiseLike<number> => {
      if (long) return move(this.#file, name, views, at, () => this.#positions(fd));
      return one(this.#file, name, views, at);
    };
    return at === CURSOR ? this.#line.enter(long, work) : work();
  }

  readv(
    buffers: readonly NodeJS.ArrayBufferView[],
    position?: number | null,
  ): Promise<{ bytesRead: number; buffers: readonly NodeJS.ArrayBufferView[] }> {
    return FileHandle.#hold(this, 'readv', async (fd) => {
      const bytesRead = await this.#vector('readv', fd, buffers, position);
      return { __proto__: null, bytesRead, buffers } as never;
    });
  }

  writev(
    buffers: readonly NodeJS.ArrayBufferView[],
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffers: readonly NodeJS.ArrayBufferView[] }> {
    return FileHandle.#hold(this, 'writev', async (fd) => {
      const bytesWritten = await this.#vector('writev', fd, buffers, position);
      return { __proto__: null, bytesWritten, buffers } as never;
    });
  }

  readFile(options?: unknown): Promise<Buffer | string> {
    return FileHandle.#hold(this, 'readFile', async (fd) => {
      const plain = plainOptions(options);
      // Into a buffer of the caller's, which the ring does not know.
      const given = (options as { buffer?: unknown } | null | undefined)?.buffer;
      const other = given === undefined ? null : await standIn(fd);
      if (other !== null) return other.readFile(options as 'utf8');
      if (plain === null) await this.#odd('readFile', [options]);
      const { encoding, signal } = plain ?? overlooked(options);
      checkAborted(signal);
      const buffer = await this.#line.enter(false, () => this.#file.readRest(watched(signal)));
      if (signal !== undefined) await letAbort(signal);
      return encoding === null ? buffer : buffer.toString(encoding);
    });
  }

  writeFile(data: unknown, options?: unknown): Promise<void> {
    return FileHandle.#hold(this, 'writeFile', () => this.#whole('writeFile', data, options));
  }

  appendFile(data: unknown, options?: unknown): Promise<void> {
    return FileHandle.#hold(this, 'writeFile', () => this.#whole('appendFile', data, options));
  }

  async #whole(name: 'writeFile' | 'appendFile', data: unknown, options: unknown): Promise<void> {
    const plain = plainOptions(options);
    const detached = ArrayBuffer.isView(data) && data.buffer.byteLength === 0;
    const odd = !isWritable(data) || detached;
    // Of a mode some versions ask, although there is nothing to make.
    if (plain === null || plainMode(plain.mode, 0) < 0 || odd) {
      // Node's error, if it has one. What it overlooks says nothing.
      const given = odd ? data : typeof data === 'string' ? '' : Buffer.alloc(0);
      await this.#odd(name, [given, options]);
    }
    await this.writeAll(data, plain ?? overlooked(options));
  }

  /** Writes a string, bytes, or what an iterable brings, at the cursor. */
  async writeAll(data: unknown, options: FileOptions): Promise<void> {
    const encoding = options.encoding ?? 'utf8';
    const { signal } = options;
    const watching = watched(signal);
    checkAborted(signal);
    const bytes = (chunk: unknown): ArrayBufferView =>
      ArrayBuffer.isView(chunk) ? chunk : Buffer.from(chunk as string, encoding);
    if (typeof data === 'string' || ArrayBuffer.isView(data)) {
      const all = bytes(data);
      if (all.byteLength === 0) return;
      await this.#line.enter(false, () => this.#file.writeRest(all, false, watching));
      return;
    }
    if (signal !== undefined) await letAbort(signal);
    for await (const chunk of data as AsyncIterable<unknown>) {
      checkAborted(signal);
      const part = bytes(chunk);
      // A detached one has none to write.
      if (part.byteLength > 0) {
        await this.#line.enter(false, () => this.#file.writeRest(part, false, watching));
      }
      checkAborted(signal);
    }
  }

  /** Whether nothing speaks against a look at what is open. */
  static #open(handle: FileHandle): boolean {
    return typeof handle === 'object' && handle !== null && #refs in handle && handle.fd >= 0;
  }

  stat(options?: { bigint?: boolean }): Promise<Stats | BigIntStats> {
    if (options === undefined && FileHandle.#open(this)) {
      const seen = lookAtOpen(this.#file.runtime, this.fd);
      if (seen !== null) return Promise.resolve(seen);
    }
    return FileHandle.#hold(this, 'fstat', async (fd) => {
      const plain = plainBigint(options);
      if (plain === null) await this.#odd('stat', [options]);
      // Node takes no other truth than true.
      const bigint = plain ?? options?.bigint === true;
      const { signal } = (options ?? {}) as { signal?: AbortSignal };
      const instead = () =>
        call((done) => nodeFs.fstat(fd, { bigint, signal } as StatOptions, done)) as Promise<Stats>;
      if (plain === null) return instead();
      try {
        if (bigint) return bigIntStatsOf(await this.#file.stat(true));
        return statsOf(await this.#file.stat());
      } catch (error) {
        if (!lacks(error)) throw error;
        return instead();
      }
    });
  }

  sync(): Promise<void> {
    return FileHandle.#hold(this, 'fsync', () => this.#file.sync());
  }

  datasync(): Promise<void> {
    return FileHandle.#hold(this, 'fdatasync', () => this.#file.datasync());
  }

  truncate(length: number = 0): Promise<void> {
    return FileHandle.#hold(this, 'ftruncate', async (fd) => {
      if (!Number.isSafeInteger(length)) {
        await this.#odd('truncate', [length]); // A function would be a callback to ftruncate.
        return;
      }
      try {
        await this.#file.truncate(Math.max(0, length));
      } catch (error) {
        if (!lacks(error)) throw error;
        await call((done) => nodeFs.ftruncate(fd, length, done));
      }
    });
  }

  chmod(mode: number | string): Promise<void> {
    return FileHandle.#hold(this, 'fchmod', async (fd) => {
      await call((done) => nodeFs.fchmod(fd, mode, done));
    });
  }

  chown(uid: number, gid: number): Promise<void> {
    return FileHandle.#hold(this, 'fchown', async (fd) => {
      await call((done) => nodeFs.fchown(fd, uid, gid, done));
    });
  }

  utimes(atime: number | string | Date, mtime: number | string | Date): Promise<void> {
    return FileHandle.#hold(this, 'futimes', async (fd) => {
      await call((done) => nodeFs.futimes(fd, atime, mtime, done));
    });
  }

  createReadStream(options?: object): ReadStream {
    return readStream(this, options);
  }

  createWriteStream(options?: object): WriteStream {
    return writeStream(this, options);
  }

  readableWebStream(options: object = {}): ReadableStream {
    if (this.fd < 0) throw invalidState('The FileHandle is closed');
    if (this.#closing) throw invalidState('The FileHandle is closing');
    if (this.#locked) throw invalidState('The FileHandle is locked');
    this.#locked = true;
    return webStream(this, options);
  }

  readLines(options?: object): Interface {
    const input = this.createReadStream(options);
    const { createInterface } = process.getBuiltinModule('node:readline');
    return createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  }

  /** Node's experimental methods, where this process has them. */
  static iterates(): Promise<void> {
    return learnToIterate(FileHandle.prototype, (on, wrap) => {
      const handle = on as FileHandle;
      const { fd } = handle;
      if (handle.#closing && fd >= 0) throw invalidState('The FileHandle is closing');
      if (handle.#locked) throw invalidState('The FileHandle is locked');
      const close = async () => {
        if (!handle.#closing) await handle.close();
      };
      handle.#iterating ??= wrap(fd, close) as unknown as Iterating;
      return handle.#iterating as never;
    });
  }

  async #end(): Promise<void> {
    if (this.#iterating !== null && this.#iterating.fd >= 0) await this.#iterating.close();
    if (--this.#refs > 0) {
      await new Promise<void>((resolve) => {
        this.#released = resolve;
      });
    }
    await this.#file.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function invalidState(text: string): Error {
  return Object.assign(new Error(`Invalid state: ${text}`), { code: 'ERR_INVALID_STATE' });
}

/** What node says of it, although it is the caller's fault. */
function noHandle(): Error {
  const text = 'handle must be an instance of FileHandle';
  return Object.assign(new Error(text), { code: 'ERR_INTERNAL_ASSERTION' });
}

/** A closed handle, in node's words. */
function closed(syscall: string): Error {
  return Object.assign(new Error('file closed'), { code: 'EBADF', syscall });
}

function isRange(buffer: unknown, offset: unknown, length: unknown): buffer is ArrayBufferView {
  if (!ArrayBuffer.isView(buffer) || buffer.byteLength === 0) return false;
  if (!isCount(offset) || !isCount(length)) return false;
  return (offset as number) + (length as number) <= buffer.byteLength;
}

function isPosition(position: unknown): position is number | bigint {
  if (typeof position === 'bigint') return position >= -1n && position <= 0x7fffffffffff0000n;
  return position === -1 || isCount(position);
}

/** Options that are not plain, of which node has taken what there is. */
function overlooked(options: unknown): FileOptions {
  const named = typeof options === 'string' ? { encoding: options } : options;
  const { encoding, signal } = (named ?? {}) as Partial<FileOptions>;
  const plain = plainOptions(undefined) as FileOptions;
  const watched = signal instanceof AbortSignal ? signal : undefined;
  // An encoding that is none fails when a text needs it.
  return { ...plain, encoding: encoding || null, signal: watched };
}

/** The bytes from an offset on; -1 of what has none. */
function rest(buffer: unknown, offset: unknown): number {
  if (!ArrayBuffer.isView(buffer) || typeof offset !== 'number') return -1;
  return buffer.byteLength - offset;
}

function isOptions(value: unknown): boolean {
  return typeof value === 'object' && !Array.isArray(value);
}

/** A position as write, readv and writev take it, or none. */
function isPlace(position: unknown): boolean {
  return position === undefined || position === null || position === CURSOR || isCount(position);
}

/** What is no position to node is the cursor. */
function placeOf(position: unknown): number {
  return isCount(position) ? (position as number) : CURSOR;
}

function isViews(buffers: unknown): boolean {
  return Array.isArray(buffers) && buffers.every((buffer) => ArrayBuffer.isView(buffer));
}

function isWritable(data: unknown): boolean {
  return typeof data === 'string' || ArrayBuffer.isView(data) || isIterable(data);
}

/** Whether half a byte is left over, which node refuses. */
function isHalf(text: string, encoding: string): boolean {
  return encoding.toLowerCase() === 'hex' && text.length % 2 === 1;
}

/** The bytes from `offset` on. */
function part(view: ArrayBufferView, offset: number, length: number): ArrayBufferView {
  if (offset === 0 && length === view.byteLength) return view;
  return new Uint8Array(view.buffer, view.byteOffset + offset, length);
}

/** A callback function of node's as a promise. */
function call(start: (done: Callback) => void): Promise<unknown> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error ? reject(error) : resolve(result)));
  });
}
