// Slots: tickets of operations between push and their last completion.
// Pair: crates/ringcore/src/slot.rs
//
// A ticket is a small index, which is all that crosses the border. The generation that tells a
// stale completion (I4) is kept in Rust: a ticket comes back here only when its operation ended.

// PAIR: Lifecycle
/** Where an operation stands. */
export const Lifecycle = {
  /** Described, not started. */
  Fresh: 0,
  /** On its way. */
  Submitted: 1,
  /** Somebody waits. */
  Waiting: 2,
  /** Nobody can receive the result: bytes are dropped, a descriptor is closed (I3). */
  Abandoned: 3,
  /** The last completion is in. */
  Completed: 4,
} as const;
export type Lifecycle = (typeof Lifecycle)[keyof typeof Lifecycle];

// PAIR: Slots
/** A vector with a stack of free places, last freed, first used. */
export class Slots<T> {
  private readonly slots: (T | null)[] = [];
  private readonly free: number[] = [];

  // PAIR: Slots.insert
  /** Takes a place: its index is the ticket. */
  insert(value: T): number {
    const { free } = this;
    if (free.length > 0) {
      const ticket = free.pop() as number;
      this.slots[ticket] = value;
      return ticket;
    }
    return this.slots.push(value) - 1;
  }

  // PAIR: Slots.get
  /** What the ticket stands for, or null. */
  get(ticket: number): T | null {
    return this.slots[ticket] ?? null;
  }

  // PAIR: Slots.remove
  /** Frees the place. */
  remove(ticket: number): void {
    this.slots[ticket] = null;
    this.free.push(ticket);
  }

  /** Places taken. */
  get size(): number {
    return this.slots.length - this.free.length;
  }

  /** Everything that has a place, for teardown. */
  all(): T[] {
    return this.slots.filter((value) => value !== null);
  }
}
