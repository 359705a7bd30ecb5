// FileHandle of node:fs/promises on a File of the ring.
//
// Plain arguments go to the ring. Others go to a real handle of node's on /dev/null first, which
// raises node's own error; where it has none, node's function on the descriptor does the work.

import { EventEmitter } from 'node:events';
import type { BigIntStats, ReadStream, Stats, WriteStream } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import type { ReadableStream } from 'node:stream/web';
import type { File } from '../fs/file.ts';
import { lacks } from './backend.ts';
import { nodeFs, nodePromises } from './builtin.ts';
import {
  checkAborted,
  type FileOptions,
  isCount,
  letAbort,
  plainOptions,
  watched,
} from './plain.ts';
import { bigIntStatsOf, statsOf } from './stats.ts';
import { readStream, webStream, writeStream } from './streams.ts';

type Read = { bytesRead: number; buffer: NodeJS.ArrayBufferView };
type Written = { bytesWritten: number; buffer: unknown };
type Callback = (error: Error | null, result?: unknown) => void;

const DEFAULT_BYTES = 16384;

const S_IFMT = 0o170000;
const S_IFIFO = 0o010000;
const S_IFSOCK = 0o140000;
const S_IFCHR = 0o020000;

/** What kind of file it is. Deno's node:fs refuses descriptors that it has not opened itself. */
function typeOf(fd: number): number {
  try {
    return nodeFs.fstatSync(fd).mode & S_IFMT;
  } catch (error) {
    if (process.versions.deno === undefined) throw error;
    return nodeFs.statSync(`/proc/self/fd/${fd}`).mode & S_IFMT;
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
      if (error instanceof Error) Error.captureStackTrace(error);
      throw error;
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

  /** Node's error for these arguments; if it has none, node's own function with them. */
  async #odd(name: 'read' | 'write' | 'readv' | 'writev', fd: number, args: unknown[]) {
    const probe = await nodePromises.open('/dev/null', 'r+');
    try {
      await (probe[name] as (...args: unknown[]) => Promise<unknown>)(...args);
    } finally {
      await probe.close();
    }
    return call((done) => (nodeFs[name] as (...all: unknown[]) => void)(fd, ...args, done));
  }

  /** io_uring ignores the position where there is none; pread(2) says ESPIPE. */
  #positions(fd: number): boolean {
    if (this.#seekable === null) {
      const type = typeOf(fd);
      this.#seekable = type !== S_IFIFO && type !== S_IFSOCK && type !== S_IFCHR;
    }
    return this.#seekable;
  }

  /**
   * Whether it is the common case, an open handle, a range of a view, the cursor or a place: done
   * with one promise.
   */
  static #usual(handle: FileHandle, view: unknown, offset: unknown, length: unknown, at: unknown) {
    if (typeof handle !== 'object' || handle === null || !(#refs in handle)) return false;
    const { fd } = handle;
    if (fd < 0 || !isRange(view, offset, length) || length === 0) return false;
    return at === null || (isCount(at) && handle.#positions(fd));
  }

  async read(buffer?: unknown, offset?: unknown, length?: unknown, at?: unknown): Promise<Read> {
    if (FileHandle.#usual(this, buffer, offset, length, at)) {
      const view = part(buffer as ArrayBufferView, offset as number, length as number);
      const where = at === null ? undefined : { offset: at as number };
      this.#refs++;
      try {
        const bytesRead = await this.#file.read(view, where);
        return { __proto__: null, bytesRead, buffer } as unknown as Read;
      } catch (error) {
        if (error instanceof Error) Error.captureStackTrace(error);
        throw error;
      } finally {
        if (--this.#refs === 0) this.#released?.();
      }
    }
    const args = [buffer, offset, length, at];
    return FileHandle.#hold(this, 'read', (fd) => this.#read(fd, args));
  }

  async #read(fd: number, args: unknown[]): Promise<Read> {
    let [buffer, offset, length, position] = args as [unknown, unknown, unknown, unknown];
    const first = buffer as Record<string, unknown> | null | undefined;
    if (!ArrayBuffer.isView(buffer) && (first == null || typeof first === 'object')) {
      ({ buffer = Buffer.alloc(DEFAULT_BYTES), offset, length, position } = first ?? {});
    } else if (offset !== null && typeof offset === 'object') {
      ({ offset, length, position } = offset as Record<string, unknown>);
    }
    const from = offset ?? 0;
    const bytes = length ?? ((buffer as ArrayBufferView)?.byteLength ?? 0) - (from as number);
    const at = position ?? -1;
    if (!isRange(buffer, from, bytes) || !isPosition(at)) {
      return (await this.#odd('read', fd, args)) as Read;
    }
    if (bytes === 0) return { __proto__: null, bytesRead: 0, buffer } as unknown as Read;
    if (at !== -1 && at !== -1n && !this.#positions(fd)) {
      return (await this.#odd('read', fd, args)) as Read;
    }
    const view = part(buffer, from as number, bytes as number);
    const bytesRead = await this.#file.read(view, at === -1 || at === -1n ? {} : { offset: at });
    return { __proto__: null, bytesRead, buffer } as unknown as Read;
  }

  async write(
    buffer?: unknown,
    offset?: unknown,
    length?: unknown,
    at?: unknown,
  ): Promise<Written> {
    if (FileHandle.#usual(this, buffer, offset, length, at)) {
      const view = part(buffer as ArrayBufferView, offset as number, length as number);
      const where = at === null ? undefined : { offset: at as number };
      this.#refs++;
      try {
        const bytesWritten = await this.#file.write(view, where);
        return { __proto__: null, bytesWritten, buffer } as unknown as Written;
      } catch (error) {
        if (error instanceof Error) Error.captureStackTrace(error);
        throw error;
      } finally {
        if (--this.#refs === 0) this.#released?.();
      }
    }
    const args = [buffer, offset, length, at];
    return FileHandle.#hold(this, 'write', (fd) => this.#write(fd, args));
  }

  async #write(fd: number, args: unknown[]): Promise<Written> {
    let [buffer, offset, length, position] = args as [unknown, unknown, unknown, unknown];
    if ((buffer as ArrayBufferView | null)?.byteLength === 0) {
      return { __proto__: null, bytesWritten: 0, buffer } as unknown as Written;
    }
    if (typeof buffer === 'string') {
      const encoding = length ?? 'utf8';
      const at = offset ?? -1;
      const known = Buffer.isEncoding(encoding as string) && !isHalf(buffer, encoding as string);
      const plain = known && (at === -1 || isCount(at));
      if (!plain || (at !== -1 && !this.#positions(fd))) {
        return (await this.#odd('write', fd, args)) as Written;
      }
      const bytes = Buffer.from(buffer, encoding as BufferEncoding);
      if (bytes.length === 0) {
        return { __proto__: null, bytesWritten: 0, buffer } as unknown as Written;
      }
      const where = at === -1 ? {} : { offset: at as number };
      const bytesWritten = await this.#file.write(bytes, where);
      return { __proto__: null, bytesWritten, buffer } as unknown as Written;
    }
    if (typeof offset === 'object' && offset !== null) {
      ({ offset, length, position } = offset as Record<string, unknown>);
    }
    const from = offset ?? 0;
    const rest = ((buffer as ArrayBufferView | null)?.byteLength ?? 0) - (from as number);
    const bytes = typeof length === 'number' ? length : rest;
    const at = typeof position === 'number' ? position : -1;
    if (!isRange(buffer, from, bytes) || !(at === -1 || isCount(at))) {
      return (await this.#odd('write', fd, args)) as Written;
    }
    if (at !== -1 && !this.#positions(fd)) {
      return (await this.#odd('write', fd, args)) as Written;
    }
    const view = part(buffer, from as number, bytes);
    const bytesWritten = await this.#file.write(view, at === -1 ? {} : { offset: at });
    return { __proto__: null, bytesWritten, buffer } as unknown as Written;
  }

  readv(
    buffers: readonly NodeJS.ArrayBufferView[],
    position?: number | null,
  ): Promise<{ bytesRead: number; buffers: readonly NodeJS.ArrayBufferView[] }> {
    return FileHandle.#hold(this, 'readv', async (fd) => {
      const at = typeof position === 'number' ? position : -1;
      if (!isViews(buffers) || !(at === -1 || (isCount(at) && this.#positions(fd)))) {
        await this.#odd('readv', fd, [buffers, position]);
      }
      const bytesRead = await this.#file.readv(buffers, at === -1 ? {} : { offset: at });
      return { __proto__: null, bytesRead, buffers } as never;
    });
  }

  writev(
    buffers: readonly NodeJS.ArrayBufferView[],
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffers: readonly NodeJS.ArrayBufferView[] }> {
    return FileHandle.#hold(this, 'writev', async (fd) => {
      const at = typeof position === 'number' ? position : -1;
      if (!isViews(buffers) || !(at === -1 || (isCount(at) && this.#positions(fd)))) {
        await this.#odd('writev', fd, [buffers, position]);
      }
      const empty = (buffers as readonly NodeJS.ArrayBufferView[]).length === 0;
      const where = at === -1 ? {} : { offset: at };
      const bytesWritten = empty ? 0 : await this.#file.writev(buffers, where);
      return { __proto__: null, bytesWritten, buffers } as never;
    });
  }

  readFile(options?: unknown): Promise<Buffer | string> {
    return FileHandle.#hold(this, 'readFile', async (fd) => {
      const plain = plainOptions(options);
      if (plain === null) {
        return (await call((done) => nodeFs.readFile(fd, options as 'utf8', done))) as Buffer;
      }
      const { encoding, signal } = plain;
      checkAborted(signal);
      const buffer = await this.#file.readRest(watched(signal));
      if (signal !== undefined) await letAbort(signal);
      return encoding === null ? buffer : buffer.toString(encoding);
    });
  }

  writeFile(data: unknown, options?: unknown): Promise<void> {
    return FileHandle.#hold(this, 'writeFile', async (fd) => {
      const plain = plainOptions(options);
      if (plain === null || !isWritable(data)) {
        await call((done) => nodeFs.writeFile(fd, data as string, options as 'utf8', done));
        return;
      }
      await this.writeAll(data, plain);
    });
  }

  appendFile(data: unknown, options?: unknown): Promise<void> {
    return this.writeFile(data, options);
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
      await this.#file.writeRest(bytes(data), false, watching);
      return;
    }
    for await (const chunk of data as AsyncIterable<unknown>) {
      checkAborted(signal);
      await this.#file.writeRest(bytes(chunk), false, watching);
      checkAborted(signal);
    }
  }

  stat(options?: { bigint?: boolean }): Promise<Stats | BigIntStats> {
    return FileHandle.#hold(this, 'fstat', async (fd) => {
      const bigint = options?.bigint ?? false;
      try {
        if (bigint) return bigIntStatsOf(await this.#file.stat(true));
        return statsOf(await this.#file.stat());
      } catch (error) {
        if (!lacks(error)) throw error;
        return nodeFs.fstatSync(fd, { bigint });
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
        await call((done) => nodeFs.ftruncate(fd, length, done));
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
    return createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  }

  /** Waits for calls in flight. */
  close(): Promise<void> {
    if (this.#closed !== null) return this.#closed;
    if (this.fd < 0) return Promise.resolve();
    this.#closing = true;
    this.#closed = this.#end();
    this.emit('close');
    return this.#closed;
  }

  async #end(): Promise<void> {
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

function isViews(buffers: unknown): boolean {
  return Array.isArray(buffers) && buffers.every((buffer) => ArrayBuffer.isView(buffer));
}

function isWritable(data: unknown): boolean {
  if (typeof data === 'string' || ArrayBuffer.isView(data)) return true;
  const source = data as { [Symbol.iterator]?: unknown; [Symbol.asyncIterator]?: unknown } | null;
  return Boolean(source?.[Symbol.asyncIterator] ?? source?.[Symbol.iterator]);
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
