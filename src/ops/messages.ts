// sendmsg and recvmsg: bytes with an address and control data, such as descriptors.
// Pair: crates/ringcore/src/ops/messages.rs
//
//   region   0 name length | 4 control length | 8 flags | 16 name | 144 control | 512 payload
//   control  | len 8 | level 4 | type 4 | data ... | len 8 ...
//
// Received descriptors are always close-on-exec, and closed where nobody receives them (I3).

import { type Address, type AddressLike, decode, encode } from '../address.ts';
import { bytesOf, put } from '../buffer.ts';
import { checkFd, checkView } from '../check.ts';
import { constants } from '../constants.ts';
import { checkInteger, DetachedError, hostError, rangeError, typeError } from '../error.ts';
import { type Fd, Op, type OpOptions } from '../op.ts';
import type { Started } from '../reactor.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import {
  IORING_OP_RECVMSG,
  IORING_OP_SENDMSG,
  MAX_TRANSFER,
  MSG_CONTROL,
  MSG_CONTROL_BYTES,
  MSG_CONTROL_LENGTH,
  MSG_FLAGS,
  MSG_NAME,
  MSG_NAME_BYTES,
  MSG_PAYLOAD,
} from '../sqe.ts';
import { PathOps } from './paths.ts';

const { MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET } = constants;

/** Options of `op.sendmsg`. */
export interface MessageOptions extends OpOptions {
  /** Sends to this address, whatever the socket is connected to. */
  to?: AddressLike | undefined;
  /** Control data as struct cmsghdr has it, at most 368 bytes. */
  control?: Uint8Array | undefined;
  /** Passes these descriptors on, over a unix socket (SCM_RIGHTS). They stay open here. */
  descriptors?: readonly number[] | undefined;
}

/** Options of `op.recvmsg`. */
export interface ReceiveOptions extends OpOptions {
  /**
   * Room for control data, 0 to 368 bytes. Default 0: there is none, and descriptors that were sent
   * are dropped by the kernel (MSG_CTRUNC).
   */
  control?: number | undefined;
}

/** A message that has come. */
export interface Received {
  /** Bytes of the payload. */
  count: number;
  /** Who sent it, where the socket says so. */
  address: Address | undefined;
  /** MSG_TRUNC, MSG_CTRUNC, MSG_EOR ... */
  flags: number;
  /** All control data as it came. */
  control: Uint8Array;
  /** The descriptors in it: the caller's to close (I3). */
  descriptors: number[];
}

/** Bytes before the data of a control message. */
const HEAD = 16;

/** The most that one region takes beside its head. */
const MAX_PAYLOAD: number = MAX_TRANSFER - MSG_PAYLOAD;

/** Numbers of control data are the machine's. */
function words(bytes: Uint8Array): Int32Array {
  const copy = new Uint8Array((bytes.length + 3) & ~3);
  copy.set(bytes);
  return new Int32Array(copy.buffer);
}

/** A length of 8 bytes, the order of which is the machine's. */
const SIZE_LOW: number = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 0 : 1;

// PAIR: rights
/** The descriptors in control data (SCM_RIGHTS). */
export function rights(control: Uint8Array): number[] {
  const all = words(control);
  const fds: number[] = [];
  let from = 0;
  while (from + HEAD <= control.length) {
    const at = from / 4;
    const length = all[at + SIZE_LOW] as number;
    if (length < HEAD || all[at + 1 - SIZE_LOW] !== 0 || length > control.length - from) break;
    if (all[at + 2] === SOL_SOCKET && all[at + 3] === SCM_RIGHTS) {
      fds.push(...all.subarray(at + HEAD / 4, (from + length) >> 2));
    }
    from += (length + 7) & ~7;
  }
  return fds;
}

// PAIR: rightsControl
/** Control data that passes these descriptors on (SCM_RIGHTS). */
export function rightsControl(fds: readonly number[]): Uint8Array {
  const length = HEAD + 4 * fds.length;
  const all = new Int32Array(((length + 7) & ~7) / 4);
  all[SIZE_LOW] = length;
  all[2] = SOL_SOCKET;
  all[3] = SCM_RIGHTS;
  all.set(fds, HEAD / 4);
  return new Uint8Array(all.buffer);
}

const MSG_ZEROCOPY = 0x4000000;

// PAIR: checkMessageFlags
/** MSG_ZEROCOPY would leave the memory with the network beyond the completion (I2). */
export function checkMessageFlags(flags: unknown): number {
  const checked = checkInteger('flags', flags, 0, 0x7fffffff);
  if ((checked & MSG_ZEROCOPY) !== 0) {
    throw rangeError('flags', 'without MSG_ZEROCOPY, for which there is op.sendZc', flags);
  }
  return checked;
}

// PAIR: SendMessage
/** Sends bytes with an address and control data. */
class SendMessage extends Op<number> {
  private readonly fd: number;
  private readonly view: ArrayBufferView;
  private readonly flags: number;
  private readonly name: Uint8Array;
  private readonly control: Uint8Array;
  protected get syscall(): string {
    return 'sendmsg';
  }

  constructor(
    runtime: Runtime | null,
    fd: Fd,
    view: ArrayBufferView,
    flags: number,
    options: MessageOptions = {},
  ) {
    super(runtime, options);
    this.fd = this.descriptor(fd);
    this.view = checkView('buffer', view);
    this.flags = checkMessageFlags(flags);
    this.name = options.to === undefined ? new Uint8Array(0) : encode(options.to);
    this.control = controlOf(options);
  }

  override prepare(ring: Ring, ticket: number): void {
    const { fd, flags, name, control } = this;
    checkView('buffer', this.view); // It may be gone since the call.
    const bytes = bytesOf(this.view);
    const length = Math.min(bytes.length, MAX_PAYLOAD);
    this.region = ring.regions.hold(MSG_PAYLOAD + length);
    const view = ring.regions.views[this.region] as Uint8Array;
    view.set(name, MSG_NAME);
    view.set(control, MSG_CONTROL);
    view.set(length === bytes.length ? bytes : bytes.subarray(0, length), MSG_PAYLOAD);
    const opcode = IORING_OP_SENDMSG;
    ring.border.start(opcode, ticket, fd, this.region, 0, length, 0, 0, flags, name.length, 0);
    ring.border.extra(0, control.length, 0, 0, 0);
  }

  protected override value(res: number): number {
    return res;
  }

  protected override errorOf(errno: number): Error {
    return hostError(errno, this.syscall, decode(this.name));
  }
}

/** A copy of the control data that the options ask for. */
function controlOf({ control, descriptors }: MessageOptions): Uint8Array {
  const parts: Uint8Array[] = [];
  if (control !== undefined) {
    if (!(control instanceof Uint8Array)) {
      throw typeError('options.control', 'an instance of Uint8Array', control);
    }
    parts.push(control, new Uint8Array(-control.length & 7));
  }
  if (descriptors !== undefined) {
    if (!Array.isArray(descriptors)) {
      throw typeError('options.descriptors', 'an instance of Array', descriptors);
    }
    parts.push(rightsControl(descriptors.map((fd) => checkFd(fd))));
  }
  const bytes = Buffer.concat(parts);
  if (bytes.length > MSG_CONTROL_BYTES) {
    throw rangeError('options.control', `<= ${MSG_CONTROL_BYTES} bytes in all`, bytes.length);
  }
  return bytes;
}

// PAIR: ReceiveMessage
/** Receives bytes with their sender's address and control data. */
class ReceiveMessage extends Op<Received> {
  private readonly fd: number;
  private readonly view: ArrayBufferView;
  private readonly flags: number;
  private readonly room: number;
  /** Bytes of the payload that were asked for. */
  private length = 0;
  protected get syscall(): string {
    return 'recvmsg';
  }

  constructor(
    runtime: Runtime | null,
    fd: Fd,
    view: ArrayBufferView,
    flags: number,
    options: ReceiveOptions | undefined,
  ) {
    super(runtime, options);
    this.fd = this.descriptor(fd);
    this.view = checkView('buffer', view);
    this.flags = checkMessageFlags(flags);
    const { control = 0 } = options ?? {};
    this.room = checkInteger('options.control', control, 0, MSG_CONTROL_BYTES);
  }

  override prepare(ring: Ring, ticket: number): void {
    const { fd, flags, room } = this;
    checkView('buffer', this.view); // It may be gone since the call.
    const length = Math.min(this.view.byteLength, MAX_PAYLOAD);
    this.length = length;
    this.region = ring.regions.hold(MSG_PAYLOAD + length);
    const opcode = IORING_OP_RECVMSG;
    ring.border.start(opcode, ticket, fd, this.region, 0, length, 0, 0, flags, MSG_NAME_BYTES, 0);
    ring.border.extra(0, room, 0, 0, 0);
  }

  /** Every one may have brought descriptors, so that all are treated as if they had (I3). */
  override complete(
    res: number,
    flags: number,
    _opened: boolean,
    ring: Ring<Started>,
    cut?: boolean,
  ): number {
    return super.complete(res, flags, true, ring, cut);
  }

  protected override value(res: number, ring: Ring): Received {
    const view = ring.regions.views[this.region] as Uint8Array;
    const head = new Uint32Array(view.buffer, view.byteOffset, MSG_NAME / 4);
    const nameEnd = MSG_NAME + Math.min(head[0] as number, MSG_NAME_BYTES);
    const control = this.controlIn(view);
    const descriptors = rights(control);
    // With MSG_TRUNC the count is that of the message, which may be longer than what has come.
    const came = Math.min(res, this.length);
    const target = bytesOf(this.view);
    const payload = view.subarray(MSG_PAYLOAD, MSG_PAYLOAD + came);
    if (target.length < came || !put(target, payload)) {
      this.closeDropped(res, ring);
      throw new DetachedError(res);
    }
    const address = decode(view.subarray(MSG_NAME, nameEnd));
    // The kernel repeats what it was asked for.
    const flags = (head[MSG_FLAGS / 4] as number) & ~MSG_CMSG_CLOEXEC;
    return { count: res, address, flags, control, descriptors };
  }

  /** A copy of the control data. */
  private controlIn(view: Uint8Array): Uint8Array {
    const length = new Uint32Array(view.buffer, view.byteOffset, MSG_NAME / 4)[
      MSG_CONTROL_LENGTH / 4
    ] as number;
    return view.slice(MSG_CONTROL, MSG_CONTROL + Math.min(length, MSG_CONTROL_BYTES));
  }

  protected override closeDropped(_res: number, ring: Ring): void {
    const view = ring.regions.views[this.region] as Uint8Array;
    for (const fd of rights(this.controlIn(view))) super.closeDropped(fd, ring);
  }

  protected override descriptorsIn(value: unknown): readonly number[] {
    return (value as Received).descriptors;
  }

  protected override errorOf(errno: number): Error {
    return hostError(errno, this.syscall);
  }
}

/** Messages, which carry more than bytes. */
export class MessageOps extends PathOps {
  // PAIR: sendmsg
  /**
   * Sends at most 1 MiB of `buffer` (less 512 bytes), copied at the first poll, with an address and
   * control data or descriptors. `flags`: MSG_*. Resolves to the count, which may be short.
   *
   * Man: io_uring_prep_sendmsg(3), sendmsg(2). Kernel: 5.3.
   */
  sendmsg(fd: Fd, buffer: ArrayBufferView, flags = 0, options?: MessageOptions): Op<number> {
    return new SendMessage(this.runtime, fd, buffer, flags, options);
  }

  // PAIR: recvmsg
  /**
   * Receives at most `buffer.byteLength` bytes with their sender's address, and control data where
   * there is room. Descriptors that come are close-on-exec.
   *
   * Man: io_uring_prep_recvmsg(3), recvmsg(2). Kernel: 5.3.
   */
  recvmsg(fd: Fd, buffer: ArrayBufferView, flags = 0, options?: ReceiveOptions): Op<Received> {
    return new ReceiveMessage(this.runtime, fd, buffer, flags, options);
  }
}
