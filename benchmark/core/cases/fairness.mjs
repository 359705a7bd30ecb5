// Who else gets a turn:  node fairness.mjs VARIANT FILE
//
// The value is the largest gap of a 1 ms interval and of a chain of immediates. (A percentile of
// monitorEventLoopDelay would hide one long stall, which is a single sample.)

import { openSync, readSync } from 'node:fs';
import { op, run } from '../../../dist/index.js';
import { must } from './meter.mjs';

const SECONDS = 3;
const [variant, file] = process.argv.slice(2);

/** The largest time between two calls. */
class Gap {
  worst = 0;
  calls = 0;
  #last = performance.now();
  call() {
    const now = performance.now();
    this.worst = Math.max(this.worst, now - this.#last);
    this.#last = now;
    this.calls++;
  }
}

let over = false;
const pause = () => new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));

const variants = {
  /** Nothing but the timers: what this machine does by itself. */
  idle: () => pause().then(() => 0),
  /** 64 loops of cached reads that never wait for anything. */
  reads: async () => {
    let done = 0;
    const loops = Array.from({ length: 64 }, async (_, loop) => {
      const buffer = new Uint8Array(4096);
      for (let i = loop; !over; i += 64) {
        must((await op.read(fd, buffer, (i % 65536) * 4096)) === 4096, 'a read was short');
        done++;
      }
    });
    await pause();
    over = true;
    await Promise.all(loops);
    return done;
  },
  /** 1,000 tasks of 1,000 nops. */
  tasks: async () => {
    let done = 0;
    const task = function* () {
      for (let i = 0; i < 1000; i++) {
        yield* op.nop();
        done++;
      }
    };
    await Promise.all(Array.from({ length: 1000 }, () => run(task)));
    return done;
  },
};

// Into the page cache before the clock runs.
const fd = openSync(file, 'r');
const warm = Buffer.allocUnsafeSlow(1 << 20);
while (readSync(fd, warm, 0, warm.length, null) > 0);

const [timer, immediate] = [new Gap(), new Gap()];
const interval = setInterval(() => timer.call(), 1);
let chain = setImmediate(function again() {
  immediate.call();
  chain = setImmediate(again);
});
const [start, cpu] = [performance.now(), process.cpuUsage()];
const ops = await variants[variant]();
const [ms, { user, system }] = [performance.now() - start, process.cpuUsage(cpu)];
timer.call();
immediate.call();
clearInterval(interval);
clearImmediate(chain);
const line = {
  gap: timer.worst,
  immediateGap: immediate.worst,
  fired: timer.calls / ms,
  ns: ops > 0 ? (ms * 1e6) / ops : 0,
  cpu: ops > 0 ? ((user + system) * 1000) / ops : 0,
  ops,
};
process.stdout.write(`${JSON.stringify(line)}\n`);
