// PAIR: only-typescript write.ts -- in Rust an async fn of fs/mod.rs
//
// A whole file written: open, writes until all is out, fsync if asked, close. The close is waited
// for: some file systems tell of a full disk only there.

import { bytesOf } from '../buffer.ts';
import { DetachedError, errnoError } from '../error.ts';
import type { OpOptions } from '../op.ts';
import { AT_FDCWD } from '../ops/paths.ts';
import { large } from '../ops/vectors.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import {
  IORING_OP_CLOSE,
  IORING_OP_FSYNC,
  IORING_OP_OPENAT,
  IORING_OP_WRITE,
  MAX_TRANSFER,
  NO_REGION,
} from '../sqe.ts';
import { AGAIN, Composite, DONE } from './composite.ts';
import { inputPath, pathText } from './path.ts';

const NONE = NO_REGION | 0;
const EIO = 5;

const OPENING = 0;
const WRITING = 1;
const SYNCING = 2;
const CLOSING = 3;

/** Writes bytes into a file that it opens, or into an open one. */
export class WriteFile extends Composite<void> {
  private readonly name: string | Uint8Array | null;
  private readonly flags: number;
  private readonly mode: number;
  private readonly target: number;
  private readonly data: ArrayBufferView;
  private readonly flush: boolean;
  private stage: number;
  private readonly length: number;
  private written = 0;

  /** A checked path with flags and mode; or null, and `target` is a descriptor, at its position. */
  constructor(
    runtime: Runtime | null,
    path: string | Uint8Array | null,
    flags: number,
    mode: number,
    target: number,
    data: ArrayBufferView,
    flush: boolean,
    options?: OpOptions,
  ) {
    super(runtime, options);
    this.name = path;
    this.flags = flags;
    this.mode = mode;
    this.target = target;
    this.data = data;
    this.length = data.byteLength;
    this.flush = flush;
    this.stage = path === null ? WRITING : OPENING;
  }

  protected override get opens(): boolean {
    return this.name !== null;
  }

  protected override get path(): string | undefined {
    return this.stage === OPENING && this.name !== null ? pathText(this.name) : undefined;
  }

  override prepare(ring: Ring, ticket: number): void {
    const { border } = ring;
    const fd = this.fd >= 0 ? this.fd : this.target;
    switch (this.stage) {
      case OPENING: {
        const at = inputPath(ring, this.name as string | Uint8Array, 'open');
        const { flags, mode } = this;
        border.start(IORING_OP_OPENAT, ticket, AT_FDCWD, NONE, 0, mode, 0, 0, flags, 0, 0);
        border.extra(0, 0, at, border.inputBytes, 0);
        return;
      }
      case WRITING: {
        this.call = 'write';
        const bytes = bytesOf(this.data);
        // Half of a file is not what anybody asked for.
        if (bytes.length < this.length) throw new DetachedError(0);
        const end = Math.min(this.length, this.written + MAX_TRANSFER);
        const length = end - this.written;
        this.region = ring.regions.hold(Math.max(1, length));
        const view = ring.regions.views[this.region] as Uint8Array;
        view.set(bytes.subarray(this.written, end));
        const async = large(IORING_OP_WRITE, 0, length);
        border.start(IORING_OP_WRITE, ticket, fd, this.region, 0, length, -1, -1, 0, 0, async);
        return;
      }
      case SYNCING:
        this.call = 'fsync';
        border.start(IORING_OP_FSYNC, ticket, fd, NONE, 0, 0, 0, 0, 0, 0, 0);
        return;
      default:
        this.call = 'close';
        border.start(IORING_OP_CLOSE, ticket, this.giveAway(ring), NONE, 0, 0, 0, 0, 0, 0, 0);
    }
  }

  protected step(res: number): boolean {
    switch (this.stage) {
      case OPENING:
        this.stage = this.length > 0 ? WRITING : this.after(WRITING);
        return AGAIN;
      case WRITING: {
        this.written += res;
        const left = this.length - this.written;
        // A file that takes nothing would be asked for ever.
        if (res === 0 && left > 0) throw errnoError(EIO, 'write');
        if (left > 0) return AGAIN;
        break;
      }
      case CLOSING:
        return DONE;
    }
    this.stage = this.after(this.stage);
    return this.stage === CLOSING && this.fd < 0 ? DONE : AGAIN;
  }

  private after(state: number): number {
    return state === WRITING && this.flush ? SYNCING : CLOSING;
  }

  protected made(): void {}
}
