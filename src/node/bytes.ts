// fs.read, readv, write and writev with a callback.

import type { Runtime } from '../runtime.ts';
import { begin, Call, type Callback, isCallback, isFd, type Take } from './callback.ts';
import { during, hasPlaces, inlineOf, inOrder } from './order.ts';
import { isCount } from './plain.ts';
import { Transfer } from './transfer.ts';

const LONGEST_READ = 2n ** 63n - 1n;

/** What a transfer is about, once its arguments were told apart. */
interface Bytes {
  fd: number;
  views: readonly ArrayBufferView[];
  /** -1: the cursor. */
  position: number | bigint;
  callback: Callback;
  /** What the callback gets as its third argument. */
  given: unknown;
}

/** A transfer and the callback that waits for it. */
class Moving extends Transfer {
  private readonly call: Call;
  private readonly given: unknown;
  private readonly left: () => void;

  constructor(runtime: Runtime, bytes: Bytes, writes: boolean, call: Call, left: () => void) {
    super(runtime, bytes.fd, bytes.views, bytes.position, writes ? inlineOf(bytes.fd) : null);
    this.call = call;
    this.given = bytes.given;
    this.left = left;
  }

  protected override ended(error: unknown, count: number): void {
    // First: the next one may end at once, and comes behind this one.
    if (error === null) this.call.end(null, count, this.given);
    else this.call.fail(error, 0, this.given);
    this.left();
  }
}

function move(runtime: Runtime, bytes: Bytes, writes: boolean, instead: () => void): boolean {
  const { fd, position, callback } = bytes;
  // What has no position answers ESPIPE to node:fs, and reads as from a stream on the ring.
  if (position >= 0 && !hasPlaces(fd)) return false;
  const call = new Call(callback, instead);
  const start = (left: () => void) => {
    const moving = new Moving(runtime, bytes, writes, call, left);
    begin(() => moving.begin());
  };
  if (position >= 0) start(during(fd));
  else inOrder(fd, writes, start);
  return true;
}

/** The part of a view that a call names, or the view itself. */
function span(view: ArrayBufferView, offset: number, length: number): ArrayBufferView {
  if (offset === 0 && length === view.byteLength) return view;
  return new Uint8Array(view.buffer, view.byteOffset + offset, length);
}

/** Where `read` reads: -1 is the cursor; null: not plain. */
function readPosition(position: unknown, length: number): number | bigint | null {
  if (position === undefined || position === null) return -1;
  if (typeof position === 'bigint') {
    return position >= -1n && position <= LONGEST_READ - BigInt(length) ? position : null;
  }
  return position === -1 || isCount(position) ? (position as number) : null;
}

/** Where the others read and write: what is no position is the cursor. null: not plain. */
function lenientPosition(position: unknown): number | null {
  if (typeof position === 'bigint') return null; // Younger versions of Node may mean it.
  return isCount(position) ? (position as number) : -1;
}

interface Span {
  buffer?: unknown;
  offset?: unknown;
  length?: unknown;
  position?: unknown;
}

/** The overloads of fs.read. */
function readArguments(args: readonly unknown[]): (Span & { callback: unknown }) | null {
  if (args.length > 4) {
    const [, buffer, offset, length, position, callback] = args;
    return { buffer, offset, length, position, callback };
  }
  const callback = args[args.length - 1];
  let buffer: unknown = args[1];
  let options: unknown = null;
  if (args.length === 4) options = args[2];
  else if (args.length === 3 && !ArrayBuffer.isView(buffer)) options = buffer;
  if (typeof options !== 'object' || Array.isArray(options)) return null;
  const span = (options ?? {}) as Span;
  if (args.length < 4 && !ArrayBuffer.isView(buffer)) {
    buffer = span.buffer === undefined ? Buffer.alloc(16384) : span.buffer;
  }
  if (!ArrayBuffer.isView(buffer)) return null;
  const { offset = 0, position = null } = span;
  const { length = buffer.byteLength - (offset as number) } = span;
  return { buffer, offset, length, position, callback };
}

export const read: Take = (runtime, args, instead) => {
  const [fd] = args;
  const given = args.length < 2 ? null : readArguments(args);
  if (!isFd(fd) || given === null) return false;
  const { buffer, callback } = given;
  const { offset = 0, length } = given;
  if (!ArrayBuffer.isView(buffer) || !isCallback(callback)) return false;
  if (!isCount(offset ?? 0) || !isCount(length) || length === 0) return false;
  const [from, size] = [(offset ?? 0) as number, length as number];
  if (size > 0x7fffffff || from + size > buffer.byteLength) return false;
  const position = readPosition(given.position, size);
  if (position === null) return false;
  const views = [span(buffer, from, size)];
  return move(runtime, { fd, views, position, callback, given: buffer }, false, instead);
};

/** Of readv and writev. */
export function vector(writes: boolean): Take {
  return (runtime, [fd, buffers, third, fourth], instead) => {
    const callback = fourth || third;
    const position = lenientPosition(third);
    if (!isFd(fd) || !isCallback(callback) || position === null) return false;
    // More than IOV_MAX are a short read of node's; none are its own affair as well.
    if (!Array.isArray(buffers) || buffers.length === 0 || buffers.length > 1024) return false;
    const views = [...buffers];
    if (!views.every((view) => ArrayBuffer.isView(view))) return false;
    return move(runtime, { fd, views, position, callback, given: buffers }, writes, instead);
  };
}

/** fs.write of a buffer. */
function writeView(args: readonly unknown[], view: ArrayBufferView): Bytes | null {
  const [fd, , second] = args;
  let [, , offset, length, position] = args;
  const callback = args[5] || position || length || offset;
  if (!isCallback(callback)) return null;
  if (typeof offset === 'object') {
    const options = (second ?? {}) as Span;
    ({ offset = 0, position = null } = options);
    ({ length = view.byteLength - (offset as number) } = options);
  }
  const from = offset === undefined || offset === null || isCallback(offset) ? 0 : offset;
  if (!isCount(from)) return null;
  const size = typeof length === 'number' ? length : view.byteLength - (from as number);
  if (!isCount(size) || (from as number) + size > view.byteLength || size > 0x7fffffff) return null;
  const at = lenientPosition(position);
  if (at === null) return null;
  const views = [span(view, from as number, size)];
  return { fd: fd as number, views, position: at, callback, given: view };
}

/** fs.write of a string. */
function writeText(args: readonly unknown[], text: string): Bytes | null {
  let [fd, , position, encoding, callback] = args;
  if (!isCallback(callback)) {
    if (isCallback(position)) [position, callback] = [null, position];
    else callback = encoding;
    encoding = 'utf8';
  }
  encoding ??= 'utf8';
  if (!isCallback(callback) || !Buffer.isEncoding(encoding as string)) return null;
  const known = encoding as BufferEncoding;
  if (/^hex$/i.test(known) && !/^(?:[\da-f]{2})*$/i.test(text)) return null;
  const at = lenientPosition(position);
  if (at === null) return null;
  const views = [Buffer.from(text, known)];
  return { fd: fd as number, views, position: at, callback, given: text };
}

export const write: Take = (runtime, args, instead) => {
  const [fd, data] = args;
  if (!isFd(fd)) return false;
  let bytes: Bytes | null = null;
  if (ArrayBuffer.isView(data)) bytes = writeView(args, data);
  else if (typeof data === 'string') bytes = writeText(args, data);
  return bytes !== null && move(runtime, bytes, true, instead);
};
