// PAIR: only-typescript fs-fuzz.spec.ts -- the oracle is node:fs/promises: random sequences of its
// functions and of FileHandle's methods end the same way on both modules, and leave the same tree.
//
// A failure names its seed and the shortest prefix of steps that shows it: RINGCORE_SEED=n replays.

import test from 'ava';
import { compare, STEPS, sequence, shortest } from './fs-sequence.ts';
import { ours } from './fs-sides.ts';
import { askForBigInts } from './fs-values.ts';
import { descriptors, many } from './support.ts';

const only = process.env.RINGCORE_SEED;
const SEQUENCES = only === undefined ? many(200) : 1;
test.serial('random sequences end the same way as on node:fs/promises', async (t) => {
  t.timeout(many(300_000));
  await ours.readFile('/dev/null'); // The ring has descriptors of its own.
  await askForBigInts();
  const before = descriptors();
  const first = only === undefined ? (Math.random() * 2 ** 31) >>> 0 : Number(only);
  let steps = 0;
  for (let seed = first; seed < first + SEQUENCES; seed++) {
    const found = await compare(sequence(seed)).catch((error: Error) => {
      t.fail(`RINGCORE_SEED=${seed}: ${error.stack}`);
      return undefined;
    });
    if (found === undefined) return;
    steps += STEPS;
    if (found === null) continue;
    // Node's own cp and rm may leave a race behind; what is ours to mend is seen again.
    let again = null;
    for (let i = 0; i < 5 && again === null; i++) again = await compare(sequence(seed));
    if (again === null) {
      t.log(`RINGCORE_SEED=${seed} differed once: ${found.steps.at(-1)?.text()}`);
      continue;
    }
    const { steps: shown, ours, node } = await shortest(found);
    const lines = shown.map((step) => `  ${step.text()}`).join('\n');
    t.is(ours, node, `RINGCORE_SEED=${seed}\n${lines}`);
    t.fail(`RINGCORE_SEED=${seed} ended differently`);
    return;
  }
  t.is(steps, SEQUENCES * STEPS);
  t.true(descriptors() - before < 8, 'no descriptor stays open');
});
