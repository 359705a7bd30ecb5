// Operations as plain fields: most opcodes move no bytes and differ in numbers only.
// Pair: crates/ringcore/src/ops/fields.rs

import { high, low } from '../border.ts';
import { checkFd } from '../check.ts';
import { Direct, use } from '../direct.ts';
import { errnoError } from '../error.ts';
import { type Fd, Op, type OpOptions } from '../op.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import { IORING_OP_CLOSE, NO_REGION } from '../sqe.ts';

const ENAMETOOLONG = 36;
const NUL = new Uint8Array(1);

/** What a descriptor says beside its opcode. What is absent is 0 (`fd`: -1). */
export interface Fields {
  readonly fd?: Fd;
  /** The entry's `len`. */
  readonly length?: number;
  /** The entry's `off`. */
  readonly offset?: number | bigint;
  /** The entry's `op_flags`. */
  readonly word0?: number;
  /** The entry's `addr`, when it is a number. */
  readonly addr?: number | bigint;
  readonly ioprio?: number;
  readonly fileIndex?: number;
  /** A slot that it fills or closes; stands in `fileIndex`. */
  readonly direct?: Direct;
  /** Region id, or the ticket of the target. */
  readonly region?: number;
  /** Bytes of the inputs area that come before the paths: an address, a struct. */
  readonly input?: Uint8Array;
  /** One or two checked paths, for the inputs area and for errors. */
  readonly paths?: readonly (string | Uint8Array)[];
  /** Errors do not name the paths: they are empty, it is about the descriptor. */
  readonly unnamed?: boolean;
  /** Bytes of a region that the kernel writes and the result is read from (I2). */
  readonly output?: number;
}

/** An operation that moves no bytes: its fields, and how its result is read. */
export class FieldsOp<T> extends Op<T> {
  private readonly opcode: number;
  private readonly call: string;
  protected readonly fields: Fields;
  protected readonly read: (res: number, output: Uint8Array) => T;

  constructor(
    runtime: Runtime | null,
    opcode: number,
    syscall: string,
    fields: Fields,
    read: (res: number, output: Uint8Array) => T,
    options: OpOptions | undefined,
  ) {
    super(runtime, options);
    this.opcode = opcode;
    this.call = syscall;
    const { fd, direct } = fields;
    this.fields = fd instanceof Direct ? { ...fields, fd: this.descriptor(fd) } : fields;
    if (direct !== undefined) use(this, direct, opcode === IORING_OP_CLOSE ? 'closes' : 'opens');
    this.read = read;
  }

  protected get syscall(): string {
    return this.call;
  }

  protected override get operation(): number {
    return this.opcode;
  }

  protected override get path(): string | undefined {
    const { paths, unnamed } = this.fields;
    const path = unnamed === true ? undefined : paths?.[0];
    return path === undefined ? undefined : pathText(path);
  }

  protected override get dest(): string | undefined {
    const dest = this.fields.paths?.[1];
    return dest === undefined ? undefined : pathText(dest);
  }

  override prepare(ring: Ring, ticket: number): void {
    const { fd = -1, length = 0, offset = 0, word0 = 0, addr = 0, region } = this.fields;
    const { ioprio = 0, direct, output } = this.fields;
    const fileIndex = direct === undefined ? (this.fields.fileIndex ?? 0) : direct.place.slot + 1;
    const [lo, hi] = [low(offset), high(offset)];
    const input = this.input();
    // Inputs first: they may send out what was written so far.
    const from = input === undefined ? 0 : ring.input(input);
    if (output !== undefined) this.region = ring.regions.hold(output);
    const id = output !== undefined ? this.region : (region ?? NO_REGION);
    ring.border.start(
      this.opcode,
      ticket,
      fd as number,
      id,
      0,
      length,
      lo,
      hi,
      word0,
      low(addr),
      0,
    );
    ring.border.extra(ioprio, high(addr), from, input?.length ?? 0, fileIndex);
  }

  /** What goes into the inputs area. */
  private input(): Uint8Array | undefined {
    const { input, paths } = this.fields;
    if (paths === undefined) return input;
    const parts = paths.map((path) => this.bytes(path));
    return Buffer.concat(input === undefined ? parts : [input, ...parts]);
  }

  /** A path with its NUL. */
  private bytes(path: string | Uint8Array): Uint8Array {
    const bytes = Buffer.from(path as string);
    // PATH_MAX with its NUL is 4096: what the kernel would answer, without copying it there.
    if (bytes.length > 4095) throw errnoError(ENAMETOOLONG, this.call, this.path, this.dest);
    return Buffer.concat([bytes, NUL]);
  }

  protected override value(res: number, ring: Ring): T {
    const written = this.fields.output === undefined ? undefined : ring.regions.views[this.region];
    return this.read(res, written ?? NUL);
  }
}

/** A descriptor among the fields: a number that was checked, or a slot. */
export function fdField(fd: Fd): Fd {
  return fd instanceof Direct ? fd : checkFd(fd);
}

/** The result of an operation that has none. */
export function nothing(): void {}

/** The result as it is: a count, a descriptor, events. */
export function same(res: number): number {
  return res;
}

/** A path as errors show it. */
function pathText(path: string | Uint8Array): string {
  return typeof path === 'string' ? path : Buffer.from(path).toString();
}
