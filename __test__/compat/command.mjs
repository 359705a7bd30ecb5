// Cases of the smoke set about the command `ringcore`, on the runtime that runs them.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { folder } from '../lifecycle/common.mjs';

/** A case: what it runs, and how its process is to end. */
const one = (run, expected = {}) => ({ run, ...expected });

const { bun, deno, node } = process.versions;
const path = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const index = new URL('../../dist/index.js', import.meta.url).href;

/** Runs the command to its end. */
function ringcore(...args) {
  const start = deno ? ['run', '--allow-all', '--quiet'] : [];
  const options = { encoding: 'utf8', timeout: 20_000, killSignal: 'SIGKILL' };
  const all = [...start, path('dist/cli.js'), ...args];
  const { status, stdout, stderr, error } = spawnSync(process.execPath, all, options);
  assert.equal(error, undefined);
  return { status, stdout, stderr };
}

/** A program in a file of its own. */
function program(text, name = 'program.mjs') {
  const file = `${folder()}/${name}`;
  writeFileSync(file, `import { op, run, sleep } from ${JSON.stringify(index)};\n${text}`);
  return file;
}

export const doctorSaysWhatWorks = one(async () => {
  const { status, stdout, stderr } = ringcore('doctor', '--json');
  assert.deepEqual([status, stderr], [0, '']);
  const found = JSON.parse(stdout);
  const { ok, available, backend, wake, reason, version, runtime, ops, since } = found;
  assert.deepEqual([ok, available, backend, wake, reason], [true, true, 'io_uring', 'ok', null]);
  assert.equal(version, JSON.parse(readFileSync(path('package.json'), 'utf8')).version);
  assert.equal(runtime, bun ? `bun ${bun}` : deno ? `deno ${deno}` : `node ${node}`);
  assert.ok(ops.read && found.flags.length > 0 && found.kernel.length > 0);
  assert.deepEqual(Object.keys(since), Object.keys(ops));
  const table = ringcore('doctor');
  assert.deepEqual([table.status, table.stderr], [0, '']);
  assert.match(table.stdout, /^ringcore .*: io_uring works\n/);
});

export const runRunsAProgram = one(async () => {
  const generator = program(`
    console.log('arguments', ...process.argv.slice(2));
    export default function* () {
      yield* sleep(1);
      console.log('result', yield* op.nop({ result: 5 }));
    }`);
  const said = { status: 0, stdout: 'arguments a --json\nresult 5\n', stderr: '' };
  assert.deepEqual(ringcore('run', generator, 'a', '--json'), said);
  const asynchronous = program(`
    export default async () => console.log('result', await op.nop({ result: 6 }));`);
  assert.deepEqual(ringcore('run', asynchronous), { ...said, stdout: 'result 6\n' });
  const plain = program("console.log('result', await run(() => op.nop({ result: 7 })));");
  assert.deepEqual(ringcore('run', plain), { ...said, stdout: 'result 7\n' });
});

export const runSaysWhatFails = one(async () => {
  const bad = [
    'export default function* () { yield* sleep(1); throw new Error("on purpose"); }',
    'export default async () => { throw new Error("on purpose"); };',
    'throw new Error("on purpose");',
  ];
  for (const text of bad) {
    const { status, stdout, stderr } = ringcore('run', program(text));
    assert.deepEqual([status, stdout], [1, ''], text);
    // Bun leaves the name of a plain error out.
    assert.match(stderr, /error: on purpose/i);
  }
  const nothing = ringcore('run');
  assert.equal(nothing.status, 2);
  assert.match(nothing.stderr, /^ringcore: run which file\?\n/);
});
