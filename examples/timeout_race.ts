// timeout_race: a read of standard input against a clock, twice: the combinator `timeout`, which
// races two operations, and `op.withTimeout`, a chain whose limit the kernel keeps.
// Beside it: timeout_race.rs; without ringcore: timeout_race.node.mjs, timeout_race.std.rs.
//
//   npm start -- --example timeout_race 500        type something, or do not
//
// Whoever loses is cancelled: no read is left behind that would take the next bytes.

import { type Future, op, run, TimeoutError, timeout } from 'ringcore';

const STDIN = 0;
const ms = Number(process.argv[2] ?? 500);

function* attempt(name: string, read: Future<number>): Generator<Future<unknown>, void, unknown> {
  try {
    console.log(`${name}: ${yield* read} bytes`);
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    console.log(`${name}: timed out`);
  }
}

if (!(ms >= 0)) {
  console.error('usage: timeout_race [MILLISECONDS]');
  process.exit(2);
}
await run(function* () {
  const buffer = new Uint8Array(1024);
  yield* attempt('timeout', timeout(op.read(STDIN, buffer), ms));
  yield* attempt('withTimeout', op.withTimeout(op.read(STDIN, buffer), ms));
});
