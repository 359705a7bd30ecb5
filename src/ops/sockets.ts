// Operations on sockets, one completion each.
// Pair: crates/ringcore/src/ops/sockets.rs
//
// Errors are those of node:net: `connect ECONNREFUSED 127.0.0.1:1`. The ring waits for sockets with
// O_NONBLOCK as for others; with MSG_DONTWAIT they give EAGAIN, which is passed on.

import { type Address, type AddressLike, decode, encode } from '../address.ts';
import { constants } from '../constants.ts';
import { type Direct, slotIn } from '../direct.ts';
import { checkInteger, hostError, typeError } from '../error.ts';
import type { Fd, Op, OpOptions } from '../op.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import {
  IORING_OP_ACCEPT,
  IORING_OP_BIND,
  IORING_OP_CONNECT,
  IORING_OP_LISTEN,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SEND_ZC,
  IORING_OP_SHUTDOWN,
  IORING_OP_SOCKET,
  IORING_RECVSEND_POLL_FIRST,
  MSG_NAME,
  MSG_NAME_BYTES,
} from '../sqe.ts';
import { type Fields, FieldsOp, fdField, nothing, same } from './fields.ts';
import { TransferOp } from './files.ts';
import { checkMessageFlags, MessageOps } from './messages.ts';
import type { DirectOptions } from './paths.ts';

const { SOCK_CLOEXEC } = constants;

/** Options of `op.recv`. */
export interface SocketOptions extends OpOptions {
  /** Waits for the socket before it tries for the first time. Kernel: 5.19. */
  pollFirst?: boolean | undefined;
}

/** Options of `op.send`. */
export interface SendOptions extends SocketOptions {
  /** Sends to this address, whatever the socket is connected to. Kernel: 6.0. */
  to?: AddressLike | undefined;
}

/** Options of `op.accept`. */
export interface AcceptOptions extends OpOptions {
  /** SOCK_NONBLOCK; SOCK_CLOEXEC is always there. Default 0. */
  flags?: number | undefined;
  /** Resolves to `{ fd, address }` instead of the descriptor alone. */
  wantAddress?: boolean | undefined;
}

/** A connection with the address of who made it. */
export interface Accepted<T extends Fd = number> {
  fd: T;
  /** Absent of families that ringcore does not know. */
  address: Address | undefined;
}

/** Whether a flag among the options is set. */
function checkFlag(name: string, value: unknown): boolean {
  if (value !== undefined && typeof value !== 'boolean') {
    throw typeError(`options.${name}`, 'of type boolean', value);
  }
  return value === true;
}

// PAIR: SocketOp
/** An operation that moves no bytes. */
class SocketOp<T> extends FieldsOp<T> {
  /** For errors: where to. */
  private readonly to: Address | undefined;

  constructor(
    runtime: Runtime | null,
    opcode: number,
    syscall: string,
    fields: Fields,
    read: (res: number) => T,
    options: OpOptions | undefined,
    to?: Address,
  ) {
    super(runtime, opcode, syscall, fields, read, options);
    this.to = to;
  }

  protected override errorOf(errno: number): Error {
    return hostError(errno, this.syscall, this.to);
  }
}

// PAIR: AcceptFrom
/** Takes a connection, and the address of who made it. */
class AcceptFrom extends FieldsOp<Accepted<Fd>> {
  constructor(runtime: Runtime | null, fields: Fields, options: OpOptions) {
    // Not by a function of the result: the address is in the region.
    super(runtime, IORING_OP_ACCEPT, 'accept', fields, nothing as never, options);
  }

  override prepare(ring: Ring, ticket: number): void {
    const { fd = -1, word0 = 0, direct } = this.fields;
    this.region = ring.regions.hold(MSG_NAME + MSG_NAME_BYTES);
    const view = ring.regions.views[this.region] as Uint8Array;
    new Uint32Array(view.buffer, view.byteOffset, 1)[0] = MSG_NAME_BYTES;
    ring.border.start(IORING_OP_ACCEPT, ticket, fd as number, this.region, 0, 0, 0, 0, word0, 0, 0);
    if (direct !== undefined) ring.border.extra(0, 0, 0, 0, direct.place.slot + 1);
  }

  protected override value(fd: number, ring?: Ring): Accepted<Fd> {
    const view = (ring as Ring).regions.views[this.region] as Uint8Array;
    const length = new Uint32Array(view.buffer, view.byteOffset, 1)[0] as number;
    const end = MSG_NAME + Math.min(length, MSG_NAME_BYTES);
    const address = decode(view.subarray(MSG_NAME, end));
    return { fd: this.fields.direct ?? fd, address };
  }

  protected override descriptorsIn(value: unknown): readonly number[] {
    return [(value as Accepted).fd];
  }

  protected override errorOf(errno: number): Error {
    return hostError(errno, this.syscall);
  }
}

// PAIR: Exchange
/** Moves the bytes of one view to or from a socket. */
class Exchange extends TransferOp {
  private readonly ioprio: number;
  /** The bytes of an address, and the address for errors. */
  private readonly name: Uint8Array | undefined;

  constructor(
    runtime: Runtime | null,
    opcode: number,
    fd: Fd,
    view: ArrayBufferView,
    flags: number,
    options: SendOptions | undefined,
  ) {
    super(runtime, opcode, fd, view, 0, options);
    this.rwFlags = checkMessageFlags(flags);
    const pollFirst = checkFlag('pollFirst', options?.pollFirst);
    this.ioprio = pollFirst ? IORING_RECVSEND_POLL_FIRST : 0;
    this.name = options?.to === undefined ? undefined : encode(options.to);
  }

  protected override get syscall(): string {
    return this.reads ? 'recv' : 'send';
  }

  override prepare(ring: Ring, ticket: number): void {
    const { name, ioprio } = this;
    // Inputs first: they may send out what was written so far.
    const from = name === undefined ? 0 : ring.input(name);
    super.prepare(ring, ticket);
    if (name !== undefined || ioprio !== 0) {
      ring.border.extra(ioprio, 0, from, name?.length ?? 0, 0);
    }
  }

  protected override errorOf(errno: number): Error {
    return hostError(errno, this.syscall, this.name && decode(this.name));
  }
}

/** Operations on sockets. */
export class SocketOps extends MessageOps {
  // PAIR: socket
  /**
   * Makes a socket of a domain (AF_*) and type (SOCK_*), always SOCK_CLOEXEC. Resolves to a
   * descriptor, the caller's to close (I3). With `direct` the slot is filled instead, and is the
   * result; what fails leaves it as it was.
   *
   * Man: io_uring_prep_socket(3), socket(2). Kernel: 5.19.
   */
  socket(
    domain: number,
    type: number,
    protocol: number | undefined,
    options: DirectOptions,
  ): Op<Direct>;
  socket(domain: number, type: number, protocol?: number, options?: OpOptions): Op<number>;
  socket(
    domain: number,
    type: number,
    protocol = 0,
    options?: OpOptions & Partial<DirectOptions>,
  ): Op<number> | Op<Direct> {
    const fields = {
      fd: checkInteger('domain', domain, 0, 0x7fffffff),
      offset: checkInteger('type', type, 0, 0x7fffffff) | SOCK_CLOEXEC,
      length: checkInteger('protocol', protocol, 0, 0x7fffffff),
    };
    const direct = slotIn(options);
    if (direct === undefined) {
      return new SocketOp(this.runtime, IORING_OP_SOCKET, 'socket', fields, same, options);
    }
    const into = { ...fields, offset: fields.offset & ~SOCK_CLOEXEC, direct };
    return new SocketOp(this.runtime, IORING_OP_SOCKET, 'socket', into, () => direct, options);
  }

  // PAIR: bind
  /**
   * Gives a socket its address: `{ address, port }` or `{ path }`. Port 0 is any free one; a unix
   * socket with an empty path gets an abstract name.
   *
   * Man: io_uring_prep_bind(3), bind(2). Kernel: 6.11.
   */
  bind(fd: Fd, address: AddressLike, options?: OpOptions): Op<void> {
    return this.named(IORING_OP_BIND, 'bind', fd, address, options);
  }

  // PAIR: listen
  /**
   * Lets a bound socket take connections; `backlog` of them may wait (the kernel takes at most
   * net.core.somaxconn).
   *
   * Man: io_uring_prep_listen(3), listen(2). Kernel: 6.11.
   */
  listen(fd: Fd, backlog = 511, options?: OpOptions): Op<void> {
    const length = checkInteger('backlog', backlog, 0, 0x7fffffff);
    const fields = { fd: fdField(fd), length };
    return new SocketOp(this.runtime, IORING_OP_LISTEN, 'listen', fields, nothing, options);
  }

  // PAIR: accept
  /**
   * Takes one connection. Resolves to its descriptor, always SOCK_CLOEXEC and the caller's to close
   * (I3); with `wantAddress` to `{ fd, address }`. One that comes after an abort is closed.
   * `direct` as for `socket`; `{ fd, address }` then has the slot.
   *
   * Man: io_uring_prep_accept(3), accept4(2). Kernel: 5.5; `direct` 5.19.
   */
  accept(
    fd: Fd,
    options: AcceptOptions & DirectOptions & { wantAddress: true },
  ): Op<Accepted<Direct>>;
  accept(fd: Fd, options: AcceptOptions & DirectOptions): Op<Direct>;
  accept(fd: Fd, options: AcceptOptions & { wantAddress: true }): Op<Accepted>;
  accept(fd: Fd, options?: AcceptOptions & { wantAddress?: false | undefined }): Op<number>;
  accept(
    fd: Fd,
    options: AcceptOptions & Partial<DirectOptions> = {},
  ): Op<number> | Op<Direct> | Op<Accepted<Fd>> {
    const flags = checkInteger('options.flags', options?.flags ?? 0, 0, 0x7fffffff);
    const direct = slotIn(options ?? undefined);
    const word0 = direct === undefined ? flags | SOCK_CLOEXEC : flags & ~SOCK_CLOEXEC;
    const fields = { fd: fdField(fd), word0, ...(direct && { direct }) };
    if (checkFlag('wantAddress', options?.wantAddress)) {
      return new AcceptFrom(this.runtime, fields, options);
    }
    const [opcode, call] = [IORING_OP_ACCEPT, 'accept'];
    if (direct === undefined) {
      return new SocketOp(this.runtime, opcode, call, fields, same, options);
    }
    return new SocketOp(this.runtime, opcode, call, fields, () => direct, options);
  }

  // PAIR: connect
  /**
   * Connects a socket to `{ address, port }` or `{ path }`.
   *
   * Man: io_uring_prep_connect(3), connect(2). Kernel: 5.5.
   */
  connect(fd: Fd, address: AddressLike, options?: OpOptions): Op<void> {
    return this.named(IORING_OP_CONNECT, 'connect', fd, address, options);
  }

  // PAIR: shutdown
  /**
   * Ends one direction of a connection (SHUT_RD 0, SHUT_WR 1) or both (SHUT_RDWR 2).
   *
   * Man: io_uring_prep_shutdown(3), shutdown(2). Kernel: 5.11.
   */
  shutdown(fd: Fd, how: number, options?: OpOptions): Op<void> {
    const fields = { fd: fdField(fd), length: checkInteger('how', how, 0, 2) };
    return new SocketOp(this.runtime, IORING_OP_SHUTDOWN, 'shutdown', fields, nothing, options);
  }

  // PAIR: send
  /**
   * Sends at most 1 MiB of `buffer`, copied at the first poll. `flags`: MSG_*. Resolves to the
   * count, which may be short except with MSG_WAITALL.
   *
   * Man: io_uring_prep_send(3), send(2). Kernel: 5.6.
   */
  send(fd: Fd, buffer: ArrayBufferView, flags = 0, options?: SendOptions): Op<number> {
    return new Exchange(this.runtime, IORING_OP_SEND, fd, buffer, flags, options);
  }

  // PAIR: recv
  /**
   * Receives at most `buffer.byteLength` bytes (and at most 1 MiB). Resolves to the count; 0 is the
   * end of the connection. Rejects with ERR_RINGCORE_BUFFER_DETACHED when the buffer went away
   * meanwhile.
   *
   * Man: io_uring_prep_recv(3), recv(2). Kernel: 5.6.
   */
  recv(fd: Fd, buffer: ArrayBufferView, flags = 0, options?: SocketOptions): Op<number> {
    return new Exchange(this.runtime, IORING_OP_RECV, fd, buffer, flags, options);
  }

  // PAIR: sendZc
  /**
   * The same as `send`, but the network reads the ring's copy itself: resolves when it has done
   * with it, over TCP when the peer has acknowledged the bytes: where it never reads, never. Worth
   * it from some 16 KiB on. ENOTSUP on unix sockets.
   *
   * Man: io_uring_prep_send_zc(3), send(2). Kernel: 6.0.
   */
  sendZc(fd: Fd, buffer: ArrayBufferView, flags = 0, options?: SendOptions): Op<number> {
    return new Exchange(this.runtime, IORING_OP_SEND_ZC, fd, buffer, flags, options);
  }

  /** An operation on an address. */
  private named(
    opcode: number,
    syscall: string,
    fd: Fd,
    address: AddressLike,
    options: OpOptions | undefined,
  ): Op<void> {
    const input = encode(address);
    const fields = { fd: fdField(fd), input };
    return new SocketOp(this.runtime, opcode, syscall, fields, nothing, options, decode(input));
  }
}
