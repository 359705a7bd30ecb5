// Streams of a FileHandle: node's own stream classes over the handle's functions.

import type { ReadStream, WriteStream } from 'node:fs';
import type { ReadableByteStreamController, ReadableStream as WebStream } from 'node:stream/web';
import { typeError } from '../error.ts';
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
  sync(): Promise<void>;
  close(): Promise<void>;
  hold(): () => void;
  on(event: 'close', listener: () => void): unknown;
}

type Done = (error: unknown, ...results: unknown[]) => void;

/** The functions that a stream of node's calls, over a handle that it holds. */
export function operations(handle: Handle, letGo: () => void = handle.hold()): object {
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
    fsync(_fd: number, done: Done) {
      handle.sync().then(() => done(null), done);
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
  const letGo = handle.hold();
  try {
    const given = { ...options, fd: handle.fd, fs: operations(handle, letGo) };
    const stream = new make(undefined, given);
    handle.on('close', () => stream.close?.());
    return stream;
  } catch (error) {
    // Options that the stream refuses: a close would wait for it for ever.
    letGo();
    throw error;
  }
}

export function readStream(handle: Handle, options: object | undefined): ReadStream {
  return over(nodeFs.ReadStream as unknown as StreamClass<ReadStream>, handle, options);
}

export function writeStream(handle: Handle, options: object | undefined): WriteStream {
  return over(nodeFs.WriteStream as unknown as StreamClass<WriteStream>, handle, options);
}

const CHUNK_BYTES = 16384;

/** A stream of bytes from the cursor on, to the end or until the handle is closed. */
export function webStream(handle: Handle, options: object): WebStream {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw typeError('options', 'of type object', options);
  }
  const { type = 'bytes', autoClose = false } = options as { type?: unknown; autoClose?: unknown };
  if (typeof autoClose !== 'boolean')
    throw typeError('options.autoClose', 'of type boolean', autoClose);
  if (type !== 'bytes') {
    const text =
      'A non-"bytes" options.type has no effect. A byte-oriented steam is always created.';
    process.emitWarning(text, 'ExperimentalWarning');
  }
  const letGo = handle.hold();
  let ended = false;
  const end = async () => {
    ended = true;
    letGo();
    if (autoClose) await handle.close();
  };
  let controller: ReadableByteStreamController;
  const stream = new ReadableStream({
    type: 'bytes',
    autoAllocateChunkSize: CHUNK_BYTES,
    start(given) {
      controller = given;
    },
    async pull() {
      const view = controller.byobRequest?.view as ArrayBufferView;
      let bytesRead = 0;
      try {
        ({ bytesRead } = await handle.read(view, 0, view.byteLength));
      } catch (error) {
        if (!ended) letGo();
        ended = true;
        throw error;
      }
      if (ended) return;
      if (bytesRead === 0) {
        controller.close();
        await end();
      }
      controller.byobRequest?.respond(bytesRead);
    },
    cancel: end,
  });
  // Whoever closes the handle has cancelled the stream, although a reader may hold it.
  handle.on('close', () => {
    if (ended) return;
    ended = true;
    controller.close();
    controller.byobRequest?.respond(0);
    letGo();
  });
  return stream;
}
