// Multishot operations, and receives into provided buffers.
// Pair: crates/ringcore/src/ops/streams.rs

import { high, low } from '../border.ts';
import { checkMs } from '../check.ts';
import { IORING_CQE_F_BUFFER } from '../cqe.ts';
import { slotIn } from '../direct.ts';
import { checkInteger, typeError } from '../error.ts';
import { BufferGroup, type Lent } from '../group.ts';
import { type Fd, Op, type OpOptions } from '../op.ts';
import type { Started } from '../reactor.ts';
import type { Ring } from '../ring.ts';
import type { Runtime } from '../runtime.ts';
import { Lifecycle } from '../slot.ts';
import {
  IORING_ACCEPT_MULTISHOT,
  IORING_OP_ACCEPT,
  IORING_OP_POLL_ADD,
  IORING_OP_RECV,
  IORING_OP_TIMEOUT,
  IORING_POLL_ADD_MULTI,
  IORING_RECV_MULTISHOT,
  IORING_TIMEOUT_MULTISHOT,
  IOSQE_BUFFER_SELECT,
  NO_REGION,
} from '../sqe.ts';
import { Stream } from '../stream.ts';
import type { DirectOptions } from './paths.ts';
import { SocketOps } from './sockets.ts';

const ETIME = 62;

/** Options of receives into provided buffers. */
export interface RecvOptions extends OpOptions {
  /** Gives the buffers themselves instead of copies; each is to be released. Default false. */
  lend?: boolean | undefined;
}

/** Results that are numbers and hold nothing. */
abstract class NumberStream extends Stream<number> {
  protected value(res: number): number {
    return res;
  }

  protected drop(_res: number): void {}

  protected dropValue(value: number): void {
    this.drop(value);
  }
}

class AcceptStream extends NumberStream {
  private readonly fd: number;
  protected get syscall(): string {
    return 'accept';
  }

  constructor(runtime: Runtime | null, fd: Fd, options?: OpOptions & Partial<DirectOptions>) {
    super(runtime, options);
    const direct = slotIn(options);
    if (direct !== undefined) {
      // The kernel would choose the slots, among those that op.direct() has given out.
      throw typeError('options.direct', 'absent (use op.accept with one slot each)', direct);
    }
    this.fd = this.descriptor(fd);
  }

  override prepare(ring: Ring, ticket: number): void {
    const opcode = IORING_OP_ACCEPT;
    ring.border.start(opcode, ticket, this.fd, NO_REGION, 0, 0, 0, 0, 0, 0, 0);
    ring.border.extra(IORING_ACCEPT_MULTISHOT, 0, 0, 0, 0);
  }

  /** Its place in the border's list, from which teardown closes it. */
  protected override keep(fd: number): number {
    return (this.runtime as Runtime).executor.reactor.ring.border.keep(fd);
  }

  protected override unkeep(place: number): void {
    const { runtime } = this;
    if (runtime?.closed === false) runtime.executor.reactor.ring.border.unkeep(place);
  }

  protected override drop(fd: number): void {
    try {
      (this.runtime as Runtime).executor.reactor.closeFd(fd);
    } catch {
      // The ring is closed and closes nothing any more.
      process.getBuiltinModule('node:fs').closeSync(fd);
    }
  }
}

class PollStream extends NumberStream {
  private readonly fd: number;
  private readonly events: number;
  protected get syscall(): string {
    return 'poll';
  }

  constructor(runtime: Runtime | null, fd: Fd, events: number, options?: OpOptions) {
    super(runtime, options);
    this.fd = this.descriptor(fd);
    this.events = checkInteger('events', events, 0, 0xffff);
  }

  override prepare(ring: Ring, ticket: number): void {
    const [opcode, repeat] = [IORING_OP_POLL_ADD, IORING_POLL_ADD_MULTI];
    ring.border.start(opcode, ticket, this.fd, NO_REGION, 0, repeat, 0, 0, this.events, 0, 0);
  }
}

class TickStream extends NumberStream {
  private readonly ms: number;
  private readonly count: number;
  /** Ticks that came, and that were handed over. */
  private came = 0;
  private given = 0;
  protected get syscall(): string {
    return 'timeout';
  }

  constructor(runtime: Runtime | null, ms: number, count: number, options?: OpOptions) {
    super(runtime, options);
    this.ms = checkMs(ms);
    this.count = checkInteger('count', count, 0, 0x7fffffff);
  }

  override prepare(ring: Ring, ticket: number): void {
    let seconds = Math.floor(this.ms / 1000);
    // Rounded up: never early.
    let nanoseconds = Math.ceil((this.ms - seconds * 1000) * 1e6);
    if (nanoseconds >= 1e9) {
      seconds++;
      nanoseconds = 0;
    }
    const [lo, hi] = [low(seconds), high(seconds)];
    // A shot that ended early goes on with the ticks that are left.
    const left = this.count === 0 ? 0 : this.count - this.came;
    const [opcode, flags] = [IORING_OP_TIMEOUT, IORING_TIMEOUT_MULTISHOT];
    ring.border.start(opcode, ticket, -1, NO_REGION, 0, left, lo, hi, flags, nanoseconds, 0);
  }

  protected override succeeds(res: number): boolean {
    return res === -ETIME;
  }

  protected override step(): 'item' | 'last' {
    this.came++;
    return this.count !== 0 && this.came >= this.count ? 'last' : 'item';
  }

  protected override value(): number {
    this.given++;
    return this.given;
  }
}

/** The group and the way of handing over that receives were asked for. */
function checkRecv(group: unknown, options: RecvOptions | undefined): boolean {
  if (!(group instanceof BufferGroup)) {
    throw typeError('group', 'a BufferGroup (buffer.provide)', group);
  }
  const lend = options?.lend;
  if (lend !== undefined && typeof lend !== 'boolean') {
    throw typeError('options.lend', 'of type boolean', lend);
  }
  return lend === true;
}

/** Writes the descriptor of a receive into whichever buffer of the group is free. */
function select(ring: Ring, ticket: number, fd: number, group: number, ioprio: number): void {
  const [opcode, flags] = [IORING_OP_RECV, IOSQE_BUFFER_SELECT];
  ring.border.start(opcode, ticket, fd, NO_REGION, 0, 0, 0, 0, 0, 0, flags);
  ring.border.extra(ioprio | (group << 16), 0, 0, 0, 0);
}

class ChunkStream extends Stream<Uint8Array | Lent> {
  private readonly fd: number;
  private readonly buffers: BufferGroup;
  private readonly lend: boolean;
  protected get syscall(): string {
    return 'recv';
  }

  constructor(runtime: Runtime | null, fd: Fd, group: BufferGroup, options?: RecvOptions) {
    super(runtime, options);
    this.fd = this.descriptor(fd);
    this.lend = checkRecv(group, options);
    this.buffers = group;
  }

  protected override get group(): BufferGroup {
    return this.buffers;
  }

  /** The group bounds what waits. */
  protected override get backlog(): number {
    return Number.POSITIVE_INFINITY;
  }

  override prepare(ring: Ring, ticket: number): void {
    select(ring, ticket, this.fd, this.buffers.id, IORING_RECV_MULTISHOT);
  }

  protected override step(_res: number, flags: number): 'item' | 'end' {
    if ((flags & IORING_CQE_F_BUFFER) === 0) return 'end';
    this.buffers.took();
    return 'item';
  }

  protected override value(res: number, flags: number): Uint8Array | Lent {
    const buffer = flags >>> 16;
    return this.lend ? this.buffers.lend(buffer, res) : this.buffers.copy(buffer, res);
  }

  protected override drop(_res: number, flags: number): void {
    if ((flags & IORING_CQE_F_BUFFER) !== 0) this.buffers.give(flags >>> 16);
  }

  protected override dropValue(value: Uint8Array | Lent): void {
    if (!(value instanceof Uint8Array)) value.release();
  }
}

class RecvBufferOp extends Op<Uint8Array | Lent | undefined> {
  private readonly fd: number;
  private readonly group: BufferGroup;
  private readonly lend: boolean;
  /** The buffer that its completion named. */
  private buffer = -1;
  protected get syscall(): string {
    return 'recv';
  }

  constructor(runtime: Runtime | null, fd: Fd, group: BufferGroup, options?: RecvOptions) {
    super(runtime, options);
    this.fd = this.descriptor(fd);
    this.lend = checkRecv(group, options);
    this.group = group;
  }

  override prepare(ring: Ring, ticket: number): void {
    const id = this.group.check(this.runtime as Runtime);
    select(ring, ticket, this.fd, id, 0);
  }

  override complete(
    res: number,
    flags: number,
    opened: boolean,
    ring: Ring<Started>,
    cut = false,
  ): number {
    if ((flags & IORING_CQE_F_BUFFER) !== 0) {
      this.group.took();
      if (this.lifecycle === Lifecycle.Abandoned) this.group.give(flags >>> 16);
      else this.buffer = flags >>> 16;
    }
    return super.complete(res, flags, opened, ring, cut);
  }

  protected override value(res: number): Uint8Array | Lent | undefined {
    const { buffer, group } = this;
    if (buffer < 0) return undefined;
    return this.lend ? group.lend(buffer, res) : group.copy(buffer, res);
  }
}

/** Multishot operations, and receives into provided buffers. */
export class StreamOps extends SocketOps {
  // PAIR: acceptMultishot
  /**
   * Every connection that comes to a listening socket, as a descriptor, the caller's to close (I3).
   * Always SOCK_CLOEXEC. At most 1024 wait here; the others wait in the listen queue. Into slots:
   * `op.accept` with `direct`, since here the kernel would choose the slots.
   *
   * Man: io_uring_prep_multishot_accept(3), accept4(2). Kernel: 5.19.
   */
  acceptMultishot(fd: Fd, options?: OpOptions): Stream<number> {
    return new AcceptStream(this.runtime, fd, options);
  }

  // PAIR: pollMultishot
  /**
   * Each time that one of `events` (POLLIN 1, POLLOUT 4 ...) becomes true of `fd`: those that are.
   *
   * Man: io_uring_prep_poll_multishot(3), poll(2). Kernel: 5.13.
   */
  pollMultishot(fd: Fd, events: number, options?: OpOptions): Stream<number> {
    return new PollStream(this.runtime, fd, events, options);
  }

  // PAIR: timeoutMultishot
  /**
   * The kernel's timer, again and again: 1 after `ms` milliseconds (fractions count), 2 after twice
   * of it ..., `count` times (0: for ever), never early.
   *
   * Man: io_uring_prep_timeout(3). Kernel: 6.4.
   */
  timeoutMultishot(ms: number, count = 0, options?: OpOptions): Stream<number> {
    return new TickStream(this.runtime, ms, count, options);
  }

  // PAIR: recvMultishot
  /**
   * What a socket receives, piece by piece. While nobody takes them the pieces stay in the group's
   * buffers; without a free one the bytes stay in the socket. Each piece is copied when it is taken
   * and its buffer returned; with `lend` it is the buffer itself, the caller's to release. Ends
   * when the peer has ended (or with an empty datagram).
   *
   * Man: io_uring_prep_recv_multishot(3), recv(2). Kernel: 6.0.
   */
  recvMultishot(fd: Fd, group: BufferGroup, options: RecvOptions & { lend: true }): Stream<Lent>;
  recvMultishot(
    fd: Fd,
    group: BufferGroup,
    options?: OpOptions & { lend?: false | undefined },
  ): Stream<Uint8Array>;
  recvMultishot(fd: Fd, group: BufferGroup, options?: RecvOptions): Stream<Uint8Array | Lent>;
  recvMultishot(fd: Fd, group: BufferGroup, options?: RecvOptions): Stream<Uint8Array | Lent> {
    return new ChunkStream(this.runtime, fd, group, options);
  }

  // PAIR: recvBuffer
  /**
   * Receives once, into a buffer of the group; undefined: the peer has ended. Rejects with ENOBUFS
   * when no buffer is free. `lend` as for `recvMultishot`.
   *
   * Man: io_uring_prep_recv(3), recv(2). Kernel: 5.19.
   */
  recvBuffer(
    fd: Fd,
    group: BufferGroup,
    options: RecvOptions & { lend: true },
  ): Op<Lent | undefined>;
  recvBuffer(
    fd: Fd,
    group: BufferGroup,
    options?: OpOptions & { lend?: false | undefined },
  ): Op<Uint8Array | undefined>;
  recvBuffer(fd: Fd, group: BufferGroup, options?: RecvOptions): Op<Uint8Array | Lent | undefined>;
  recvBuffer(fd: Fd, group: BufferGroup, options?: RecvOptions): Op<Uint8Array | Lent | undefined> {
    return new RecvBufferOp(this.runtime, fd, group, options);
  }
}
