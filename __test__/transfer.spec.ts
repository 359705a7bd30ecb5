// PAIR: only-typescript transfer.spec.ts -- a Rust buffer has one owner, which the borrow checker
// keeps; JavaScript can take a buffer away from everybody who has it

import test from 'ava';
import { report, STRESS } from './lifecycle/child.ts';

interface Transfer {
  rounds: number;
  overwritten: number;
  detached: number;
  delivered: number;
  others: Record<string, number>;
  moved: number;
  wrong: number;
}

test('a buffer that leaves during its read gets nothing, and nobody else does', async (t) => {
  t.timeout(2 * STRESS * 60_000);
  const how = { limit: 2 * STRESS * 60_000, node: ['--expose-gc'] };
  const found = await report<Transfer>(t, 'transfer.mjs', [], how);
  const reads = 8 * 100 * STRESS;
  t.is(found.overwritten, 0, 'memory of others changed');
  t.is(found.wrong, 0, 'bytes arrived where the buffer went');
  t.deepEqual(found.others, {});
  t.is(found.detached + found.delivered, reads);
  t.true(found.detached >= reads / 2, 'every second buffer leaves before its read can end');
  t.true(found.moved >= reads / 2);
});
