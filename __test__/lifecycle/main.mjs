// The end of a main thread, one scenario a run: what keeps it, what does not, and how it ends.

import { closeSync, constants, existsSync, openSync, writeSync } from 'node:fs';
import {
  AT_FDCWD,
  Runtime,
  op as ringcoreOp,
  run,
  sleep,
  spawn,
  timeout,
} from '../../dist/index.js';
import { bigFile, fifo, folder } from './common.mjs';

const say = (text) => writeSync(1, `${text}\n`);
const path = folder();
const rt = new Runtime();
const { op } = rt;
const nothing = () => {};

/** An open that waits in io-wq for a FIFO's other end, so that its cancel takes a while. */
function opening() {
  const name = `${path}/opening`;
  if (!existsSync(name)) closeSync(fifo(name));
  return ringcoreOp.openat(AT_FDCWD, name, constants.O_CREAT);
}

/** Everything that can be in flight, for the ends that are not natural. */
function everything() {
  const pipe = fifo(`${path}/fifo`);
  const file = openSync(bigFile(`${path}/data`, 8), 'r');
  for (let i = 0; i < 8; i++) op.read(pipe, new Uint8Array(4096)).then(nothing, nothing);
  op.pollAdd(pipe, 1).then(nothing, nothing);
  op.timeout(10_000).then(nothing, nothing);
  for (let i = 0; i < 8; i++) {
    const buffer = new Uint8Array(1 << 20);
    const again = () => op.read(file, buffer, i << 20).then(again, nothing);
    again();
  }
  const spin = () => op.nop().then(spin, nothing);
  for (let i = 0; i < 64; i++) spin();
  return new Promise((resolve) => setTimeout(resolve, 20));
}

/** Says when the process ends, in milliseconds after now. */
function clock() {
  const start = performance.now();
  process.on('exit', () => say(Math.round(performance.now() - start)));
}

const scenarios = {
  async idle() {
    await op.nop();
    clock();
  },
  async pending() {
    clock();
    op.timeout(300).then(() => say('settled'), nothing);
  },
  async pendingPipe() {
    clock();
    const pipe = fifo(`${path}/fifo`);
    op.read(pipe, new Uint8Array(8)).then((count) => say(`read ${count}`), nothing);
    setTimeout(() => writeSync(pipe, 'abc'), 300).unref();
  },
  async unrefOp() {
    clock();
    op.timeout(10_000).unref().then(nothing, nothing);
  },
  async unrefInFlight() {
    const timer = op.timeout(10_000);
    timer.then(nothing, nothing);
    await op.nop();
    clock();
    timer.unref();
  },
  async unrefOption() {
    clock();
    op.timeout(10_000, { ref: false }).then(nothing, nothing);
  },
  async unrefSleep() {
    clock();
    sleep(10_000, { ref: false }).then(nothing, nothing);
  },
  async unrefRuntime() {
    op.timeout(10_000).then(nothing, nothing);
    await op.nop();
    clock();
    rt.unref();
  },
  async unrefRuntimeBeforeUse() {
    clock();
    rt.unref();
    op.timeout(10_000).then(nothing, nothing);
  },
  async unrefRuntimeBusy() {
    clock();
    rt.unref();
    const spin = () => op.nop().then(spin, nothing);
    for (let i = 0; i < 64; i++) spin();
  },
  async unrefHandle() {
    const handle = spawn(function* () {
      yield* sleep(10_000);
    });
    handle.then(nothing, nothing);
    await run(function* () {});
    clock();
    handle.unref();
  },
  async refHandleAgain() {
    clock();
    const handle = spawn(function* () {
      yield* sleep(300);
      say('settled');
    });
    await run(function* () {});
    handle.unref();
    handle.ref();
  },
  async refAgain() {
    clock();
    const timer = op.timeout(300);
    timer.then(() => say('settled'), nothing);
    await op.nop();
    timer.unref();
    await op.nop();
    timer.ref();
  },
  async refRuntimeAgain() {
    clock();
    op.timeout(300).then(() => say('settled'), nothing);
    await op.nop();
    rt.unref();
    // Only this keeps the process, should the operation take an iteration of the event loop.
    const kept = setTimeout(nothing, 10_000);
    await op.nop();
    clearTimeout(kept);
    rt.ref();
  },
  async refTwiceUnrefOnce() {
    const timer = op.timeout(10_000);
    timer.then(nothing, nothing);
    await op.nop();
    clock();
    timer.ref().ref();
    timer.unref();
  },
  async sequence() {
    clock();
    for (let i = 0; i < 3; i++) {
      await op.timeout(100);
      op.timeout(10_000, { ref: false }).then(nothing, nothing);
    }
    say('settled');
  },
  async exit() {
    await everything();
    process.exit(7);
  },
  async exitInTurn() {
    await everything();
    op.timeout(5).then(() => process.exit(7), nothing);
  },
  async uncaught() {
    await everything();
    setTimeout(() => {
      throw new Error('thrown on purpose');
    });
  },
  async signal() {
    await everything();
    say('ready');
  },
  async neverEnds() {
    const pipe = fifo(`${path}/fifo`);
    await op.read(pipe, new Uint8Array(8), -1, { ref: false });
  },
  /** The last thing that the program waits for is the end of what was cancelled. */
  async abortedTask() {
    let finals = 0;
    for (let i = 0; i < 200; i++) {
      let started = false;
      const handle = spawn(function* () {
        started = true;
        try {
          yield* opening();
        } finally {
          yield* sleep(0);
          finals++;
        }
      });
      while (!started) await new Promise((resolve) => setImmediate(resolve));
      handle.abort();
      await handle.catch(nothing);
    }
    say(finals === 200 ? 'settled' : `only ${finals}`);
    clock();
  },
  async timedOut() {
    const codes = new Set();
    for (let i = 0; i < 50; i++) {
      await timeout(opening(), 1).catch(({ code }) => codes.add(code));
    }
    say([...codes]);
    clock();
  },
  async closeEverything() {
    await everything();
    await rt.close();
    clock();
  },
  async otherTimers() {
    clock();
    let ticks = 0;
    const interval = setInterval(() => ticks++, 10);
    await op.timeout(200);
    op.timeout(10_000, { ref: false }).then(nothing, nothing);
    await new Promise((resolve) => setTimeout(resolve, 100));
    clearInterval(interval);
    say(ticks > 10 ? 'settled' : `only ${ticks} ticks`);
  },
};

await scenarios[process.argv[2]]();
