// A task of an installed package reads the file that is named. Copied next to node_modules and run
// there, by __test__/package.spec.ts and in the containers of .github/workflows/ci.yml.

import { readFileSync } from 'node:fs';
import { AT_FDCWD, op, probe, run } from 'ringcore';

const path = process.argv[2];
const wanted = readFileSync(path);

const text = await run(function* () {
  const fd = yield* op.openat(AT_FDCWD, path, 0);
  const buffer = Buffer.alloc(wanted.length + 1);
  const count = yield* op.read(fd, buffer, 0);
  yield* op.close(fd);
  return buffer.subarray(0, count);
});
if (!text.equals(wanted)) throw new Error(`${path}: read ${text.length} other bytes`);
console.log(`${text.length} bytes through ${probe().backend}`);
