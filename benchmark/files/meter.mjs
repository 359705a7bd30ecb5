// The clock of a measuring process: warms up, measures for a while, gives one line of JSON.
//
// Unlike the clock of `core` it takes the mean of the whole window: a result's memory has to be
// collected again, and a median over slices would not see that. It works on Node, Bun and Deno.

import { readFileSync } from 'node:fs';

/** Longest time between two looks at the clock. */
const LOOK_MS = 0.5;
/** From so many in flight on, completions come in waves: only whole waves are measured. */
const WAVES_FROM = 1000;
/** Less would be chance. */
const LEAST_OPS = 3;

/** Bytes that this process has had from a disk; a warm case must leave it alone. */
function diskBytes() {
  return Number(/^read_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1] ?? 0);
}

/** Microseconds of all threads, the kernel's work for them and io-wq's threads included. */
function cpuMicroseconds() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

export class Meter {
  #warmMs;
  #runMs;
  #ops = 0;
  #all = 0;
  #look = 1;
  #step = 1;
  #warm = true;
  #ended = false;
  /** Spent before the present segment: milliseconds and microseconds. */
  #spent = 0;
  #cpuSpent = 0;
  #at = performance.now();
  #cpuAt = cpuMicroseconds();
  #lookedAt = this.#at;
  #disk = 0;
  #result = null;
  #paused = false;
  /** The operations of one wave, or 0. */
  #wave = 0;

  constructor({ warmMs, runMs, inFlight = 1 }) {
    this.#warmMs = warmMs;
    this.#runMs = runMs;
    if (inFlight >= WAVES_FROM) {
      this.#wave = inFlight;
      this.#step = inFlight;
      this.#look = inFlight;
    }
  }

  /** That many operations are done. False: the time is over. */
  add(count) {
    this.#all += count;
    this.#ops += count;
    if (this.#ops < this.#look) return !this.#ended;
    return this.#sample();
  }

  /** What follows is set-up, not the operation. */
  pause() {
    if (this.#paused) return;
    this.#paused = true;
    this.#spent += performance.now() - this.#at;
    this.#cpuSpent += cpuMicroseconds() - this.#cpuAt;
  }

  resume() {
    this.#paused = false;
    this.#cpuAt = cpuMicroseconds();
    this.#at = performance.now();
    this.#lookedAt = this.#at;
  }

  #sample() {
    if (this.#ended) return false;
    const now = performance.now();
    if (this.#wave === 0 && now - this.#lookedAt < LOOK_MS / 2) {
      this.#step = Math.min(this.#step * 2, 4096);
    }
    this.#lookedAt = now;
    this.#look = this.#ops + this.#step;
    const elapsed = this.#spent + (this.#paused ? 0 : now - this.#at);
    if (this.#warm) {
      if (elapsed >= this.#warmMs) this.#start(now);
    } else if (elapsed >= this.#runMs && this.#ops >= LEAST_OPS) {
      this.#ended = true;
      this.#end(elapsed);
    }
    return !this.#ended;
  }

  #start(now) {
    this.#warm = false;
    this.#ops = 0;
    this.#look = this.#step;
    this.#spent = 0;
    this.#cpuSpent = 0;
    this.#disk = diskBytes();
    this.#cpuAt = cpuMicroseconds();
    this.#at = now;
  }

  #end(elapsed) {
    const cpu = this.#cpuSpent + (this.#paused ? 0 : cpuMicroseconds() - this.#cpuAt);
    const disk = diskBytes() - this.#disk;
    this.#result = { ns: (elapsed * 1e6) / this.#ops, cpu: (cpu * 1000) / this.#ops, disk };
    this.#result.ops = this.#ops;
  }

  /** What was measured; `all` counts the warm-up and what was still in flight as well. */
  result() {
    if (this.#result === null) throw new Error('nothing was measured');
    return { ...this.#result, all: this.#all };
  }
}

/** Ends the program with a message when something is not what the case is about. */
export function must(fact, text) {
  if (!fact) throw new Error(text);
}
