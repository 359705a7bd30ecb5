// logger without ringcore: read, append, sync, each through the thread pool and awaited.

import { open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';

const NEWLINE = 10;
const counts = { lines: 0, batches: 0, files: 1 };

async function openLog(path) {
  const file = await open(path, 'a+');
  const folder = await open(dirname(path));
  await folder.sync();
  await folder.close();
  const { size } = await file.stat();
  const last = Buffer.of(NEWLINE);
  if (size > 0) await file.read(last, 0, 1, size - 1);
  if (last[0] !== NEWLINE) await file.write('\n');
  return file;
}

/** Node's rename replaces: a name that seems free is taken on trust. Fine for one logger. */
async function rotate(log) {
  await log.file.close();
  const free = (name) =>
    stat(name).then(
      () => false,
      () => true,
    );
  while (!(await free(`${log.path}.${log.next}`))) log.next++;
  await rename(log.path, `${log.path}.${log.next}`);
  log.file = await openLog(log.path);
  counts.files++;
}

function fitting(lines, size, max) {
  const room = Math.max(0, max - size);
  if (lines.length <= room) return lines.length;
  const fit = lines.subarray(0, room).lastIndexOf(NEWLINE) + 1;
  return fit > 0 || size > 0 ? fit : lines.indexOf(NEWLINE) + 1;
}

async function store(log, batch) {
  let lines = batch;
  while (lines.length > 0) {
    const size = log.max === Infinity ? 0 : (await log.file.stat()).size;
    const fit = fitting(lines, size, log.max);
    if (fit === 0) {
      await rotate(log);
      continue;
    }
    await log.file.appendFile(lines.subarray(0, fit));
    await log.file.datasync();
    counts.batches++;
    for (const byte of lines.subarray(0, fit)) if (byte === NEWLINE) counts.lines++;
    if (log.ack) console.log(counts.lines);
    lines = lines.subarray(fit);
  }
}

async function main(path, max, ack) {
  const log = { path, max, ack, file: await openLog(path), next: 1 };
  let held = Buffer.alloc(0);
  for await (const chunk of process.stdin) {
    const lines = Buffer.concat([held, chunk]);
    const whole = lines.lastIndexOf(NEWLINE) + 1;
    await store(log, lines.subarray(0, whole));
    held = lines.subarray(whole);
  }
  if (held.length > 0) await store(log, Buffer.concat([held, Buffer.of(NEWLINE)]));
  await log.file.close();
}

function parse(args) {
  try {
    const options = { max: { type: 'string' }, ack: { type: 'boolean' } };
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    const max = values.max === undefined ? Infinity : Number(values.max);
    return positionals.length === 1 && max >= 1 ? [positionals[0], max, values.ack] : undefined;
  } catch {
    return undefined;
  }
}

const parsed = parse(process.argv.slice(2));
if (parsed === undefined) {
  console.error('usage: logger [--max BYTES] [--ack] FILE');
  process.exit(2);
}
try {
  await main(...parsed);
  console.log(`${counts.lines} lines in ${counts.batches} batches, ${counts.files} files`);
} catch (error) {
  console.error(`logger: ${error.message}`);
  process.exitCode = 1;
}
