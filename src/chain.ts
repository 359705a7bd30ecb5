// Chains: operations that the kernel starts one after the other, in one submission.
// Pair: crates/ringcore/src/chain.rs
//
//   op.link(a, b, c)        a ──LINK──> b ──LINK──> c       a failed or short: b, c are ECANCELED
//   op.withTimeout(a, ms)   a ──LINK──> link timeout
//
// A chain goes in whole or waits whole (I5), and settles after its last completion: members that
// name the same bytes share one region, which is copied out then.

import { AbortError, rangeError, TimeoutError, typeError } from './error.ts';
import { type Context, late, misuse, Outcome, type Poll } from './future.ts';
import { Op } from './op.ts';
import { TimeoutOp } from './ops/basic.ts';
import type { Started } from './reactor.ts';
import type { Ring } from './ring.ts';
import type { Runtime } from './runtime.ts';
import { checkBytes, share } from './share.ts';
import { IORING_OP_LINK_TIMEOUT, IOSQE_IO_LINK } from './sqe.ts';

const ECANCELED = 125;
const EINTR = 4;
const ETIME = 62;

/** What a chain is made of. */
export type Linkable<T> = Op<T> | Limited<T>;

/** The values of a chain's members. */
export type LinkedValues<T extends readonly Linkable<unknown>[]> = {
  -readonly [K in keyof T]: T[K] extends Linkable<infer V> ? V : never;
};

/** One operation of a chain, as the reactor sees it. */
class Member implements Started {
  readonly op: Op<unknown>;
  readonly flag: number;
  /** The completion, kept until the chain's last one. */
  res = 0;
  flags = 0;
  opened = false;
  private readonly chain: Group<unknown>;

  constructor(op: Op<unknown>, flag: number, chain: Group<unknown>) {
    this.op = op;
    this.flag = flag;
    this.chain = chain;
  }

  get ticket(): number {
    return this.op.ticket;
  }

  set ticket(ticket: number) {
    this.op.ticket = ticket;
  }

  get referenced(): boolean {
    return this.op.referenced;
  }

  get signal(): AbortSignal | null {
    return this.op.signal;
  }

  prepare(ring: Ring, ticket: number): void {
    this.op.prepare(ring, ticket);
    ring.border.link(this.flag);
  }

  complete(res: number, flags: number, opened: boolean, ring: Ring<Started>): number {
    this.res = res;
    this.flags = flags;
    this.opened = opened;
    return this.chain.arrived(ring);
  }

  aborted(reason: unknown): void {
    this.op.aborted(reason);
  }

  /** The ring ended without its completion. */
  lost(error: unknown): void {
    this.op.lost(error);
    this.chain.lost(error);
  }
}

/** Operations that are submitted together and settle together. */
abstract class Group<T> extends Outcome<T> {
  runtime: Runtime | null;
  protected members: Member[] = [];
  /** Completions that have not come. -1: not started. */
  private left = -1;
  private abandoned = false;

  constructor(runtime: Runtime | null) {
    super();
    this.runtime = runtime;
  }

  /** The value, when every member has settled; throws what the caller is to get. */
  protected abstract value(): T;

  override poll(cx: Context): Poll<T> {
    if (this.settled) return this.take();
    if (this.left < 0) {
      if (!cx.referenced) this.unref();
      this.start(this.runtime ?? cx.runtime);
    }
    if (this.settled) return this.take();
    return this.wait(cx);
  }

  override begin(): void {
    if (this.left < 0) this.start(this.runtime ?? late.current());
  }

  private start(runtime: Runtime): void {
    const { members } = this;
    this.left = members.length;
    this.runtime = runtime;
    try {
      for (const { op } of members) op.bind(runtime);
      const { reactor } = runtime.executor;
      share(members, reactor.ring as unknown as Ring);
      reactor.startChain(members);
    } catch (error) {
      this.refuse(error);
    }
  }

  /** A longer chain takes it: it starts with that one, and only with it. */
  protected enlist(): void {
    if (this.left >= 0) throw misuse('an operation in another chain cannot be linked');
    this.left = this.members.length;
  }

  /** Nothing was submitted: the member that is at fault has no name here, all get the error. */
  protected refuse(error: unknown): void {
    for (const { op } of this.members) op.refuse(error);
    this.left = 0;
    this.fail(error, error instanceof AbortError);
  }

  /** One more completion is in; the last one settles everything. How many bytes were copied. */
  arrived(ring: Ring<Started>): number {
    if (--this.left > 0) return 0;
    let copied = 0;
    // A member that was refused before anything ran ends those before it as well.
    let cut = this.members.some(({ res }) => res < 0 && res !== -ECANCELED);
    for (const { op, res, flags, opened } of this.members) {
      copied += op.complete(res, flags, opened, ring, cut);
      op.heard(); // Its error goes with the whole.
      cut = true;
    }
    this.conclude();
    return copied;
  }

  /** The ring ended without the completion of a member. */
  lost(error: unknown): void {
    this.fail(error, true);
  }

  /** Every member has settled: so does the whole. */
  conclude(): void {
    try {
      this.settle(this.value());
    } catch (error) {
      this.fail(error, error instanceof AbortError);
    }
  }

  override abandon(cx: Context): boolean {
    if (this.settled) return false;
    if (this.abandoned) return true;
    if (this.left < 0) {
      this.refuse(new AbortError());
      return false;
    }
    if (this.leave(cx.waker)) return false;
    this.abandoned = true;
    for (const { op } of this.members) op.abandon(cx);
    return true;
  }

  override ref(): this {
    for (const { op } of this.members) op.ref();
    return this;
  }

  override unref(): this {
    for (const { op } of this.members) op.unref();
    return this;
  }

  /** Asks for its end, from the first member on that has not ended. */
  cancel(): void {
    if (this.left < 0) {
      this.refuse(new AbortError());
      return;
    }
    for (const { op } of this.members) op.cancel();
  }
}

// PAIR: Limited
/** An operation with a time limit that the kernel keeps. */
export class Limited<T> extends Group<T> {
  readonly op: Op<T>;
  readonly limit: TimeoutOp;
  private readonly ms: number;

  constructor(runtime: Runtime | null, op: Op<T>, ms: number) {
    super(runtime);
    if (!(op instanceof Op)) throw typeError('operation', 'an operation (op.*)', op);
    this.op = op;
    this.ms = ms;
    this.limit = new TimeoutOp(runtime, ms, undefined, IORING_OP_LINK_TIMEOUT);
    op.enlist();
    this.limit.enlist();
    this.members = this.list(0);
  }

  /** Its two members; `flag` links it to what follows. */
  list(flag: number, chain: Group<unknown> | null = null): Member[] {
    if (chain !== null) this.enlist();
    const owner = chain ?? (this as Group<unknown>);
    const first = flag === 0 ? IOSQE_IO_LINK : flag;
    const made = [new Member(this.op, first, owner), new Member(this.limit, flag, owner)];
    this.members = made;
    return made;
  }

  protected override value(): T {
    const [main, limit] = this.members as [Member, Member];
    const ended = main.res === -ECANCELED || main.res === -EINTR;
    if (ended && limit.res === -ETIME) throw new TimeoutError(this.ms);
    return this.op.outcome();
  }
}

// PAIR: Chain
/** The operations of `op.link` and `op.hardlink`; resolves to their values. */
export class Chain<T extends readonly Linkable<unknown>[]> extends Group<LinkedValues<T>> {
  private readonly parts: T;

  constructor(runtime: Runtime | null, parts: T, flag: number) {
    super(runtime);
    if (parts.length === 0) throw rangeError('operations', '>= 1 operation', 0);
    for (const part of parts) {
      if (!(part instanceof Op) && !(part instanceof Limited)) {
        throw typeError('operations', 'operations (op.*)', part);
      }
    }
    if (new Set<unknown>(parts).size < parts.length) {
      throw rangeError('operations', 'each operation once', 'the same one twice');
    }
    this.parts = parts;
    const length = parts.reduce((sum, part) => sum + (part instanceof Op ? 1 : 2), 0);
    const longest = (runtime ?? late.current()).entries;
    if (length > longest) {
      throw rangeError('operations', `<= ${longest} entries, the size of the ring`, length);
    }
    const ops = parts.map((part) => (part instanceof Op ? part : part.op));
    checkBytes(ops);
    for (const part of parts) if (part instanceof Op) part.enlist();
    const last = parts.length - 1;
    this.members = parts.flatMap((part, index) => {
      const link = index === last ? 0 : flag;
      const chain = this as Group<unknown>;
      return part instanceof Op ? [new Member(part, link, chain)] : part.list(link, chain);
    });
  }

  protected override refuse(error: unknown): void {
    super.refuse(error);
    for (const part of this.parts) if (part instanceof Limited) part.lost(error);
  }

  override lost(error: unknown): void {
    super.lost(error);
    for (const part of this.parts) if (part instanceof Limited) part.lost(error);
  }

  /** Values in order. The error is that of the first member that failed by itself. */
  protected override value(): LinkedValues<T> {
    const parts: readonly Linkable<unknown>[] = this.parts;
    for (const part of parts) if (!(part instanceof Op)) part.conclude();
    const errors: unknown[] = [];
    const values: unknown[] = [];
    for (const part of parts) {
      try {
        values.push(part.outcome());
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length === 0) return values as LinkedValues<T>;
    throw errors.find((error) => (error as { code?: string }).code !== 'ECANCELED') ?? errors[0];
  }
}
