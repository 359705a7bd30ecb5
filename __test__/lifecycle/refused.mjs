// A process in which no ring can be made: every first use says why, and nothing stays behind.
// Argument: `always`, or `exhaust` for a process that gives descriptors free again.

import { closeSync, openSync } from 'node:fs';
import { probe, Runtime, run, spawn } from '../../dist/index.js';
import { answer, descriptors, memory, threadCounts, until } from './common.mjs';

const inside = () => ({ fds: descriptors().size, ...threadCounts(), rings: memory().rings });
const describe = ({ code, reason, advice }) => ({ code, reason, advice });
const fail = async (use) => {
  try {
    await use();
    return null;
  } catch (error) {
    return describe(error);
  }
};
const uses = {
  op: () => new Runtime().op.nop(),
  run: () => run(function* () {}),
  spawn: async () => spawn(function* () {}),
};

/** All descriptors but `left` are taken. */
function exhaust(left) {
  const taken = [];
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch (error) {
    if (error.code !== 'EMFILE') throw error;
  }
  for (let i = 0; i < left; i++) closeSync(taken.pop());
  return taken;
}

if (process.argv[2] === 'exhaust') {
  probe(); // Loads the native module, which needs a descriptor itself.
  const before = inside();
  const found = [];
  // 0: the ring itself is refused; 1: its eventfd; 2 suffice.
  for (const left of [0, 1, 2]) {
    const taken = exhaust(left);
    const rt = new Runtime();
    let error = null;
    let works = null;
    try {
      works = await rt.op.nop();
    } catch (caught) {
      error = describe(caught);
    }
    // One that was refused may be tried again on the same runtime.
    for (const fd of taken) closeSync(fd);
    const again = await rt.op.nop();
    await rt.close();
    found.push({ left, works, error, again });
  }
  await until(() => threadCounts().parkers + threadCounts().workers === 0);
  answer({ before, after: inside(), found });
} else {
  const { available, backend, reason, advice } = probe();
  const before = inside();
  const errors = {};
  for (const [name, use] of Object.entries(uses)) errors[name] = await fail(use);
  for (let i = 0; i < 100; i++) await fail(uses.op);
  answer({ probe: { available, backend, reason, advice }, errors, before, after: inside() });
}
