// PAIR: only-typescript queue.ts -- Rust has VecDeque

/** As many places in front at least are forgotten in one go. */
const GONE = 1024;

/** First in, first out: Array.shift() moves all that is behind. */
export class Queue<T> {
  private items: T[] = [];
  /** Those before it have left. */
  private head = 0;

  get length(): number {
    return this.items.length - this.head;
  }

  push(item: T): void {
    this.items.push(item);
  }

  /** The first of a queue that is not empty. */
  take(): T {
    const item = this.items[this.head] as T;
    this.items[this.head] = undefined as T; // It is held no longer than it waits.
    const head = ++this.head;
    // No more are moved than have left: each item once on the average.
    const half = head >= GONE && head * 2 >= this.items.length;
    if (half || head === this.items.length) {
      this.items = this.items.slice(head);
      this.head = 0;
    }
    return item;
  }
}
