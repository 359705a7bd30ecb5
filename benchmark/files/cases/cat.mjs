// A file of 100 MiB, read to its end in chunks of 64 KiB and of 1 MiB.

import { closeSync, openSync, readSync } from 'node:fs';
import { must } from '../meter.mjs';

const SIZE = 100 << 20;
const COPY =
  'one read is under way at a time, on this thread; Bun.file reads half a mebibyte ahead on ' +
  'another one.';

export const cases = [65_536, 1 << 20].map((chunk) => ({
  name: `cat-${chunk === 65_536 ? '64k' : '1m'}`,
  title: `read 100 MiB to the end in chunks of ${chunk === 65_536 ? '64 KiB' : '1 MiB'}`,
  unit: 'MiB',
  scale: 100,
  params: { inFlight: 1, chunk },
  data: ['big'],
  warm: ['big'],
  native: ['floor', 'twin', 'std', 'tokio', 'monoio', 'compio', 'old'],
  aims: [
    { than: 'bun bunfile', least: 1, reason: COPY },
    { than: 'best peer', least: 1, reason: COPY },
  ],
}));

export const isWhole = true;

/** The file repeats 256 blocks of 4 KiB, each filled with its number. */
export class Sum {
  bytes = 0;
  #wrong = 0;

  /** Looks at the first and the last byte of a chunk. */
  add(chunk) {
    const last = this.bytes + chunk.length - 1;
    if (chunk[0] !== ((this.bytes >> 12) & 255)) this.#wrong++;
    if (chunk[chunk.length - 1] !== ((last >> 12) & 255)) this.#wrong++;
    this.bytes += chunk.length;
  }

  check() {
    must(this.bytes === SIZE, `the file gave ${this.bytes} bytes`);
    must(this.#wrong === 0, 'what was read is not what the file holds');
  }
}

export function check() {
  return (sum) => sum.check();
}

const file = ({ dir }) => `${dir}/big`;

/** Chunks that a runtime chooses or makes anew: streams. */
async function drain(chunks) {
  const sum = new Sum();
  for await (const chunk of chunks) sum.add(chunk);
  return sum;
}

export const variants = {
  promises: (context) => {
    const buffer = Buffer.alloc(context.chunk);
    const one = async () => {
      const sum = new Sum();
      const handle = await context.fs.open(file(context));
      for (;;) {
        const { bytesRead } = await handle.read(buffer, 0, context.chunk, null);
        if (bytesRead === 0) break;
        sum.add(buffer.subarray(0, bytesRead));
      }
      await handle.close();
      return sum;
    };
    return { one };
  },
  stream: (context) => {
    const { createReadStream } = context.fs;
    const options = { highWaterMark: context.chunk };
    return { one: () => drain(createReadStream(file(context), options)) };
  },
  sync: (context) => {
    const buffer = Buffer.alloc(context.chunk);
    const one = () => {
      const sum = new Sum();
      const fd = openSync(file(context), 'r');
      for (;;) {
        const count = readSync(fd, buffer, 0, context.chunk, null);
        if (count === 0) break;
        sum.add(buffer.subarray(0, count));
      }
      closeSync(fd);
      return sum;
    };
    return { one };
  },
  bunfile: (context) => ({ one: () => drain(globalThis.Bun.file(file(context)).stream()) }),
  deno: (context) => {
    const buffer = new Uint8Array(context.chunk);
    const one = async () => {
      const sum = new Sum();
      const handle = await globalThis.Deno.open(file(context));
      for (;;) {
        const count = await handle.read(buffer);
        if (count === null) break;
        sum.add(buffer.subarray(0, count));
      }
      handle.close();
      return sum;
    };
    return { one };
  },
  op: (context) => {
    const { op, AT_FDCWD } = context.ringcore;
    const buffer = new Uint8Array(context.chunk);
    return {
      *one() {
        const sum = new Sum();
        const fd = yield* op.openat(AT_FDCWD, file(context), 0);
        for (;;) {
          const count = yield* op.read(fd, buffer, sum.bytes);
          if (count === 0) break;
          sum.add(buffer.subarray(0, count));
        }
        yield* op.close(fd);
        return sum;
      },
    };
  },
};
