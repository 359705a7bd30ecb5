// timer without ringcore: libuv's timers.

import { setTimeout as sleep } from 'node:timers/promises';

const durations = process.argv.slice(2).map(Number);
if (durations.length === 0 || !durations.every((ms) => ms >= 0)) {
  console.error('usage: timer MILLISECONDS...');
  process.exit(2);
}
await Promise.all(
  durations.map(async (ms) => {
    await sleep(ms);
    console.log(`${ms} ms`);
  }),
);
console.log(`${durations.length} timers`);
