// The price of single steps:  node costs.mjs VARIANT
//
//   scope      AsyncResource.runInAsyncScope around an empty function, as in every poll of a task
//   snapshot   AsyncLocalStorage.snapshot, the same job with the other tool
//   call       a method call, to be taken off the others
//   clock      performance.now()
//   bare       a turn function's call that asks for nothing (mode 0): the border's own price
//   empty      a turn that enters nothing, finds nothing and parks
//   keepalive  the process's reference taken and given back
//   await      an await of undefined

import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import { Border, cqe as C, checkOptions, Kernel } from '../../../dist/internals.js';
import { Meter } from './meter.mjs';

const ROUND = 1000;
const [variant] = process.argv.slice(2);
const meter = new Meter();
let count = 0;
const step = () => {
  count++;
};

function repeat(body) {
  do for (let i = 0; i < ROUND; i++) body();
  while (meter.add(ROUND));
}

function border() {
  const kernel = Kernel.open(checkOptions({}), () => {});
  return { kernel, border: new Border(kernel) };
}

const variants = {
  scope: () => {
    const resource = new AsyncResource('RINGCORE_TASK');
    repeat(() => resource.runInAsyncScope(step));
  },
  snapshot: () => {
    const inside = AsyncLocalStorage.snapshot();
    repeat(() => inside(step));
  },
  call: () => repeat(step),
  clock: () =>
    repeat(() => {
      count += performance.now();
    }),
  bare: () => {
    const ring = border();
    repeat(() => ring.border.turn(0));
    ring.kernel.close();
  },
  empty: () => {
    const ring = border();
    repeat(() => ring.border.turn(C.TURN_ENTER | C.TURN_PARK));
    ring.kernel.close();
  },
  keepalive: () => {
    const ring = border();
    const { words } = ring.border;
    repeat(() => {
      words[C.H_REFERENCED] = 1;
      ring.kernel.keepAlive();
      words[C.H_REFERENCED] = 0;
      ring.kernel.keepAlive();
    });
    ring.kernel.close();
  },
  await: async () => {
    do for (let i = 0; i < ROUND; i++) await undefined;
    while (meter.add(ROUND));
  },
};

await variants[variant]();
meter.print({ count });
process.exit(0);
