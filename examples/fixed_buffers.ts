// fixed_buffers: adds up the bytes of a file that is read into registered buffers.
// Beside it: fixed_buffers.rs; without ringcore: fixed_buffers.node.mjs, fixed_buffers.std.rs.
//
//   npm start -- --example fixed_buffers FILE
//
// Registered memory is pinned once: the kernel need not look it up for every read, and no byte is
// copied on its way to this program. It counts against `ulimit -l`.

import { AT_FDCWD, all, type Future, Runtime } from 'ringcore';

const CHUNK = 64 * 1024;
const DEPTH = 4;

const [path] = process.argv.slice(2);
if (path === undefined) {
  console.error('usage: fixed_buffers FILE');
  process.exit(2);
}

function* add(rt: Runtime, name: string): Generator<Future<unknown>, string, unknown> {
  const { op } = rt;
  const fd = yield* op.openat(AT_FDCWD, name, 0);
  // One registration; its parts are buffers of their own.
  const memory = rt.buffer.alloc(DEPTH * CHUNK, { registered: true });
  const parts = Array.from({ length: DEPTH }, (_, i) =>
    memory.subarray(i * CHUNK, (i + 1) * CHUNK),
  );
  let [offset, sum] = [0, 0];
  for (;;) {
    const counts = yield* all(parts.map((part, i) => op.readFixed(fd, part, offset + i * CHUNK)));
    for (const [i, count] of counts.entries()) {
      for (const byte of (parts[i] as Uint8Array).subarray(0, count)) sum += byte;
      offset += count;
      if (count < CHUNK) {
        yield* op.close(fd);
        return `${offset} bytes, sum ${sum}`;
      }
    }
  }
}

const rt = new Runtime();
try {
  console.log(await rt.run(() => add(rt, path)));
} catch (error) {
  console.error(`fixed_buffers: ${(error as Error).message}`);
  process.exitCode = 1;
}
await rt.close();
