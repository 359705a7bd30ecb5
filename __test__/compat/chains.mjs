// Cases of the smoke set about chains: linked operations, and operations with a limit.

import assert from 'node:assert/strict';
import { openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { op, Runtime, run, TimeoutError } from '../../dist/index.js';
import { fifo, folder } from '../lifecycle/common.mjs';

/** A case: what it runs, and how its process is to end. */
const one = (run, expected = {}) => ({ run, ...expected });

const settled = (futures) => Promise.allSettled(futures);
const nops = (...results) => results.map((result) => op.nop({ result }));

export const aChainCopiesAFile = one(async () => {
  const path = folder();
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i * 7);
  writeFileSync(`${path}/from`, bytes);
  const [from, to] = [openSync(`${path}/from`, 'r'), openSync(`${path}/to`, 'w+')];
  const through = new Uint8Array(bytes.length);
  const copy = () => op.link(op.read(from, through, 0), op.write(to, through, 0));
  assert.deepEqual(await copy(), [bytes.length, bytes.length]);
  assert.ok(Buffer.from(bytes).equals(readFileSync(`${path}/to`)));
  assert.deepEqual(through, bytes);
  // And in a task.
  through.fill(0);
  const lengths = await run(function* () {
    return yield* copy();
  });
  assert.deepEqual([lengths, through], [[bytes.length, bytes.length], bytes]);
});

export const aChainEndsAtItsFailure = one(async () => {
  const members = nops(1, -5, 3);
  const [chain, ...ends] = await settled([op.link(...members), ...members]);
  assert.deepEqual([chain.status, chain.reason.code], ['rejected', 'EIO']);
  assert.equal(ends[0].value, 1);
  assert.deepEqual(
    ends.slice(1).map(({ reason }) => reason.code),
    ['EIO', 'ECANCELED'],
  );
  const hard = nops(1, -5, 3);
  const [broken, , , last] = await settled([op.hardlink(...hard), ...hard]);
  assert.deepEqual([broken.status, last.value], ['rejected', 3]);
});

export const chainsInACrowd = one(async () => {
  const rt = new Runtime({ entries: 8 });
  const chains = Array.from({ length: 500 }, (_, i) =>
    rt.op.link(rt.op.nop({ result: i }), rt.op.nop(), rt.op.nop({ result: i + 1 })),
  );
  for (const [i, values] of (await Promise.all(chains)).entries()) {
    assert.deepEqual([values[0], values[2]], [i, i + 1]);
  }
  await rt.close();
});

export const aLimitEndsWhatIsLate = one(async () => {
  const pipe = fifo(`${folder()}/fifo`, 0);
  const read = () => op.withTimeout(op.read(pipe, new Uint8Array(8)), 20);
  const [late] = await settled([read()]);
  assert.ok(late.reason instanceof TimeoutError, String(late.reason));
  assert.equal(late.reason.code, 'ETIMEDOUT');
  const inTask = await run(function* () {
    try {
      return yield* read();
    } catch (error) {
      return error.code;
    }
  });
  assert.equal(inTask, 'ETIMEDOUT');
  // What was ended takes nothing from the pipe, and what is in time is not ended.
  writeSync(pipe, 'abc');
  assert.equal(await op.withTimeout(op.read(pipe, new Uint8Array(8)), 60_000), 3);
  const limited = op.withTimeout(op.nop({ result: 4 }), 60_000);
  assert.deepEqual(await op.link(op.nop({ result: 3 }), limited, op.nop({ result: 5 })), [3, 4, 5]);
});
