// Cases of the smoke set about beginnings and ends: of processes, of workers, of children.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { openSync, writeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { op, Runtime, run, sleep, spawn } from '../../dist/index.js';
import { bigFile, descriptors, fifo, folder, threadCounts, until } from '../lifecycle/common.mjs';

const nothing = () => {};
const { deno } = process.versions;

/** A case: what it runs, and how its process is to end. */
const one = (run, expected = {}) => ({ run, ...expected });

/** Says at the exit that it came in time; the timers beside it take ten seconds. */
function endsSoon(said) {
  const start = performance.now();
  process.on('exit', () => {
    const soon = performance.now() - start < 5000;
    writeSync(1, soon ? `${said}\n` : 'too late\n');
  });
}

const SAID = { stdout: /^done\nended\n$/ };

// --- what holds a process -----------------------------------------------------------------------

export const idleRingExits = one(async () => {
  await op.nop();
  endsSoon('ended');
}, SAID);

export const pendingOperationHolds = one(
  async () => {
    op.timeout(200).then(() => writeSync(1, 'held\n'), nothing);
  },
  { stdout: /^done\nheld\n$/ },
);

export const pendingReadHolds = one(
  async () => {
    const pipe = fifo(`${folder()}/fifo`);
    op.read(pipe, new Uint8Array(8)).then((count) => writeSync(1, `read ${count}\n`), nothing);
    setTimeout(() => writeSync(pipe, 'abc'), 100).unref();
  },
  { stdout: /^done\nread 3\n$/ },
);

export const sleepingTaskHolds = one(
  async () => {
    spawn(function* () {
      yield* sleep(100);
      writeSync(1, 'held\n');
    });
  },
  { stdout: /^done\nheld\n$/ },
);

export const unreferencedOperationExits = one(async () => {
  op.timeout(10_000).unref().then(nothing, nothing);
  sleep(10_000, { ref: false }).then(nothing, nothing);
  await op.nop();
  endsSoon('ended');
}, SAID);

export const unreferencedRuntimeExits = one(async () => {
  const rt = new Runtime().unref();
  rt.op.timeout(10_000).then(nothing, nothing);
  endsSoon('ended');
}, SAID);

export const referencedAgainHolds = one(
  async () => {
    const timer = op.timeout(100);
    timer.then(() => writeSync(1, 'held\n'), nothing);
    timer.unref();
    await op.nop();
    timer.ref();
  },
  { stdout: /^done\nheld\n$/ },
);

export const beforeExitMayGoOn = one(
  async () => {
    process.once('beforeExit', () => op.timeout(10).then(() => writeSync(1, 'more\n'), nothing));
    await op.nop();
  },
  { stdout: /^done\nmore\n$/ },
);

// --- how a process ends -------------------------------------------------------------------------

/** Everything that may be in flight; busy: and always a turn to come. */
async function everything(busy = true) {
  const path = folder();
  const pipe = fifo(`${path}/fifo`);
  const file = openSync(bigFile(`${path}/data`, 4), 'r');
  for (let i = 0; i < 8; i++) op.read(pipe, new Uint8Array(4096)).then(nothing, nothing);
  op.timeout(10_000).then(nothing, nothing);
  for (let i = 0; i < 4; i++) {
    const buffer = new Uint8Array(1 << 20);
    const again = () => op.read(file, buffer, i << 20).then(again, nothing);
    again();
  }
  const spin = () => op.nop().then(spin, nothing);
  if (busy) for (let i = 0; i < 32; i++) spin();
  await wait(20);
}

export const exitWithEverythingInFlight = one(
  async () => {
    await everything();
    process.exit(7);
  },
  { code: 7, stdout: /^$/ },
);

export const exitWithinATurn = one(
  async () => {
    await everything();
    op.timeout(5).then(() => process.exit(7), nothing);
  },
  { code: 7 },
);

export const exitWithinATask = one(
  async () => {
    spawn(function* () {
      yield* sleep(5);
      process.exit(9);
    });
  },
  { code: 9 },
);

export const uncaughtError = one(
  async () => {
    await everything(false);
    setTimeout(() => {
      throw new Error('thrown on purpose');
    });
  },
  { code: 1, stderr: /thrown on purpose/ },
);

export const uncaughtErrorBetweenTurns = one(
  async () => {
    await everything();
    setTimeout(() => {
      throw new Error('thrown on purpose');
    });
  },
  {
    code: 1,
    stderr: /thrown on purpose/,
    skip: { bun: 'Bun runs immediates on after an uncaught error, with or without a ring' },
  },
);

export const unhandledRejection = one(
  async () => {
    await op.nop();
    op.read(12345, new Uint8Array(1)).then();
  },
  { code: 1, stderr: /EBADF/ },
);

export const failingTaskIsUnhandled = one(
  async () => {
    spawn(function* () {
      yield* op.nop();
      throw new Error('thrown on purpose');
    });
  },
  { code: 1, stderr: /thrown on purpose/ },
);

export const closedWithEverythingInFlight = one(async () => {
  const rt = new Runtime();
  const pipe = fifo(`${folder()}/fifo`);
  for (let i = 0; i < 100; i++) rt.op.read(pipe, new Uint8Array(64)).then(nothing, nothing);
  await rt.op.nop();
  await rt.close();
  endsSoon('ended');
}, SAID);

// --- workers ------------------------------------------------------------------------------------

/** So many workers with everything in flight that end in one way: nothing stays behind. */
const workersEnd = (kind, expected) =>
  one(async () => {
    const path = folder();
    const file = openSync(bigFile(`${path}/data`, 64), 'r');
    const pipes = [fifo(`${path}/one`), fifo(`${path}/two`)];
    const end = async (busy) => {
      const data = { kind, pipes, file, busy, useNode: false, after: 2 };
      const url = new URL('../lifecycle/worker.mjs', import.meta.url);
      const worker = new Worker(url, { workerData: data });
      const ended = once(worker, 'exit');
      await once(worker, 'message');
      if (kind === 'terminate') worker.terminate();
      return (await ended)[0];
    };
    const quiet = () => threadCounts().parkers + threadCounts().workers === 0;
    for (let i = 0; i < 2; i++) await end(false); // They load what is loaded once.
    await until(quiet);
    const before = descriptors().size;
    const codes = [];
    for (let i = 0; i < 12; i++) codes.push(await end(i % 2 === 1));
    assert.deepEqual(codes, Array(12).fill(expected));
    assert.ok(await until(quiet), 'threads are left');
    // Deno's own thread pool takes and returns a few in its own time.
    const own = deno ? 4 : 0;
    assert.ok(
      await until(() => descriptors().size <= before + own),
      `${before} descriptors became ${descriptors().size}`,
    );
    assert.equal(await op.nop(), 0);
  });

export const workersEndNaturally = workersEnd('natural', 0);
export const workersExit = workersEnd('exit', 3);
export const workersAreTerminated = workersEnd('terminate', 1);

export const ringBesideMessages = one(async () => {
  const url = new URL('../../dist/index.js', import.meta.url);
  const source = `
    const { parentPort } = require('node:worker_threads');
    import(${JSON.stringify(url.href)}).then(({ op }) => {
      parentPort.on('message', async (n) => {
        if (n < 0) process.exit(0);
        parentPort.postMessage(await op.nop({ result: n }));
      });
      parentPort.postMessage(0);
    });`;
  const worker = new Worker(source, { eval: true });
  await once(worker, 'message');
  for (let i = 0; i < 50; i++) {
    worker.postMessage(i);
    const [[answer]] = await Promise.all([once(worker, 'message'), op.nop(), op.timeout(1)]);
    assert.equal(answer, i);
  }
  worker.postMessage(-1);
  assert.equal((await once(worker, 'exit'))[0], 0);
});

// --- children -----------------------------------------------------------------------------------

export const childrenInheritNothing = one(async () => {
  const list = promisify(execFile);
  const listed = async () => (await list('ls', ['-l', '/proc/self/fd'])).stdout;
  const rings = (text) => text.split('\n').filter((line) => /io_uring|eventfd/.test(line));
  const usual = rings(await listed());
  const pipe = fifo(`${folder()}/fifo`);
  const waiting = op.read(pipe, new Uint8Array(8));
  waiting.then(nothing, nothing);
  await op.nop();
  const lists = await Promise.all(Array.from({ length: 10 }, listed));
  for (const text of lists) assert.equal(rings(text).length, usual.length, text);
  writeSync(pipe, 'abc');
  assert.equal(await waiting, 3);
  const ended = await run(async () => {
    const { code } = await list('sh', ['-c', 'exit 5']).catch((error) => error);
    return code;
  });
  assert.equal(ended, 5);
});
