// PAIR: only-typescript file.ts -- its Rust twin comes with the next commits
//
// An open file. Operations at its cursor run one after the other, in the order of the calls: two
// reads at once of one position would both get the same bytes, or torn ones (nodejs/node#50717).
//
//   read ─┐                       ┌─ in flight at the cursor: one
//   read ─┼─ waiting ─────────────┤
//   read ─┘                       └─ with an offset of their own: any number

import { closeSync } from 'node:fs';
import { constants } from '../constants.ts';
import { errnoError } from '../error.ts';
import type { Context, Poll } from '../future.ts';
import type { Op, OpOptions, TransferOptions } from '../op.ts';
import { type Fields, FieldsOp, nothing } from '../ops/fields.ts';
import { TransferOp } from '../ops/files.ts';
import { VectorOp } from '../ops/vectors.ts';
import type { Started } from '../reactor.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import {
  IORING_FSYNC_DATASYNC,
  IORING_OP_CLOSE,
  IORING_OP_FSYNC,
  IORING_OP_FTRUNCATE,
  IORING_OP_READ,
  IORING_OP_READV,
  IORING_OP_STATX,
  IORING_OP_WRITE,
  IORING_OP_WRITEV,
  STATX_BYTES,
} from '../sqe.ts';
import { decode, type Statx } from '../statx.ts';
import { ReadFile } from './read.ts';
import { WriteFile } from './write.ts';

const EBADF = 9;
const ECANCELED = 125;

/** Where a transfer begins. */
export interface At extends TransferOptions {
  /** A position in the file; absent: the cursor, which moves on. */
  offset?: number | bigint | undefined;
}

/** The position that the kernel keeps. */
const CURSOR = -1;

/** An operation of a file: the file knows when it ends, and may let it wait. */
interface FileOp {
  /** It waits for the cursor. */
  queued: boolean;
  readonly settled: boolean;
  begin(): void;
}

class FileTransfer extends TransferOp implements FileOp {
  queued = false;
  private readonly file: File;

  constructor(
    file: File,
    opcode: number,
    view: ArrayBufferView,
    offset: number | bigint,
    options: TransferOptions | undefined,
  ) {
    super(file.runtime, opcode, file.fd, view, offset, options);
    this.file = file;
  }

  override begin(): void {
    if (!this.queued) super.begin();
  }

  override poll(cx: Context): Poll<number> {
    return this.queued && !this.settled ? this.wait(cx) : super.poll(cx);
  }

  override complete(res: number, flags: number, opened: boolean, ring: Ring<Started>): number {
    const copied = super.complete(res, flags, opened, ring);
    this.file.ended(this);
    return copied;
  }

  override abandon(cx: Context): boolean {
    // It never started; whoever else waits for it still gets it.
    if (this.queued && !this.settled && this.leave(cx.waker)) return false;
    return super.abandon(cx);
  }

  override refuse(error: unknown): void {
    super.refuse(error);
    this.file.ended(this);
  }

  override lost(error: unknown): void {
    super.lost(error);
    this.file.ended(this);
  }
}

class FileVector extends VectorOp implements FileOp {
  queued = false;
  private readonly file: File;

  constructor(
    file: File,
    opcode: number,
    views: readonly ArrayBufferView[],
    offset: number | bigint,
    options: TransferOptions | undefined,
  ) {
    super(file.runtime, opcode, file.fd, views, offset, options);
    this.file = file;
  }

  override begin(): void {
    if (!this.queued) super.begin();
  }

  override poll(cx: Context): Poll<number> {
    return this.queued && !this.settled ? this.wait(cx) : super.poll(cx);
  }

  override complete(res: number, flags: number, opened: boolean, ring: Ring<Started>): number {
    const copied = super.complete(res, flags, opened, ring);
    this.file.ended(this);
    return copied;
  }

  override abandon(cx: Context): boolean {
    if (this.queued && !this.settled && this.leave(cx.waker)) return false;
    return super.abandon(cx);
  }

  override refuse(error: unknown): void {
    super.refuse(error);
    this.file.ended(this);
  }

  override lost(error: unknown): void {
    super.lost(error);
    this.file.ended(this);
  }
}

class FileFields<T> extends FieldsOp<T> implements FileOp {
  queued = false;
  private readonly file: File;

  constructor(
    file: File,
    opcode: number,
    syscall: string,
    fields: Fields,
    read: (res: number, output: Uint8Array) => T,
    options: OpOptions | undefined,
  ) {
    super(file.runtime, opcode, syscall, { ...fields, fd: file.fd }, read, options);
    this.file = file;
  }

  override complete(res: number, flags: number, opened: boolean, ring: Ring<Started>): number {
    const copied = super.complete(res, flags, opened, ring);
    this.file.ended(this);
    return copied;
  }

  override refuse(error: unknown): void {
    super.refuse(error);
    this.file.ended(this);
  }

  override lost(error: unknown): void {
    super.lost(error);
    this.file.ended(this);
  }
}

class CloseOp extends FieldsOp<void> {
  private readonly number: number;

  constructor(runtime: Runtime, fd: number) {
    super(runtime, IORING_OP_CLOSE, 'close', { fd }, nothing, undefined);
    this.number = fd;
  }

  override complete(res: number, flags: number, opened: boolean, ring: Ring<Started>): number {
    // Cancelled before it ran, it has closed nothing.
    if (res === -ECANCELED) ring.closeFd(this.number);
    return super.complete(res, flags, opened, ring);
  }

  /** Nobody waits for it any more; it closes all the same. */
  override abandon(): boolean {
    return false;
  }
}

/** A descriptor of a file that nobody closed, and how to close it. */
interface Forgotten {
  readonly runtime: Runtime;
  readonly fd: number;
  readonly place: number;
}

let warned = false;

/** I3: a handle that was forgotten is closed, and that is said once. */
const FORGOTTEN = new FinalizationRegistry<Forgotten>(({ runtime, fd, place }) => {
  if (runtime.closed) {
    if (place < 0) closeSync(fd); // Teardown has closed those that were kept.
    return;
  }
  const { reactor } = runtime.executor;
  reactor.ring.border.unkeep(place);
  reactor.closeFd(fd);
  if (warned) return;
  warned = true;
  const text = `File descriptor ${fd} was closed by the garbage collector: call close()`;
  process.emitWarning(text, { code: 'RINGCORE_FD_GC' });
});

/** An open file. */
export class File {
  readonly runtime: Runtime;
  private number: number;
  /** Where teardown finds the descriptor, should this thread end first; -1: it does not. */
  private readonly place: number;
  /** The operation at the cursor, and those that wait for it. */
  private busy: FileOp | null = null;
  private readonly waiting: FileOp[] = [];
  /** Operations that were started or wait. */
  private pending = 0;
  private closing: Promise<void> | null = null;
  private idle: (() => void) | null = null;

  /** Takes over a descriptor that is open: it is the file's to close from here on. */
  constructor(runtime: Runtime, fd: number) {
    this.runtime = runtime;
    this.number = fd;
    this.place = runtime.executor.reactor.ring.border.keep(fd);
    FORGOTTEN.register(this, { runtime, fd, place: this.place }, this);
  }

  /** The descriptor, still the file's; -1 when it is closed. */
  get fd(): number {
    return this.runtime.closed ? -1 : this.number;
  }

  /** The descriptor for a system call; EBADF when the file is closed or closes. */
  private open(syscall: string): number {
    if (this.closing !== null || this.fd < 0) {
      const error = errnoError(EBADF, syscall);
      error.message = 'file closed';
      throw error;
    }
    return this.number;
  }

  /** Reads at most `buffer.byteLength` bytes (and at most 1 MiB); 0 is the end. */
  read(buffer: ArrayBufferView, at?: At): Op<number> {
    this.open('read');
    const offset = at?.offset ?? CURSOR;
    return this.start(new FileTransfer(this, IORING_OP_READ, buffer, offset, at), offset);
  }

  /** Writes at most 1 MiB of `buffer`; resolves to the count, which may be short. */
  write(buffer: ArrayBufferView, at?: At): Op<number> {
    this.open('write');
    const offset = at?.offset ?? CURSOR;
    return this.start(new FileTransfer(this, IORING_OP_WRITE, buffer, offset, at), offset);
  }

  /** Reads into several buffers, one after the other. */
  readv(buffers: readonly ArrayBufferView[], at?: At): Op<number> {
    this.open('read');
    const offset = at?.offset ?? CURSOR;
    return this.start(new FileVector(this, IORING_OP_READV, buffers, offset, at), offset);
  }

  /** Writes several buffers, one after the other. */
  writev(buffers: readonly ArrayBufferView[], at?: At): Op<number> {
    this.open('write');
    const offset = at?.offset ?? CURSOR;
    return this.start(new FileVector(this, IORING_OP_WRITEV, buffers, offset, at), offset);
  }

  /** Brings data and metadata to the disk. */
  sync(options?: OpOptions): Op<void> {
    return this.fields(IORING_OP_FSYNC, 'fsync', {}, nothing, options);
  }

  /** Brings the data to the disk. */
  datasync(options?: OpOptions): Op<void> {
    const fields = { word0: IORING_FSYNC_DATASYNC };
    return this.fields(IORING_OP_FSYNC, 'fdatasync', fields, nothing, options);
  }

  /** Sets the length in bytes; what is new are zeros. */
  truncate(length: number | bigint = 0, options?: OpOptions): Op<void> {
    return this.fields(IORING_OP_FTRUNCATE, 'ftruncate', { offset: length }, nothing, options);
  }

  /** The metadata. */
  stat(bigint: true, options?: OpOptions): Op<Statx<bigint>>;
  stat(bigint?: false, options?: OpOptions): Op<Statx>;
  stat(bigint = false, options?: OpOptions): Op<Statx<number | bigint>> {
    const fields = {
      paths: [''],
      unnamed: true,
      word0: constants.AT_EMPTY_PATH,
      length: constants.STATX_BASIC_STATS | constants.STATX_BTIME,
      output: STATX_BYTES,
    };
    const read = (_: number, output: Uint8Array) => decode<number | bigint>(output, bigint);
    return this.fields(IORING_OP_STATX, 'fstat', fields, read, options);
  }

  /** What is left from the cursor on. */
  readRest(options?: OpOptions): Op<Buffer> {
    const op = new ReadFile(this.runtime, null, 0, this.open('read'), options);
    op.owner = this;
    return this.start(op, CURSOR);
  }

  /** All of `data` at the cursor. */
  writeRest(data: ArrayBufferView, flush = false, options?: OpOptions): Op<void> {
    const fd = this.open('write');
    const op = new WriteFile(this.runtime, null, 0, 0, fd, data, flush, options);
    op.owner = this;
    return this.start(op, CURSOR);
  }

  private fields<T>(
    opcode: number,
    syscall: string,
    fields: Fields,
    read: (res: number, output: Uint8Array) => T,
    options: OpOptions | undefined,
  ): Op<T> {
    this.open(syscall);
    const op = new FileFields(this, opcode, syscall, fields, read, options);
    this.pending++;
    op.begin();
    return op;
  }

  /** Starts it, or lets it wait for the cursor. */
  private start<O extends FileOp>(op: O, offset: number | bigint): O {
    this.pending++;
    if (offset === CURSOR) {
      if (this.busy !== null) {
        op.queued = true;
        this.waiting.push(op);
        return op;
      }
      this.busy = op;
    }
    op.begin();
    return op;
  }

  /** An operation of this file has ended. */
  ended(op: FileOp): void {
    this.pending--;
    if (op === this.busy) {
      this.busy = null;
      while (this.busy === null && this.waiting.length > 0) {
        const next = this.waiting.shift() as FileOp;
        next.queued = false;
        if (next.settled) {
          this.pending--; // Abandoned before its turn came.
          continue;
        }
        this.busy = next;
        next.begin();
      }
    }
    if (this.pending === 0) this.idle?.();
  }

  /** Waits for what is in flight, then closes. A second call gives the same promise. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    if (this.pending > 0) {
      await new Promise<void>((resolve) => {
        this.idle = resolve;
      });
    }
    const fd = this.release();
    if (fd >= 0) await new CloseOp(this.runtime, fd);
  }

  /** The descriptor, the caller's to close from here on; -1: it is closed. */
  release(): number {
    const { runtime, number, place } = this;
    if (number < 0) return -1;
    this.number = -1;
    FORGOTTEN.unregister(this);
    if (runtime.closed) {
      if (place < 0) closeSync(number); // Teardown has closed those that were kept.
      return -1;
    }
    runtime.executor.reactor.ring.border.unkeep(place);
    return number;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
