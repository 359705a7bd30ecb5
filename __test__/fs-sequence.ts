// Sequences of random steps, run on both sides until they differ.

import { Random } from '../src/mock.ts';
import { baseOf, leave, listing, remove, type Side, sides, text } from './fs-sides.ts';
import { nextStep, type Step } from './fs-steps.ts';

export const STEPS = 40;
/** A sequence that has not ended by then hangs, and says where. */
const PATIENCE = 30_000;

export interface Difference {
  steps: Step[];
  ours: string;
  node: string;
}

let closing = 'nothing';

async function closeAll(each: Side[]): Promise<void> {
  const warn = (error: NodeJS.ErrnoException) => {
    // A stream has closed some of them.
    if (error.code !== 'EBADF') throw error;
  };
  for (const { name, handles } of each) {
    for (const [slot, handle] of handles) {
      closing = `the close of ${name}'s handle${slot}`;
      await handle.close().catch(warn);
    }
  }
}

/** Runs the steps on both sides until they differ. */
export async function compare(steps: Iterable<Step>): Promise<Difference | null> {
  const both = sides(null);
  const [one, other] = both;
  const done: Step[] = [];
  const stuck = () => `it hangs: ${done.at(-1)?.text()}, or ${closing}`;
  let late = 0;
  const hangs = new Promise<never>((_, reject) => {
    late = Number(setTimeout(() => reject(new Error(stuck())), PATIENCE));
  });
  const differs = (ours: unknown, node: unknown) => {
    const found = { steps: done, ours: text(ours), node: text(node) };
    return found.ours === found.node ? null : found;
  };
  try {
    for (const step of steps) {
      done.push(step);
      const ours = await Promise.race([step.run(one), hangs]);
      const node = await Promise.race([step.run(other), hangs]);
      const found = differs(ours, node);
      if (found !== null) return found;
    }
    return differs(listing(one), listing(other));
  } finally {
    await Promise.race([closeAll(both), hangs]);
    clearTimeout(late);
    leave();
    remove(baseOf(one));
  }
}

export function* sequence(seed: number): Generator<Step> {
  const random = new Random(seed);
  for (let i = 0; i < STEPS; i++) yield nextStep(random);
}

/** Leaves out every step without which the sides still differ. */
export async function shortest(found: Difference): Promise<Difference> {
  let best = found;
  for (let i = best.steps.length - 2; i >= 0; i--) {
    const fewer = await compare(best.steps.toSpliced(i, 1));
    if (fewer !== null) best = fewer;
  }
  return best;
}
