// The clock of every case: counts operations, drops the warm-up, prints one JSON line.

import { readFileSync } from 'node:fs';

const WARM_MS = 250;
const RUN_MS = Number(process.env.RINGCORE_BENCH_MS ?? 400);
/** Shorter than a time slice of the scheduler: on a busy machine most are undisturbed. */
const SLICE_MS = 1;

/** Bytes that this process has had from a disk; a warm read must leave it alone. */
function diskBytes() {
  return Number(/^read_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1] ?? 0);
}

/**
 * The value of a process is the median of its slices: other programs take the processor away for
 * whole milliseconds, which ruins a mean and leaves a median alone. It leaves garbage collections
 * alone as well; they are in `cpu`, which is everything that all threads of the process have used.
 */
export class Meter {
  #ops = 0;
  #step = 1;
  #look = 1;
  #warm = true;
  #begun = performance.now();
  #sliceAt = this.#begun;
  #sliceOps = 0;
  #slices = [];
  #cpu = null;
  #disk = 0;
  #ended = false;

  /** That many operations are done. False: the time is over. */
  add(count) {
    this.#ops += count;
    if (this.#ops < this.#look) return !this.#ended;
    return this.#sample();
  }

  #sample() {
    if (this.#ended) return false;
    const now = performance.now();
    const elapsed = now - this.#sliceAt;
    if (elapsed < SLICE_MS / 2) this.#step *= 2;
    this.#look = this.#ops + this.#step;
    if (elapsed < SLICE_MS) return true;
    if (!this.#warm) this.#slices.push((elapsed * 1e6) / (this.#ops - this.#sliceOps));
    this.#sliceAt = now;
    this.#sliceOps = this.#ops;
    if (this.#warm && now - this.#begun >= WARM_MS) this.#start(now);
    else if (!this.#warm && now - this.#begun >= RUN_MS) this.#ended = true;
    return !this.#ended;
  }

  #start(now) {
    this.#warm = false;
    this.#begun = now;
    this.#ops = 0;
    this.#look = this.#step;
    this.#sliceOps = 0;
    this.#disk = diskBytes();
    this.#cpu = process.cpuUsage();
  }

  /** The JSON line. `more` are further facts of this case. */
  print(more = {}) {
    if (this.#cpu === null || this.#slices.length === 0) throw new Error('nothing was measured');
    const { user, system } = process.cpuUsage(this.#cpu);
    const slices = this.#slices.sort((a, b) => a - b);
    const line = {
      ns: slices[slices.length >> 1],
      cpu: ((user + system) * 1000) / this.#ops,
      ops: this.#ops,
      disk: diskBytes() - this.#disk,
      ...more,
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
}

/** Ends the program with a message when something is not what the case is about. */
export function must(fact, text) {
  if (!fact) throw new Error(text);
}
