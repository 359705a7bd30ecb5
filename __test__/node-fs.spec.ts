// npm run test:node-fs, on a folder of test files of our own.
// PAIR: only-typescript node-fs -- Node's tests are JavaScript's

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { child, type Ended } from './lifecycle/child.ts';

const script = fileURLToPath(new URL('../.ci/node-fs.mjs', import.meta.url));

/** What only node's own FileHandle can: an exception of the drop-in, by design. */
const TRANSFERS = `
  require('fs/promises').open(__filename).then((handle) => {
    const { port1 } = new MessageChannel();
    port1.postMessage(handle, [handle]);
    port1.close();
  });
`;

const FILES: Record<string, string> = {
  'test-fs-promises-common.js': `
    const { strictEqual } = require('assert');
    const { readFile } = require('fs/promises');
    strictEqual(readFile, require('fs').promises.readFile);
    strictEqual(readFile, require('node:fs/promises').readFile);
    readFile(__filename, 'utf8').then((text) => strictEqual(text.length, 6000));
  `.padEnd(6000),
  'test-fs-promises-module.mjs': `
    import { strictEqual } from 'node:assert';
    import * as all from 'fs/promises';
    import { stat } from 'node:fs/promises';
    strictEqual(stat, all.stat);
    strictEqual((await stat(import.meta.filename)).isFile(), true);
  `,
  'test-fs-filehandle-flags.js': `// Flags: --expose-gc --no-warnings
    if (typeof gc !== 'function') throw new Error('no gc');
  `,
  'test-fs-promises-listed.js': TRANSFERS,
  'test-fs-promises-unlisted.js': TRANSFERS,
  'test-fs-promises-never.js': `throw new Error('fails on every Node');`,
  'test-fs-promises-skipped.js': `console.log('1..0 # Skipped: there is no such thing here');`,
  'test-fs-promises-needless.js': '',
  'test-fs-readfile.js': `throw new Error('not a test of promises');`,
};

/** Ends without the replacement only. */
const ENDLESS = 'if (process.execArgv.length > 0) setInterval(() => {}, 1000);';

const EXCEPTIONS = {
  'test-fs-promises-listed.js': 'a handle of the drop-in cannot be transferred',
  'test-fs-promises-needless.js': 'nothing is wrong with it',
  'test-fs-promises-gone.js': 'it is not there',
};

/** A folder that looks like Node's own; the path of its list of exceptions. */
function checkout(t: ExecutionContext, files: Record<string, string>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'ringcore-checkout-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, 'test/parallel'), { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(root, 'test/parallel', name), text);
  }
  writeFileSync(join(root, 'exceptions.json'), JSON.stringify(EXCEPTIONS));
  return [root, '--exceptions', join(root, 'exceptions.json')];
}

const runner = (...args: string[]): Promise<Ended> => child(script, args, { limit: 100_000 });

test('every file gets the line that it has earned, and one failure fails the run', async (t) => {
  const args = checkout(t, FILES);
  const before = readdirSync(args[0] as string);
  const { code, stdout, stderr } = await runner(...args);
  t.is(stderr, '');
  t.is(code, 1);
  const lines = stdout.split('\n');
  const line = (name: string) => lines.find((text) => text.includes(name));
  t.regex(line('common.js') ?? '', /^pass +test-fs-promises-common\.js: [1-9]\d* operations$/);
  t.regex(line('module.mjs') ?? '', /^pass +test-fs-promises-module\.mjs: [1-9]\d* operations$/);
  t.regex(line('flags.js') ?? '', /^pass .*: the ring was not used$/);
  t.regex(line('-listed') ?? '', /^exception .*: a handle of the drop-in cannot be transferred$/);
  t.regex(line('unlisted') ?? '', /^FAIL .*: exit code 1$/);
  t.regex(stdout, /^ {4}.*(DataCloneError|ERR_INVALID_TRANSFER_OBJECT)/m);
  t.regex(line('never') ?? '', /^without .*: exit code 1 without ringcore$/);
  t.regex(line('skipped') ?? '', /^skip .*: there is no such thing here$/);
  t.regex(line('needless') ?? '', /^pass .*; it is on the list of exceptions$/);
  t.is(line('test-fs-readfile.js'), undefined);
  t.true(lines.includes('test-fs-promises-gone.js is on the list and not in the folder'));
  const counts =
    /^4 passed, 1 failed, 1 exceptions, 1 fail on this Node \(v[\d.]+\) .*, 1 skipped$/m;
  t.regex(stdout, counts);
  t.regex(stdout, /^[1-9]\d* operations went through the ring$/m);
  t.regex(stdout, /^2 of the passed files never used it$/m);
  t.regex(stdout, /^1 passed files are on the list of exceptions$/m);
  t.deepEqual(readdirSync(args[0] as string), before);
});

test('a file that does not end is killed and has failed', async (t) => {
  const args = checkout(t, { 'test-fs-promises-late.js': ENDLESS });
  const { code, stdout } = await runner(...args, '--limit', '10');
  t.is(code, 1);
  t.regex(stdout, /^FAIL .*: did not end within 10 s$/m);
});

test('a pattern narrows the run, and without a failure it ends well', async (t) => {
  const args = checkout(t, FILES);
  const { code, stdout } = await runner(...args, 'module');
  t.is(code, 0);
  t.regex(stdout, /^1 passed, 0 failed, 0 exceptions, 0 fail .*, 0 skipped$/m);
});

test('a run that has found nothing does not look like success', async (t) => {
  const args = checkout(t, { 'test-fs-promises-needless.js': '' });
  for (const [wrong, said] of [
    [[...args, 'other'], /^no file of .*parallel is meant$/m],
    [[join(args[0] as string, 'nowhere')], /holds no test\/parallel$/m],
    [[], /^Which folder\?$/m],
    [[...args, '--unknown'], /^usage: npm run test:node-fs -- FOLDER/m],
  ] as const) {
    const { code, stdout, stderr } = await runner(...wrong);
    t.is(code, 2);
    t.is(stdout, '');
    t.regex(stderr, said);
  }
});

test('a folder in which every file skips itself has shown nothing', async (t) => {
  const name = 'test-fs-promises-skipped.js';
  const { code } = await runner(...checkout(t, { [name]: FILES[name] as string }));
  t.is(code, 1);
});
