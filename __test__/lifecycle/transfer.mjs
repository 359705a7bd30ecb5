// Buffers leave while reads into them are in flight: transferred, collected, their memory taken by
// others. The reads run in io-wq, so they do write later. Nothing foreign may change.
//
// The kernel of this bug is old: node's own fs.read, its buffer transferred and collected, writes
// into whatever has the memory by then (Node 20 to 26). The ring copies at completion instead (I1).

import { openSync } from 'node:fs';
import { MessageChannel } from 'node:worker_threads';
import { Runtime } from '../../dist/index.js';
import { answer, bigFile, folder, STRESS } from './common.mjs';

const file = openSync(bigFile(`${folder()}/data`, 8), 'r');
const FILL = 0xee; // No byte of the file has this value.
const BYTES = 1 << 20;
const rounds = 100 * STRESS;
const rt = new Runtime();
const found = { rounds, overwritten: 0, detached: 0, delivered: 0, moved: 0, others: {}, wrong: 0 };
const ZEROS = Buffer.alloc(BYTES);
const PATTERN = Buffer.alloc(BYTES, FILL);
const { port1, port2 } = new MessageChannel();
port2.unref();

// Ways to lose a buffer; what arrived elsewhere, where it can be seen.
const ways = [
  (buffer) => structuredClone(buffer, { transfer: [buffer] }),
  (buffer) => {
    port1.postMessage(buffer, [buffer]);
    return null; // Nobody reads the port: it is kept until the port is collected.
  },
  (buffer) => buffer.transfer?.() ?? structuredClone(buffer, { transfer: [buffer] }),
];

/** One read whose buffer leaves at once, or when the kernel has it (or even has ended it). */
async function readAndLose(place, way, atOnce) {
  let { buffer } = new Uint8Array(BYTES);
  let moved = null;
  const lose = () => {
    moved = way(buffer);
    buffer = null;
  };
  const read = rt.op.read(file, new Uint8Array(buffer), place << 20);
  const outcome = read.then(
    (count) => count,
    (error) => [error.code, error.bytesRead],
  );
  if (atOnce) lose();
  else queueMicrotask(lose);
  return outcome.then((value) => check(place, value, moved));
}

function check(place, outcome, moved) {
  if (moved !== null) found.moved++;
  const bytes = moved && Buffer.from(moved);
  if (outcome === BYTES) {
    // It had ended before the buffer left: the bytes went with it.
    found.delivered++;
    if (bytes?.some((byte) => byte !== place + 1)) found.wrong++;
  } else if (outcome[0] === 'ERR_RINGCORE_BUFFER_DETACHED' && outcome[1] === BYTES) {
    found.detached++;
    if (bytes && !bytes.equals(ZEROS)) found.wrong++;
  } else found.others[outcome] = (found.others[outcome] ?? 0) + 1;
}

async function one(round) {
  const reads = [];
  for (let i = 0; i < 8; i++) {
    reads.push(readAndLose(i, ways[(round + i) % ways.length], i % 2 === 0));
  }
  await rt.op.nop();
  if (round % 4 === 0) globalThis.gc();
  // What was freed a moment ago comes back here.
  const spray = Array.from({ length: 8 }, () => Buffer.alloc(BYTES, FILL));
  await Promise.all(reads);
  for (const buffer of spray) if (!buffer.equals(PATTERN)) found.overwritten++;
}

for (let round = 0; round < rounds; round++) await one(round);
await rt.close();
port1.close();
answer(found);
