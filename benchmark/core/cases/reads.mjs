// Warm random reads of 4 KiB:  node reads.mjs VARIANT IN_FLIGHT FILE
//
// The same program as benchmark/peers/reads.rs: so many loops, each with a buffer of its own.

import { closeSync, openSync, promises, read, readSync, statSync } from 'node:fs';
import { op, run } from '../../../dist/index.js';
import { Meter, must } from './meter.mjs';

const BLOCK = 4096;
const [variant, inFlightText, file] = process.argv.slice(2);
const inFlight = Number(inFlightText);
const blocks = statSync(file).size / BLOCK;
const fd = openSync(file, 'r');

/** Into the page cache, all of it. The meter proves that no disk was touched afterwards. */
function warm() {
  const buffer = Buffer.allocUnsafeSlow(1 << 20);
  while (readSync(fd, buffer, 0, buffer.length, null) > 0);
}

/** The same sequence in every variant and in Rust: xorshift, seeded by the loop's number. */
function offsets(seed) {
  let state = (seed + 1) * 0x9e3779b1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) % blocks) * BLOCK;
  };
}

warm();
const meter = new Meter();
const seeds = Array.from({ length: inFlight }, (_, seed) => seed);
const checked = (count) => must(count === BLOCK, `a read gave ${count} bytes`);

const variants = {
  awaited: () =>
    Promise.all(
      seeds.map(async (seed) => {
        const [buffer, next] = [new Uint8Array(BLOCK), offsets(seed)];
        do checked(await op.read(fd, buffer, next()));
        while (meter.add(1));
      }),
    ),
  tasks: () =>
    Promise.all(
      seeds.map((seed) =>
        run(function* () {
          const [buffer, next] = [new Uint8Array(BLOCK), offsets(seed)];
          do checked(yield* op.read(fd, buffer, next()));
          while (meter.add(1));
        }),
      ),
    ),
  callback: () =>
    Promise.all(
      seeds.map((seed) => {
        const [buffer, next] = [new Uint8Array(BLOCK), offsets(seed)];
        return new Promise((resolve, reject) => {
          const step = () => read(fd, buffer, 0, BLOCK, next(), done);
          const done = (error, count) => {
            if (error !== null || count !== BLOCK) reject(error ?? new Error('short'));
            else if (meter.add(1)) step();
            else resolve();
          };
          step();
        });
      }),
    ),
  filehandle: async () => {
    const handle = await promises.open(file);
    await Promise.all(
      seeds.map(async (seed) => {
        const [buffer, next] = [new Uint8Array(BLOCK), offsets(seed)];
        do checked((await handle.read(buffer, 0, BLOCK, next())).bytesRead);
        while (meter.add(1));
      }),
    );
    await handle.close();
  },
  sync: () => {
    const loops = seeds.map((seed) => [new Uint8Array(BLOCK), offsets(seed)]);
    for (;;) {
      for (const [buffer, next] of loops) {
        checked(readSync(fd, buffer, 0, BLOCK, next()));
        if (!meter.add(1)) return;
      }
    }
  },
};

await variants[variant]();
meter.print();
closeSync(fd);
