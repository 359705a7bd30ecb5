// The cost of one nop, layer by layer:  node nop.mjs VARIANT AT_ONCE
//
//   thenable  the floor T: a lazy thenable, resolved by hand a microtask later, no ring
//   bare      the ring alone: descriptors and completions through the border, no Op, no promise
//   awaited   op.nop(), a batch of promises awaited
//   tasks     generator tasks, each a loop of `yield* op.nop()`

import { op, Runtime } from '../../../dist/index.js';
import { Border, cqe as C, checkOptions, Kernel, sqe } from '../../../dist/internals.js';
import { Meter, must } from './meter.mjs';

const { IORING_OP_NOP, NO_REGION } = sqe;

const [variant, atOnceText] = process.argv.slice(2);
const atOnce = Number(atOnceText);
const meter = new Meter();

async function thenable() {
  let waiting = [];
  const resolved = Promise.resolve();
  const resolveAll = () => {
    const batch = waiting;
    waiting = [];
    for (const one of batch) one.fulfilled(0);
  };
  class Lazy {
    fulfilled = null;
    then(fulfilled) {
      this.fulfilled = fulfilled;
      if (waiting.push(this) === atOnce) resolved.then(resolveAll);
    }
  }
  const loop = async () => {
    do await new Lazy();
    while (meter.add(1));
  };
  // The loops end together: a batch that is never full would wait for ever.
  const loops = Array.from({ length: atOnce }, loop);
  await Promise.race(loops);
}

function bare() {
  const kernel = Kernel.open(checkOptions({}), () => {});
  const border = new Border(kernel);
  let taken = 0;
  let wrong = 0;
  const take = (ticket, res, _flags, _opened) => {
    taken++;
    if (ticket >= atOnce || res !== 0) wrong++;
    return 0; // No bytes were copied, which a delivery counts.
  };
  do {
    for (let i = 0; i < atOnce; i++) {
      border.start(IORING_OP_NOP, i, -1, NO_REGION, 0, 0, 0, 0, 0, 0, 0);
    }
    taken = 0;
    while (taken < atOnce) {
      border.turn(C.TURN_ENTER | C.TURN_PARK);
      border.deliver(take);
    }
    must(wrong === 0 && taken === atOnce, 'a completion is not what was asked for');
  } while (meter.add(atOnce));
  kernel.close();
}

async function awaited() {
  const loop = async () => {
    do must((await op.nop()) === 0, 'a nop resolves to 0');
    while (meter.add(1));
  };
  await Promise.all(Array.from({ length: atOnce }, loop));
}

async function tasks() {
  const runtime = new Runtime();
  const loop = function* () {
    do must((yield* op.nop()) === 0, 'a nop resolves to 0');
    while (meter.add(1));
  };
  await Promise.all(Array.from({ length: atOnce }, () => runtime.run(loop)));
  await runtime.close();
}

await { thenable, bare, awaited, tasks }[variant]();
meter.print();
process.exit(0);
