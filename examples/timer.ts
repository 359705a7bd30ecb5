// timer: one task for each argument sleeps that many milliseconds; they end in their own order.
// Beside it: timer.rs; without ringcore: timer.node.mjs, timer.std.rs.
//
//   npm start -- --example timer 30 10 20
//
// Every sleep is one timeout of the kernel on the same ring; the thread waits for all at once.

import { type Future, run, sleep, spawn } from 'ringcore';

const durations = process.argv.slice(2).map(Number);
if (durations.length === 0 || !durations.every((ms) => ms >= 0)) {
  console.error('usage: timer MILLISECONDS...');
  process.exit(2);
}

function* timer(ms: number): Generator<Future<unknown>, void, unknown> {
  const started = performance.now();
  yield* sleep(ms);
  const early = performance.now() - started < ms;
  console.log(`${ms} ms${early ? ', too early' : ''}`);
}

await run(function* () {
  const handles = durations.map((ms) => spawn(() => timer(ms)));
  for (const handle of handles) yield* handle;
  console.log(`${durations.length} timers`);
});
