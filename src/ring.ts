// The ring: push, submit, reap, park over a driver; full queues are its own work (I5).
// Pair: crates/ringcore/src/ring.rs
//
//   op ── push ──> descriptors (shared memory) ── submit ──> Rust: SQ, backlog ──> kernel
//   op <── reap ── completions (shared memory) <──────────── Rust: CQ, slots (I4) <──'

import { Allocations } from './alloc.ts';
import { Border, type Take } from './border.ts';
import { Regions } from './buffer.ts';
import * as C from './cqe.ts';
import type { Driver, Entry } from './driver.ts';
import { memoryError } from './error.ts';
import { Slots } from './slot.ts';
import {
  BORDER_CLOSE_GROUP,
  BORDER_RETURN,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CLOSE,
  NO_REGION,
  NO_TICKET,
} from './sqe.ts';

/** Room in the inputs area that a chain finds. */
const CHAIN_INPUTS = C.INPUTS_BYTES / 2;

// PAIR: Ring
/** One ring, for one thread (I6). */
export class Ring<T extends Entry = Entry> {
  readonly border: Border;
  readonly regions: Regions;
  readonly allocations: Allocations;
  readonly words: Int32Array;
  readonly slots: Slots<T> = new Slots<T>();
  readonly driver: Driver;
  private chaining = false;

  constructor(driver: Driver, memoryLimit: number) {
    this.driver = driver;
    this.border = new Border(driver);
    this.words = this.border.words;
    this.regions = new Regions(driver, memoryLimit);
    this.allocations = new Allocations(this as unknown as Ring, driver, memoryLimit);
  }

  // PAIR: Ring.push
  /** Takes an operation. Never refused: a full list is taken in by Rust at once (I5). */
  push(entry: T): number {
    if (this.border.count === C.MAX_DESCRIPTORS) this.border.turn(0);
    const ticket = this.slots.insert(entry);
    try {
      entry.prepare(this as unknown as Ring, ticket);
    } catch (error) {
      this.slots.remove(ticket);
      throw error;
    }
    return ticket;
  }

  // PAIR: Ring.pushChain
  /** Takes a chain: its descriptors in a row, or none of them. */
  pushChain(entries: readonly T[]): number[] {
    const { border, slots } = this;
    const full = border.count + entries.length > C.MAX_DESCRIPTORS;
    if (full || !border.affords(CHAIN_INPUTS)) border.turn(0);
    const { count } = border;
    const tickets: number[] = [];
    this.chaining = true;
    try {
      for (const entry of entries) {
        const ticket = slots.insert(entry);
        tickets.push(ticket);
        entry.prepare(this as unknown as Ring, ticket);
      }
    } catch (error) {
      border.rollback(count);
      for (const ticket of tickets) slots.remove(ticket);
      throw error;
    } finally {
      this.chaining = false;
    }
    return tickets;
  }

  // PAIR: Ring.cancel
  /** Asks for the end of an operation; its completion decides how it ends. */
  cancel(ticket: number): void {
    const opcode = IORING_OP_ASYNC_CANCEL;
    if (this.border.count === C.MAX_DESCRIPTORS) this.border.turn(0);
    this.border.start(opcode, NO_TICKET, -1, ticket, 0, 0, 0, 0, 0, 0, 0);
  }

  /** Closes a descriptor that nobody received (I3). */
  closeFd(fd: number): void {
    if (this.border.count === C.MAX_DESCRIPTORS) this.border.turn(0);
    this.border.start(IORING_OP_CLOSE, NO_TICKET, fd, NO_REGION, 0, 0, 0, 0, 0, 0, 0);
  }

  /** Bytes in the inputs area; the descriptors before it go out when there is no room left. */
  input(bytes: Uint8Array): number {
    let from = this.border.input(bytes);
    // Members of a chain must not be parted: they go without, and say so.
    if (from < 0 && !this.chaining) {
      this.border.turn(0);
      from = this.border.input(bytes);
    }
    if (from < 0) throw memoryError(bytes.length, C.INPUTS_BYTES);
    return from;
  }

  /** A lent buffer is the kernel's again. */
  giveBuffer(group: number, buffer: number): void {
    if (this.border.count === C.MAX_DESCRIPTORS) this.border.turn(0);
    this.border.start(BORDER_RETURN, NO_TICKET, -1, group, 0, buffer, 0, 0, 0, 0, 0);
  }

  /** Nobody wants a buffer group any more. */
  closeGroup(group: number): void {
    if (this.border.count === C.MAX_DESCRIPTORS) this.border.turn(0);
    this.border.start(BORDER_CLOSE_GROUP, NO_TICKET, -1, group, 0, 0, 0, 0, 0, 0, 0);
  }

  // PAIR: Ring.submit
  /** Hands everything to the kernel and brings completions into the list. */
  submit(mode: number): void {
    this.border.turn(mode);
  }

  // PAIR: Ring.reap
  /** Gives every completion to `take`. How many. */
  reap(take: Take): number {
    if (this.driver.reap() === 0) return 0;
    return this.border.deliver(take);
  }

  // PAIR: Ring.park
  /** Whether a wake-up will come. False: there is work, take another turn. */
  park(): boolean {
    return this.driver.park() && this.driver.reap() === 0;
  }

  /** The process's reference, at the edge only. */
  keepAlive(wanted: boolean): void {
    this.words[C.H_REFERENCED] = wanted ? 1 : 0;
    this.driver.keepAlive();
  }

  // PAIR: Ring.close
  /** I7: everything ends; every completion that came goes to `take`. False: memory was leaked. */
  close(take: Take): boolean {
    const drained = this.border.close();
    this.border.deliver(take);
    // Descriptors that came for nobody are closed by what the delivery itself has written (I3).
    while (!this.driver.park() || this.border.count > 0 || this.driver.reap() > 0) {
      this.border.turn(0);
      this.border.deliver(take);
    }
    this.driver.free();
    return drained;
  }
}
