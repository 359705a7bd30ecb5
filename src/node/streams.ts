// Streams of a FileHandle: node's own stream classes over the handle's functions.

import type { ReadStream, WriteStream } from 'node:fs';
import { nodeFs } from './builtin.ts';

/** What a stream needs of a handle. */
interface Handle {
  readonly fd: number;
  read(...args: unknown[]): Promise<{ bytesRead: number; buffer: unknown }>;
  write(...args: unknown[]): Promise<{ bytesWritten: number; buffer: unknown }>;
  writev(
    buffers: readonly NodeJS.ArrayBufferView[],
    position?: number | null,
  ): Promise<{ bytesWritten: number }>;
  close(): Promise<void>;
  hold(): () => void;
  on(event: 'close', listener: () => void): unknown;
}

type Done = (error: unknown, ...results: unknown[]) => void;

/** The functions that a stream of node's calls, over a handle that it holds. */
export function operations(handle: Handle): object {
  const letGo = handle.hold();
  return {
    open() {
      throw new Error('The stream has its descriptor');
    },
    close(_fd: number, done: Done) {
      letGo();
      handle.close().then(() => done(null), done);
    },
    read(_fd: number, buffer: unknown, offset: number, length: number, at: unknown, done: Done) {
      handle.read(buffer, offset, length, at).then(
        (read) => done(null, read.bytesRead, read.buffer),
        (error) => done(error, 0, buffer),
      );
    },
    write(_fd: number, buffer: unknown, offset: number, length: number, at: unknown, done: Done) {
      handle.write(buffer, offset, length, at).then(
        (written) => done(null, written.bytesWritten, written.buffer),
        (error) => done(error, 0, buffer),
      );
    },
    writev(_fd: number, buffers: NodeJS.ArrayBufferView[], at: number | null, done: Done) {
      handle.writev(buffers, at).then(
        (written) => done(null, written.bytesWritten, buffers),
        (error) => done(error, 0, buffers),
      );
    },
  };
}

type StreamClass<T> = new (path: undefined, options: object) => T;

function over<T extends { close?: () => void; destroy(): unknown }>(
  make: StreamClass<T>,
  handle: Handle,
  options: object | undefined,
): T {
  const given = { ...options, fd: handle.fd, fs: operations(handle) };
  const stream = new make(undefined, given);
  handle.on('close', () => stream.close?.());
  return stream;
}

export function readStream(handle: Handle, options: object | undefined): ReadStream {
  return over(nodeFs.ReadStream as unknown as StreamClass<ReadStream>, handle, options);
}

export function writeStream(handle: Handle, options: object | undefined): WriteStream {
  return over(nodeFs.WriteStream as unknown as StreamClass<WriteStream>, handle, options);
}
