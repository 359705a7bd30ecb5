// The programs sqpoll of examples/, in both languages and without ringcore, as a user runs them.
// PAIR: only-typescript sqpoll.spec.ts -- the Rust programs are run here, too

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { folder } from './support.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** A Rust program, built by cargo test. */
function cargo(t: ExecutionContext, name: string): string {
  const built = ['debug', 'release'].map((way) => join(root, 'target', way, 'examples', name));
  const path = built.find((each) => existsSync(each));
  t.truthy(path, `cargo test builds ${name}`);
  return path ?? '';
}

/** The four programs: name, command, first arguments. */
const programs = (t: ExecutionContext): [string, string, string[]][] => [
  ['sqpoll.ts', process.execPath, [join(root, 'dist/examples/sqpoll.js')]],
  ['sqpoll.rs', cargo(t, 'sqpoll'), []],
  ['sqpoll.node.mjs', process.execPath, [join(root, 'examples/sqpoll.node.mjs')]],
  ['sqpoll.std.rs', cargo(t, 'sqpoll_std'), []],
];

interface Ran {
  status: number;
  stdout: string;
  stderr: string;
}

function run(command: string, args: string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
    });
  });
}

/** Blocks of 4 KiB in batches of 32; the last batch has a block that is not full. */
const batchesOf = (bytes: number) => Math.floor(bytes / 4096 / 32) + 1;

test('sqpoll reads a file of any size with few system calls', async (t) => {
  const dir = folder(t);
  for (const [name, command, args] of programs(t)) {
    for (const size of [0, 4095, 32 * 4096, 5_000_003]) {
      const bytes = randomBytes(size);
      const path = join(dir, `${name}-${size}`);
      writeFileSync(path, bytes);
      const { status, stdout, stderr } = await run(command, [...args, path]);
      t.is(status, 0, `${name}: ${stderr}`);
      const [first, second, ...rest] = stdout.split('\n');
      const sum = bytes.reduce((total, byte) => total + byte, 0);
      t.is(first, `the bytes add up to ${sum}`, `${name}, ${size}`);
      const [, batches, calls] = /^(\d+) batches, (\d+) system calls$/.exec(second ?? '') ?? [];
      t.is(Number(batches), batchesOf(size), `${name}: ${second}`);
      t.deepEqual(rest, ['']);
      if (name === 'sqpoll.ts') t.true(Number(calls) <= 4, `${calls} calls of ${size}`);
      // A Rust thread blocks in one when it has nothing else to do: at most once for a batch.
      else if (name === 'sqpoll.rs') t.true(Number(calls) <= Number(batches) * 2 + 8, second);
      else t.is(Number(calls), Number(batches) * 32);
    }
    const missing = await run(command, [...args, join(dir, 'missing')]);
    t.is(missing.status, 1, name);
    t.regex(missing.stderr, /^sqpoll: .*[Nn]o such file/, name);
    t.is((await run(command, args)).status, 2, name);
  }
});
