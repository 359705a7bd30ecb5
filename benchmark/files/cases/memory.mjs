// What an operation in flight weighs: the peak of the process's memory while 1 000 and 100 000
// reads of 64 bytes are under way, less what it had before, by the number of reads.

import { openSync, readFileSync, writeFileSync } from 'node:fs';
import { BLOCK, blockOf, moved } from '../blocks.mjs';
import { must } from '../meter.mjs';

const BLOCKS = 65_536;
const BYTES = 64;

export const cases = [1_000, 100_000].map((inFlight) => ({
  name: `memory-x${inFlight}`,
  title: `memory of an operation, ${inFlight.toLocaleString('en')} reads of 64 bytes in flight`,
  unit: 'read',
  narrow: true,
  main: { field: 'bytes', name: 'memory per operation', unit: 'bytes' },
  params: { inFlight },
  data: ['blocks'],
  warm: ['blocks'],
  native: [],
  aims: [],
}));

const offset = (i) => blockOf(i, BLOCKS) * BLOCK;
const file = ({ dir }) => `${dir}/blocks`;

/** All variants read into one buffer: its bytes are not what is measured. */
export const variants = {
  promises: async (context, buffer) => {
    const handle = await context.fs.open(file(context));
    return (i) => handle.read(buffer, 0, BYTES, offset(i));
  },
  callback: (context, buffer) => {
    const fd = openSync(file(context), 'r');
    const { read } = context.fs;
    return (i) =>
      new Promise((resolve, reject) => {
        read(fd, buffer, 0, BYTES, offset(i), (error, count) =>
          error ? reject(error) : resolve(count),
        );
      });
  },
  op: (context, buffer) => {
    const fd = openSync(file(context), 'r');
    const { op } = context.ringcore;
    return (i) => op.read(fd, buffer, offset(i));
  },
};

function status(field) {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(
    readFileSync('/proc/self/status', 'utf8'),
  );
  return Number(found[1]) * 1024;
}

function collect() {
  if (globalThis.Bun) globalThis.Bun.gc(true);
  else globalThis.gc?.();
}

export async function measure(program, context) {
  const buffer = Buffer.alloc(BYTES);
  const one = await program({ ...context, ...(await context.modules()) }, buffer);
  const all = async (count) => {
    const waiting = new Array(count);
    for (let i = 0; i < count; i++) waiting[i] = one(i);
    const counts = await Promise.all(waiting);
    must(
      counts.every((value) => moved(value) === BYTES),
      'a read was short',
    );
  };
  await all(64);
  collect();
  // Forgets the peak so far.
  writeFileSync('/proc/self/clear_refs', '5');
  const before = status('VmRSS');
  const [begun, cpu] = [performance.now(), process.cpuUsage()];
  await all(context.inFlight);
  const elapsed = performance.now() - begun;
  const { user, system } = process.cpuUsage(cpu);
  const ops = context.inFlight;
  return {
    bytes: Math.max(0, status('VmHWM') - before) / ops,
    ns: (elapsed * 1e6) / ops,
    cpu: ((user + system) * 1000) / ops,
    ops,
    all: ops,
    disk: 0,
  };
}
