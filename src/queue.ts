// PAIR: only-typescript queue.ts -- Rust has VecDeque

/** Places in front that are forgotten in one go. */
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
    const item = this.items[this.head++] as T;
    if (this.head === this.items.length || this.head === GONE) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }
}
