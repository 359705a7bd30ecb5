// ReadStream and WriteStream of ringcore/fs: node's own classes, whose `fs` option names ours.
//
// They share node's prototypes, so that `instanceof` holds both ways, and so that what a library
// has put there is there.

import type { ReadStream, WriteStream } from 'node:fs';
import { FileHandle } from './file-handle.ts';
import { operations } from './streams.ts';

type Fs = typeof import('node:fs');
type Constructor<T> = new (path: unknown, options?: unknown) => T;

/** A class that was written as such cannot be called for an object that is there already. */
const isClass = (made: unknown) => /^class\b/.test(Function.prototype.toString.call(made));

function notImplemented(what: string): Error {
  const text = `The ${what} method is not implemented`;
  return Object.assign(new Error(text), { code: 'ERR_METHOD_NOT_IMPLEMENTED' });
}

/** What a stream does, and the handle whose end is its own. */
interface Ours {
  readonly options: unknown;
  readonly handle: FileHandle | null;
}

/** The two classes of node on the functions of `fs`. */
export function streamsOn(
  node: Fs,
  fs: Fs,
): { ReadStream: typeof ReadStream; WriteStream: typeof WriteStream } {
  /** Node's options with our operations in them; what is no plain object is node's to judge. */
  const ours = (given: unknown): Ours => {
    const named = typeof given === 'string' ? { encoding: given } : (given ?? {});
    if (typeof named !== 'object') return { options: given, handle: null };
    const options: Record<string, unknown> = {};
    for (const key in named) options[key] = (named as Record<string, unknown>)[key];
    if (options.fd instanceof FileHandle) {
      if (options.fs) throw notImplemented('FileHandle with fs');
      const handle = options.fd;
      return { options: { ...options, fd: handle.fd, fs: operations(handle) }, handle };
    }
    // A FileHandle of node's own goes with node's own operations.
    const foreign = typeof options.fd === 'object' && options.fd !== null;
    if (!options.fs && !foreign) options.fs = fs;
    return { options, handle: null };
  };

  const on = <T extends { close(): void }>(base: Constructor<T>, name: string): Constructor<T> => {
    function Stream(this: unknown, path: unknown, given?: unknown): T {
      const { options, handle } = ours(given);
      const old = this instanceof base && !isClass(base) ? this : null;
      const target = new.target ?? Stream;
      let stream: T;
      if (old === null) stream = Reflect.construct(base, [path, options], target);
      else stream = (Reflect.apply(base, old, [path, options]) as T | undefined) ?? old;
      handle?.on('close', () => stream.close());
      return stream;
    }
    Stream.prototype = base.prototype;
    Object.setPrototypeOf(Stream, base);
    Object.defineProperty(Stream, 'name', { value: name });
    return Stream as unknown as Constructor<T>;
  };

  return {
    ReadStream: on(node.ReadStream as unknown as Constructor<ReadStream>, 'ReadStream'),
    WriteStream: on(node.WriteStream as unknown as Constructor<WriteStream>, 'WriteStream'),
  } as unknown as { ReadStream: typeof ReadStream; WriteStream: typeof WriteStream };
}
